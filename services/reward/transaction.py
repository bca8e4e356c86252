"""What happens in one transaction. All of it or nothing: claimed in the inbox, written, rewarded, counted.

The statements are those of `hearthmind.store.ingest`; the simulator of `tests/simulation` has a model of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Protocol

from hearthmind import ids
from hearthmind.contracts.outcome import OutcomesStored
from hearthmind.store import ingest
from hearthmind.store.engine import Connection
from hearthmind.store.rows import (
    AtOnce,
    DayTally,
    DecisionRow,
    DocumentRow,
    Joined,
    Key,
    LetterRow,
    LinkRow,
    OutcomeRow,
    PersonaTally,
    RatingRow,
    RewardRow,
    Tally,
    TextRow,
    TimedKey,
    VariantTally,
    ViolationRow,
    Written,
)
from hearthmind.store.whole import joined
from services.reward.batch import plan, reward_row
from services.reward.counting import day_tallies, npc_tallies, persona_tallies, variant_tallies
from services.reward.reading import ACTION, DETAIL, OUTCOME, Incoming
from services.reward.registry import Registry
from services.reward.settings import Reward

ONCE = frozenset({ACTION, DETAIL, OUTCOME})
"""What the inbox lets through once."""

STANDARD = Registry()
"""The standard rewards alone."""

NO_REWARDS: Mapping[Key, float] = {}
STORED_MAX = 500
"""How many decisions one confirmation names at most, so that it stays small."""


class _Statements(Protocol):
    """What a transaction may say to the tables, in the words of `hearthmind.store.ingest`."""

    async def claim(self, connection: Connection, ids: Iterable[Key]) -> set[str]: ...
    async def digests_of(self, connection: Connection, keys: Iterable[Key]) -> dict[tuple[str, str, str], bytes]: ...
    async def add_games(self, connection: Connection, names: Iterable[str]) -> None: ...
    async def add_documents(self, connection: Connection, rows: Iterable[DocumentRow]) -> None: ...
    async def add_decisions(self, connection: Connection, rows: Iterable[DecisionRow]) -> Written: ...
    async def add_outcomes(
        self, connection: Connection, rows: Sequence[OutcomeRow], settled: Set[TimedKey]
    ) -> None: ...
    async def add_texts(self, connection: Connection, rows: Iterable[TextRow]) -> None: ...
    async def add_links(self, connection: Connection, rows: Iterable[LinkRow]) -> None: ...
    async def add_ratings(self, connection: Connection, rows: Iterable[RatingRow]) -> None: ...
    async def add_violations(self, connection: Connection, rows: Iterable[ViolationRow]) -> int: ...
    async def add_letters(self, connection: Connection, rows: Iterable[LetterRow]) -> None: ...
    async def join(self, connection: Connection, keys: Iterable[Key]) -> list[Joined]: ...
    async def join_parked(self, connection: Connection, age_s: float, most: int) -> list[Joined]: ...
    async def add_experiences(self, connection: Connection, rewards: Sequence[RewardRow]) -> None: ...
    async def add_whole(self, connection: Connection, lived: Sequence[AtOnce]) -> None: ...
    async def add_tallies(self, connection: Connection, tallies: Iterable[Tally]) -> None: ...
    async def add_personas(self, connection: Connection, tallies: Iterable[PersonaTally]) -> None: ...
    async def add_variants(self, connection: Connection, tallies: Iterable[VariantTally]) -> None: ...
    async def add_days(self, connection: Connection, tallies: Iterable[DayTally]) -> None: ...


async def store(
    connection: Connection, batch: Sequence[Incoming], tables: _Statements = ingest, registry: Registry = STANDARD
) -> list[RewardRow]:
    """Stores a batch of messages; returns the rewards of the experiences that it completed."""
    mine = [each for each in batch if each.part in ONCE]
    claimed = await tables.claim(connection, ((each.row.game, each.message_id) for each in mine))
    known = (each.key for each in mine if each.part == OUTCOME and each.message_id not in claimed)
    digests = await tables.digests_of(connection, known)
    planned = plan(batch, claimed, {ids.message_id(*key, OUTCOME): digest for key, digest in digests.items()})
    await tables.add_games(connection, (each.row.game for each in batch))
    await tables.add_documents(connection, {row for each in planned.fresh for row in each.documents})
    written = await tables.add_decisions(connection, planned.decisions.values())
    whole = planned.whole(written.new)
    await tables.add_outcomes(connection, planned.outcomes, {outcome[:3] for _, outcome in whole})
    await tables.add_texts(connection, (text for each in planned.fresh for text in each.texts))
    await tables.add_links(connection, (link for each in planned.fresh for link in each.links))
    await tables.add_ratings(connection, planned.ratings)
    await tables.add_violations(connection, planned.violations)
    planned.refuse_taken(written.all)
    await tables.add_letters(connection, planned.letters)
    at_once = await _add_whole(connection, whole, tables, registry)
    later = await tables.join(connection, planned.keys_beside(whole))
    return await _reward(connection, later, at_once, planned.acted(written.all), tables, registry)


async def sweep(
    connection: Connection, settings: Reward, tables: _Statements = ingest, registry: Registry = STANDARD
) -> list[RewardRow]:
    """Rewards outcomes that were left behind, and those that waited too long with what is known of them."""
    parked = await tables.join_parked(connection, settings.park_max_s, settings.sweep_max)
    return await _reward(connection, parked, (), (), tables, registry)


async def _add_whole(
    connection: Connection, whole: Sequence[tuple[DecisionRow, OutcomeRow]], tables: _Statements, registry: Registry
) -> list[tuple[Joined, RewardRow]]:
    """Experiences all of which came in this batch."""
    outcomes = [joined(*each) for each in whole]
    rewards = [reward_row(outcome, registry) for outcome in outcomes]
    await tables.add_whole(connection, [AtOnce(*each, reward) for each, reward in zip(whole, rewards, strict=True)])
    return list(zip(outcomes, rewards, strict=True))


async def _reward(
    connection: Connection,
    later: Sequence[Joined],
    at_once: Sequence[tuple[Joined, RewardRow]],
    acted: Sequence[DecisionRow],
    tables: _Statements,
    registry: Registry,
) -> list[RewardRow]:
    """Rewards what was waiting, and counts all of it."""
    rewards = [reward_row(outcome, registry) for outcome in later]
    await tables.add_experiences(connection, rewards)
    both = sorted([*zip(later, rewards, strict=True), *at_once], key=lambda each: each[0][:3])
    lived = [(outcome, reward.reward) for outcome, reward in both]
    await tables.add_tallies(connection, npc_tallies(acted, lived))
    await tables.add_personas(connection, persona_tallies(lived))
    await tables.add_variants(connection, variant_tallies(lived))
    await tables.add_days(connection, day_tallies(acted, lived))
    return [reward for _, reward in both]


def confirmations(batch: Iterable[Incoming], rewards: Mapping[Key, float] = NO_REWARDS) -> list[OutcomesStored]:
    """What the games are told: the decisions whose outcomes are stored now, or were before, and what was worth how much that is
    an experience since now. An outcome may have been stored long before its decision."""
    by_game: dict[str, dict[str, None]] = {}
    for each in batch:
        if each.part == OUTCOME:
            by_game.setdefault(each.row.game, {})[each.row.decision] = None
    told = []
    for game, decision in rewards:
        by_game.setdefault(game, {})[decision] = None
    for game, decisions in by_game.items():
        for start in range(0, len(decisions), STORED_MAX):
            named = tuple(decisions)[start : start + STORED_MAX]
            worth = {decision: rewards[game, decision] for decision in named if (game, decision) in rewards}
            told.append(OutcomesStored(game=game, decisions=named, rewards=worth))
    return told
