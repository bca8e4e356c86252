"""What needed somebody once comes back by itself: a broker whose disk was full, one whose folder is gone, and a service that is
killed while the broker stays away for longer than a start waits for it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .disk import why_no_disk
from .plan import NATS, Fault
from .run import STILL_S, Order, run

DISK = (Fault(1.0, "disk", NATS, lasts_s=2.0),) if not why_no_disk() else ()
FOLDER = Fault(10.0, "folder", NATS)
AWAY = (Fault(15.0, "away", NATS, lasts_s=15.0), Fault(16.0, "kill", "decision"))
"""Away for so long that even a slow machine starts the killed process again meanwhile."""


async def test_the_platform_mends_itself(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEARTHMIND_BROKER__START_WITHIN_S", "0.5")
    monkeypatch.setenv("HEARTHMIND_REWARD__PARK_MAX_S", str(AWAY[0].lasts_s + STILL_S))
    plan = (*DISK, FOLDER, *AWAY)

    report = await run(Order(plan, seconds=30, npcs=10), folder)

    assert report.broken == ()
    assert all(row.experiences for row in report.account.kept.values()), "clients that are still there lose nothing"
    assert [happened.note for happened in report.happened if "never came back" in happened.note] == []
    assert report.restarts[NATS] >= len(DISK) + 2
    assert report.restarts["decision"] >= 2
    said = (folder / "logs" / "decision.log").read_text()
    assert "did not answer within 0.5 s" in said
