"""What happens in one transaction. All of it or nothing: claimed in the inbox, written, rewarded, counted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hearthmind import ids
from hearthmind.contracts.outcome import OutcomesStored
from hearthmind.store import ingest, keep
from hearthmind.store.engine import Connection
from hearthmind.store.rows import Joined, LetterRow, RewardRow
from services.reward.batch import UnknownDecision, plan, reward_row, tallies
from services.reward.reading import OUTCOME, Incoming
from services.reward.settings import Reward

STORED_MAX = 500
"""How many decisions one confirmation names at most, so that it stays small."""


async def store(connection: Connection, batch: Sequence[Incoming]) -> list[RewardRow]:
    """Stores a batch of messages; returns the rewards of the experiences that it completed."""
    claimed = await ingest.claim(connection, ((each.row.game, each.message_id) for each in batch))
    known = (each.key for each in batch if each.part == OUTCOME and each.message_id not in claimed)
    digests = await ingest.digests_of(connection, known)
    planned = plan(batch, claimed, {ids.message_id(*key, OUTCOME): digest for key, digest in digests.items()})
    await ingest.add_games(connection, (each.row.game for each in planned.fresh))
    written = await ingest.add_decisions(connection, planned.decisions.values())
    await ingest.add_outcomes(connection, planned.outcomes)
    await ingest.add_texts(connection, (text for each in planned.fresh for text in each.texts))
    planned.refuse_taken(written)
    await ingest.add_letters(connection, planned.letters)
    joined = await ingest.join(connection, {*written, *(each.key for each in planned.fresh)})
    return await _reward(connection, joined, planned.acted(written))


async def sweep(connection: Connection, settings: Reward) -> int:
    """Rewards outcomes that were left behind and gives up those that waited too long; returns how many there were."""
    most = settings.sweep_max
    joined = await ingest.join_parked(connection, settings.park_max_s, most)
    await _reward(connection, joined, ())
    expired = await keep.expire(connection, settings.park_max_s, most - len(joined))
    await ingest.add_letters(connection, (_expired_letter(outcome, settings.park_max_s) for outcome in expired))
    return len(joined) + len(expired)


async def _reward(
    connection: Connection, joined: Sequence[Joined], acted: Iterable[tuple[str, str]]
) -> list[RewardRow]:
    rewards = [reward_row(outcome) for outcome in joined]
    await ingest.add_experiences(connection, rewards)
    await ingest.add_tallies(connection, tallies(acted, joined, rewards))
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
