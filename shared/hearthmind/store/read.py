"""What people are shown: totals, one decision with all that came of it, dead letters. A game's JSON stays text."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Double, Select, Table, Text, cast, func, literal_column, select, tuple_, union

from hearthmind.store.engine import Connection
from hearthmind.store.tables import dead_letters, decisions, experiences, games, npcs, outcomes, texts, training_metrics


class Totals(msgspec.Struct, frozen=True):
    """How much there is of everything: read from counters, and as fast with ten million experiences."""

    games: int
    npcs: int
    decisions: int
    experiences: int
    reward_mean: float | None
    parked: int
    """Outcomes whose decision has not come yet."""
    doubled: int
    """Of the newest experiences, those beyond the first of their decision. Anything but 0 is a bug."""
    dead_letters: int


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


NEWEST = 2_000
"""Among so many experiences doubled ones are looked for."""

_newest = (
    select(experiences.c.game, experiences.c.decision)
    .where(experiences.c.long_term_at.is_(None))  # their index is by time
    .order_by(experiences.c.happened_at.desc())
    .limit(NEWEST)
    .subquery()
)


def _number(of: Select[Any]) -> Any:
    return of.scalar_subquery()


_TOTALS = {
    "games": _number(select(func.count()).select_from(games)),
    "npcs": _number(select(func.count()).select_from(npcs)),
    "decisions": _number(select(cast(func.coalesce(func.sum(npcs.c.decisions), 0), BigInteger))),
    "experiences": _number(select(cast(func.coalesce(func.sum(npcs.c.experiences), 0), BigInteger))),
    "reward_mean": _number(
        select(func.sum(npcs.c.reward_sum) / cast(func.nullif(func.sum(npcs.c.experiences), 0), Double))
    ),
    "parked": _number(select(func.count()).where(outcomes.c.settled_at.is_(None))),
    "doubled": _number(select(func.count() - func.count(func.distinct(tuple_(_newest.c.game, _newest.c.decision))))),
    "dead_letters": _number(select(func.count()).select_from(dead_letters)),
}
_NUMBERS = select(*(number.label(name) for name, number in _TOTALS.items()))


_LOST = select(
    func.coalesce(func.sum(training_metrics.c.undetailed), 0), func.coalesce(func.sum(training_metrics.c.unknown), 0)
)


async def lost(connection: Connection) -> tuple[int, int]:
    """Of how many experiences the detail, and of how many the whole decision, is lost for good."""
    undetailed, unknown = (await connection.execute(_LOST)).one()
    return int(undetailed), int(unknown)


async def totals(connection: Connection) -> Totals:
    """The totals over all games."""
    return Totals(**(await connection.execute(_NUMBERS)).one()._asdict())


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
