"""What an experience was worth later: pure, from what happened within a fixed time after it.

The law: it depends on what happened and on nothing else: not on when it is asked, nor how often, nor in which order things
were stored. All that counts lies within the horizon, by the game's own clock.

The parts: `rank`, places gained at the fixed age over 100; `retaliation`, what those gained who struck back, against the one
who provoked it; `rating`, what players thought. Their sum, clipped, is the long-term reward. Beside it, for comparison and
not in the sum: `control`, what others of the same episode gained in the same time who did not do the same, and `advantage`,
how much more it was than that.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from hearthmind.store.rows import Blow, Moment, Score
from services.reward.rewards import clipped

RANKS = 100
"""So many places gained are a reward of 1."""
RATING_MAX = 0.5
"""What ratings come to at most; one voice alone moves half of it."""


class Bounds(NamedTuple):
    """How far it is looked."""

    horizon: float
    steps_max: int
    discount: float


class LongTerm(NamedTuple):
    """What an experience came to be worth; no reward where nothing is known that would count."""

    reward: float | None
    parts: dict[str, float]
    n_step_return: float


class Lives:
    """What the NPCs of an episode lived through, each in its order."""

    def __init__(self, moments: Iterable[Moment], controls: Iterable[str] = ()) -> None:
        self._of: dict[str, list[Moment]] = {}
        self._gained: dict[tuple[str, str, float, float], list[float]] = {}
        for moment in sorted(set(moments), key=_order):
            self._of.setdefault(moment.npc, []).append(moment)
        self.controls = sorted(set(controls))
        """Who may be compared with; the same for all experiences of a game."""

    def within(self, npc: str, start: float, end: float) -> Sequence[Moment]:
        """From a time on, to a time: both are part of it."""
        life = self._of.get(npc, [])
        first = bisect_right(life, start, key=lambda moment: moment.game_time)
        while first and life[first - 1].game_time == start:
            first -= 1
        return life[first : bisect_right(life, end, key=lambda moment: moment.game_time)]

    def gained(self, npc: str, start: float, end: float) -> float | None:
        """Places up, over 100, between the first and the last time that its rank was told; None where it never was."""
        told = [moment.rank for moment in self.within(npc, start, end) if moment.rank is not None]
        return clipped((told[0] - told[-1]) / RANKS) if told else None

    def gained_without(self, kind: str, action: str, start: float, end: float) -> Sequence[float]:
        """What those gained in this time who are compared with and did not do this in it."""
        asked = (kind, action, start, end)
        if asked not in self._gained:
            idle = (
                npc
                for npc in self.controls
                if not any((one.kind, one.action) == (kind, action) for one in self.within(npc, start, end))
            )
            gains = (self.gained(npc, start, end) for npc in idle)
            self._gained[asked] = [gain for gain in gains if gain is not None]
        return self._gained[asked]

    def out_of_order(self, moments: Iterable[Moment]) -> list[str]:
        """The decisions of those that were stored after what the same NPC lived through later."""
        return [
            moment.decision
            for moment in moments
            if any(
                later.game_time > moment.game_time and later.happened_s < moment.happened_s
                for later in self._of.get(moment.npc, ())
            )
        ]


def look_back(
    moment: Moment, lives: Lives, blows: Iterable[Blow], scores: Iterable[Score], bounds: Bounds, lived_to: float
) -> LongTerm:
    """What it was worth; `lived_to` is how far the episode has come."""
    age = moment.game_time + bounds.horizon
    parts = {
        "rank": _rank_gained(moment, lives, age) if lived_to >= age else None,
        "retaliation": _retaliation(moment, blows, age),
        "rating": _rating(scores),
    }
    counted = {name: part for name, part in parts.items() if part is not None}
    total = clipped(math.fsum(counted.values())) if counted else None
    if "rank" in counted:
        counted |= _compared(moment, lives, bounds.horizon, counted["rank"])
    return LongTerm(total, counted, _n_step_return(moment, lives, bounds))


def _order(moment: Moment) -> tuple[float, float, str]:
    return moment.game_time, moment.happened_s, moment.decision


def _rank_gained(moment: Moment, lives: Lives, age: float) -> float | None:
    """Places up, over 100: the first place has the smallest number."""
    later = [one for one in lives.within(moment.npc, moment.game_time, age) if one.game_time > moment.game_time]
    then = next((one.rank for one in reversed(later) if one.rank is not None), None)
    return None if moment.rank is None or then is None else clipped((moment.rank - then) / RANKS)


def _retaliation(moment: Moment, blows: Iterable[Blow], age: float) -> float | None:
    """Whoever strikes back for several attacks takes from each of them its share."""
    struck = [
        max(blow.reward, 0.0) / max(blow.answered, 1)
        for blow in blows
        if blow.npc != moment.npc and blow.game_time <= age
    ]
    return -min(math.fsum(sorted(struck)), 1.0) if struck else None


def _rating(scores: Iterable[Score]) -> float | None:
    """Each rater has one voice, whatever they rate; the more there are the less one of them moves."""
    by_rater: dict[str, list[float]] = {}
    for score in scores:
        by_rater.setdefault(score.rater, []).append(clipped(score.score))
    voices = sorted(math.fsum(sorted(said)) / len(said) for said in by_rater.values())
    return RATING_MAX * math.fsum(voices) / (len(voices) + 1) if voices else None


def _compared(moment: Moment, lives: Lives, horizon: float, gained: float) -> Mapping[str, float]:
    """What those gained meanwhile who did not do it; nobody is compared with themselves, since they did."""
    gains = lives.gained_without(moment.kind, moment.action, moment.game_time, moment.game_time + horizon)
    if not gains:
        return {}
    control = math.fsum(gains) / len(gains)
    return {"control": control, "advantage": gained - control, "controls": float(len(gains))}


def _n_step_return(moment: Moment, lives: Lives, bounds: Bounds) -> float:
    """Its reward and those of the next ones of the episode, each further one discounted."""
    following = lives.within(moment.npc, moment.game_time, moment.game_time + bounds.horizon)
    steps = [one for one in following if _order(one) >= _order(moment)][: bounds.steps_max]
    return math.fsum(bounds.discount**number * one.reward for number, one in enumerate(steps))
