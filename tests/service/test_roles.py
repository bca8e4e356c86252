"""The database's roles on a real Postgres: each may do what the table of grants says, which is enough, and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from hearthmind.store import ingest, keep, read
from hearthmind.store.engine import create_engine, driver_url, transaction
from hearthmind.store.grants import GRANTS, READER, NotTheOwner, grant
from hearthmind.store.migrate import upgrade
from hearthmind.store.rows import DecisionRow, LetterRow, OutcomeRow, RewardRow, Tally, TextRow
from hearthmind.store.tables import metadata
from hearthmind.testing.servers import postgres_server

NOW = datetime(2031, 1, 1, tzinfo=UTC)
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
PASSWORDS = {role: f"word of {role}" for role in GRANTS}


@pytest.fixture(scope="module")
async def owner(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """The address of a migrated database, as its owner."""
    folder: Path = tmp_path_factory.mktemp("roles")
    async with postgres_server(folder) as server:
        upgrade(server.dsn)
        grant(server.dsn, PASSWORDS)
        yield server.dsn


@pytest.fixture
def connection(owner: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(owner, autocommit=True) as made:
        yield made


def as_role(owner: str, role: str) -> str:
    return driver_url(owner).set(drivername="postgresql", username=role).render_as_string(hide_password=False)


def rights_of(connection: psycopg.Connection, role: str) -> set[tuple[str, str]]:
    """Every table and right that the role has, by whatever way it came to it."""
    pairs = itertools.product((*metadata.tables, "alembic_version"), RIGHTS)
    may = "SELECT has_table_privilege(%s, %s, %s)"
    with connection.transaction():  # a new one: within an old one Postgres may remember what held before
        return {
            (table, right)
            for table, right in pairs
            if (row := connection.execute(may, (role, table, right)).fetchone()) and row[0]
        }


@pytest.mark.parametrize("role", GRANTS)
def test_a_role_may_do_what_the_table_says_and_nothing_else(connection: psycopg.Connection, role: str) -> None:
    assert rights_of(connection, role) == {(table, right) for table, rights in GRANTS[role].items() for right in rights}
    found = connection.execute(
        "SELECT rolsuper, rolcreaterole, rolcreatedb, rolbypassrls, has_schema_privilege(rolname, 'public', 'CREATE')"
        " FROM pg_roles WHERE rolname = %s",
        (role,),
    ).fetchone()
    assert found == (False,) * 5


def test_every_table_is_written_by_somebody() -> None:
    written = {table for role, tables in GRANTS.items() if role != READER for table in tables}
    assert written == set(metadata.tables), "a table without an entry in store/grants.py, or an entry without a table"


def test_nobody_else_may_come_in(connection: psycopg.Connection, owner: str) -> None:
    connection.execute("CREATE ROLE stranger LOGIN")
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(as_role(owner, "stranger"))


def test_it_can_be_done_again_and_takes_away_what_was_given_by_hand(connection: psycopg.Connection, owner: str) -> None:
    before = rights_of(connection, "reward")
    connection.execute("GRANT DELETE ON experiences TO reward; REVOKE INSERT ON inbox FROM reward")
    assert rights_of(connection, "reward") != before
    grant(owner, PASSWORDS)
    assert rights_of(connection, "reward") == before


def test_passwords_are_kept_as_hashes_and_can_be_changed(connection: psycopg.Connection, owner: str) -> None:
    kept = "SELECT rolpassword FROM pg_authid WHERE rolname = 'reward'"
    before = connection.execute(kept).fetchone()
    assert before
    assert before[0].startswith("SCRAM-SHA-256$")
    grant(owner, {**PASSWORDS, "reward": "another"})
    after = connection.execute(kept).fetchone()
    assert after
    assert after[0].startswith("SCRAM-SHA-256$")
    assert after[0] != before[0]


def test_a_role_can_not_prepare(owner: str) -> None:
    with pytest.raises(NotTheOwner, match="reward"):
        grant(as_role(owner, "reward"), PASSWORDS)


async def test_reward_can_do_all_that_it_does(owner: str) -> None:
    """Every query of the store, as the role of the service that sends it."""
    engine = create_engine(as_role(owner, "reward"))
    outcome = OutcomeRow(
        *("realm", NOW, "d1", "p1", "combat", "main", "raid", "{}", "platform", "", True, "{}", "{}", 1.0),
        observation=None,
        digest=b"1",
        sequence=1,
        trace_id=None,
    )
    async with transaction(engine) as connection:
        assert await ingest.claim(connection, [("realm", "m1")]) == {"m1"}
        await ingest.add_games(connection, ["realm"])
        await ingest.add_decisions(
            connection, [DecisionRow("realm", "d1", "p1", "combat", "main", None, action="raid", source="rules")]
        )
        await ingest.add_outcomes(connection, [outcome])
        assert await ingest.digests_of(connection, [("realm", "d1")])
        await ingest.add_texts(connection, [TextRow("realm", "d1", 0, "p1", "ann", "hello")])
        await ingest.add_letters(connection, [LetterRow("realm", "EVENT", 1, "s", "why", 1, "{}", b"")])
        assert len(await ingest.join(connection, [("realm", "d1")])) == 1
        await ingest.add_experiences(connection, [RewardRow("realm", NOW, "d1", 0.5, "{}")])
        assert await ingest.join_parked(connection, 3600, 10) == []
        await ingest.add_tallies(connection, [Tally("realm", "p1", 1, 1, 0.5, None)])
        assert await keep.expire(connection, 3600, 10) == []
        assert await keep.prune_inbox(connection, 3600) == 0
    await engine.dispose()


async def test_a_reader_can_look_at_all_and_change_nothing(owner: str) -> None:
    engine = create_engine(as_role(owner, READER))
    async with transaction(engine) as connection:
        assert (await read.totals(connection)).doubled == 0
        await read.dead_letters_of(connection)
    await engine.dispose()
    with psycopg.connect(as_role(owner, READER)) as made, pytest.raises(psycopg.errors.InsufficientPrivilege):
        made.execute("DELETE FROM experiences")
