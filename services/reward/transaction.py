"""What happens in one transaction. All of it or nothing: claimed in the inbox, written, rewarded, counted.

The statements are those of `hearthmind.store.ingest`; the simulator of `tests/simulation` has a model of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from hearthmind import ids
from hearthmind.contracts.outcome import OutcomesStored
from hearthmind.store import ingest, keep
from hearthmind.store.engine import Connection
from hearthmind.store.rows import DecisionRow, Joined, Key, LetterRow, OutcomeRow, RewardRow, Tally, TextRow
from services.reward.batch import UnknownDecision, plan, reward_row, tallies
from services.reward.reading import OUTCOME, Incoming
from services.reward.settings import Reward

STORED_MAX = 500
"""How many decisions one confirmation names at most, so that it stays small."""


class _Statements(Protocol):
    """What a transaction may say to the tables, in the words of `hearthmind.store.ingest`."""

    async def claim(self, connection: Connection, ids: Iterable[Key]) -> set[str]: ...
    async def digests_of(self, connection: Connection, keys: Iterable[Key]) -> dict[tuple[str, str, str], bytes]: ...
    async def add_games(self, connection: Connection, names: Iterable[str]) -> None: ...
    async def add_decisions(self, connection: Connection, rows: Iterable[DecisionRow]) -> set[Key]: ...
    async def add_outcomes(self, connection: Connection, rows: Sequence[OutcomeRow]) -> None: ...
    async def add_texts(self, connection: Connection, rows: Iterable[TextRow]) -> None: ...
    async def add_letters(self, connection: Connection, rows: Iterable[LetterRow]) -> None: ...
    async def join(self, connection: Connection, keys: Iterable[Key]) -> list[Joined]: ...
    async def join_parked(self, connection: Connection, age_s: float, most: int) -> list[Joined]: ...
    async def add_experiences(self, connection: Connection, rewards: Sequence[RewardRow]) -> None: ...
    async def add_tallies(self, connection: Connection, tallies: Iterable[Tally]) -> None: ...


async def store(connection: Connection, batch: Sequence[Incoming], tables: _Statements = ingest) -> list[RewardRow]:
    """Stores a batch of messages; returns the rewards of the experiences that it completed."""
    claimed = await tables.claim(connection, ((each.row.game, each.message_id) for each in batch))
    known = (each.key for each in batch if each.part == OUTCOME and each.message_id not in claimed)
    digests = await tables.digests_of(connection, known)
    planned = plan(batch, claimed, {ids.message_id(*key, OUTCOME): digest for key, digest in digests.items()})
    await tables.add_games(connection, (each.row.game for each in planned.fresh))
    written = await tables.add_decisions(connection, planned.decisions.values())
    await tables.add_outcomes(connection, planned.outcomes)
    await tables.add_texts(connection, (text for each in planned.fresh for text in each.texts))
    planned.refuse_taken(written)
    await tables.add_letters(connection, planned.letters)
    joined = await tables.join(connection, {*written, *(each.key for each in planned.fresh)})
    return await _reward(connection, joined, planned.acted(written), tables)


async def sweep(connection: Connection, settings: Reward) -> int:
    """Rewards outcomes that were left behind and gives up those that waited too long; returns how many there were."""
    most = settings.sweep_max
    rewarded = await reward_parked(connection, settings.park_max_s, most)
    expired = await keep.expire(connection, settings.park_max_s, most - rewarded)
    await ingest.add_letters(connection, (_expired_letter(outcome, settings.park_max_s) for outcome in expired))
    return rewarded + len(expired)


async def reward_parked(connection: Connection, age_s: float, most: int, tables: _Statements = ingest) -> int:
    """Rewards outcomes that were left behind; returns how many there were."""
    return len(await _reward(connection, await tables.join_parked(connection, age_s, most), (), tables))


async def _reward(
    connection: Connection, joined: Sequence[Joined], acted: Iterable[tuple[str, str]], tables: _Statements
) -> list[RewardRow]:
    rewards = [reward_row(outcome) for outcome in joined]
    await tables.add_experiences(connection, rewards)
    await tables.add_tallies(connection, tallies(acted, joined, rewards))
    return rewards


def _expired_letter(outcome: keep.Expired, park_max_s: float) -> LetterRow:
    """Its message was acknowledged long ago; the body is the row as it is kept in `outcomes`."""
    return LetterRow(
        game=outcome.game,
        stream="EXPERIENCE",
        sequence=outcome.sequence,
        subject=ids.outcome_subject(outcome.game, outcome.npc),
        reason=str(UnknownDecision(decision=outcome.decision, park_max_s=park_max_s)),
        delivered=1,
        headers="{}",
        body=outcome.row.encode(),
    )


def confirmations(batch: Iterable[Incoming]) -> list[OutcomesStored]:
    """What the games are told: the decisions whose outcomes are stored now, or were before."""
    by_game: dict[str, dict[str, None]] = {}
    for each in batch:
        if each.part == OUTCOME:
            by_game.setdefault(each.row.game, {})[each.row.decision] = None
    return [
        OutcomesStored(game=game, decisions=tuple(decisions)[start : start + STORED_MAX])
        for game, decisions in by_game.items()
        for start in range(0, len(decisions), STORED_MAX)
    ]
