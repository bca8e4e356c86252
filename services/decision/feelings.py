"""Grudges and friendships: what an NPC feels about others, from what came of its dealings with them.

A feeling is a number that fades by half in `HALVES_S` of the NPC's life. It is made by addition only, so that it does not
matter in which order the NPC's deeds become known; an NPC has feelings about at most `OTHERS_MAX` others, the strongest.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from hearthmind.contracts.wire import Fact

HALVES_S = 3 * 24 * 3600.0
OTHERS_MAX = 16
STRONGEST = 3.0
SLIGHT, DEEP = 0.25, 1.0
"""From here on a feeling is worth a word, and a strong one."""

STIRS: Mapping[str, float] = {
    "accepted": 0.5,
    "content": 0.2,
    "trust_change": 0.4,
    "traded": 0.2,
    "helped": 0.5,
    "gift": 0.4,
    "victory": 0.3,
    "own_losses": -0.4,
    "lost": -0.3,
    "robbed": -0.8,
    "insulted": -0.5,
    "betrayed": -1.5,
}
"""What a fact of an outcome does to the feeling about its opponent: as much for yes or above 0, the opposite for no or below."""
CAME_OFF, FAILED = 0.1, -0.3
"""The same for an outcome without such facts."""


class Feeling(msgspec.Struct):
    """About one other."""

    strength: float
    """Below 0 a grudge, above a friendship; as it was `at_s`."""
    at_s: float

    def now(self, now_s: float) -> float:
        """How strong it is then."""
        faded = _at(self.strength, self.at_s, max(now_s, self.at_s))
        return min(max(faded, -STRONGEST), STRONGEST)


class Feelings:
    """Of one NPC."""

    __slots__ = ("about",)

    def __init__(self) -> None:
        self.about: dict[str, Feeling] = {}

    def stir(self, other: str, by: float, at_s: float) -> None:
        """Something happened between them at that time, perhaps before what is known already."""
        feeling = self.about.get(other)
        if feeling is None:
            if len(self.about) >= OTHERS_MAX:
                self._let_go(at_s)
            self.about[other] = Feeling(by, at_s)
            return
        newest_s = max(feeling.at_s, at_s)
        feeling.strength = _at(feeling.strength, feeling.at_s, newest_s) + _at(by, at_s, newest_s)
        feeling.at_s = newest_s

    def toward(self, other: str, now_s: float) -> float:
        """What it feels about another now; 0 where it feels nothing."""
        feeling = self.about.get(other)
        return feeling.now(now_s) if feeling else 0.0

    def _let_go(self, now_s: float) -> None:
        weakest = min(self.about, key=lambda other: (abs(self.about[other].now(now_s)), other))
        del self.about[weakest]


def stirred(success: bool, facts: Mapping[str, Fact]) -> float:
    """What an outcome does to the feeling about its opponent."""
    moved = [weight * sign for name, weight in STIRS.items() if name in facts and (sign := _sign(facts[name]))]
    if not moved:
        return CAME_OFF if success else FAILED
    return sum(moved)


def in_words(strength: float) -> str:
    """A feeling, or nothing where it is too slight for a word."""
    if abs(strength) < SLIGHT:
        return ""
    deep = abs(strength) >= DEEP
    if strength < 0:
        return "a deep grudge" if deep else "a grudge"
    return "a firm friendship" if deep else "goodwill"


def _at(strength: float, at_s: float, later_s: float) -> float:
    left: float = 0.5 ** ((later_s - at_s) / HALVES_S)
    return strength * left


def _sign(value: Fact) -> int:
    """Of a fact as a reason: yes is 1 and no is -1; of words, none is no reason."""
    if isinstance(value, bool):
        return 1 if value else -1
    if isinstance(value, str):
        return 1 if value else 0
    return (value > 0) - (value < 0)
