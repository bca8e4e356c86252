"""Who has what only one can have: a thing of the world, or the word in a scene. Pure; one rule for everybody.

The law: of all who claim the same, exactly one has it: the claim that was stored first, and of claims of the same moment the
one whose NPC comes first by its id. Who has it, keeps it for `KEPT_S`.

Across processes the broker keeps the order (`hearthmind.bus.claims`); within one, and when the broker is silent, `Held` does;
and the client's referee goes by it once more for what reaches the game.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

import msgspec

from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Choice, LegalAction, Observation
from hearthmind.contracts.wire import Fact
from hearthmind.flow import CLAIMS_KEPT_S
from hearthmind.legal import find

KEPT_S = CLAIMS_KEPT_S
"""Longer than those who see the same at once take to decide; after that it is a new matter."""
HELD_MAX = 10_000
WANTED_MAX = 256
"""So many claims to the same thing are told apart."""
THINGS = "_"
"""Where the world's things are claimed: not in a scene, since one may see them from another."""


class Claim(msgspec.Struct, frozen=True):
    """An NPC wants what only one can have."""

    game: str
    scene: str
    what: str
    npc: str
    stored_s: float
    """When the broker stored what it wants it in answer to: everybody's clock."""

    @property
    def key(self) -> str:
        """What is claimed, as the end of a subject."""
        return f"{self.game}.{self.scene}.{self.what}"

    @property
    def order(self) -> tuple[float, str]:
        """The rule."""
        return (self.stored_s, self.npc)


def first(claims: Iterable[Claim]) -> Claim:
    """Who of them has it."""
    return min(claims, key=lambda claim: claim.order)


def what_of(*parts: str) -> str:
    """A name for what is claimed that can be part of a subject, whatever it is called."""
    return blake2b("\0".join(parts).encode(), digest_size=10).hexdigest()


def thing(observation: Observation, action: str, arguments: Mapping[str, Fact]) -> str | None:
    """What this action would take from everybody else; None where it takes nothing."""
    legal = find(observation, action)
    if legal is None or legal.contends is None or legal.contends not in arguments:
        return None
    return str(arguments[legal.contends])


def to_have(observation: Observation, answer: Answer, stored_s: float) -> Claim | None:
    """The claim that an answer makes, where it takes something that only one can have."""
    wanted = thing(observation, answer.action, answer.arguments)
    if wanted is None:
        return None
    what = what_of(observation.episode, wanted)
    return Claim(observation.game, THINGS, what, observation.npc, stored_s)


def without(observation: Observation, taken: str) -> Observation:
    """The observation without what somebody else has: what is legal in it is legal in the first, and takes something else.

    Where nothing else would be left it stays as it is, and the game says who came first.
    """
    left = tuple(each for legal in observation.legal_actions if (each := _lacking(legal, taken)) is not None)
    if not left or left == observation.legal_actions:
        return observation
    return msgspec.structs.replace(observation, legal_actions=left)


def uncontended(observation: Observation) -> Observation:
    """The observation without all that only one can have; as it is, where nothing else would be left."""
    left = tuple(legal for legal in observation.legal_actions if legal.contends is None)
    if not left or left == observation.legal_actions:
        return observation
    return msgspec.structs.replace(observation, legal_actions=left)


def _lacking(legal: LegalAction, taken: str) -> LegalAction | None:
    parameter = legal.parameters.get(legal.contends or "")
    if parameter is None:
        return legal
    if not isinstance(parameter, Choice):
        return None  # one of many numbers: it can't be left out, so something else is done
    if taken not in parameter.enum:
        return legal
    others = tuple(value for value in parameter.enum if value != taken)
    if not others:
        return None
    narrower = msgspec.structs.replace(parameter, enum=others)
    return msgspec.structs.replace(legal, parameters={**legal.parameters, legal.contends or "": narrower})


class _Matter(msgspec.Struct):
    """Something that is claimed."""

    until_s: float
    holder: str = ""
    wanted: list[Claim] = msgspec.field(default_factory=list)


class Held:
    """Who has what, as far as one process knows."""

    def __init__(self, held_max: int = HELD_MAX) -> None:
        self._held_max = held_max
        self._matters: dict[str, _Matter] = {}  # in the order in which they end

    def wants(self, claim: Claim, now_s: float) -> None:
        """An NPC here claims it. Nothing is settled yet: whoever claims it before `holder` is asked for is heard."""
        matter = self._matter(claim.key, now_s)
        if not matter.holder and len(matter.wanted) < WANTED_MAX:
            matter.wanted.append(claim)

    def settled(self, key: str, holder: str, now_s: float) -> None:
        """It is known who has it; `-` for somebody elsewhere. What was known before stays."""
        matter = self._matter(key, now_s)
        matter.holder = matter.holder or holder
        matter.wanted.clear()

    def known(self, key: str, now_s: float) -> str:
        """Who has it; empty where that is open."""
        matter = self._matters.get(key)
        return matter.holder if matter and matter.until_s > now_s else ""

    def holder(self, key: str, now_s: float) -> str:
        """Who has it, settled here by the rule where it is open; empty where nobody wants it."""
        matter = self._matter(key, now_s)
        if not matter.holder and matter.wanted:
            self.settled(key, first(matter.wanted).npc, now_s)
        return matter.holder

    def __len__(self) -> int:
        return len(self._matters)

    def _matter(self, key: str, now_s: float) -> _Matter:
        matter = self._matters.get(key)
        if matter is None or matter.until_s <= now_s:
            self._matters.pop(key, None)
            matter = self._matters[key] = _Matter(now_s + KEPT_S)
            if len(self._matters) > self._held_max:
                del self._matters[next(iter(self._matters))]
        return matter
