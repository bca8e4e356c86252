"""The database's roles on a real Postgres: each may do what the table of grants says, which is enough, and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from hearthmind.store import ingest, keep, partitions, read
from hearthmind.store.documents import bodies_of
from hearthmind.store.engine import Engine, create_engine, driver_url, transaction
from hearthmind.store.grants import GRANTS, READER, NotTheOwner, grant
from hearthmind.store.migrate import upgrade
from hearthmind.store.recall import recall
from hearthmind.store.records import lines
from hearthmind.store.rows import (
    DayTally,
    DecisionRow,
    DocumentRow,
    LetterRow,
    LinkRow,
    OutcomeRow,
    PersonaTally,
    RatingRow,
    RewardRow,
    Tally,
    TextRow,
    VariantTally,
    ViolationRow,
)
from hearthmind.store.tables import metadata
from hearthmind.testing.servers import postgres_server

NOW = datetime(2031, 1, 1, tzinfo=UTC)
RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
A_VIOLATION = ViolationRow(
    *("realm", "d1", "spam", NOW, "p1", "chat", "main", "why", "say", "{}", "", "", "model", "m", "t", 0.0, "", None),
)
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
        *(
            "realm",
            "d1",
            NOW,
            "p1",
            "combat",
            "main",
            "raid",
            "{}",
            "platform",
            "",
            True,
            "{}",
            b"key",
            1.0,
            None,
            "[]",
        ),
        *(None, None, None, None, b"1", 1, None),
    )
    async with transaction(engine) as connection:
        assert await ingest.claim(connection, [("realm", "m1")]) == {"m1"}
        await ingest.add_games(connection, ["realm"])
        await ingest.add_decisions(
            connection,
            [DecisionRow("realm", "d1", "p1", "combat", "main", None, action="raid", source="rules", tier="x")],
        )
        await ingest.add_outcomes(connection, [outcome])
        assert await ingest.digests_of(connection, [("realm", "d1")])
        await ingest.add_texts(connection, [TextRow("realm", "d1", 0, "p1", "ann", "hello")])
        await ingest.add_letters(connection, [LetterRow("realm", "EVENT", 1, "s", "why", 1, "{}", b"")])
        assert len(await ingest.join(connection, [("realm", "d1")])) == 1
        await ingest.add_experiences(connection, [RewardRow("realm", "d1", NOW, 0.5, "{}")])
        assert await ingest.join_parked(connection, 3600, 10) == []
        await ingest.add_tallies(connection, [Tally("realm", "p1", 1, 1, 1, 0, 0, 0.5, None, None, None)])
        await ingest.add_personas(connection, [PersonaTally("realm", "miser@1", 2, 1, 0.5, 0.25)])
        await ingest.add_variants(connection, [VariantTally("realm", "e", "b", 2, 1, 0.5, 0.25, 9, 3, 0.1, 20.0)])
        await ingest.add_days(connection, [DayTally("realm", NOW.date(), 3, 2, 1, 0.5, 1, 1, 1, 0, 9, 3, 0.1)])
        await ingest.add_documents(connection, [DocumentRow("realm", b"key", "body")])
        await ingest.add_links(connection, [LinkRow("realm", "d0", "d1", "answers", "p1", NOW)])
        await ingest.add_ratings(connection, [RatingRow("realm", "d1", "reply", "ann", "p1", 1.0, NOW)])
        await ingest.add_violations(connection, [A_VIOLATION])
        assert (await recall(connection, "realm", ["p1"], 5))[0].lived
        assert await bodies_of(connection, "realm", [b"key"])
        assert await keep.prune_inbox(connection, 3600) == 0
        assert await keep.prune_halves(connection, 3600) == 0
    await see_to_partitions(engine)
    await engine.dispose()


async def see_to_partitions(engine: Engine) -> None:
    async with transaction(engine) as connection:
        assert await partitions.make_ahead(connection, "experiences", NOW.date(), 2) == 4
    found: list[str] = []
    for part in await parts_of(engine):
        async with transaction(engine) as connection:
            await partitions.detach(connection, part)
            found += [line async for line in lines(connection, f"experiences_{part.day:%Y%m%d}")]
            await partitions.drop_detached(connection, part)
    assert await parts_of(engine) == []
    assert len(found) == 1, "what was there before its partition was made has moved into it"


async def parts_of(engine: Engine) -> list[partitions.Part]:
    async with transaction(engine) as connection:
        return await partitions.parts(connection)


async def test_a_reader_can_look_at_all_and_change_nothing(owner: str) -> None:
    engine = create_engine(as_role(owner, READER))
    async with transaction(engine) as connection:
        assert (await read.totals(connection)).doubled == 0
        await read.dead_letters_of(connection)
    await engine.dispose()
    with psycopg.connect(as_role(owner, READER)) as made, pytest.raises(psycopg.errors.InsufficientPrivilege):
        made.execute("DELETE FROM experiences")
