"""The queries of the ingesting transaction, each for many rows at once.

Rows are named tuples whose fields are the table's columns; they travel as one array per column. JSON travels as text and
is parsed by Postgres. Rows come sorted by key, and tables are written in one order, so that processes that ingest at the
same time wait for each other and never in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Executable,
    FromClause,
    Integer,
    Interval,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, Insert, insert

from hearthmind.contracts.outcome import PLATFORM
from hearthmind.store.engine import Connection
from hearthmind.store.rows import DecisionRow, Joined, Key, LetterRow, OutcomeRow, RewardRow, Tally, TextRow
from hearthmind.store.tables import dead_letters, decisions, experiences, games, inbox, npcs, outcomes, texts

RACE_S = 120
"""Longer than any transaction. An outcome is left behind where its action was stored by another process in a transaction
at the same time, so that neither saw the other; whichever comes later finds the one before it."""


def _given(table: Table, names: Sequence[str]) -> FromClause:
    """The rows given as one array per column."""
    kinds = [Text() if isinstance(table.c[name].type, JSONB) else table.c[name].type for name in names]
    arrays = [bindparam(f"given_{name}", type_=ARRAY(kind)) for name, kind in zip(names, kinds, strict=True)]
    return func.unnest(*arrays).table_valued(*names).render_derived(name="given")


def _insert(table: Table, names: Sequence[str]) -> Insert:
    given = _given(table, names)
    values = [cast(given.c[name], JSONB) if isinstance(table.c[name].type, JSONB) else given.c[name] for name in names]
    return insert(table).from_select(list(names), select(*values))


def _columns(rows: Iterable[tuple[Any, ...]], names: Sequence[str]) -> dict[str, list[Any]]:
    return {f"given_{name}": list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


# ---- the inbox: each message once -------------------------------------------------------------------------------------

_CLAIM = _insert(inbox, ("game", "message_id")).on_conflict_do_nothing().returning(inbox.c.message_id)


async def claim(connection: Connection, ids: Iterable[Key]) -> set[str]:
    """Claims messages by (game, message id) and returns those that nobody had claimed before."""
    wanted = sorted(set(ids))
    if not wanted:
        return set()
    return set(await connection.scalars(_CLAIM, _columns(wanted, ("game", "message_id"))))


_asked = _given(outcomes, ("game", "decision"))
_DIGESTS = select(outcomes.c.game, outcomes.c.npc, outcomes.c.decision, outcomes.c.digest).join(
    _asked, and_(outcomes.c.game == _asked.c.game, outcomes.c.decision == _asked.c.decision)
)


async def digests_of(connection: Connection, keys: Iterable[Key]) -> dict[tuple[str, str, str], bytes]:
    """The digests of stored outcomes, by game, NPC and decision."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    found = await connection.execute(_DIGESTS, _columns(wanted, ("game", "decision")))
    return {(row.game, row.npc, row.decision): row.digest for row in found}


# ---- facts as they come -----------------------------------------------------------------------------------------------

_GAMES = _insert(games, ("game",)).on_conflict_do_nothing()


async def add_games(connection: Connection, names: Iterable[str]) -> None:
    """Notes games that are seen for the first time."""
    rows = [(name,) for name in sorted(set(names))]
    if rows:
        await connection.execute(_GAMES, _columns(rows, ("game",)))


def _upsert_decisions() -> Executable:
    given = _insert(decisions, DecisionRow._fields)
    halves = [name for name in DecisionRow._fields if name not in {"game", "decision", "npc"}]
    known, new = decisions.c, given.excluded
    return given.on_conflict_do_update(
        index_elements=[known.game, known.decision],
        set_={name: func.coalesce(known[name], new[name]) for name in halves},
        where=known.npc == new.npc,
    ).returning(known.game, known.decision)


_DECISIONS = _upsert_decisions()


async def add_decisions(connection: Connection, rows: Iterable[DecisionRow]) -> set[Key]:
    """Adds what is new about decisions, one row each; returns those written: the others are another NPC's."""
    wanted = sorted(rows, key=lambda row: (row.game, row.decision))
    if not wanted:
        return set()
    written = await connection.execute(_DECISIONS, _columns(wanted, DecisionRow._fields))
    return {(row.game, row.decision) for row in written}


_OUTCOMES = _insert(outcomes, OutcomeRow._fields)


async def add_outcomes(connection: Connection, rows: Sequence[OutcomeRow]) -> None:
    """Adds outcomes. No conflict is expected here: the inbox has let each through once."""
    if rows:
        await connection.execute(_OUTCOMES, _columns(rows, OutcomeRow._fields))


_TEXTS = _insert(texts, TextRow._fields).on_conflict_do_nothing()


async def add_texts(connection: Connection, rows: Iterable[TextRow]) -> None:
    """Adds what players said; the observation of a decision may come twice, with its detail and with its outcome."""
    wanted = sorted(rows)
    if wanted:
        await connection.execute(_TEXTS, _columns(wanted, TextRow._fields))


_LETTERS = _insert(dead_letters, LetterRow._fields).on_conflict_do_nothing()


async def add_letters(connection: Connection, rows: Iterable[LetterRow]) -> None:
    """Adds dead letters."""
    wanted = sorted(rows)
    if wanted:
        await connection.execute(_LETTERS, _columns(wanted, LetterRow._fields))


# ---- outcomes become experiences --------------------------------------------------------------------------------------

_by_platform = outcomes.c.executed_by == PLATFORM
_its_decision = and_(
    decisions.c.game == outcomes.c.game,
    decisions.c.decision == outcomes.c.decision,
    decisions.c.npc == outcomes.c.npc,
)


def _joinable(*where: ColumnElement[bool]) -> Select[Any]:
    """Outcomes without an experience whose decision is known, or that need none; those in other hands are skipped."""
    return (
        select(*(outcomes.c[name] for name in Joined._fields))
        .select_from(outcomes.outerjoin(decisions, _its_decision))
        .where(outcomes.c.settled_at.is_(None), or_(~_by_platform, decisions.c.action.is_not(None)), *where)
        .order_by(outcomes.c.game, outcomes.c.happened_at, outcomes.c.decision)
        .with_for_update(of=outcomes, skip_locked=True)
    )


_pairs = _given(outcomes, ("game", "decision"))
_JOINABLE = _joinable(tuple_(outcomes.c.game, outcomes.c.decision).in_(select(_pairs.c.game, _pairs.c.decision)))
_since = outcomes.c.received_at
_PARKED = _joinable(
    or_(_since > func.now() - timedelta(seconds=RACE_S), _since < func.now() - bindparam("age", type_=Interval()))
).limit(bindparam("most", type_=Integer))


async def join(connection: Connection, keys: Iterable[Key]) -> list[Joined]:
    """Of these decisions, the outcomes that can become experiences now; they are held until the transaction ends."""
    wanted = sorted(set(keys))
    if not wanted:
        return []
    found = await connection.execute(_JOINABLE, _columns(wanted, ("game", "decision")))
    return [Joined(*row) for row in found]


async def join_parked(connection: Connection, age_s: float, most: int) -> list[Joined]:
    """The same for outcomes that were left behind: the young ones, and for the last time those over this age."""
    given = {"age": timedelta(seconds=age_s), "most": most}
    return [Joined(*row) for row in await connection.execute(_PARKED, given)]


_rewarded = _given(experiences, RewardRow._fields)
_this_outcome = and_(
    outcomes.c.game == _rewarded.c.game,
    outcomes.c.happened_at == cast(_rewarded.c.happened_at, DateTime(timezone=True)),
    outcomes.c.decision == _rewarded.c.decision,
)
_EXPERIENCE = {
    **{
        name: outcomes.c[name]
        for name in ("game", "happened_at", "decision", "npc", "kind", "episode", "action", "arguments", "success")
    },
    "source": case((_by_platform, decisions.c.source), else_=outcomes.c.executed_by),
    "reward": _rewarded.c.reward,
    "reward_parts": cast(_rewarded.c.reward_parts, JSONB),
    "state_after": outcomes.c.state_after,
    "game_time": outcomes.c.game_time,
    "trace_id": func.coalesce(decisions.c.trace_id, outcomes.c.trace_id),
}
_EXPERIENCES = insert(experiences).from_select(
    list(_EXPERIENCE),
    select(*_EXPERIENCE.values()).select_from(
        _rewarded.join(outcomes, _this_outcome).outerjoin(decisions, _its_decision)
    ),
)
_SETTLED = update(outcomes).where(_this_outcome).values(settled_at=func.now())


async def add_experiences(connection: Connection, rewards: Sequence[RewardRow]) -> None:
    """Makes experiences of joined outcomes with their rewards."""
    if rewards:
        columns = _columns(rewards, RewardRow._fields)
        await connection.execute(_EXPERIENCES, columns)
        await connection.execute(_SETTLED, columns)


def _upsert_npcs() -> Insert:
    given = _insert(npcs, Tally._fields)
    known, new = npcs.c, given.excluded
    grown = {name: known[name] + new[name] for name in ("decisions", "experiences", "reward_sum")}
    return given.on_conflict_do_update(
        index_elements=[known.game, known.npc], set_={**grown, "rank": func.coalesce(new.rank, known.rank)}
    )


_NPCS = _upsert_npcs()


async def add_tallies(connection: Connection, tallies: Iterable[Tally]) -> None:
    """Lets the counters of NPCs grow; comes last in a transaction, since it is where processes meet."""
    wanted = sorted(tallies, key=lambda tally: (tally.game, tally.npc))
    if wanted:
        await connection.execute(_NPCS, _columns(wanted, Tally._fields))
