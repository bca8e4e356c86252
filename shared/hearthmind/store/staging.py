"""Many rows at once, by binary COPY: straight into their table where all of them are new, or into a temporary table of the
connection, from where one statement merges them.

Rows are named tuples whose fields are the table's columns. JSON and features are text there. A temporary table is empty again
when its transaction ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from struct import Struct
from typing import Any

import msgspec
import psycopg
from psycopg import sql
from psycopg.adapt import Dumper
from psycopg.errors import UniqueViolation
from psycopg.pq import Format
from sqlalchemy import Select, Table, column, select, table
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import Insert, insert

from hearthmind.store.cases import DIMENSIONS
from hearthmind.store.engine import Connection

MANY = 64
"""Fewer rows than these are merged: a COPY with its savepoint costs four exchanges with the server."""


class _Json(Dumper):
    """JSON as text, in the form in which COPY takes it."""

    format = Format.BINARY
    oid = 3802

    def dump(self, obj: str) -> bytes:
        return b"\x01" + obj.encode()


class _Features(Dumper):
    """Features as text, likewise. The number of their type differs by database; COPY never sends it."""

    format = Format.BINARY
    oid = 0xFFFF_FFFE

    def dump(self, obj: str) -> bytes:
        return _packed(obj)


_HALVES = Struct(f">hh{DIMENSIONS}e")


@lru_cache(maxsize=8_192)  # those of a batch: they are written twice, with the decision and with its experience
def _packed(features: str) -> bytes:
    return _HALVES.pack(DIMENSIONS, 0, *msgspec.json.decode(features))


_OWN: dict[str, int | str] = {
    f"halfvec({DIMENSIONS})": _Features.oid,
    "timestamp with time zone": "timestamptz",
    "double precision": "float8",
}


class Staging:
    """The ways of rows into a table."""

    def __init__(self, target: Table, names: Sequence[str], name: str = "") -> None:
        self._target = target
        self._names = tuple(names)
        kinds = [target.c[each].type for each in names]
        self.given = table(
            name or f"given_{target.name}", *(column(each, kind) for each, kind in zip(names, kinds, strict=True))
        )
        """The rows that wait to be merged, to select from."""
        words = [str(kind.compile(dialect=postgresql.dialect())) for kind in kinds]  # type: ignore[no-untyped-call]
        self._types = [_OWN.get(word.lower(), word.lower()) for word in words]
        here, columns = sql.Identifier(self.given.name), sql.SQL(", ").join(map(sql.Identifier, names))
        typed = sql.SQL(", ").join(
            sql.SQL("{} {}").format(sql.Identifier(each), sql.SQL(word))
            for each, word in zip(names, words, strict=True)
        )
        copy = "COPY {} ({}) FROM STDIN (FORMAT BINARY)"
        self._create = sql.SQL("CREATE TEMP TABLE IF NOT EXISTS {} ({}) ON COMMIT DELETE ROWS").format(here, typed)
        self._clear = sql.SQL("DELETE FROM {}").format(here)
        self._copy_here = sql.SQL(copy).format(here, columns)
        self._copy_there = sql.SQL(copy).format(sql.Identifier(target.name), columns)

    def rows(self) -> Select[Any]:
        """What is merged."""
        return select(*(self.given.c[name] for name in self._names))

    def insert(self) -> Insert:
        """Merges them into their table."""
        return insert(self._target).from_select(list(self._names), self.rows())

    async def fill(self, connection: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
        """Puts rows where they wait to be merged, instead of what the transaction put there before."""
        driver = await _driver(connection)
        async with driver.cursor() as cursor:
            await cursor.execute(self._create)
            await cursor.execute(self._clear)
            await self._copy(cursor, self._copy_here, rows)

    async def add(self, connection: Connection, rows: Iterable[tuple[Any, ...]]) -> None:
        """Puts rows into their table."""
        async with (await _driver(connection)).cursor() as cursor:
            await self._copy(cursor, self._copy_there, rows)

    async def add_all_new(self, connection: Connection, rows: Iterable[tuple[Any, ...]]) -> bool:
        """The same; False where the key of one of them is taken, and then none of them is there."""
        try:
            async with connection.begin_nested():
                await self.add(connection, rows)
        except UniqueViolation:
            return False
        return True

    async def _copy(
        self, cursor: psycopg.AsyncCursor[Any], into: sql.Composed, rows: Iterable[tuple[Any, ...]]
    ) -> None:
        for dumper in (_Json, _Features):
            cursor.adapters.register_dumper(None, dumper)
        async with cursor.copy(into) as copy:
            copy.set_types(self._types)
            for row in rows:
                await copy.write_row(row)


async def _driver(connection: Connection) -> psycopg.AsyncConnection[Any]:
    driver = (await connection.get_raw_connection()).driver_connection
    assert isinstance(driver, psycopg.AsyncConnection)
    return driver
