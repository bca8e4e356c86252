"""Was it right to execute this? Pure judgement of outcomes over what is known of a decision."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hearthmind import legal
from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Event, Observation
from hearthmind.contracts.outcome import CLIENT, PLATFORM, Executed, OutcomeObserved
from hearthmind.contracts.wire import Fact
from services.command.conformance.findings import Noted

SINGLE_PRECISION = 1e-6
"""Engines keep numbers in 32 bits: what differs by less is the same."""


@dataclass(slots=True)
class Asked:
    """One decision: what the game saw, what it was told and must not do, and what it says it did."""

    observation: Observation
    data: bytes
    heard_s: float
    chosen: Answer | None = None
    answered_s: float | None = None
    """When the action was on its way for certain."""
    never: dict[str, Answer] = field(default_factory=dict)
    """Actions that were sent too and must not be executed, by the mistake that it would be."""
    replaced_s: float | None = None
    excused: bool = False
    """The broker was away, or the answer came to the rescue of a game that stood still: anything may come of it."""
    outcome: OutcomeObserved | None = None
    outcome_data: bytes = b""
    outcome_ids: set[str] = field(default_factory=set)
    outcome_s: float = 0.0
    garbled: bool = False
    """An outcome came and could not be read."""
    sent_again: int = 0
    sent_in_vain: int = 0
    """So often it came once more after it was confirmed."""
    heard_again: bool = False
    """It was sent again in such a way that the broker would have stored it."""
    confirmed_s: float | None = None

    @property
    def within_s(self) -> float:
        """How long the game waits."""
        return self.observation.answer_within_ms / 1000

    @property
    def deadline_s(self) -> float:
        """When it gives up."""
        return self.heard_s + self.within_s

    @property
    def place(self) -> tuple[str, str]:
        """Where a newer observation replaces it."""
        return self.observation.npc, self.observation.kind

    @property
    def is_event(self) -> bool:
        """Whether nothing replaces it."""
        return isinstance(self.observation, Event)

    @property
    def is_owed(self) -> bool:
        """Whether its action was there in time and its outcome is not."""
        if self.excused or self.garbled or self.outcome:
            return False
        return self.answered_s is not None and self.replaced_s is None

    @property
    def is_prompt(self) -> bool:
        """Whether its action was there early in the time that it had."""
        return self.answered_s is not None and self.answered_s < self.heard_s + self.within_s / 2

    @property
    def does_as_chosen(self) -> bool:
        """Whether its outcome tells of the very action that was chosen."""
        return self.outcome is not None and self.chosen is not None and same(self.chosen, self.outcome.executed)

    @property
    def executed_by(self) -> str:
        """Whose action its outcome proves: the platform's own, the game's, or something else."""
        if self.outcome is None:
            return ""
        executed = self.outcome.executed
        if executed.by == PLATFORM:
            return PLATFORM if self.does_as_chosen else "neither"
        return executed.by


def of_outcome(asked: Asked, told: OutcomeObserved) -> Iterator[Noted]:
    """What is wrong with the first outcome of a decision."""
    seen, executed = asked.observation, told.executed
    if (told.npc, told.kind) != (seen.npc, seen.kind):
        said = f"the outcome is of {told.npc}, {told.kind}; the observation of {seen.npc}, {seen.kind}"
        yield Noted("outcome-of-another", said)
    if executed.by not in {PLATFORM, CLIENT}:
        yield Noted("wrong-by", f"`by` is {executed.by!r}")
    elif forbidden := _forbidden(asked, executed):
        yield Noted(forbidden, f"{shown(executed)}; {_was_chosen(asked)}")
    elif asked.chosen and same(asked.chosen, executed):
        pass  # where it says `client` nevertheless, only many of them show whether by mistake
    elif problem := legal.problem(seen, executed.action, executed.arguments):
        yield Noted("not-legal", f"{problem}; {_was_chosen(asked)}")
    elif executed.by == PLATFORM and asked.chosen:
        yield Noted("not-chosen", f"{shown(executed)} was executed; {_was_chosen(asked)}")
    elif executed.by == PLATFORM and not asked.excused:
        yield Noted("wrong-by", f"it says {PLATFORM}, which has not answered")
    if executed.by == CLIENT and told.observation is None:
        yield Noted("fallback-without-observation", f"{shown(executed)} of {seen.npc}")


def of_another_outcome(asked: Asked, told: OutcomeObserved) -> Iterator[Noted]:
    """What is wrong with a further outcome of a decision that says something else than the first."""
    forbidden = _forbidden(asked, told.executed)
    first = shown(asked.outcome.executed) if asked.outcome else "nothing"
    name = forbidden or "outcome-changed"
    yield Noted(name, f"{shown(told.executed)} was reported after {first}")


def _forbidden(asked: Asked, executed: Executed) -> str | None:
    if asked.excused or executed.by != PLATFORM:
        return None
    return next((mistake for mistake, answer in asked.never.items() if same(answer, executed)), None)


def _was_chosen(asked: Asked) -> str:
    return f"chosen was {shown(asked.chosen)}" if asked.chosen else "nothing was chosen"


def same(answer: Answer, executed: Executed) -> bool:
    """Whether it is this action with these arguments."""
    return answer.action == executed.action and _alike(answer.arguments, executed.arguments)


def _alike(one: Mapping[str, Fact], other: Mapping[str, Fact]) -> bool:
    return one.keys() == other.keys() and all(_equal(value, other[name]) for name, value in one.items())


def _equal(one: Fact, other: Fact) -> bool:
    if isinstance(one, bool) or isinstance(other, bool) or isinstance(one, str) or isinstance(other, str):
        return type(one) is type(other) and one == other
    if isinstance(one, int) and isinstance(other, int):
        return one == other
    return math.isclose(one, other, rel_tol=SINGLE_PRECISION, abs_tol=SINGLE_PRECISION)


def shown(did: Answer | Executed) -> str:
    """An action with its arguments, to be read."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in did.arguments.items())
    return f"{did.action}({arguments})"
