"""Cases like this one: of the newest experiences of a kind those whose state was most alike.

Exact, and bounded twice: by days, which leaves out partitions, and by how many are compared. An index of nearest neighbours
would cost more at each insert than all else together (docs/measurements.md), to save what is bounded already.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Double, Select, and_, cast, func, select
from sqlalchemy.dialects.postgresql import INTERVAL

from hearthmind.contracts.wire import Fact
from hearthmind.store.cases import Features
from hearthmind.store.engine import Connection
from hearthmind.store.tables import experiences

AMONG = 5_000
DAYS = 7


class Case(NamedTuple):
    """An experience that resembles a state."""

    decision: str
    npc: str
    happened_at: datetime
    action: str
    arguments: dict[str, Fact]
    success: bool
    reward: float
    long_term_reward: float | None
    distance: float
    """From 0, where the states have the same features, to 2."""


async def cases_like(
    connection: Connection,
    features: str,
    *,
    game: str,
    kind: str,
    most: int = 10,
    among: int = AMONG,
    days: int = DAYS,
) -> list[Case]:
    """The cases nearest to these features (`hearthmind.store.cases.features_of`), the most alike first."""
    asked = nearest(features, game=game, kind=kind, most=most, among=among, days=days)
    return [Case(*row) for row in await connection.execute(asked)]


def nearest(features: str, *, game: str, kind: str, most: int, among: int, days: int) -> Select[Any]:
    """The question: the newest are compared by key and features alone, and only the nearest are read whole."""
    since = func.now() - cast(timedelta(days=days), INTERVAL)
    distance = cast(experiences.c.features.op("<=>")(cast(features, Features())), Double)
    recent = (
        select(experiences.c.decision, experiences.c.happened_at, distance.label("distance"))
        .where(experiences.c.game == game, experiences.c.kind == kind, experiences.c.happened_at > since)
        .order_by(experiences.c.happened_at.desc())
        .limit(among)
        .subquery("recent")
    )
    near = (
        select(recent).where(recent.c.distance.is_not(None)).order_by(recent.c.distance).limit(most).subquery("nearest")
    )
    is_near = and_(
        experiences.c.game == game,
        experiences.c.decision == near.c.decision,
        experiences.c.happened_at == near.c.happened_at,
        experiences.c.happened_at > since,
    )
    whole = [experiences.c[name] for name in Case._fields if name != "distance"]
    return select(*whole, near.c.distance).join_from(near, experiences, is_near).order_by(near.c.distance)
