"""Rows as they are written: named tuples whose fields are the columns of their table. JSON is text here."""

from __future__ import annotations

from collections.abc import Set
from datetime import date, datetime
from typing import NamedTuple

Key = tuple[str, str]
"""A game and a decision."""

TimedKey = tuple[str, str, datetime]
"""The same, and when it happened."""

Facts = dict[str, bool | int | float | str]


class DecisionRow(NamedTuple):
    """A decision, or the half of it that one message tells: the action, or the detail."""

    game: str
    decision: str
    npc: str
    kind: str
    episode: str
    trace_id: str | None
    decided_at: datetime | None = None
    snapshot: int | None = None
    action: str | None = None
    arguments: str | None = None
    source: str | None = None
    why: str | None = None
    model: str | None = None
    adapter: str | None = None
    template: str | None = None
    persona: str | None = None
    speech: str | None = None
    reasoning: str | None = None
    confidence: float | None = None
    attempt: int | None = None
    stages_ms: str | None = None
    tier: str | None = None
    partition: int | None = None
    epoch: int | None = None
    observation: str | None = None
    state: bytes | None = None
    legal_actions: bytes | None = None
    features: str | None = None
    prompt: str | None = None
    answer: bytes | None = None
    route: str | None = None
    worker: str | None = None
    adapter_sha256: str | None = None
    behaviour: str | None = None
    variant: str | None = None
    experiment: str | None = None
    related: str | None = None
    tokens_in: int | None = None
    tokens_cached: int | None = None
    tokens_out: int | None = None
    cost_usd: float | None = None

    @property
    def is_whole(self) -> bool:
        """Whether it has both halves."""
        return self.action is not None and self.tier is not None

    def and_also(self, other: DecisionRow) -> DecisionRow:
        """Both halves in one."""
        return DecisionRow._make(
            [mine if mine is not None else theirs for mine, theirs in zip(self, other, strict=True)]
        )


class Written(NamedTuple):
    """Which decisions were written: the others are another NPC's."""

    all: Set[Key]
    new: Set[Key]
    """Of them those that are surely as they were given, as none of them was there before."""


class OutcomeRow(NamedTuple):
    """What came of an action."""

    game: str
    decision: str
    happened_at: datetime
    npc: str
    kind: str
    episode: str
    action: str
    arguments: str
    executed_by: str
    why: str
    success: bool
    facts: str
    state_after: bytes
    game_time: float
    opponent: str | None
    answers: str
    observation: str | None
    state: bytes | None
    legal_actions: bytes | None
    features: str | None
    digest: bytes
    sequence: int
    trace_id: str | None


class DocumentRow(NamedTuple):
    """A big text, by the day and its hash."""

    game: str
    key: bytes
    body: str


class LinkRow(NamedTuple):
    """A decision refers to an earlier one."""

    game: str
    earlier: str
    decision: str
    how: str
    npc: str
    happened_at: datetime


class RatingRow(NamedTuple):
    """What somebody thought of what an NPC said or did."""

    game: str
    decision: str
    about: str
    rater: str
    npc: str
    score: float
    rated_at: datetime


class ViolationRow(NamedTuple):
    """What a mind wanted and the policy forbade."""

    game: str
    decision: str
    rule: str
    happened_at: datetime
    npc: str
    kind: str
    episode: str
    why: str
    action: str
    arguments: str
    speech: str
    reasoning: str
    source: str
    model: str
    template: str
    frozen_s: float
    answer: str
    observation: str | None


class TextRow(NamedTuple):
    """What a player said."""

    game: str
    decision: str
    number: int
    npc: str
    speaker: str
    text: str


class LetterRow(NamedTuple):
    """A dead letter."""

    game: str
    stream: str
    sequence: int
    subject: str
    reason: str
    delivered: int
    headers: str
    body: bytes


class Tally(NamedTuple):
    """What an NPC's counters grow by, and its last facts."""

    game: str
    npc: str
    decisions: int
    experiences: int
    successes: int
    won: int
    lost: int
    reward_sum: float
    rank: int | None
    villages: int | None
    population: int | None


class PersonaTally(NamedTuple):
    """What a persona's counters grow by."""

    game: str
    persona: str
    experiences: int
    successes: int
    reward_sum: float
    reward_squares: float


class VariantTally(NamedTuple):
    """What the counters of a variant on trial grow by."""

    game: str
    experiment: str
    variant: str
    experiences: int
    successes: int
    reward_sum: float
    reward_squares: float
    tokens_in: int
    tokens_out: int
    cost_usd: float
    latency_ms: float


class DayTally(NamedTuple):
    """What a day's counters grow by."""

    game: str
    day: date
    decisions: int
    experiences: int
    successes: int
    reward_sum: float
    predicted: int
    foreseen: int
    undetailed: int
    unknown: int
    tokens_in: int
    tokens_out: int
    cost_usd: float


class Joined(NamedTuple):
    """An outcome whose decision is known, so that it can become an experience."""

    game: str
    decision: str
    happened_at: datetime
    npc: str
    kind: str
    facts: Facts
    success: bool
    executed_by: str
    action: str
    opponent: str | None
    game_time: float
    # of its decision, where that is known
    source: str | None
    tier: str | None
    persona: str | None
    experiment: str | None
    variant: str | None
    tokens_in: int | None
    tokens_out: int | None
    cost_usd: float | None
    latency_ms: float | None


class RewardRow(NamedTuple):
    """The reward of an outcome."""

    game: str
    decision: str
    happened_at: datetime
    reward: float
    reward_parts: str


class AtOnce(NamedTuple):
    """An experience all of which came at once."""

    decision: DecisionRow
    outcome: OutcomeRow
    reward: RewardRow


class Moment(NamedTuple):
    """A moment in an NPC's life."""

    npc: str
    decision: str
    happened_s: float
    game_time: float
    kind: str
    action: str
    rank: float | None
    reward: float


class Blow(NamedTuple):
    """Somebody struck back."""

    earlier: str
    """For which decision."""
    npc: str
    game_time: float
    reward: float
    answered: int
    """For how many at once."""


class Score(NamedTuple):
    """Somebody's last word about a decision."""

    decision: str
    rater: str
    score: float


class LongTermRow(NamedTuple):
    """What an experience came to be worth."""

    game: str
    decision: str
    happened_at: datetime
    long_term_reward: float | None
    long_term_parts: str
    n_step_return: float
