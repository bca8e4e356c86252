"""The statements of the ingesting transaction, each for many rows at once.

Rows are named tuples whose fields are the table's columns. Big ones come by COPY (`staging`), small ones as one array per
column. Many that should all be new go straight into their table, and are merged where one of them is not. Rows come sorted by
key, and tables are written in one order, so that processes that ingest at the same time wait for each other and never in a
circle.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    Integer,
    Interval,
    Select,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from hearthmind.contracts.outcome import PLATFORM
from hearthmind.store import violations
from hearthmind.store.arrays import columns_of, given, insert_given
from hearthmind.store.engine import Connection
from hearthmind.store.rows import (
    AtOnce,
    DecisionRow,
    DocumentRow,
    Joined,
    Key,
    LetterRow,
    LinkRow,
    OutcomeRow,
    RatingRow,
    RewardRow,
    TextRow,
    TimedKey,
    Written,
)
from hearthmind.store.staging import MANY, Staging
from hearthmind.store.tables import (
    dead_letters,
    decisions,
    documents,
    experiences,
    games,
    inbox,
    links,
    outcomes,
    ratings,
    texts,
)
from hearthmind.store.tallies import add_days as add_days
from hearthmind.store.tallies import add_personas as add_personas
from hearthmind.store.tallies import add_tallies as add_tallies
from hearthmind.store.tallies import add_variants as add_variants
from hearthmind.store.whole import BOTH, FROM_DECISION, FROM_OUTCOME, ROW, row_of

RACE_S = 120
"""Longer than any transaction. An outcome is left behind where its action was stored by another process in a transaction
at the same time, so that neither saw the other; whichever comes later finds the one before it."""

DETAIL_WAIT_S = 15
"""How long an outcome waits for the detail of its decision, which is on the way when the action is there. Longer than a
decision service takes to decide again, where one was killed between the two."""

UNKNOWN = "unknown"
"""The source of an experience whose decision was lost before it was stored."""


# ---- the inbox: each message once -------------------------------------------------------------------------------------

_CLAIMED = Staging(inbox, ("game", "message_id"))
_CLAIM = insert_given(inbox, ("game", "message_id")).on_conflict_do_nothing().returning(inbox.c.message_id)


async def claim(connection: Connection, ids: Iterable[Key]) -> set[str]:
    """Claims messages by (game, message id) and returns those that nobody had claimed before."""
    wanted = sorted(set(ids))
    if not wanted:
        return set()
    if len(wanted) >= MANY and await _CLAIMED.add_all_new(connection, wanted):
        return {message_id for _, message_id in wanted}
    return set(await connection.scalars(_CLAIM, columns_of(wanted, ("game", "message_id"))))


_asked = given(outcomes, ("game", "decision"))
_DIGESTS = select(outcomes.c.game, outcomes.c.npc, outcomes.c.decision, outcomes.c.digest).join(
    _asked, and_(outcomes.c.game == _asked.c.game, outcomes.c.decision == _asked.c.decision)
)


async def digests_of(connection: Connection, keys: Iterable[Key]) -> dict[tuple[str, str, str], bytes]:
    """The digests of stored outcomes, by game, NPC and decision."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    found = await connection.execute(_DIGESTS, columns_of(wanted, ("game", "decision")))
    return {(row.game, row.npc, row.decision): row.digest for row in found}


# ---- facts as they come -----------------------------------------------------------------------------------------------

_GAMES = insert_given(games, ("game",)).on_conflict_do_nothing()


async def add_games(connection: Connection, names: Iterable[str]) -> None:
    """Notes games that are seen for the first time."""
    rows = [(name,) for name in sorted(set(names))]
    if rows:
        await connection.execute(_GAMES, columns_of(rows, ("game",)))


_DOCUMENTS = Staging(documents, DocumentRow._fields)
_ADD_DOCUMENTS = _DOCUMENTS.insert().on_conflict_do_nothing()


async def add_documents(connection: Connection, rows: Iterable[DocumentRow]) -> None:
    """Adds big texts that are not there yet."""
    wanted = sorted(rows)
    if wanted:
        await _DOCUMENTS.fill(connection, wanted)
        await connection.execute(_ADD_DOCUMENTS)


_GIVEN = Staging(decisions, DecisionRow._fields)


def _upsert_decisions() -> Any:
    merging = _GIVEN.insert()
    halves = [name for name in DecisionRow._fields if name not in {"game", "decision", "npc"}]
    known, new = decisions.c, merging.excluded
    return merging.on_conflict_do_update(
        index_elements=[known.game, known.decision],
        set_={name: func.coalesce(known[name], new[name]) for name in halves},
        where=known.npc == new.npc,
    )


_ADD_DECISIONS = _upsert_decisions()
_TAKEN = (
    select(decisions.c.game, decisions.c.decision)
    .select_from(_GIVEN.given)
    .join(decisions, and_(decisions.c.game == _GIVEN.given.c.game, decisions.c.decision == _GIVEN.given.c.decision))
    .where(decisions.c.npc != _GIVEN.given.c.npc)
)


async def add_decisions(connection: Connection, rows: Iterable[DecisionRow]) -> Written:
    """Adds what is new about decisions, one row each."""
    wanted = sorted(rows, key=lambda row: (row.game, row.decision))
    whole = [row for row in wanted if row.is_whole]
    if len(whole) < MANY or not await _GIVEN.add_all_new(connection, whole):
        return Written(await _merge_decisions(connection, wanted), frozenset())
    new = {(row.game, row.decision) for row in whole}
    return Written(new | await _merge_decisions(connection, [row for row in wanted if not row.is_whole]), new)


async def _merge_decisions(connection: Connection, rows: Sequence[DecisionRow]) -> set[Key]:
    if not rows:
        return set()
    await _GIVEN.fill(connection, rows)
    written = {(row.game, row.decision) for row in rows}
    if (await connection.execute(_ADD_DECISIONS)).rowcount < len(rows):
        written.difference_update((row.game, row.decision) for row in await connection.execute(_TAKEN))
    return written


_CAME = Staging(outcomes, (*OutcomeRow._fields, "settled_at"))
_NOW = select(func.now())


async def add_outcomes(
    connection: Connection, rows: Sequence[OutcomeRow], settled: Set[TimedKey] = frozenset()
) -> None:
    """Adds outcomes, some of which become experiences at once. No conflict is expected here: the inbox has let each through
    once.
    """
    if rows:
        now = await connection.scalar(_NOW) if settled else None
        await _CAME.add(connection, [(*row, now if row[:3] in settled else None) for row in rows])


_TEXTS = insert_given(texts, TextRow._fields).on_conflict_do_nothing()


async def add_texts(connection: Connection, rows: Iterable[TextRow]) -> None:
    """Adds what players said; the observation of a decision may come twice, with its detail and with its outcome."""
    wanted = sorted(rows)
    if wanted:
        await connection.execute(_TEXTS, columns_of(wanted, TextRow._fields))


_LINKS = insert_given(links, LinkRow._fields).on_conflict_do_nothing()


async def add_links(connection: Connection, rows: Iterable[LinkRow]) -> None:
    """Adds which decisions refer to earlier ones; the first time it is said counts."""
    wanted = sorted(rows)
    if wanted:
        await connection.execute(_LINKS, columns_of(wanted, LinkRow._fields))


def _upsert_ratings() -> Any:
    merging = insert_given(ratings, RatingRow._fields)
    known, new = ratings.c, merging.excluded
    return merging.on_conflict_do_update(
        index_elements=[known.game, known.decision, known.about, known.rater],
        set_={name: new[name] for name in ("npc", "score", "rated_at")},
        where=known.rated_at <= new.rated_at,
    )


_RATINGS = _upsert_ratings()
_rated = given(ratings, ("game", "decision"))
_LOOK_AGAIN = (
    update(experiences)
    .where(
        experiences.c.game == _rated.c.game,
        experiences.c.decision == _rated.c.decision,
        experiences.c.long_term_at.is_not(None),
    )
    .values(long_term_at=None)
)


async def add_ratings(connection: Connection, rows: Iterable[RatingRow]) -> None:
    """Adds ratings. The last word of each rater counts, in whatever order they come; what was looked back on without it is
    looked at again.
    """
    last = {row[:4]: row for row in sorted(rows, key=lambda row: row.rated_at)}
    if last:
        wanted = [last[key] for key in sorted(last)]
        await connection.execute(_RATINGS, columns_of(wanted, RatingRow._fields))
        keys = sorted({(row.game, row.decision) for row in wanted})
        await connection.execute(_LOOK_AGAIN, columns_of(keys, ("game", "decision")))


add_violations = violations.add_violations


_LETTERS = insert_given(dead_letters, LetterRow._fields).on_conflict_do_nothing()


async def add_letters(connection: Connection, rows: Iterable[LetterRow]) -> None:
    """Adds dead letters."""
    wanted = sorted(rows)
    if wanted:
        await connection.execute(_LETTERS, columns_of(wanted, LetterRow._fields))


# ---- outcomes become experiences --------------------------------------------------------------------------------------

_its_decision = and_(
    decisions.c.game == outcomes.c.game,
    decisions.c.decision == outcomes.c.decision,
    decisions.c.npc == outcomes.c.npc,
)
_age = func.now() - outcomes.c.received_at
_by_client = outcomes.c.executed_by != PLATFORM
_is_whole = and_(decisions.c.action.is_not(None), decisions.c.tier.is_not(None))
_is_late = and_(decisions.c.action.is_not(None), _age > timedelta(seconds=DETAIL_WAIT_S))


def _stage_ms(name: str) -> ColumnElement[Any]:
    return func.coalesce(cast(decisions.c.stages_ms[name].astext, Double), 0.0)


_latency_ms = case((decisions.c.stages_ms.is_not(None), _stage_ms("bus") + _stage_ms("decide")))
_JOINED: dict[str, ColumnElement[Any]] = {
    name: decisions.c[name] if name in Joined._fields[11:] and name in decisions.c else outcomes.c[name]
    for name in Joined._fields
    if name != "latency_ms"
} | {"latency_ms": _latency_ms}


def _joinable(*where: ColumnElement[bool]) -> Select[Any]:
    """Outcomes without an experience whose decision is known, or that need none; those in other hands are skipped."""
    return (
        select(*(_JOINED[name] for name in Joined._fields))
        .select_from(outcomes.outerjoin(decisions, _its_decision))
        .where(outcomes.c.settled_at.is_(None), *where)
        .order_by(outcomes.c.game, outcomes.c.decision, outcomes.c.happened_at)
        .with_for_update(of=outcomes, skip_locked=True)
    )


_pairs = given(outcomes, ("game", "decision"))
_JOINABLE = _joinable(
    or_(_by_client, _is_whole, _is_late),
    outcomes.c.game == _pairs.c.game,
    outcomes.c.decision == _pairs.c.decision,
)
_PARKED = _joinable(
    or_(
        and_(_age < timedelta(seconds=RACE_S), or_(_by_client, _is_whole, _is_late)),
        _age > bindparam("age", type_=Interval()),
    )
).limit(bindparam("most", type_=Integer))


async def join(connection: Connection, keys: Iterable[Key]) -> list[Joined]:
    """Of these decisions, the outcomes that can become experiences now; they are held until the transaction ends."""
    wanted = sorted(set(keys))
    if not wanted:
        return []
    found = await connection.execute(_JOINABLE, columns_of(wanted, ("game", "decision")))
    return [Joined(*row) for row in found]


async def join_parked(connection: Connection, age_s: float, most: int) -> list[Joined]:
    """The same for outcomes that were left behind: the young ones; and all over this age, whatever is known of them."""
    wanted = {"age": timedelta(seconds=age_s), "most": most}
    return [Joined(*row) for row in await connection.execute(_PARKED, wanted)]


_REWARDED = Staging(experiences, RewardRow._fields, "given_rewards")
_rewarded = _REWARDED.given
_this_outcome = and_(
    outcomes.c.game == _rewarded.c.game,
    outcomes.c.decision == _rewarded.c.decision,
    outcomes.c.happened_at == _rewarded.c.happened_at,
)
_EXPERIENCE: dict[str, ColumnElement[Any]] = {
    **{name: outcomes.c[name] for name in FROM_OUTCOME},
    **{name: decisions.c[name] for name in FROM_DECISION},
    **{name: func.coalesce(decisions.c[name], outcomes.c[name]) for name in BOTH},
    "source": case(
        (_by_client, outcomes.c.executed_by), else_=func.coalesce(decisions.c.source, literal(UNKNOWN, Text()))
    ),
    "why": case((_by_client, outcomes.c.why), else_=decisions.c.why),
    "latency_ms": _latency_ms,
    "reward": _rewarded.c.reward,
    "reward_parts": _rewarded.c.reward_parts,
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
        await _REWARDED.fill(connection, rewards)
        await connection.execute(_EXPERIENCES)
        await connection.execute(_SETTLED)


_STRAIGHT = Staging(experiences, ROW, "given_whole")


async def add_whole(connection: Connection, lived: Sequence[AtOnce]) -> None:
    """Adds experiences all of which came at once: their outcomes were added as settled, and are not read back."""
    if lived:
        await _STRAIGHT.add(connection, [row_of(each) for each in lived])
