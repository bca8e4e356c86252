"""The laws, checked at every step. They know what the game asked and executed, and trust nobody else's word for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hearthmind.contracts.action import MODEL, ActionChosen
from hearthmind.contracts.observation import Event, Observation, Whole
from hearthmind.contracts.outcome import CLIENT, PLATFORM, OutcomeObserved
from hearthmind.contracts.wire import Fact
from services.decision.acting import FAULT

from .story import Story

LAWS = (
    "no fault",
    "one action",
    "legal",
    "in time",
    "newest",
    "attempt",
    "one experience",
    "one record",
    "confirmed",
    "nothing lost",
    "comes to rest",
)

ROUNDING_S = 1e-4


class Broken(Exception):
    """A law was broken."""

    def __init__(self, law: str, why: str) -> None:
        super().__init__(f"{law}: {why}")
        assert law in LAWS
        self.law = law
        self.why = why


@dataclass(slots=True)
class _Asked:
    observation: Observation
    life: int
    deadline_s: float
    replaced: bool = False


class Laws:
    """What was asked, executed, reported and stored so far."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._asked: dict[str, _Asked] = {}
        self._executed: dict[str, ActionChosen] = {}
        self._acted_on: dict[tuple[str, str], int] = {}
        self._reported: dict[str, OutcomeObserved] = {}
        self._stored: set[str] = set()
        self._experiences: set[str] = set()

    # ---- the game --------------------------------------------------------------------------------------------------

    def asked(self, observation: Observation, life: int, now_s: float) -> None:
        """The game asked, in this life of it."""
        self._asked[observation.id] = _Asked(observation, life, now_s + observation.answer_within_ms / 1000)

    def replaced(self, decision: str) -> None:
        """The client said that a newer observation has taken its place."""
        self._asked[decision].replaced = True

    def executed(self, chosen: ActionChosen, excused_until_s: float) -> None:
        """The game executed an action; a game that stood still is excused until it goes on."""
        decision = chosen.decision
        asked = self._asked[decision]
        if decision in self._executed:
            raise Broken(
                "one action", f"{decision} is executed as {chosen.action} by {chosen.source} for a second time"
            )
        self._executed[decision] = chosen
        if why := problem(asked.observation, chosen.action, chosen.arguments):
            raise Broken("legal", f"{decision} is executed as {chosen.action} by {chosen.source}: {why}")
        late_s = self._story.now_s - max(asked.deadline_s, excused_until_s)
        if late_s > ROUNDING_S or (chosen.source != CLIENT and self._story.now_s > asked.deadline_s + ROUNDING_S):
            raise Broken("in time", f"{decision} is executed {self._story.now_s - asked.deadline_s:.4f} s too late")
        self._is_newest(chosen, asked)

    def _is_newest(self, chosen: ActionChosen, asked: _Asked) -> None:
        observation = asked.observation
        if chosen.snapshot != observation.snapshot:
            raise Broken("newest", f"{observation.id} shows snapshot {observation.snapshot}, not {chosen.snapshot}")
        if asked.replaced:
            raise Broken("newest", f"{observation.id} is executed, but a newer observation had replaced it")
        if isinstance(observation, Event):
            return
        place = (observation.npc, observation.kind)
        if observation.snapshot < self._acted_on.get(place, 0):
            raise Broken("newest", f"{observation.id} is older than what {observation.npc} has acted on already")
        self._acted_on[place] = observation.snapshot

    def deadline_passed(self, decision: str, life: int) -> None:
        """Its time is up: the game of that life has an action, or has asked something newer instead."""
        asked = self._asked[decision]
        if decision not in self._executed and not asked.replaced and asked.life == life:
            raise Broken("in time", f"{decision} has no action at its deadline")

    def reported(self, outcome: OutcomeObserved) -> None:
        """The outcome is written down: from here on it may not be lost."""
        self._reported[outcome.decision] = outcome

    def left_the_journal(self, decision: str) -> None:
        """The client forgets an outcome."""
        if decision not in self._stored:
            raise Broken("confirmed", f"the outcome of {decision} left the journal and is not committed")

    # ---- the platform ----------------------------------------------------------------------------------------------

    def said(self, chosen: ActionChosen) -> None:
        """A decision service says what is to be done."""
        if chosen.why.startswith(FAULT):
            raise Broken("no fault", f"{chosen.decision}: {chosen.why}")
        if why := problem(self._asked[chosen.decision].observation, chosen.action, chosen.arguments):
            raise Broken("legal", f"the platform says {chosen.action} for {chosen.decision}: {why}")
        if chosen.source == MODEL and chosen.reasoning not in answers_to(chosen.decision, chosen.attempt):
            what = f"attempt {chosen.attempt} at {chosen.decision} acts on the answer to {chosen.reasoning}"
            raise Broken("attempt", what)

    def committed(self, outcomes: Iterable[str], experiences: Iterable[Experience], records: Iterable[Record]) -> None:
        """A transaction was committed."""
        self._stored.update(outcomes)
        for record in records:
            may_be = answers_to(record.decision, record.attempt or 0)
            if record.answer and record.attempt and not any(one in record.answer for one in may_be):
                why = f"attempt {record.attempt} at {record.decision} acted, and beside it stands {record.answer}"
                raise Broken("one record", why)
        for experience in experiences:
            self._became(experience)

    def _became(self, experience: Experience) -> None:
        decision = experience.decision
        if decision in self._experiences:
            raise Broken("one experience", f"{decision} is an experience for a second time")
        self._experiences.add(decision)
        done = self._executed[decision]
        by = CLIENT if done.source == CLIENT else PLATFORM
        if (experience.action, experience.arguments) != (done.action, done.arguments) or experience.by != by:
            why = f"{decision} is an experience of {experience.action} {experience.arguments} by {experience.by}"
            raise Broken("one experience", f"{why}, and the game executed {done.action} {done.arguments} by {by}")
        if by == PLATFORM and experience.source != done.source:
            raise Broken("one experience", f"{decision} is said to be by {experience.source}, and was by {done.source}")

    # ---- the end ---------------------------------------------------------------------------------------------------

    def rests(self, still: list[str]) -> None:
        """All faults are over, and everybody had the time to come to an end."""
        missing = sorted(self._reported.keys() - self._experiences)
        if missing:
            raise Broken("nothing lost", f"reported and never an experience: {', '.join(missing)}")
        if still:
            raise Broken("comes to rest", "; ".join(still))


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept of a decision: whose attempt acted, and what an engine answered."""

    decision: str
    attempt: int | None
    answer: str


@dataclass(frozen=True, slots=True)
class Experience:
    """An experience as the database has it."""

    decision: str
    action: str
    arguments: dict[str, Fact]
    by: str
    source: str


def answer_to(decision: str, question: int) -> str:
    """What an engine of the simulation writes under its answer, so that it is known to which question it is one."""
    return f"{decision}, question {question};"


def answers_to(decision: str, attempt: int) -> tuple[str, str]:
    """What an engine writes under its answers to the two questions that an attempt may ask."""
    return answer_to(decision, 2 * attempt - 1), answer_to(decision, 2 * attempt)


def problem(observation: Observation, action: str, arguments: dict[str, Fact]) -> str:
    """Why the simulated game does not accept an action; the rules of its own world, in its own words."""
    if action not in {legal.name for legal in observation.legal_actions}:
        return "there is no such action"
    if action == "wait":
        return "waiting needs nothing" if arguments else ""
    (raid,) = (legal for legal in observation.legal_actions if legal.name == "raid")
    most = raid.parameters["troops"]
    assert isinstance(most, Whole)
    troops = arguments.get("troops")
    if set(arguments) != {"troops", "road"} or arguments["road"] not in {"north", "south"}:
        return f"a raid is not {arguments}"
    return (
        "" if type(troops) is int and 1 <= troops <= most.maximum else f"there are {most.maximum} troops, not {troops}"
    )
