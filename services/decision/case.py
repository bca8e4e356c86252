"""An observation on its way to a decision: what is known of it, what it waits for, and what is to be done. Plain data."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from hearthmind.contracts.inference import Answer, Inferred, Turn, Withdraw
from hearthmind.contracts.observation import Observation
from hearthmind.persona import Persona
from hearthmind.prompting import Mind
from services.decision.effects import Seen
from services.decision.habits import Habit
from services.decision.triage import Route


class Deed(msgspec.Struct, frozen=True):
    """What is to be done, who says so, and why."""

    answer: Answer
    source: str
    why: str = ""
    reply: Inferred | None = None
    related: tuple[str, ...] = ()
    """The decisions that it goes on from."""
    habit: Habit | None = None
    """What came off before and is done again."""


@dataclass(slots=True)
class Case:
    """An observation, and what is known of it before anybody is asked."""

    seen: Seen
    route: Route
    persona: Persona
    view: Observation
    """What the mind is shown: only what the policy permits."""
    fallback: Answer
    mind: Mind
    stuck: frozenset[str] = frozenset()
    """Actions that have led nowhere: a mind that reads is told, another does not see them."""
    related: tuple[str, ...] = ()
    """The decisions that the memories are of."""
    prompt: tuple[Turn, ...] = ()
    template: str = ""
    """What the prompt was made by, and its version."""
    asked: int = 0
    """The number of the question that is waited for; a delivery may ask twice, so it is not that of the delivery."""
    asked_s: float = 0.0
    give_up_s: float = 0.0
    is_second: bool = False
    earlier: Inferred | None = None
    """What came of the first question, where it was of no use."""
    waits: int = 0
    """How often it has begun to wait for something; what it waited for before is nothing to it any more."""
    deed: Deed | None = None
    """What it does as soon as it is known that nobody else has taken the thing."""
    taken: int = 0
    """How often somebody else had."""


def withdrawal(case: Case) -> tuple[str, Withdraw] | None:
    """What the pool is told that was asked in vain."""
    if not case.asked:
        return None
    game, npc, decision = case.seen.key
    return case.route.pool, Withdraw(game=game, npc=npc, decision=decision, attempt=case.asked)
