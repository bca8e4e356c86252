"""Broker, database and inference dead at once: the game goes on by itself, in time, and afterwards nothing of it is missing."""

from __future__ import annotations

from pathlib import Path

from .plan import BEHIND_THE_GAME, GAME, Fault
from .run import Order, run

DARK_S = 8.0


async def test_a_game_left_alone_decides_in_time_and_nothing_of_it_is_lost(folder: Path) -> None:
    report = await run(Order((Fault(5.0, "dark", GAME, lasts_s=DARK_S),), seconds=15, npcs=40, turn_s=1.0), folder)

    assert report.broken == ()
    alone = report.alone
    assert alone.waited, "nobody asked while the broker was thought to be there"
    assert alone.at_once, "the client waited for a broker that it knew to be away"
    assert alone.outcomes_after > alone.outcomes_before
    assert all(report.restarts[name] == 1 for name in BEHIND_THE_GAME), report.restarts
    by_client = sum(row.by_client is True for row in report.account.kept.values())
    assert by_client >= len(alone.waited) + len(alone.at_once)
