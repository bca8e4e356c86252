"""What a batch of messages comes to: pure functions from what was read to what is written.

The law: of all messages with one id the first becomes rows, those that say the same are repetitions, and those that say
something else are refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from hearthmind.errors import Refused
from hearthmind.store.rows import DecisionRow, Joined, Key, LetterRow, OutcomeRow, RewardRow, Tally
from hearthmind.store.storable import storable_text
from services.reward.reading import ACTION, OUTCOME, Incoming, as_json, headers_json
from services.reward.rewards import Fact, reward_of

RANK_MAX = 2**53
"""Larger ranks are no ranks."""


class SecondOutcome(Refused):
    """The decision {decision} has an outcome already, which says something else. The first one counts."""


class TakenDecision(Refused):
    """The decision {decision} belongs to another NPC. Use an id once in a game."""


class UnknownDecision(Refused):
    """Nobody heard of the decision {decision} within {park_max_s:g} s of its outcome."""


@dataclass(slots=True)
class Plan:
    """What is to be written for a batch."""

    fresh: list[Incoming] = field(default_factory=list)
    decisions: dict[Key, DecisionRow] = field(default_factory=dict)
    outcomes: list[OutcomeRow] = field(default_factory=list)
    letters: list[LetterRow] = field(default_factory=list)

    def refuse_taken(self, written: Set[Key]) -> None:
        """Decisions that could not be written are another NPC's."""
        for incoming in self.fresh:
            if incoming.part != OUTCOME and incoming.key not in written:
                self.letters.append(letter_of(incoming, TakenDecision(decision=incoming.row.decision)))

    def acted(self, written: Set[Key]) -> list[tuple[str, str]]:
        """Game and NPC of each new action."""
        return [(each.row.game, each.row.npc) for each in self.fresh if each.part == ACTION and each.key in written]


def plan(batch: Iterable[Incoming], claimed: Set[str], digests: Mapping[str, bytes]) -> Plan:
    """What to write, given which ids are new and what was stored under the others."""
    made, unseen, recorded = Plan(), set(claimed), dict(digests)
    for incoming in batch:
        row, key = incoming.row, incoming.key
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


def reward_row(outcome: Joined) -> RewardRow:
    """The experience that an outcome becomes: its reward."""
    reward = reward_of(outcome.kind, outcome.facts)
    return RewardRow(outcome.game, outcome.happened_at, outcome.decision, reward.total, as_json(reward.parts))


def tallies(acted: Iterable[tuple[str, str]], joined: Sequence[Joined], rewards: Sequence[RewardRow]) -> list[Tally]:
    """What the counters of NPCs grow by: an entry each."""
    grown: defaultdict[tuple[str, str], list[Tally]] = defaultdict(list)
    for who in acted:
        grown[who].append(Tally(*who, 1, 0, 0.0, None))
    for outcome, reward in zip(joined, rewards, strict=True):
        who = (outcome.game, outcome.npc)
        grown[who].append(Tally(*who, 0, 1, reward.reward, _rank(outcome.facts.get("rank"))))
    return [_sum_of(parts) for parts in grown.values()]


def _sum_of(parts: Sequence[Tally]) -> Tally:
    ranks = [part.rank for part in parts if part.rank is not None]
    return Tally(
        parts[0].game,
        parts[0].npc,
        sum(part.decisions for part in parts),
        sum(part.experiences for part in parts),
        sum(part.reward_sum for part in parts),
        ranks[-1] if ranks else None,
    )


def _rank(fact: Fact | None) -> int | None:
    return fact if isinstance(fact, int) and not isinstance(fact, bool) and abs(fact) <= RANK_MAX else None
