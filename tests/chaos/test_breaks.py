"""The harness sees faults: with a safeguard taken away, the run that `test_kills.py` survives turns red."""

from __future__ import annotations

from pathlib import Path

import pytest

from .breaks import BREAKS
from .disk import why_no_disk
from .run import Order, run


async def broken_without(safeguard: str, folder: Path) -> str:
    without = BREAKS[safeguard]
    report = await run(Order(without.plan, without.seconds, npcs=20, without=without), folder)
    return "\n".join(report.broken)


async def test_without_the_inbox_what_is_sent_again_is_doubled(folder: Path) -> None:
    assert "nothing twice: several experiences" in await broken_without("inbox", folder)


async def test_where_all_is_acknowledged_a_restart_of_postgres_loses_messages(folder: Path) -> None:
    assert "nothing lost: no experience" in await broken_without("acknowledgement", folder)


@pytest.mark.skipif(bool(why_no_disk()), reason=why_no_disk() or "it can")
async def test_with_the_brokers_own_sync_interval_a_power_cut_loses_messages(folder: Path) -> None:
    assert "nothing lost: no experience" in await broken_without("sync", folder)
