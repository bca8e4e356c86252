"""A small exact model of what the statements of `hearthmind.store.ingest` do in Postgres.

`test_database.py` runs the same random batches through this model and through a real Postgres and compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, cast

import msgspec

from hearthmind.contracts.outcome import PLATFORM
from hearthmind.store.engine import Connection
from hearthmind.store.ingest import RACE_S
from hearthmind.store.rows import DecisionRow, Joined, Key, LetterRow, OutcomeRow, RewardRow, Tally, TextRow

from .tables import Table, Transaction, Until, Violation


class OutcomeKept(NamedTuple):
    """An outcome with what the table adds to it."""

    row: OutcomeRow
    received_s: float
    is_settled: bool


class ExperienceKept(NamedTuple):
    """An experience."""

    npc: str
    kind: str
    episode: str
    action: str
    arguments: str
    source: str
    success: bool
    reward: float
    reward_parts: str
    state_after: str
    game_time: float
    trace_id: str | None


TimedKey = tuple[str, Any, str]
"""Game, when it happened, decision."""


class Database:
    """The tables, and the statements under the names that they have in `hearthmind.store.ingest`."""

    def __init__(self, now_s: Callable[[], float], *, takes_turns: bool = False) -> None:
        self._now_s = now_s
        self._takes_turns = takes_turns
        self.inbox: Table[Key, bool] = Table()
        self.games: Table[str, bool] = Table()
        self.decisions: Table[Key, DecisionRow] = Table()
        self.outcomes: Table[TimedKey, OutcomeKept] = Table()
        self.experiences: Table[TimedKey, ExperienceKept] = Table()
        self.texts: Table[tuple[str, str, int], TextRow] = Table()
        self.letters: Table[tuple[str, str, int], LetterRow] = Table()
        self.npcs: Table[tuple[str, str], Tally] = Table()

    async def _turn(self, connection: Connection) -> Transaction:
        """Each statement has its turn, so that those of two transactions mix."""
        if self._takes_turns:
            await Until(None)
        transaction = cast("object", connection)
        assert isinstance(transaction, Transaction)
        return transaction

    async def claim(self, connection: Connection, ids: Iterable[Key]) -> set[str]:
        """Inserts, on conflict nothing; a conflict with an open transaction waits for its end."""
        mine, claimed = await self._turn(connection), set()
        for key in sorted(set(ids)):
            await self.inbox.free(mine, key)
            if self.inbox.get(mine, key) is None:
                self.inbox.write(mine, key, True)
                claimed.add(key[1])
        return claimed

    async def digests_of(self, connection: Connection, keys: Iterable[Key]) -> dict[tuple[str, str, str], bytes]:
        """The digests of outcomes that are seen."""
        mine, wanted = await self._turn(connection), set(keys)
        rows = (kept.row for _, kept in self.outcomes.rows(mine))
        return {(row.game, row.npc, row.decision): row.digest for row in rows if (row.game, row.decision) in wanted}

    async def add_games(self, connection: Connection, names: Iterable[str]) -> None:
        """Inserts, on conflict nothing."""
        mine = await self._turn(connection)
        for name in sorted(set(names)):
            await self.games.free(mine, name)
            if self.games.get(mine, name) is None:
                self.games.write(mine, name, True)

    async def add_decisions(self, connection: Connection, rows: Iterable[DecisionRow]) -> set[Key]:
        """Inserts, on conflict fills in what was not known, of the same NPC only; another NPC's row is held all the same."""
        mine, written = await self._turn(connection), set()
        for row in sorted(rows, key=lambda row: (row.game, row.decision)):
            key = (row.game, row.decision)
            await self.decisions.free(mine, key)
            known = self.decisions.get(mine, key)
            if known is None or known.npc == row.npc:
                self.decisions.write(mine, key, known.and_also(row) if known else row)
                written.add(key)
            else:
                self.decisions.write(mine, key, known)
        return written

    async def add_outcomes(self, connection: Connection, rows: Sequence[OutcomeRow]) -> None:
        """Inserts; the same outcome of the same time is a violation."""
        mine = await self._turn(connection)
        for row in rows:
            key = (row.game, row.happened_at, row.decision)
            await self.outcomes.free(mine, key)
            if self.outcomes.get(mine, key):
                raise Violation(f"outcomes has {key}")
            self.outcomes.write(mine, key, OutcomeKept(row, self._now_s(), False))

    async def add_texts(self, connection: Connection, rows: Iterable[TextRow]) -> None:
        """Inserts, on conflict nothing."""
        mine = await self._turn(connection)
        for row in sorted(rows):
            key = (row.game, row.decision, row.number)
            await self.texts.free(mine, key)
            if self.texts.get(mine, key) is None:
                self.texts.write(mine, key, row)

    async def add_letters(self, connection: Connection, rows: Iterable[LetterRow]) -> None:
        """Inserts, on conflict nothing."""
        mine = await self._turn(connection)
        for row in sorted(rows):
            key = (row.game, row.stream, row.sequence)
            await self.letters.free(mine, key)
            if self.letters.get(mine, key) is None:
                self.letters.write(mine, key, row)

    async def join(self, connection: Connection, keys: Iterable[Key]) -> list[Joined]:
        """Of these decisions, what can become an experience and is in nobody else's hands; it is held from now on."""
        mine, wanted = await self._turn(connection), set(keys)
        return self._joinable(mine, lambda kept: (kept.row.game, kept.row.decision) in wanted)

    async def join_parked(self, connection: Connection, age_s: float, most: int) -> list[Joined]:
        """The same for what is young, or over this age."""
        mine, now_s = await self._turn(connection), self._now_s()
        return self._joinable(mine, lambda kept: not RACE_S <= now_s - kept.received_s <= age_s)[:most]

    def _joinable(self, mine: Transaction, is_wanted: Callable[[OutcomeKept], bool]) -> list[Joined]:
        joined = []
        for key, kept in sorted(self.outcomes.rows(mine), key=lambda each: each[0]):
            row = kept.row
            if kept.is_settled or not is_wanted(kept) or self.outcomes.is_held(mine, key):
                continue
            if row.executed_by != PLATFORM or (self._decision_of(mine, row) or _NO_DECISION).action is not None:
                self.outcomes.write(mine, key, kept)
                facts = msgspec.json.decode(row.facts)
                joined.append(Joined(row.game, row.happened_at, row.decision, row.npc, row.kind, facts))
        return joined

    def _decision_of(self, mine: Transaction, row: OutcomeRow) -> DecisionRow | None:
        decision = self.decisions.get(mine, (row.game, row.decision))
        return decision if decision and decision.npc == row.npc else None

    async def add_experiences(self, connection: Connection, rewards: Sequence[RewardRow]) -> None:
        """Inserts experiences made of outcomes and their decisions; one that is there already is a violation."""
        mine = await self._turn(connection)
        for reward in rewards:
            key = (reward.game, reward.happened_at, reward.decision)
            kept = self.outcomes.get(mine, key)
            assert kept
            await self.experiences.free(mine, key)
            if self.experiences.get(mine, key):
                raise Violation(f"experiences has {key}")
            self.experiences.write(mine, key, self._experience(mine, kept.row, reward))
            self.outcomes.write(mine, key, kept._replace(is_settled=True))

    def _experience(self, mine: Transaction, row: OutcomeRow, reward: RewardRow) -> ExperienceKept:
        decision = self._decision_of(mine, row) or _NO_DECISION
        return ExperienceKept(
            row.npc,
            row.kind,
            row.episode,
            row.action,
            row.arguments,
            (decision.source or "") if row.executed_by == PLATFORM else row.executed_by,
            row.success,
            reward.reward,
            reward.reward_parts,
            row.state_after,
            row.game_time,
            decision.trace_id if decision.trace_id is not None else row.trace_id,
        )

    async def add_tallies(self, connection: Connection, tallies: Iterable[Tally]) -> None:
        """Lets counters grow."""
        mine = await self._turn(connection)
        for new in sorted(tallies, key=lambda tally: (tally.game, tally.npc)):
            key = (new.game, new.npc)
            await self.npcs.free(mine, key)
            known = self.npcs.get(mine, key) or Tally(*key, 0, 0, 0.0, None)
            sums = (known.decisions + new.decisions, known.experiences + new.experiences)
            rank = known.rank if new.rank is None else new.rank
            self.npcs.write(mine, key, Tally(*key, *sums, known.reward_sum + new.reward_sum, rank))


_NO_DECISION = DecisionRow("", "", "", "", "", None)
