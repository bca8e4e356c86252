"""What people are shown: totals, one decision with all that came of it, dead letters. A game's JSON stays text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import msgspec
from sqlalchemy import Table, Text, cast, func, literal_column, select, union

from hearthmind.store.engine import Connection
from hearthmind.store.tables import dead_letters, decisions, experiences, games, npcs, outcomes, texts


class Totals(msgspec.Struct, frozen=True):
    """How much there is of everything."""

    games: int
    npcs: int
    decisions: int
    outcomes: int
    parked: int
    """Outcomes whose decision has not come yet."""
    experiences: int
    doubled: int
    """Experiences beyond the first of their decision. Anything but 0 is a bug."""
    dead_letters: int
    reward_mean: float | None
    by_source: Mapping[str, int]


class Record(msgspec.Struct, frozen=True):
    """All that is kept of one decision: rows as JSON, by table."""

    decisions: list[msgspec.Raw]
    outcomes: list[msgspec.Raw]
    experiences: list[msgspec.Raw]
    texts: list[msgspec.Raw]

    @property
    def is_known(self) -> bool:
        """Whether anything is."""
        return any((self.decisions, self.outcomes, self.experiences))


class DeadLetter(msgspec.Struct, frozen=True):
    """What could not be processed, and why."""

    game: str
    stream: str
    sequence: int
    subject: str
    reason: str
    delivered: int
    body: bytes
    died_at: datetime


class EpisodeTotals(msgspec.Struct, frozen=True):
    """What became of an episode's outcomes."""

    outcomes: int = 0
    experiences: int = 0
    doubled: int = 0
    reward_mean: float | None = None


_NUMBERS = select(
    select(func.count()).select_from(games).scalar_subquery().label("games"),
    select(func.count()).select_from(npcs).scalar_subquery().label("npcs"),
    select(func.count()).where(decisions.c.action.is_not(None)).scalar_subquery().label("decisions"),
    select(func.count()).select_from(outcomes).scalar_subquery().label("outcomes"),
    select(func.count()).where(outcomes.c.settled_at.is_(None)).scalar_subquery().label("parked"),
    select(func.count()).select_from(experiences).scalar_subquery().label("experiences"),
    select(func.count() - func.count(func.distinct(func.concat(experiences.c.game, "/", experiences.c.decision))))
    .select_from(experiences)
    .scalar_subquery()
    .label("doubled"),
    select(func.count()).select_from(dead_letters).scalar_subquery().label("dead_letters"),
    select(func.avg(experiences.c.reward)).scalar_subquery().label("reward_mean"),
)
_BY_SOURCE = select(experiences.c.source, func.count().label("number")).group_by(experiences.c.source)


async def totals(connection: Connection) -> Totals:
    """The totals over all games."""
    numbers = (await connection.execute(_NUMBERS)).one()._asdict()
    by_source = {row.source: row.number for row in await connection.execute(_BY_SOURCE)}
    return Totals(**numbers, by_source=by_source)


async def record_of(connection: Connection, decision: str) -> Record:
    """All that is kept of a decision, in whichever game it was made."""
    tables = (decisions, outcomes, experiences, texts)
    return Record(*[await _rows_of(connection, table, decision) for table in tables])


async def _rows_of(connection: Connection, table: Table, decision: str) -> list[msgspec.Raw]:
    as_json = cast(func.to_jsonb(literal_column(f"{table.name}.*")), Text)
    rows = select(as_json).select_from(table).where(table.c.decision == decision)
    return [msgspec.Raw(row.encode()) for row in await connection.scalars(rows)]


async def traces_of(connection: Connection, decision: str) -> list[str]:
    """The ids of the traces that a decision was part of, where it was sampled."""
    kept = union(
        *(
            select(table.c.trace_id).where(table.c.decision == decision, table.c.trace_id.is_not(None))
            for table in (decisions, outcomes)
        )
    )
    return list(await connection.scalars(kept))


async def dead_letters_of(connection: Connection, most: int = 50, game: str | None = None) -> list[DeadLetter]:
    """The newest dead letters, of one game or of all."""
    columns = [dead_letters.c[name] for name in DeadLetter.__struct_fields__]
    letters = select(*columns).order_by(dead_letters.c.died_at.desc(), dead_letters.c.sequence.desc()).limit(most)
    if game is not None:
        letters = letters.where(dead_letters.c.game == game)
    return [DeadLetter(*row) for row in await connection.execute(letters)]


async def episode_totals(connection: Connection, game: str, episode: str) -> EpisodeTotals:
    """The totals of one run of a game."""
    of_outcomes = select(func.count()).where(outcomes.c.game == game, outcomes.c.episode == episode)
    of_experiences = select(
        func.count(), func.count() - func.count(experiences.c.decision.distinct()), func.avg(experiences.c.reward)
    ).where(experiences.c.game == game, experiences.c.episode == episode)
    reported = await connection.scalar(of_outcomes) or 0
    kept, doubled, reward_mean = (await connection.execute(of_experiences)).one()
    return EpisodeTotals(reported, kept, doubled, reward_mean)
