"""What an outcome was worth: pure functions from the game's own facts to a number in [-1, 1] with its parts.

A fact that is missing or of another type contributes nothing. Parts are what the clauses gave, before the total is
clipped. No clause reads what a mind said of itself: whether something came off is the outcome's word alone, and whoever
foretells a defeat and then loses has gained nothing by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

Fact = bool | int | float | str
Facts = Mapping[str, Fact]
Parts = Mapping[str, float | None]
RewardFunction = Callable[[Facts], Parts]
"""A game's own, or one of these: from facts to named numbers; what is None contributes nothing."""

NUMBER_MAX = 2.0**53
"""Facts beyond are cut to it: no game means them, and sums of them stay finite."""
PARTS_MAX = 32
"""So many parts count: they are stored with every experience."""

DEFEATS = frozenset({"loss", "lost", "lose", "defeat", "defeated"})
"""Results that are a defeat where the game does not say `victory` beside them."""


class Reward(NamedTuple):
    """A number and what it was made of."""

    total: float
    parts: dict[str, float]


def battle(facts: Facts) -> Parts:
    """Victory or defeat, losses inflicted over losses taken, resources gained, a prediction that came true."""
    own, enemy, gained = (number(facts, name) for name in ("own_losses", "enemy_losses", "resources_gained"))
    return {
        "victory": _either(facts, "victory", 0.5, -0.5),
        "losses": min(max(enemy, 0.0) / own / 10, 0.3) if own and own > 0 and enemy is not None else None,
        "resources": min(gained / 100_000, 0.2) if gained is not None else None,
        "prediction": 0.1 if _was_foreseen(facts) and not _is_defeat(facts) else None,
    }


def economic(facts: Facts) -> Parts:
    """Growth of production, waste, and how well the building queue was used; its use counts as half where unknown."""
    before, after, wasted = (number(facts, name) for name in ("production_before", "production_after", "wasted"))
    uptime = number(facts, "queue_uptime")
    return {
        "production": None if before is None or after is None else 0.5 * (after - before) / max(before, 1.0),
        "waste": -max(wasted, 0.0) / 50_000 if wasted is not None else None,
        "queue": 0.3 * (min(max(uptime if uptime is not None else 0.5, 0.0), 1.0) - 0.8),
    }


def diplomatic(facts: Facts) -> Parts:
    """Accepted or refused, the trust that was won or lost by it, and how much the other matters."""
    trust = number(facts, "trust_change")
    return {
        "accepted": _either(facts, "accepted", 0.4, -0.2),
        "trust": trust / 100 if trust is not None else None,
        "strategy": {"high": 0.3, "low": -0.1}.get(str(facts.get("strategic_value"))),
    }


REWARDS: Mapping[str, RewardFunction] = {"combat": battle, "economic": economic, "diplomacy": diplomatic}
"""Which function judges which kind of outcome, where a game has none of its own."""


def reward_of(kind: str, facts: Facts, functions: Mapping[str, RewardFunction] = REWARDS) -> Reward:
    """The reward of an outcome of this kind; a kind without a reward function gives 0."""
    function = functions.get(kind)
    return sum_of(function(facts)) if function else Reward(0.0, {})


def sum_of(parts: Parts) -> Reward:
    """The parts that are numbers, and their sum within [-1, 1]."""
    first = list(parts.items())[:PARTS_MAX]
    counted = {name: float(part) for name, part in first if part is not None and is_number(part)}
    return Reward(clipped(math.fsum(counted.values())), counted)


def clipped(value: float, low: float = -1.0, high: float = 1.0) -> float:
    """The value within bounds."""
    return min(max(value, low), high)


def is_number(value: object) -> bool:
    """Whether it is a number that one can reckon with."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= NUMBER_MAX


def number(facts: Facts, name: str) -> float | None:
    """A fact that is a number, cut to what can be reckoned with."""
    fact = facts.get(name)
    if isinstance(fact, bool | str) or fact is None or fact != fact:
        return None
    return float(min(max(fact, -NUMBER_MAX), NUMBER_MAX))


def _either(facts: Facts, name: str, yes: float, no: float) -> float | None:
    fact = facts.get(name)
    return None if not isinstance(fact, bool) else yes if fact else no


def _was_foreseen(facts: Facts) -> bool:
    return "predicted" in facts and facts["predicted"] == facts.get("result")


def _is_defeat(facts: Facts) -> bool:
    victory = facts.get("victory")
    return not victory if isinstance(victory, bool) else str(facts.get("result")).lower() in DEFEATS
