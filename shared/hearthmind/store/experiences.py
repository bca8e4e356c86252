"""Experiences as people ask for them: those that fit, the newest, one with all that was said about it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import text

from hearthmind.store.engine import Connection
from hearthmind.store.records import lines


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which experiences; what is None fits all."""

    game: str | None = None
    decision: str | None = None
    kind: str | None = None
    npc: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    reward_min: float | None = None
    source: str | None = None
    model: str | None = None
    template: str | None = None
    success: bool | None = None

    def condition(self) -> tuple[str, dict[str, object]]:
        """As SQL about `e`, with its values."""
        given = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        terms = [_TERMS.get(name, f"e.{name} = :{name}") for name in given]
        return " AND ".join(terms) or "true", given


_TERMS = {
    "since": "e.happened_at >= :since",
    "until": "e.happened_at < :until",
    "reward_min": "e.reward >= :reward_min",
    "template": "(e.template = :template OR e.template LIKE :template || '@%')",
}
"""Those that don't ask for the same value."""


class Lived(NamedTuple):
    """An experience in one line."""

    game: str
    decision: str
    happened_at: datetime
    npc: str
    kind: str
    action: str
    source: str
    success: bool
    reward: float
    long_term_reward: float | None


class Said(NamedTuple):
    """What stands beside an experience."""

    ratings: Sequence[tuple[str, str, float]]
    """About what, by whom, how good."""
    earlier: Sequence[tuple[str, str]]
    """How it refers to which earlier decisions."""
    later: Sequence[tuple[str, str, str]]
    """How which later decisions of whom refer to it."""


async def known(connection: Connection, game: str, decisions: Iterable[str]) -> set[str]:
    """Those of the decisions that have become experiences."""
    given = {"game": game, "decisions": list(decisions)}
    return set(await connection.scalars(_KNOWN, given))


_KNOWN = text("SELECT decision FROM experiences WHERE game = :game AND decision = ANY(:decisions)")


async def count(connection: Connection, wanted: Wanted) -> int:
    """How many fit."""
    where, given = wanted.condition()
    found = await connection.scalar(text(f"SELECT count(*) FROM experiences AS e WHERE {where}"), given)  # noqa: S608
    return int(found or 0)


async def whole(connection: Connection, wanted: Wanted) -> AsyncIterator[str]:
    """Those that fit, whole, a line of JSON each."""
    where, given = wanted.condition()
    async for line in lines(connection, "experiences", where, **given):
        yield line


_NEWEST = f"""
SELECT {", ".join(Lived._fields)} FROM experiences AS e WHERE {{where}} ORDER BY happened_at DESC, decision LIMIT :most
"""  # noqa: S608


async def newest(connection: Connection, wanted: Wanted, most: int) -> list[Lived]:
    """The newest that fit, the oldest of them first. Nobody has looked back on the newest ones yet, for which there is an
    index; what is older is only looked for where that does not give as many.
    """
    where, given = wanted.condition()
    found: list[Any] = []
    for condition in (f"{where} AND e.long_term_at IS NULL", where):
        if len(found) < most:
            found = list(await connection.execute(text(_NEWEST.format(where=condition)), {**given, "most": most}))
    return [Lived(*row) for row in reversed(found)]


_RATED = text(
    "SELECT about, rater, score FROM ratings WHERE game = :game AND decision = :decision ORDER BY about, rater"
)
_EARLIER = text(
    "SELECT how, earlier FROM links WHERE game = :game AND decision = :decision ORDER BY how, earlier LIMIT 64"
)
_LATER = text(
    "SELECT how, decision, npc FROM links WHERE game = :game AND earlier = :decision ORDER BY happened_at LIMIT 64"
)


async def said_about(connection: Connection, game: str, decision: str) -> Said:
    """Ratings of it, and what it refers to and is referred to by."""
    given = {"game": game, "decision": decision}
    found = [[tuple(row) for row in await connection.execute(each, given)] for each in (_RATED, _EARLIER, _LATER)]
    return Said(*found)


_GAMES = text("SELECT game FROM games ORDER BY game")


async def games(connection: Connection) -> list[str]:
    """All games that were ever heard of."""
    return list(await connection.scalars(_GAMES))
