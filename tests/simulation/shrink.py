"""A plan made smaller, for as long as its life still breaks the same law."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from .life import Parts, live
from .plan import Plan

T = TypeVar("T")


def shrink(plan: Plan, parts: Parts) -> Plan:
    """The smallest plan found by leaving things out, one kind after the other, until nothing more can be left out."""
    first = live(plan, parts).broken
    assert first, "only a life that breaks a law is made smaller"
    law = first.law

    def still_breaks(smaller: Plan) -> bool:
        broken = live(smaller, parts).broken
        return broken is not None and broken.law == law

    before = None
    while plan != before:
        before = plan
        for simpler in _simpler(plan):
            if still_breaks(simpler(plan)):
                plan = simpler(plan)
        plan = _with_fewer(plan, "faults", still_breaks)
        plan = _with_fewer(plan, "asks", still_breaks)
        plan = _with_earlier(plan, still_breaks)
    return plan


def _simpler(plan: Plan) -> Iterator[Callable[[Plan], Plan]]:
    """Ways in which a world can be plainer."""
    changes: list[dict[str, object]] = [
        {"joins_s": plan.joins_s[:-1] or (0.0,)},
        {"workers": 1},
        {"rewards": 1},
        {"partitions": 1},
        {"batch_max": 1000},
        {"pending_max": 100},
        {"slots": 8},
        {"latencies_s": (0.001,)},
        {"engine_s": 0.005},
    ]
    for change in changes:
        if any(getattr(plan, name) != value for name, value in change.items()):
            yield lambda smaller, change=change: msgspec.structs.replace(smaller, **change)  # type: ignore[misc]


def _with_earlier(plan: Plan, still_breaks: Callable[[Plan], bool]) -> Plan:
    """Of the nth messages, answers and commits takes the first that will do: so there need be fewer before them."""
    for place, fault in enumerate(plan.faults):
        for nth in range(getattr(fault, "nth", 0)):
            earlier = msgspec.structs.replace(fault, nth=nth)
            changed = msgspec.structs.replace(plan, faults=(*plan.faults[:place], earlier, *plan.faults[place + 1 :]))
            if still_breaks(changed):
                plan = changed
                break
    return plan


def _with_fewer(plan: Plan, what: str, still_breaks: Callable[[Plan], bool]) -> Plan:
    """Leaves out halves, then quarters, and so on down to single ones."""

    def with_only(kept: tuple[object, ...]) -> Plan:
        return msgspec.structs.replace(plan, **{what: kept})

    things: tuple[object, ...] = getattr(plan, what)
    size = len(things)
    while size >= 1:
        start = 0
        while start < len(things):
            kept = things[:start] + things[start + size :]
            if still_breaks(with_only(kept)):
                things = kept
            else:
                start += size
        size //= 2
    return with_only(things)
