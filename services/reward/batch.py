"""What a batch of messages comes to: pure functions from what was read to what is written.

The law: of all messages with one id the first becomes rows, those that say the same are repetitions, and those that say
something else are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from hearthmind.errors import Refused
from hearthmind.store.rows import (
    DecisionRow,
    Joined,
    Key,
    LetterRow,
    OutcomeRow,
    RatingRow,
    RewardRow,
    ViolationRow,
)
from hearthmind.store.storable import storable_text
from services.reward.reading import ACTION, OUTCOME, Incoming
from services.reward.records import as_json, headers_json
from services.reward.registry import Registry


class SecondOutcome(Refused):
    """The decision {decision} has an outcome already, which says something else. The first one counts."""


class TakenDecision(Refused):
    """The decision {decision} belongs to another NPC. Use an id once in a game."""


@dataclass(slots=True)
class Plan:
    """What is to be written for a batch."""

    fresh: list[Incoming] = field(default_factory=list)
    decisions: dict[Key, DecisionRow] = field(default_factory=dict)
    outcomes: list[OutcomeRow] = field(default_factory=list)
    ratings: list[RatingRow] = field(default_factory=list)
    violations: list[ViolationRow] = field(default_factory=list)
    letters: list[LetterRow] = field(default_factory=list)

    def refuse_taken(self, written: Set[Key]) -> None:
        """Decisions that could not be written are another NPC's."""
        for incoming in self.fresh:
            if incoming.part != OUTCOME and incoming.key not in written:
                self.letters.append(letter_of(incoming, TakenDecision(decision=incoming.row.decision)))

    def whole(self, new: Set[Key]) -> list[tuple[DecisionRow, OutcomeRow]]:
        """Outcomes whose decisions are new and in this batch too, from its action to its detail; in the order of their keys."""
        found = [(self.decisions[key], row) for row in self.outcomes if (key := row[:2]) in new]
        return sorted(
            ((decision, row) for decision, row in found if decision.npc == row.npc), key=lambda pair: pair[1][:3]
        )

    def keys_beside(self, whole: Sequence[tuple[DecisionRow, OutcomeRow]]) -> set[Key]:
        """What else is new: its outcomes may be waiting."""
        done = {(outcome.game, outcome.decision, outcome.npc) for _, outcome in whole}
        return {each.key for each in self.fresh if (*each.key, each.row.npc) not in done}

    def acted(self, written: Set[Key]) -> list[DecisionRow]:
        """The new actions."""
        return [
            each.row
            for each in self.fresh
            if each.part == ACTION and isinstance(each.row, DecisionRow) and each.key in written
        ]


def plan(batch: Sequence[Incoming], claimed: Set[str], digests: Mapping[str, bytes]) -> Plan:
    """What to write, given which ids are new and what was stored under the others.

    Ratings and violations have no id of their own: to write one again changes nothing.
    """
    made, unseen, recorded = _as_often_as_said(batch), set(claimed), dict(digests)
    for incoming in batch:
        row, key = incoming.row, incoming.key
        if isinstance(row, RatingRow | ViolationRow):
            continue
        is_new = incoming.message_id in unseen
        unseen.discard(incoming.message_id)
        if isinstance(row, OutcomeRow):
            if is_new:
                made.outcomes.append(row)
            if recorded.setdefault(incoming.message_id, row.digest) != row.digest:
                made.letters.append(letter_of(incoming, SecondOutcome(decision=row.decision)))
        elif is_new:
            there = made.decisions.setdefault(key, row)
            if there.npc != row.npc:
                made.letters.append(letter_of(incoming, TakenDecision(decision=row.decision)))
                continue
            if there is not row:
                made.decisions[key] = there.and_also(row)
        if is_new:
            made.fresh.append(incoming)
    return made


def _as_often_as_said(batch: Sequence[Incoming]) -> Plan:
    rows = [incoming.row for incoming in batch]
    return Plan(
        ratings=[row for row in rows if isinstance(row, RatingRow)],
        violations=[row for row in rows if isinstance(row, ViolationRow)],
    )


def letter_of(incoming: Incoming, error: Refused) -> LetterRow:
    """The dead letter of a message that was understood and can't be accepted."""
    arrived = incoming.arrived
    return LetterRow(
        game=incoming.row.game,
        stream=arrived.stream,
        sequence=arrived.sequence,
        subject=arrived.subject,
        reason=storable_text(str(error)),
        delivered=arrived.attempt.delivered,
        headers=headers_json(arrived.headers),
        body=arrived.data,
    )


def reward_row(outcome: Joined, registry: Registry) -> RewardRow:
    """The experience that an outcome becomes: its reward, from nothing but what the game says came of it."""
    reward = registry.reward(outcome.game, outcome.kind, outcome.action, outcome.facts)
    return RewardRow(outcome.game, outcome.decision, outcome.happened_at, reward.total, as_json(reward.parts))
