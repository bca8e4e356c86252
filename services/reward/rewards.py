"""What an outcome was worth: pure functions from the game's own facts to a number in [-1, 1] with its parts.

A fact that is missing or of another type contributes nothing. Parts are what the clauses gave, before the total is
clipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

Fact = bool | int | float | str
Facts = Mapping[str, Fact]

NUMBER_MAX = 2.0**53
"""Facts beyond are cut to it: no game means them, and sums of them stay finite."""


class Reward(NamedTuple):
    """A number and what it was made of."""

    total: float
    parts: dict[str, float]


def reward_of(kind: str, facts: Facts) -> Reward:
    """The reward of an outcome of this kind; a kind without a reward function gives 0."""
    function = REWARDS.get(kind)
    parts = {name: part for name, part in function(facts).items() if part is not None} if function else {}
    return Reward(min(max(math.fsum(parts.values()), -1.0), 1.0), parts)


Parts = dict[str, float | None]


def battle(facts: Facts) -> Parts:
    """Victory or defeat, losses inflicted over losses taken, resources gained, a prediction that came true."""
    own, enemy, gained = (_number(facts, name) for name in ("own_losses", "enemy_losses", "resources_gained"))
    return {
        "victory": _either(facts, "victory", 0.5, -0.5),
        "losses": min(max(enemy, 0.0) / own / 10, 0.3) if own and own > 0 and enemy is not None else None,
        "resources": min(gained / 100_000, 0.2) if gained is not None else None,
        "prediction": 0.1 if "predicted" in facts and facts["predicted"] == facts.get("result") else None,
    }


def economic(facts: Facts) -> Parts:
    """Growth of production, waste, and how well the building queue was used; its use counts as half where unknown."""
    before, after, wasted = (_number(facts, name) for name in ("production_before", "production_after", "wasted"))
    uptime = _number(facts, "queue_uptime")
    return {
        "production": None if before is None or after is None else 0.5 * (after - before) / max(before, 1.0),
        "waste": -max(wasted, 0.0) / 50_000 if wasted is not None else None,
        "queue": 0.3 * (min(max(uptime if uptime is not None else 0.5, 0.0), 1.0) - 0.8),
    }


REWARDS: Mapping[str, Callable[[Facts], Parts]] = {"combat": battle, "economic": economic}
"""Which function judges which kind of outcome."""


def _number(facts: Facts, name: str) -> float | None:
    fact = facts.get(name)
    if isinstance(fact, bool | str) or fact is None or fact != fact:
        return None
    return float(min(max(fact, -NUMBER_MAX), NUMBER_MAX))


def _either(facts: Facts, name: str, yes: float, no: float) -> float | None:
    fact = facts.get(name)
    return None if not isinstance(fact, bool) else yes if fact else no
