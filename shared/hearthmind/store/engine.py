"""Connections to Postgres, and what its errors mean to us."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.errors import CheckViolation
from psycopg.types.array import ListBinaryDumper
from sqlalchemy import URL, event, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from hearthmind.errors import CannotStart, HearthmindError, Malformed, Unavailable

Engine = AsyncEngine
Connection = AsyncConnection

_SESSION = "-c statement_timeout=30s -c lock_timeout=10s -c idle_in_transaction_session_timeout=60s"
_CONNECT = {"connect_timeout": 5, "keepalives_idle": 10, "tcp_user_timeout": 10_000, "options": _SESSION}

_MESSAGES_FAULT = ("22", "54")
"""SQLSTATE classes of what no database could store: impossible values, and more than there is room for."""

_OUR_FAULT = "23"
"""The class of violated constraints: a bug, to be seen."""


class NoAddress(CannotStart):
    """The database's address can't be read; it looks like postgresql://user:password@host:5432/hearthmind. Set DATABASE_URL."""


class BadAddress(CannotStart):
    """DATABASE_URL has something in it that Postgres does not know: {why}."""


def driver_url(url: str) -> URL:
    """The address with our driver, however it was written. Where it can't be one, not a word of it is said: it may be secret."""
    try:
        read = make_url(url)
    except (ArgumentError, ValueError):
        raise NoAddress from None
    if read.get_backend_name() not in {"postgresql", "postgres"}:
        raise NoAddress
    try:
        make_conninfo(**dict.fromkeys(read.query, ""))
    except psycopg.ProgrammingError as error:
        raise BadAddress(why=str(error).strip()) from None
    return read.set(drivername="postgresql+psycopg")


def create_engine(url: str, connections_max: int = 4) -> Engine:
    """An engine; it connects when it is first used.

    Statements are not prepared: a plan made while the tables were empty would be kept while they grow.
    """
    engine = create_async_engine(
        driver_url(url),
        pool_size=connections_max,
        max_overflow=0,
        pool_timeout=10,
        connect_args={**_CONNECT, "prepare_threshold": None},
        json_serializer=lambda value: msgspec.json.encode(value).decode(),
        json_deserializer=msgspec.json.decode,
    )
    event.listen(engine.sync_engine, "connect", _send_arrays_as_bytes)
    return engine


def _send_arrays_as_bytes(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    """Otherwise psycopg escapes each quote in an array of JSON by itself, which takes most of the time there is."""
    driver = connection.driver_connection
    assert isinstance(driver, psycopg.AsyncConnection)
    driver.adapters.register_dumper(list, ListBinaryDumper)


@asynccontextmanager
async def transaction(engine: Engine) -> AsyncIterator[Connection]:
    """One transaction, committed at the end; raises `Unavailable` where trying again later may help."""
    try:
        async with engine.begin() as connection:
            yield connection
    except PoolTimeout as error:
        raise Unavailable(what="Postgres", why="all connections are in use") from error
    except (DBAPIError, psycopg.Error) as error:
        meant = meaning_of(error)
        if meant is None:
            raise
        raise meant from error


def meaning_of(error: DBAPIError | psycopg.Error) -> HearthmindError | None:
    """Of the database's errors only a few are about what was to be stored; the others are about its own state.

    A missing table or a full disk is such a state: the message waits until somebody has mended it. COPY speaks with the
    driver itself, whose errors SQLAlchemy does not wrap.
    """
    said = error.orig if isinstance(error, DBAPIError) else error
    sqlstate = getattr(said, "sqlstate", None) or ""
    why = str(said).partition("\n")[0]
    if sqlstate.startswith(_MESSAGES_FAULT) or isinstance(said, psycopg.DataError):
        return Malformed(message="message", why=f"Postgres can't store it ({why})")
    if isinstance(said, CheckViolation) and not said.diag.constraint_name:
        return Unavailable(
            what="Postgres", why="a partition was made meanwhile"
        )  # for a row on its way to where it was before
    if sqlstate.startswith(_OUR_FAULT):
        return None
    if sqlstate or isinstance(said, psycopg.OperationalError | psycopg.InterfaceError):
        return Unavailable(what="Postgres", why=why or type(said).__name__)
    return None
