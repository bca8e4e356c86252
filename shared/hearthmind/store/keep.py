"""What does not stay: outcomes that wait too long, the inbox beyond its horizon, players' words on request."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import Integer, Interval, Text, bindparam, cast, delete, func, literal_column, select, tuple_, update

from hearthmind.store.engine import Connection
from hearthmind.store.tables import inbox, outcomes, texts

_age = bindparam("age", type_=Interval())


class Expired(NamedTuple):
    """An outcome that waited for its decision for too long."""

    game: str
    npc: str
    decision: str
    sequence: int
    row: str


_key = (outcomes.c.game, outcomes.c.happened_at, outcomes.c.decision)
_too_old = (
    select(*_key)
    .where(outcomes.c.settled_at.is_(None), outcomes.c.received_at < func.now() - _age)
    .order_by(outcomes.c.received_at)
    .limit(bindparam("most", type_=Integer))
    .with_for_update(skip_locked=True)
)
_EXPIRE = (
    update(outcomes)
    .where(tuple_(*_key).in_(_too_old))
    .values(settled_at=func.now())
    .returning(
        outcomes.c.game,
        outcomes.c.npc,
        outcomes.c.decision,
        outcomes.c.sequence,
        cast(func.to_jsonb(literal_column("outcomes.*")), Text),
    )
)


async def expire(connection: Connection, age_s: float, most: int) -> list[Expired]:
    """Settles outcomes that have waited for longer, and returns them with their rows as JSON."""
    found = await connection.execute(_EXPIRE, {"age": timedelta(seconds=age_s), "most": most})
    return [Expired(*row) for row in found]


_PRUNE = delete(inbox).where(inbox.c.received_at < func.now() - _age)


async def prune_inbox(connection: Connection, age_s: float) -> int:
    """Forgets claims older than every redelivery; returns how many."""
    return (await connection.execute(_PRUNE, {"age": timedelta(seconds=age_s)})).rowcount


_ERASE = delete(texts).where(texts.c.game == bindparam("of_game", type_=Text()))


async def erase_texts(connection: Connection, game: str) -> int:
    """Erases everything that players of a game said; returns how many lines."""
    return (await connection.execute(_ERASE, {"of_game": game})).rowcount
