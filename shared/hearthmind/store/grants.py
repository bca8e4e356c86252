"""The database's roles and what each may do, as one table; the migrating job makes them so, and nothing beyond it.

A service that is not here has no business with Postgres and no role. A new table is nobody's until it stands here; a test
notices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import psycopg
from psycopg import sql

from hearthmind.errors import CannotStart, Unavailable
from hearthmind.store import partitions
from hearthmind.store.engine import driver_url
from hearthmind.store.tables import metadata
from hearthmind.store.violations import audit, violations

Right = Literal["SELECT", "INSERT", "UPDATE", "DELETE"]
Statement = sql.SQL | sql.Composed

READER = "reader"
"""For people who look: `hearthmind doctor`, a dashboard."""

GRANTS: Mapping[str, Mapping[str, tuple[Right, ...]]] = {
    "reward": {
        "games": ("SELECT", "INSERT"),
        "npcs": ("SELECT", "INSERT", "UPDATE"),
        "personas": ("SELECT", "INSERT", "UPDATE"),
        "variants": ("SELECT", "INSERT", "UPDATE"),
        "training_metrics": ("SELECT", "INSERT", "UPDATE"),
        "decisions": ("SELECT", "INSERT", "UPDATE", "DELETE"),
        "outcomes": ("SELECT", "INSERT", "UPDATE", "DELETE"),
        "experiences": ("SELECT", "INSERT", "UPDATE"),
        "links": ("SELECT", "INSERT", "DELETE"),
        "documents": ("SELECT", "INSERT"),
        "ratings": ("SELECT", "INSERT", "UPDATE"),
        "texts": ("INSERT",),
        "inbox": ("SELECT", "INSERT", "DELETE"),
        "dead_letters": ("INSERT",),
        violations.name: ("SELECT", "INSERT"),
        audit.name: ("INSERT",),
    },
    READER: dict.fromkeys(metadata.tables, ("SELECT",)),
}
"""What a role may do with a table; with one that it does not name, nothing."""

INGESTS = ("reward",)
"""Whose rows come by way of temporary tables, and who looks after partitions."""


class NotTheOwner(CannotStart):
    """The user {user} may not make the database's roles: {why}. The job that prepares needs the database's owner, or a role
    that may create roles.
    """


def grant(url: str, passwords: Mapping[str, str]) -> None:
    """Makes every role with its password and exactly the rights of the table; can be run again at any time."""
    address = driver_url(url).set(drivername="postgresql")
    try:
        with psycopg.connect(address.render_as_string(hide_password=False), connect_timeout=5) as connection:
            for statement in _closed_to_all(connection):
                connection.execute(statement)
            for role, tables in GRANTS.items():
                _make_role(connection, role, passwords[role])
                for statement in _rights(connection, role, tables):
                    connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege as error:
        raise NotTheOwner(user=address.username, why=str(error).partition("\n")[0]) from error
    except psycopg.OperationalError as error:
        raise Unavailable(what="Postgres", why=str(error).partition("\n")[0]) from error


def _closed_to_all(connection: psycopg.Connection) -> Iterator[Statement]:
    """Otherwise every role may connect, and look into the schema."""
    yield sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(_database(connection))
    yield sql.SQL("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    for function in partitions.FUNCTIONS:
        yield sql.SQL("REVOKE ALL ON FUNCTION {} FROM PUBLIC").format(sql.Identifier(function))


def _make_role(connection: psycopg.Connection, role: str, password: str) -> None:
    """The server learns only the password's hash, which then stands in no log of statements."""
    hashed = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    verb = sql.SQL("ALTER" if known else "CREATE")
    connection.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, sql.Identifier(role), sql.Literal(hashed)))


def _rights(connection: psycopg.Connection, role: str, tables: Mapping[str, tuple[Right, ...]]) -> Iterator[Statement]:
    to = sql.Identifier(role)
    yield sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(_database(connection), to)
    yield sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(to)
    yield sql.SQL("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}").format(to)
    for table, rights in tables.items():
        words = sql.SQL(", ").join(map(sql.SQL, rights))
        yield sql.SQL("GRANT {} ON {} TO {}").format(words, sql.Identifier(table), to)
    if role in INGESTS:
        yield sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(_database(connection), to)
        for function in partitions.CALLED:
            yield sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(sql.Identifier(function), to)


def _database(connection: psycopg.Connection) -> sql.Identifier:
    return sql.Identifier(connection.info.dbname)
