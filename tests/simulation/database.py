"""A small exact model of what the statements of `hearthmind.store.ingest` do in Postgres.

`test_database.py` runs the same random batches through this model and through a real Postgres and compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any, NamedTuple, cast

import msgspec

from hearthmind.contracts.outcome import PLATFORM
from hearthmind.store.engine import Connection
from hearthmind.store.ingest import DETAIL_WAIT_S, RACE_S, UNKNOWN
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

from .tables import Table, Transaction, Until, Violation


class OutcomeKept(NamedTuple):
    """An outcome with what the table adds to it."""

    row: OutcomeRow
    received_s: float
    is_settled: bool


class ExperienceKept(NamedTuple):
    """An experience: of its columns those that tell where it comes from."""

    npc: str
    kind: str
    episode: str
    action: str
    arguments: str
    source: str
    success: bool
    reward: float
    reward_parts: str
    state: bytes | None
    state_after: bytes
    answer: bytes | None
    tier: str | None
    game_time: float
    trace_id: str | None


Counters = tuple[float, ...]


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
        self.documents: Table[tuple[str, bytes], DocumentRow] = Table()
        self.links: Table[tuple[str, str, str, str], LinkRow] = Table()
        self.ratings: Table[tuple[str, ...], RatingRow] = Table()
        self.violations: Table[tuple[str, str, str], ViolationRow] = Table()
        self.npcs: Table[tuple[str, str], Tally] = Table()
        self.personas: Table[tuple[Any, ...], Counters] = Table()
        self.variants: Table[tuple[Any, ...], Counters] = Table()
        self.days: Table[tuple[Any, ...], Counters] = Table()

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

    async def add_decisions(self, connection: Connection, rows: Iterable[DecisionRow]) -> Written:
        """Inserts, on conflict fills in what was not known, of the same NPC only; another NPC's row is held all the same."""
        mine, written, new = await self._turn(connection), set(), set()
        for row in sorted(rows, key=lambda row: (row.game, row.decision)):
            key = (row.game, row.decision)
            await self.decisions.free(mine, key)
            known = self.decisions.get(mine, key)
            if known is None or known.npc == row.npc:
                self.decisions.write(mine, key, known.and_also(row) if known else row)
                written.add(key)
                if known is None and row.is_whole:
                    new.add(key)
            else:
                self.decisions.write(mine, key, known)
        return Written(written, new)

    async def add_outcomes(
        self, connection: Connection, rows: Sequence[OutcomeRow], settled: Set[TimedKey] = frozenset()
    ) -> None:
        """Inserts; the same outcome of the same time is a violation."""
        mine = await self._turn(connection)
        for row in rows:
            key = (row.game, row.decision, row.happened_at)
            await self.outcomes.free(mine, key)
            if self.outcomes.get(mine, key):
                raise Violation(f"outcomes has {key}")
            self.outcomes.write(mine, key, OutcomeKept(row, self._now_s(), key in settled))

    async def add_documents(self, connection: Connection, rows: Iterable[DocumentRow]) -> None:
        """Inserts, on conflict nothing."""
        await self._add_once(connection, self.documents, {(row.game, row.key): row for row in rows})

    async def add_texts(self, connection: Connection, rows: Iterable[TextRow]) -> None:
        """Inserts, on conflict nothing."""
        await self._add_once(connection, self.texts, _first((row[:3], row) for row in sorted(rows)))

    async def add_links(self, connection: Connection, rows: Iterable[LinkRow]) -> None:
        """Inserts, on conflict nothing."""
        await self._add_once(connection, self.links, _first((row[:4], row) for row in sorted(rows)))

    async def add_violations(self, connection: Connection, rows: Iterable[ViolationRow]) -> int:
        """Inserts, on conflict nothing."""
        rows = _first((row[:3], row) for row in rows)
        await self._add_once(connection, self.violations, rows)
        return len(rows)

    async def add_letters(self, connection: Connection, rows: Iterable[LetterRow]) -> None:
        """Inserts, on conflict nothing."""
        await self._add_once(connection, self.letters, _first((row[:3], row) for row in sorted(rows)))

    async def _add_once(self, connection: Connection, table: Table[Any, Any], rows: Mapping[Any, Any]) -> None:
        mine = await self._turn(connection)
        for key in sorted(rows):
            await table.free(mine, key)
            if table.get(mine, key) is None:
                table.write(mine, key, rows[key])

    async def add_ratings(self, connection: Connection, rows: Iterable[RatingRow]) -> None:
        """Inserts, on conflict the later one stays."""
        mine = await self._turn(connection)
        for row in sorted(rows, key=lambda row: (row[:4], row.rated_at)):
            await self.ratings.free(mine, row[:4])
            known = self.ratings.get(mine, row[:4])
            if known is None or known.rated_at <= row.rated_at:
                self.ratings.write(mine, row[:4], row)

    async def join(self, connection: Connection, keys: Iterable[Key]) -> list[Joined]:
        """Of these decisions, what can become an experience and is in nobody else's hands; it is held from now on."""
        mine, wanted = await self._turn(connection), set(keys)
        return self._joinable(
            mine, lambda kept: (kept.row.game, kept.row.decision) in wanted and self._is_ready(mine, kept)
        )

    async def join_parked(self, connection: Connection, age_s: float, most: int) -> list[Joined]:
        """The same for what is young; and all over this age."""
        mine = await self._turn(connection)

        def is_wanted(kept: OutcomeKept) -> bool:
            waited_s = self._now_s() - kept.received_s
            return waited_s > age_s or (waited_s < RACE_S and self._is_ready(mine, kept))

        return self._joinable(mine, is_wanted)[:most]

    def _is_ready(self, mine: Transaction, kept: OutcomeKept) -> bool:
        decision = self._decision_of(mine, kept.row) or _NO_DECISION
        has_waited = self._now_s() - kept.received_s > DETAIL_WAIT_S
        is_whole = decision.action is not None and (decision.tier is not None or has_waited)
        return kept.row.executed_by != PLATFORM or is_whole

    def _joinable(self, mine: Transaction, is_wanted: Callable[[OutcomeKept], bool]) -> list[Joined]:
        joined = []
        for key, kept in sorted(self.outcomes.rows(mine), key=lambda each: each[0]):
            if not kept.is_settled and is_wanted(kept) and not self.outcomes.is_held(mine, key):
                self.outcomes.write(mine, key, kept)
                joined.append(self._joined(mine, kept.row))
        return joined

    def _joined(self, mine: Transaction, row: OutcomeRow) -> Joined:
        decision = self._decision_of(mine, row) or _NO_DECISION
        whole = {**decision._asdict(), **row._asdict(), "facts": msgspec.json.decode(row.facts)}
        whole |= {name: getattr(decision, name) for name in ("source", "tier", "persona")}
        stages = msgspec.json.decode(decision.stages_ms) if decision.stages_ms else None
        whole["latency_ms"] = stages.get("bus", 0.0) + stages.get("decide", 0.0) if stages is not None else None
        return Joined(**{name: whole[name] for name in Joined._fields})

    def _decision_of(self, mine: Transaction, row: OutcomeRow) -> DecisionRow | None:
        decision = self.decisions.get(mine, (row.game, row.decision))
        return decision if decision and decision.npc == row.npc else None

    async def add_experiences(self, connection: Connection, rewards: Sequence[RewardRow]) -> None:
        """Inserts experiences made of outcomes and their decisions; one that is there already is a violation."""
        mine = await self._turn(connection)
        for reward in rewards:
            key = (reward.game, reward.decision, reward.happened_at)
            kept = self.outcomes.get(mine, key)
            assert kept
            await self.experiences.free(mine, key)
            if self.experiences.get(mine, key):
                raise Violation(f"experiences has {key}")
            self.experiences.write(mine, key, self._experience(mine, kept.row, reward))
            self.outcomes.write(mine, key, kept._replace(is_settled=True))

    async def add_whole(self, connection: Connection, lived: Sequence[AtOnce]) -> None:
        """The same of those all of which came at once."""
        await self.add_experiences(connection, [each.reward for each in lived])

    def _experience(self, mine: Transaction, row: OutcomeRow, reward: RewardRow) -> ExperienceKept:
        decision = self._decision_of(mine, row) or _NO_DECISION
        return ExperienceKept(
            row.npc,
            row.kind,
            row.episode,
            row.action,
            row.arguments,
            (decision.source or UNKNOWN) if row.executed_by == PLATFORM else row.executed_by,
            row.success,
            reward.reward,
            reward.reward_parts,
            decision.state if decision.state is not None else row.state,
            row.state_after,
            decision.answer,
            decision.tier,
            row.game_time,
            decision.trace_id if decision.trace_id is not None else row.trace_id,
        )

    async def add_tallies(self, connection: Connection, tallies: Iterable[Tally]) -> None:
        """Lets counters grow."""
        mine = await self._turn(connection)
        for new in sorted(tallies, key=lambda tally: (tally.game, tally.npc)):
            key = (new.game, new.npc)
            await self.npcs.free(mine, key)
            known = self.npcs.get(mine, key) or Tally(*key, 0, 0, 0, 0, 0, 0.0, None, None, None)
            sums = (one + more for one, more in zip(known[2:8], new[2:8], strict=True))
            last = (one if more is None else more for one, more in zip(known[8:], new[8:], strict=True))
            self.npcs.write(mine, key, Tally._make((*key, *sums, *last)))

    async def add_personas(self, connection: Connection, tallies: Iterable[PersonaTally]) -> None:
        """Lets counters grow."""
        await self._grow(connection, self.personas, 2, tallies)

    async def add_variants(self, connection: Connection, tallies: Iterable[VariantTally]) -> None:
        """Lets counters grow."""
        await self._grow(connection, self.variants, 3, tallies)

    async def add_days(self, connection: Connection, tallies: Iterable[DayTally]) -> None:
        """Lets counters grow."""
        await self._grow(connection, self.days, 2, tallies)

    async def _grow(
        self, connection: Connection, table: Table[Any, Counters], keys: int, rows: Iterable[tuple[Any, ...]]
    ) -> None:
        mine = await self._turn(connection)
        for row in sorted(rows):
            await table.free(mine, row[:keys])
            known = table.get(mine, row[:keys]) or (0,) * len(row[keys:])
            table.write(mine, row[:keys], tuple(one + more for one, more in zip(known, row[keys:], strict=True)))


def _first(rows: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """Of several rows with one key the first counts."""
    found: dict[Any, Any] = {}
    for key, row in rows:
        found.setdefault(key, row)
    return found


_NO_DECISION = DecisionRow("", "", "", "", "", None)
