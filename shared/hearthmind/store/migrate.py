"""Brings the schema to its newest version, or back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError

from hearthmind.errors import CannotStart, CannotStartYet, Unavailable
from hearthmind.store import violations as _violations  # noqa: F401 (its tables belong to the schema)
from hearthmind.store.engine import driver_url

SCRIPTS = Path(__file__).resolve().parents[3] / "migrations"

LOCK_TIMEOUT_S = 5
"""How long a migration waits for a table in use: while it waits, everybody else waits behind it."""

_ONE_AT_A_TIME = 0x4EA47
"""The advisory lock of migrations."""


_NO_EXTENSION = ("0A000", "58P01", "42501")
"""Not available, no file for it, not allowed."""


class SchemaInUse(CannotStartYet):
    """The schema could not be changed within {lock_timeout_s:g} s, since something holds a lock: {why}. Nothing was
    changed; stop long transactions, or try again at a quieter time.
    """


class NoVectors(CannotStart):
    """Postgres has no extension `vector` that this user may add ({why}). Install pgvector beside the server (the package
    postgresql-18-pgvector, or an image that has it, such as the one in compose.yaml); where only a superuser may add it, let one
    run CREATE EXTENSION vector in this database. Then try again.
    """


def upgrade(url: str, revision: str = "head", scripts: Path = SCRIPTS, lock_timeout_s: float = LOCK_TIMEOUT_S) -> None:
    """Migrates to a version; all of it or nothing. Two at once wait for each other."""
    with _migrating(url, lock_timeout_s) as connection:
        command.upgrade(config(connection, scripts), revision)


def downgrade(url: str, revision: str = "base", scripts: Path = SCRIPTS) -> None:
    """Migrates back to a version."""
    with _migrating(url, LOCK_TIMEOUT_S) as connection:
        command.downgrade(config(connection, scripts), revision)


def config(connection: Connection, scripts: Path = SCRIPTS) -> Config:
    """Alembic's configuration, in code."""
    made = Config()
    made.set_main_option("script_location", str(scripts))
    made.set_main_option("path_separator", "os")
    made.attributes["connection"] = connection
    return made


@contextmanager
def _migrating(url: str, lock_timeout_s: float) -> Iterator[Connection]:
    engine = create_engine(driver_url(url), connect_args={"connect_timeout": 5})
    try:
        with engine.begin() as connection:
            connection.execute(text(f"SET LOCAL lock_timeout = {int(lock_timeout_s * 1000)}"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})"))
            yield connection
    except (DBAPIError, psycopg.Error) as error:
        said = error.orig if isinstance(error, DBAPIError) else error
        why, sqlstate = str(said).partition("\n")[0], getattr(said, "sqlstate", None)
        if sqlstate == "55P03":
            raise SchemaInUse(lock_timeout_s=lock_timeout_s, why=why) from error
        if sqlstate in _NO_EXTENSION and "extension" in why:
            raise NoVectors(why=why) from error
        if isinstance(said, psycopg.OperationalError):
            raise Unavailable(what="Postgres", why=why) from error
        raise
    finally:
        engine.dispose()
