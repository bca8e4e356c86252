"""A plan from a seed.

Each seed draws which kinds of faults its life has at all, so that some lives have many of one kind and most have few.
"""

from __future__ import annotations

from random import Random

import msgspec

from .plan import (
    CHANNELS,
    FAMILIES,
    STEPS,
    Answered,
    Asked,
    Crashed,
    CutOff,
    Delayed,
    Doubled,
    Fault,
    Frozen,
    How,
    Killed,
    Lost,
    NoDatabase,
    Plan,
    Refused,
    Twisted,
    Unsure,
)


def draw(seed: int, families: tuple[str, ...] = FAMILIES) -> Plan:
    """The plan of a seed, with faults of these kinds only."""
    dice = Random(seed)
    pace_s = dice.choice((0.0005, 0.002, 0.02, 0.1))
    deciders = dice.choice((1, 1, 2, 2, 3))
    plan = Plan(
        seed=seed,
        partitions=dice.choice((1, 2, 2)),
        joins_s=(0.0, *(round(dice.choice((0.05, dice.uniform(0.5, 4.0))), 3) for _ in range(deciders - 1))),
        workers=dice.choice((1, 1, 2)),
        rewards=dice.choice((1, 1, 2)),
        slots=dice.choice((1, 2, 8)),
        pending_max=dice.choice((1, 3, 100)),
        batch_max=dice.choice((1, 3, 1000)),
        engine_s=dice.choice((0.005, 0.2, 0.8)),
        latencies_s=tuple(round(pace_s * dice.choice((0.5, 1, 1, 1, 2, 5)), 5) for _ in range(31)),
        asks=_asks(dice),
        faults=(),
    )
    present = [family for family in FAMILIES if dice.random() < 0.35 and family in families]
    faults = [fault for family in present for fault in _DRAWN[family](dice, plan)]
    return msgspec.structs.replace(plan, faults=tuple(faults))


def _asks(dice: Random) -> tuple[Asked, ...]:
    npcs = ("ada", "ben", "cyd")[: dice.choice((1, 2, 3))]
    within_ms = dice.choice(((300, 1000), (1000, 2000), (1000, 15_000, 30_000)))
    count = dice.choice((2, 5, 10))
    asked = (
        Asked(
            at_s=round(dice.uniform(0.2, 4.0), 3),
            npc=dice.choice(npcs),
            kind=dice.choice(("combat", "combat", "economic")),
            is_event=dice.random() < 0.3,
            answer_within_ms=dice.choice(within_ms),
            priority=dice.randrange(11),
            report_after_s=dice.choice((0.0, 0.01, 0.5)),
        )
        for _ in range(count)
    )
    return tuple(sorted(asked, key=lambda each: each.at_s))


def _some(dice: Random) -> range:
    return range(dice.choice((1, 1, 2, 4)))


def _place(dice: Random) -> tuple[str, int]:
    return dice.choice(CHANNELS), min(int(dice.expovariate(0.3)), 20)


def _span(dice: Random) -> tuple[float, float]:
    return round(dice.uniform(0.1, 6.0), 3), round(dice.choice((0.05, 0.7, 3.0, 7.0, 13.0)) * dice.uniform(0.5, 1.0), 3)


def _lost(dice: Random, plan: Plan) -> list[Fault]:
    return [Lost(*_place(dice)) for _ in _some(dice)]


def _doubled(dice: Random, plan: Plan) -> list[Fault]:
    return [Doubled(*_place(dice), round(dice.choice((0.0, 0.1, 2.0)), 3)) for _ in _some(dice)]


def _delayed(dice: Random, plan: Plan) -> list[Fault]:
    return [Delayed(*_place(dice), round(dice.choice((0.1, 0.5, 2.0, 12.0)), 3)) for _ in _some(dice)]


def _crashed(dice: Random, plan: Plan) -> list[Fault]:
    by_time: list[Fault] = [Crashed(dice.choice(plan.processes), *_span(dice)) for _ in _some(dice)]
    at_steps = (Killed(dice.choice(STEPS), int(dice.expovariate(0.5)), _span(dice)[1]) for _ in _some(dice))
    return [*by_time, *at_steps]


def _frozen(dice: Random, plan: Plan) -> list[Fault]:
    return [Frozen(dice.choice(plan.processes), *_span(dice)) for _ in _some(dice)]


def _cut_off(dice: Random, plan: Plan) -> list[Fault]:
    return [CutOff(dice.choice(plan.processes), *_span(dice)) for _ in _some(dice)]


def _answered(dice: Random, plan: Plan) -> list[Fault]:
    ways: tuple[How, ...] = ("slow", "illegal", "unknown", "garbled", "late", "missing", "failed")
    return [
        Answered(nth, dice.choice(ways), round(dice.choice((0.05, 0.7, 2.0)), 3))
        for nth in range(8)
        if dice.random() < 0.5
    ]


def _twisted(dice: Random, plan: Plan) -> list[Fault]:
    return [
        Twisted(nth, dice.choice(("unknown", "too many", "another snapshot")))
        for nth in range(6)
        if dice.random() < 0.4
    ]


def _database(dice: Random, plan: Plan) -> list[Fault]:
    unsure: list[Fault] = [Unsure(nth) for nth in range(8) if dice.random() < 0.3]
    return [*unsure, *(NoDatabase(*_span(dice)) for _ in range(dice.choice((0, 1, 2))))]


def _refused(dice: Random, plan: Plan) -> list[Fault]:
    return [Refused(dice.choice(("EVENT", "INFERENCE", "EXPERIENCE")), *_span(dice))]


_DRAWN = {
    "lose": _lost,
    "double": _doubled,
    "delay": _delayed,
    "crash": _crashed,
    "freeze": _frozen,
    "cut": _cut_off,
    "engine": _answered,
    "twist": _twisted,
    "database": _database,
    "refuse": _refused,
}
