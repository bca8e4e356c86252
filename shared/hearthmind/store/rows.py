"""Rows as they are written: named tuples whose fields are the columns of their table. JSON is text here."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

Key = tuple[str, str]
"""A game and a decision."""

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
    speech: str | None = None
    reasoning: str | None = None
    confidence: float | None = None
    attempt: int | None = None
    stages_ms: str | None = None
    tier: str | None = None
    partition: int | None = None
    epoch: int | None = None
    observation: str | None = None
    answer: str | None = None
    worker: str | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None

    def and_also(self, other: DecisionRow) -> DecisionRow:
        """Both halves in one."""
        return DecisionRow._make(mine if mine is not None else theirs for mine, theirs in zip(self, other, strict=True))


class OutcomeRow(NamedTuple):
    """What came of an action."""

    game: str
    happened_at: datetime
    decision: str
    npc: str
    kind: str
    episode: str
    action: str
    arguments: str
    executed_by: str
    why: str
    success: bool
    facts: str
    state_after: str
    game_time: float
    observation: str | None
    digest: bytes
    sequence: int
    trace_id: str | None


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
    """What an NPC's counters grow by."""

    game: str
    npc: str
    decisions: int
    experiences: int
    reward_sum: float
    rank: int | None


class Joined(NamedTuple):
    """An outcome whose decision is known, so that it can become an experience."""

    game: str
    happened_at: datetime
    decision: str
    npc: str
    kind: str
    facts: Facts


class RewardRow(NamedTuple):
    """The reward of an outcome."""

    game: str
    happened_at: datetime
    decision: str
    reward: float
    reward_parts: str
