"""What the counters grow by that summaries are read from: pure, an entry for each NPC, persona, variant and day."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from hearthmind.contracts.outcome import PLATFORM
from hearthmind.store.rows import DayTally, DecisionRow, Joined, PersonaTally, Tally, VariantTally

Fact = bool | int | float | str
Rewarded = tuple[Joined, float]

FACT_MAX = 2**53
"""Larger ranks are no ranks."""

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


def npc_tallies(acted: Iterable[DecisionRow], lived: Iterable[Rewarded]) -> list[Tally]:
    """What NPCs did and what came of it; of rank, villages and population the last word."""
    decisions, experiences = (
        _by(acted, lambda row: (row.game, row.npc)),
        _by(lived, lambda one: (one[0].game, one[0].npc)),
    )
    return [
        Tally(
            *who,
            len(decisions[who]),
            len(experiences[who]),
            sum(one.success for one, _ in experiences[who]),
            sum(one.facts.get("victory") is True for one, _ in experiences[who]),
            sum(one.facts.get("victory") is False for one, _ in experiences[who]),
            math.fsum(reward for _, reward in experiences[who]),
            *(_last(name, experiences[who]) for name in ("rank", "villages", "population")),
        )
        for who in dict.fromkeys((*decisions, *experiences))
    ]


def persona_tallies(lived: Iterable[Rewarded]) -> list[PersonaTally]:
    """How personas fare; what nobody in particular did is not counted."""
    found = _by(lived, lambda one: (one[0].game, one[0].persona or ""))
    return [PersonaTally._make((*who, *_sums(ones))) for who, ones in found.items() if who[1]]


def variant_tallies(lived: Iterable[Rewarded]) -> list[VariantTally]:
    """How variants on trial fare, and what they cost."""
    found = _by(lived, lambda one: (one[0].game, one[0].experiment or "", one[0].variant or ""))
    return [
        VariantTally._make((*who, *_sums(ones), *_costs(ones), math.fsum(one.latency_ms or 0.0 for one, _ in ones)))
        for who, ones in found.items()
        if who[1]
    ]


def day_tallies(acted: Iterable[DecisionRow], lived: Iterable[Rewarded]) -> list[DayTally]:
    """What a day brought, by the broker's clock."""
    decisions = _by((row for row in acted if row.decided_at), lambda row: (row.game, row.decided_at.date()))  # type: ignore[union-attr]
    experiences = _by(lived, lambda one: (one[0].game, one[0].happened_at.date()))
    return [
        DayTally._make(
            (
                *when,
                len(decisions[when]),
                *_sums(experiences[when])[:3],
                sum("predicted" in one.facts for one, _ in experiences[when]),
                sum(_was_foreseen(one) for one, _ in experiences[when]),
                sum(
                    _is_of_platform(one) and one.source is not None and one.tier is None for one, _ in experiences[when]
                ),
                sum(_is_of_platform(one) and one.source is None for one, _ in experiences[when]),
                *_costs(experiences[when]),
            )
        )
        for when in dict.fromkeys((*decisions, *experiences))
    ]


def _by(ones: Iterable[T], key: Callable[[T], K]) -> defaultdict[K, list[T]]:
    found: defaultdict[K, list[T]] = defaultdict(list)
    for one in ones:
        found[key(one)].append(one)
    return found


def _sums(ones: Sequence[Rewarded]) -> tuple[int, int, float, float]:
    """How many, how many that came off, the rewards and their squares."""
    rewards = [reward for _, reward in ones]
    return (
        len(ones),
        sum(one.success for one, _ in ones),
        math.fsum(rewards),
        math.fsum(reward * reward for reward in rewards),
    )


def _costs(ones: Iterable[Rewarded]) -> tuple[int, int, float]:
    whole = [one for one, _ in ones]
    return (
        sum(one.tokens_in or 0 for one in whole),
        sum(one.tokens_out or 0 for one in whole),
        math.fsum(one.cost_usd or 0.0 for one in whole),
    )


def _was_foreseen(one: Joined) -> bool:
    return "predicted" in one.facts and one.facts["predicted"] == one.facts.get("result")


def _is_of_platform(one: Joined) -> bool:
    return one.executed_by == PLATFORM


def _last(name: str, ones: Sequence[Rewarded]) -> int | None:
    return next(_whole(one.facts.get(name) for one, _ in reversed(ones)), None)


def _whole(facts: Iterable[Fact | None]) -> Iterator[int]:
    for fact in facts:
        if isinstance(fact, int) and not isinstance(fact, bool) and abs(fact) <= FACT_MAX:
            yield fact
