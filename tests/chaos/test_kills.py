"""Every process killed, reward held up, Postgres restarted, the power cut, a hostile neighbour: every law holds."""

from __future__ import annotations

from pathlib import Path

from .breaks import BREAKS
from .disk import why_no_disk
from .plan import NEIGHBOUR, PROCESSES, Fault, draw
from .run import Order, run

SEED = 48
"""Its plan kills reward and NATS first: what was between them comes again only half a minute later."""
KILLS = draw(SEED, 10, ("kill",), every_s=1.5)


def after(seconds: float, plan: tuple[Fault, ...]) -> tuple[Fault, ...]:
    return tuple(Fault(fault.at_s + seconds, fault.kind, fault.target, fault.way, fault.lasts_s) for fault in plan)


async def test_nothing_is_lost_or_doubled_by_kills_nor_by_what_shows_the_breaks(folder: Path) -> None:
    inbox, acknowledgement, sync = (BREAKS[name].plan for name in ("inbox", "acknowledgement", "sync"))
    cut = sync if not why_no_disk() else ()
    hostile = Fault(12.0, "hostile", NEIGHBOUR)
    plan = (*cut, *after(5, KILLS), hostile, *after(14, inbox), *after(15, acknowledgement))
    assert {fault.target for fault in KILLS} == set(PROCESSES)

    report = await run(Order(plan, seconds=20, npcs=20), folder)

    assert report.broken == ()
    assert len(report.happened) == len(plan)
    assert all(report.restarts[name] for name in PROCESSES), report.restarts
