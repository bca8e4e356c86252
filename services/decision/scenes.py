"""Scenes: who of those who heard the same words answers them, and who goes without what somebody else has.

How to call it:

    company.seen(observation, persona.called)     # one company for all partitions of a process; who is where
    turn = company.turn(observation, persona.called, stored_s)
    if turn.silent:     decide on quiet(observation) by the rules: others were spoken to
    elif turn.claims:   ask the bus for them one after the other (`hearthmind.bus.claims`), the first that is had is enough;
                        has none: decide on quiet(observation) by the rules, and say nothing (`hushed`)
    claim = claims.to_have(observation, answer, stored_s)   # once the answer is known; None where nothing is contended
                        has it not: decide again, on claims.without(observation, thing)

The law: of those who heard the same words in a scene, at most as many answer as the game allows; who was spoken to by name
goes before all others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from hearthmind.claims import Claim, what_of
from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Observation
from services.decision.recent import Recent

ANSWERS = 1
"""How many answer the same words, where the game's setting says nothing else."""
SCENES_MAX = 5_000
COMPANY_MAX = 64
LETS_OTHERS_S = 0.03
"""So long those who were not spoken to by name let others go first, who may be decided for elsewhere."""

SPEAKING = frozenset(("say", "talk", "speak", "reply", "answer", "tell", "chat", "greet", "shout", "whisper", "trade"))
"""Actions that are an answer to somebody's words."""
_WORDS = re.compile(r"[\w'-]+")
_ARTICLES = ("the", "a", "an")


class Turn(msgspec.Struct, frozen=True):
    """Whether an NPC may answer what was said."""

    claims: tuple[Claim, ...] = ()
    """One of these is enough; none are needed where there is nobody to share the scene with, or nothing was said."""
    after_s: float = 0.0
    """How long to wait before the first of them is asked for."""
    silent: bool = False
    """It leaves the answer to whoever was spoken to."""


FREE = Turn()
"""Nobody else can have heard it."""


class Company:
    """Who is in which scene, as far as the owner of a partition has seen."""

    def __init__(self, answers: Mapping[str, int] | None = None, scenes_max: int = SCENES_MAX) -> None:
        self._answers = answers or {}
        self._scenes: Recent[tuple[str, str], dict[str, frozenset[str]]] = Recent(scenes_max)

    def seen(self, observation: Observation, called: str = "") -> None:
        """An NPC is there."""
        if observation.scene is None:
            return
        there = self._scenes.of((observation.game, observation.scene), dict)
        there.pop(observation.npc, None)
        if len(there) >= COMPANY_MAX:
            del there[next(iter(there))]
        there[observation.npc] = _names(observation.npc, called)

    def turn(self, observation: Observation, called: str, stored_s: float) -> Turn:
        """Whether it may answer the newest words that it heard."""
        if observation.scene is None or not observation.texts:
            return FREE
        said = observation.texts[-1]
        words = _words(said.text)
        most = self._answers.get(observation.game, ANSWERS)
        me = observation.npc
        is_called = bool(_names(me, called) & words)
        there = self._scenes.known((observation.game, observation.scene)) or {}
        another = any(names & words for npc, names in there.items() if npc not in (me, said.speaker))
        places = range(most) if is_called or not another else range(1, most)
        what = what_of(observation.episode, said.speaker, said.text)
        claims = tuple(Claim(observation.game, observation.scene, f"{what}-{place}", me, stored_s) for place in places)
        return Turn(claims, 0.0 if is_called else LETS_OTHERS_S, silent=not claims)

    def __len__(self) -> int:
        return len(self._scenes)


def quiet(observation: Observation) -> Observation:
    """The observation without the actions that answer, as far as there are others."""
    left = tuple(legal for legal in observation.legal_actions if not _speaks(legal.name))
    return msgspec.structs.replace(observation, legal_actions=left) if left else observation


def hushed(answer: Answer) -> Answer:
    """The answer without its words."""
    return msgspec.structs.replace(answer, speech="") if answer.speech else answer


def _speaks(action: str) -> bool:
    return action.lower().replace("-", "_").split("_")[0] in SPEAKING


def _names(npc: str, called: str) -> frozenset[str]:
    """What somebody may be called: its id, and the first of its names."""
    first = next((word for word in _WORDS.findall(called.lower()) if word not in _ARTICLES), npc)
    return frozenset((npc.lower(), first.lower()))


def _words(text: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _WORDS.findall(text))
