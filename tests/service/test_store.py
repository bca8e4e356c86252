"""The store on a real Postgres: the schema and its migrations, what errors mean, and what each query promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine as create_sync_engine
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from hearthmind.errors import Malformed, Unavailable
from hearthmind.store import ingest, keep, read
from hearthmind.store.documents import bodies_of, key_of
from hearthmind.store.engine import Connection, Engine, create_engine, driver_url, transaction
from hearthmind.store.migrate import NoVectors, SchemaInUse, downgrade, upgrade
from hearthmind.store.partitions import PARTITIONED
from hearthmind.store.rows import (
    DayTally,
    DecisionRow,
    DocumentRow,
    LetterRow,
    OutcomeRow,
    PersonaTally,
    RatingRow,
    RewardRow,
    Tally,
    TextRow,
    VariantTally,
)
from hearthmind.store.tables import metadata
from hearthmind.testing.servers import postgres_server

NOW = datetime(2031, 1, 1, tzinfo=UTC)

SCHEMA = {
    "columns": "SELECT table_name, column_name, ordinal_position, data_type, is_nullable, column_default FROM"
    " information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'",
    "indexes": "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'alembic_version'",
    "constraints": "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'",
    "functions": "SELECT proname, prosrc, prosecdef, proconfig FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    " AND prolang <> (SELECT oid FROM pg_language WHERE lanname = 'c')",
    "partitions": "SELECT relname, pg_get_expr(relpartbound, oid), pg_get_partkeydef(oid) FROM pg_class"
    " WHERE relnamespace = 'public'::regnamespace AND (relispartition OR relkind = 'p') AND relkind IN ('r', 'p')",
    "comments": "SELECT c.relname, d.objsubid, d.description FROM pg_description d JOIN pg_class c ON c.oid = d.objoid"
    " WHERE c.relnamespace = 'public'::regnamespace",
}


@pytest.fixture(scope="module")
async def server_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    folder: Path = tmp_path_factory.mktemp("store")
    async with postgres_server(folder) as server:
        yield server.dsn


def database(server_url: str, name: str) -> str:
    """The URL of a new, empty database."""
    engine = create_sync_engine(driver_url(server_url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return driver_url(server_url).set(database=name).render_as_string(hide_password=False)


@pytest.fixture
async def engine(server_url: str) -> AsyncIterator[Engine]:
    url = database(server_url, "queries")
    upgrade(url)
    made = create_engine(url)
    yield made
    await made.dispose()


def schema_of(url: str) -> dict[str, list[tuple[object, ...]]]:
    engine = create_sync_engine(driver_url(url))
    with engine.connect() as connection:
        found = {what: sorted(map(tuple, connection.execute(text(sql)))) for what, sql in SCHEMA.items()}
    engine.dispose()
    return found


# ---- the schema -------------------------------------------------------------------------------------------------------


def test_the_fresh_schema_equals_the_migrated_one(server_url: str) -> None:
    migrated, fresh = database(server_url, "migrated"), database(server_url, "fresh")
    upgrade(migrated)
    engine = create_sync_engine(driver_url(fresh))
    metadata.create_all(engine)
    engine.dispose()
    engine = create_sync_engine(driver_url(migrated))
    with engine.connect() as connection:
        opts = {"compare_type": True, "compare_server_default": True, "include_name": is_ours}
        context = MigrationContext.configure(connection, opts=opts)
        assert compare_metadata(context, metadata) == []
    engine.dispose()
    assert schema_of(migrated) == schema_of(fresh)
    rests = {f"{table}_rest" for table in PARTITIONED}
    assert {table for table, *_ in schema_of(fresh)["columns"]} == set(metadata.tables) | rests


def is_ours(name: str | None, kind: str, _: object) -> bool:
    """A partition is part of its table."""
    return kind != "table" or not str(name).endswith("_rest")


def test_every_key_has_the_game_in_it() -> None:
    assert {name for name, table in metadata.tables.items() if "game" not in table.primary_key.columns} == set()


def test_up_and_down_and_up_again(server_url: str) -> None:
    url = database(server_url, "ups_and_downs")
    upgrade(url)
    there = schema_of(url)
    upgrade(url)
    downgrade(url)
    assert schema_of(url)["columns"] == []
    upgrade(url, "0001")
    first = schema_of(url)
    upgrade(url)
    assert schema_of(url) == there
    downgrade(url, "0001")
    assert schema_of(url) == first


def test_a_migration_gives_up_where_a_table_is_in_use_and_changes_nothing(server_url: str) -> None:
    url = database(server_url, "in_use")
    engine = create_sync_engine(driver_url(url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)"))
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(SchemaInUse, match="stop long transactions"):
            upgrade(url, lock_timeout_s=0.1)
    assert schema_of(url)["columns"] == []
    engine.dispose()


def test_without_the_right_to_add_the_extension_a_migration_says_what_to_do(server_url: str) -> None:
    url = database(server_url, "no_vectors")
    engine = create_sync_engine(driver_url(url))
    with engine.begin() as connection:
        connection.execute(text("DROP ROLE IF EXISTS builder"))
        connection.execute(text("CREATE ROLE builder LOGIN"))
        connection.execute(text("GRANT CREATE ON SCHEMA public TO builder"))
    engine.dispose()
    as_builder = driver_url(url).set(username="builder").render_as_string(hide_password=False)
    with pytest.raises(NoVectors, match="CREATE EXTENSION vector"):
        upgrade(as_builder)
    assert schema_of(url)["columns"] == []


def test_without_a_database_a_migration_says_so() -> None:
    with pytest.raises(Unavailable, match="Postgres is not available"):
        upgrade("postgresql://nobody@127.0.0.1:1/nothing")


# ---- what errors mean -------------------------------------------------------------------------------------------------


async def fail(engine: Engine, sql: str) -> None:
    async with transaction(engine) as connection:
        await connection.execute(text(sql))


@pytest.mark.parametrize(
    ("sql", "meaning"),
    [
        ("SELECT CAST('[1e200000]' AS jsonb)", Malformed),
        ("SELECT CAST('[' AS jsonb)", Malformed),
        ("SELECT CAST(repeat('[', 100000) AS jsonb)", Malformed),
        ("SELECT 2147483647 + 1", Malformed),
        ("SELECT * FROM not_migrated_yet", Unavailable),
        ("SELECT pg_terminate_backend(pg_backend_pid())", Unavailable),
        ("SET LOCAL statement_timeout = 1; SELECT pg_sleep(10)", Unavailable),
        ("INSERT INTO games (game) VALUES ('a'), ('a')", IntegrityError),
    ],
)
async def test_only_few_errors_are_the_messages_own_fault(engine: Engine, sql: str, meaning: type[Exception]) -> None:
    with pytest.raises(meaning):
        await fail(engine, sql)


async def test_a_text_with_nul_is_the_messages_own_fault(engine: Engine) -> None:
    with pytest.raises(Malformed):
        async with transaction(engine) as connection:
            await ingest.add_games(connection, ["a\0b"])


async def test_a_database_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await fail(create_engine("postgresql://nobody@127.0.0.1:1/nothing"), "SELECT 1")


# ---- queries ----------------------------------------------------------------------------------------------------------


def decision_row(
    decision: str = "d1", npc: str = "p1", action: str | None = None, tier: str | None = None
) -> DecisionRow:
    """A half of one; with both, it is whole."""
    return DecisionRow("realm", decision, npc, "combat", "main", None, action=action, tier=tier, source="rules")


def whole(decision: str = "d1") -> DecisionRow:
    return decision_row(decision, action="raid", tier="critical")


def outcome_row(decision: str = "d1", npc: str = "p1", by: str = "platform", at: datetime = NOW) -> OutcomeRow:
    return OutcomeRow(
        game="realm",
        decision=decision,
        happened_at=at,
        npc=npc,
        kind="combat",
        episode="main",
        action="raid",
        arguments='{"village": 3}',
        executed_by=by,
        why="",
        success=True,
        facts='{"victory": true}',
        state_after=b"key of the state after",
        game_time=2.5,
        opponent=None,
        answers="[]",
        observation=None,
        state=None,
        legal_actions=None,
        features=None,
        digest=b"\0\xff",
        sequence=4,
        trace_id=None,
    )


def reward(decision: str = "d1", at: datetime = NOW) -> RewardRow:
    return RewardRow("realm", decision, at, 0.5, '{"victory": 0.5}')


async def test_a_message_is_claimed_once_whoever_asks(engine: Engine) -> None:
    async with transaction(engine) as first:
        assert await ingest.claim(first, [("realm", "a"), ("realm", "b"), ("realm", "a")]) == {"a", "b"}
        second = asyncio.create_task(claim_alone(engine, ["b", "c"]))
        await until_someone_waits_for_a_lock(first)
    assert await second == {"c"}


async def claim_alone(engine: Engine, ids: list[str], and_then: str = "SELECT 1") -> set[str]:
    async with transaction(engine) as connection:
        claimed = await ingest.claim(connection, [("realm", each) for each in ids])
        await connection.execute(text(and_then))
        return claimed


async def until_someone_waits_for_a_lock(connection: Connection) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with asyncio.timeout(10):
        while True:
            if await connection.scalar(waiting):
                return
            await asyncio.sleep(0.01)


async def test_a_claim_is_undone_with_its_transaction(engine: Engine) -> None:
    with pytest.raises(Malformed):
        await claim_alone(engine, ["a"], and_then="SELECT 1 / 0")
    assert await claim_alone(engine, ["a"]) == {"a"}


@pytest.mark.parametrize("order", [1, -1])
async def test_halves_of_a_decision_come_in_any_order(engine: Engine, order: int) -> None:
    for half in [decision_row(action="raid"), decision_row(tier="critical")][::order]:
        async with transaction(engine) as connection:
            assert (await ingest.add_decisions(connection, [half])).all == {("realm", "d1")}
    async with transaction(engine) as connection:
        row = (await connection.execute(text("SELECT action, tier, npc FROM decisions"))).one()
    assert tuple(row) == ("raid", "critical", "p1")


async def test_a_decision_of_another_npc_is_left_alone(engine: Engine) -> None:
    async with transaction(engine) as connection:
        await ingest.add_decisions(connection, [decision_row(action="raid")])
        rows = [decision_row(npc="p2", action="wait"), decision_row("d2")]
        assert (await ingest.add_decisions(connection, rows)).all == {("realm", "d2")}
        assert await connection.scalar(text("SELECT action FROM decisions WHERE decision = 'd1'")) == "raid"


async def test_an_outcome_becomes_an_experience_when_its_decision_is_whole(engine: Engine) -> None:
    key = [("realm", "d1")]
    async with transaction(engine) as connection:
        await ingest.add_outcomes(connection, [outcome_row()])
        await ingest.add_decisions(
            connection, [decision_row(tier="critical")._replace(tokens_in=7, features=str([1] * 64))]
        )
        assert await ingest.join(connection, key) == []
        await ingest.add_decisions(
            connection, [decision_row(action="raid")._replace(stages_ms='{"bus": 1, "decide": 2.5}')]
        )
        (joined,) = await ingest.join(connection, key)
        assert joined[:6] == ("realm", "d1", NOW, "p1", "combat", {"victory": True})
        assert (joined.source, joined.tier, joined.tokens_in, joined.latency_ms) == ("rules", "critical", 7, 3.5)
        await ingest.add_experiences(connection, [reward()])
        assert await ingest.join(connection, key) == []
        found = (await connection.execute(text("SELECT * FROM experiences"))).one()
    assert (found.source, found.reward, found.reward_parts, found.arguments) == (
        "rules",
        0.5,
        {"victory": 0.5},
        {"village": 3},
    )
    assert (found.tokens_in, found.latency_ms, found.facts) == (7, 3.5, {"victory": True})
    assert (bytes(found.state_after), found.features) == (b"key of the state after", "[" + ",".join("1" * 64) + "]")


async def test_an_outcome_does_not_wait_for_ever_for_the_detail(engine: Engine) -> None:
    key = [("realm", "d1")]
    async with transaction(engine) as connection:
        await ingest.add_outcomes(connection, [outcome_row()])
        await ingest.add_decisions(connection, [decision_row(action="raid")])
        assert await ingest.join(connection, key) == await ingest.join_parked(connection, 3600, 10) == []
        await age_outcomes(connection, f"{ingest.DETAIL_WAIT_S + 1} seconds")
        assert len(await ingest.join(connection, key)) == len(await ingest.join_parked(connection, 3600, 10)) == 1


async def test_an_outcome_whose_decision_was_lost_becomes_an_experience_in_the_end(engine: Engine) -> None:
    async with transaction(engine) as connection:
        await ingest.add_outcomes(connection, [outcome_row()])
        assert await ingest.join_parked(connection, 3600, 10) == []
        (joined,) = await ingest.join_parked(connection, -1, 10)
        assert (joined.source, joined.tier) == (None, None)
        await ingest.add_experiences(connection, [reward()])
        assert await connection.scalar(text("SELECT source FROM experiences")) == "unknown"
        assert await ingest.join_parked(connection, -1, 10) == []


async def test_what_the_client_executed_itself_needs_no_decision(engine: Engine) -> None:
    async with transaction(engine) as connection:
        await ingest.add_outcomes(connection, [outcome_row(by="client")])
        assert len(await ingest.join(connection, [("realm", "d1")])) == 1
        await ingest.add_experiences(connection, [reward()])
        assert await connection.scalar(text("SELECT source FROM experiences")) == "client"


async def test_outcomes_in_other_hands_are_skipped_and_left_ones_found(engine: Engine) -> None:
    async with transaction(engine) as connection:
        await ingest.add_outcomes(connection, [outcome_row(), outcome_row("d2", by="client")])
        await ingest.add_decisions(connection, [whole()])
    async with transaction(engine) as mine:
        assert len(await ingest.join(mine, [("realm", "d1")])) == 1
        async with transaction(engine) as theirs:
            assert [each.decision for each in await ingest.join_parked(theirs, 3600, 10)] == ["d2"]
    async with transaction(engine) as connection:
        assert len(await ingest.join_parked(connection, 3600, 1)) == 1


async def test_halves_stored_at_the_same_time_are_found_by_the_sweep(engine: Engine) -> None:
    key = [("realm", "d1")]
    async with transaction(engine) as one, transaction(engine) as other:
        await ingest.add_outcomes(one, [outcome_row()])
        await ingest.add_decisions(other, [whole()])
        assert await ingest.join(one, key) == await ingest.join(other, key) == []
    async with transaction(engine) as connection:
        assert len(await ingest.join_parked(connection, 3600, 10)) == 1


@pytest.mark.parametrize(("age", "found"), [("1 minute", 1), ("30 minutes", 0), ("61 minutes", 1)])
async def test_the_sweep_looks_at_the_young_and_at_those_that_waited_long_enough(
    engine: Engine, age: str, found: int
) -> None:
    async with transaction(engine) as connection:
        await ingest.add_outcomes(connection, [outcome_row()])
        await ingest.add_decisions(connection, [whole()])
        await age_outcomes(connection, age)
        assert len(await ingest.join_parked(connection, 3600, 10)) == found


async def age_outcomes(connection: Connection, age: str) -> None:
    await connection.execute(text(f"UPDATE outcomes SET received_at = now() - interval '{age}'"))


async def test_a_batch_is_merged_and_nothing_of_it_is_left_for_the_next(engine: Engine) -> None:
    for numbers in (range(3), range(2, 5)):
        async with transaction(engine) as connection:
            rows = [whole(f"d{number}") for number in numbers]
            assert len((await ingest.add_decisions(connection, rows)).all) == 3
            assert len((await ingest.add_decisions(connection, rows[:1])).all) == 1
    async with transaction(engine) as connection:
        assert await connection.scalar(text("SELECT count(*) FROM decisions")) == 5


async def test_a_big_text_is_kept_once_a_day_and_game(engine: Engine) -> None:
    day_s = 24 * 3600
    said = [("realm", 0), ("realm", 1), ("realm", day_s), ("other", 0)]
    rows = [DocumentRow(game, key_of("a long story", NOW.timestamp() + later), "a long story") for game, later in said]
    async with transaction(engine) as connection:
        await ingest.add_documents(connection, rows)
        await ingest.add_documents(connection, rows)
        assert await connection.scalar(text("SELECT count(*) FROM documents")) == 3
        assert await bodies_of(connection, "realm", [rows[0].key, None, b"gone"]) == {rows[0].key: "a long story"}


async def test_the_last_word_of_a_rater_counts_in_whatever_order_it_comes(engine: Engine) -> None:
    def rating(score: float, rater: str = "ann", minute: int = 0) -> RatingRow:
        return RatingRow("realm", "d1", "reply", rater, "p1", score, NOW + timedelta(minutes=minute))

    async with transaction(engine) as connection:
        await ingest.add_ratings(connection, [rating(0.5, minute=1), rating(-1.0), rating(0.25, "bob")])
        await ingest.add_ratings(connection, [rating(0.0), rating(1.0, minute=2)])
        rows = (await connection.execute(text("SELECT rater, score FROM ratings ORDER BY rater"))).all()
    assert [tuple(row) for row in rows] == [("ann", 1.0), ("bob", 0.25)]


async def test_counters_add_up(engine: Engine) -> None:
    async with transaction(engine) as connection:
        await ingest.add_tallies(connection, [Tally("realm", "p1", 2, 1, 1, 1, 0, 0.5, 7, 2, None)])
        await ingest.add_tallies(
            connection,
            [
                Tally("realm", "p1", 1, 1, 0, 0, 1, -0.25, None, 3, 90),
                Tally("realm", "p2", 1, 0, 0, 0, 0, 0.0, 3, None, None),
            ],
        )
        rows = (await connection.execute(text("SELECT * FROM npcs ORDER BY npc"))).all()
        for _ in range(2):
            await ingest.add_personas(connection, [PersonaTally("realm", "miser@1", 2, 1, 0.5, 0.25)])
            await ingest.add_variants(connection, [VariantTally("realm", "e", "b", 2, 1, 0.5, 0.25, 9, 3, 0.1, 20.0)])
            await ingest.add_days(connection, [DayTally("realm", NOW.date(), 3, 2, 1, 0.5, 1, 1, 1, 0, 9, 3, 0.1)])
        others = [
            (await connection.execute(text(f"SELECT * FROM {table}"))).one()
            for table in ("personas", "variants", "training_metrics")
        ]
    assert [tuple(row) for row in rows] == [
        ("realm", "p1", 3, 2, 1, 1, 1, 0.25, 7, 3, 90),
        ("realm", "p2", 1, 0, 0, 0, 0, 0.0, 3, None, None),
    ]
    assert tuple(others[0]) == ("realm", "miser@1", 4, 2, 1.0, 0.5)
    assert tuple(others[1]) == ("realm", "e", "b", 4, 2, 1.0, 0.5, 18, 6, 0.2, 40.0)
    assert tuple(others[2])[:13] == ("realm", NOW.date(), 6, 4, 2, 1.0, 2, 2, 2, 0, 18, 6, 0.2)


async def test_what_waits_no_more_is_cleared(engine: Engine) -> None:
    async with transaction(engine) as connection:
        await ingest.add_outcomes(connection, [outcome_row(), outcome_row("d2")])
        await ingest.add_decisions(connection, [whole()])
        await ingest.add_experiences(connection, [reward()])
        assert await keep.prune_halves(connection, 3600) == 0
        assert await keep.prune_halves(connection, -1) == 1
        assert list(await connection.scalars(text("SELECT decision FROM outcomes"))) == ["d2"]
        assert await connection.scalar(text("SELECT count(*) FROM experiences")) == 1


async def test_players_words_are_erased_by_game(engine: Engine) -> None:
    words = [TextRow(game, "d1", number, "p1", "ann", "hello") for game in ("realm", "other") for number in (0, 1)]
    async with transaction(engine) as connection:
        await ingest.add_texts(connection, [*words, words[0]])
        await ingest.add_texts(connection, words)
        assert await keep.erase_texts(connection, "realm") == 2
        assert list(await connection.scalars(text("SELECT DISTINCT game FROM texts"))) == ["other"]


async def test_the_inbox_forgets_what_is_older_than_every_redelivery(engine: Engine) -> None:
    async with transaction(engine) as connection:
        await ingest.claim(connection, [("realm", "old"), ("realm", "new")])
        age = {"then": datetime.now(UTC) - timedelta(days=9)}
        await connection.execute(text("UPDATE inbox SET received_at = :then WHERE message_id = 'old'"), age)
        assert await keep.prune_inbox(connection, 8 * 24 * 3600) == 1
        assert await ingest.claim(connection, [("realm", "old"), ("realm", "new")]) == {"old"}


async def test_a_row_whose_partition_was_made_meanwhile_is_tried_again(engine: Engine) -> None:
    """Postgres had chosen where it belongs before, and refuses it there."""
    of_today = "decode(lpad(to_hex(current_date - date '1970-01-01'), 4, '0'), 'hex')"
    async with transaction(engine) as connection:
        await connection.execute(text("SELECT make_partition('documents', current_date)"))
    with pytest.raises(Unavailable, match="partition"):
        async with transaction(engine) as connection:
            await connection.execute(text(f"INSERT INTO documents_rest VALUES ('realm', {of_today}, 'words')"))


async def test_what_people_are_shown(engine: Engine) -> None:
    letter = LetterRow("realm", "EXPERIENCE", 9, "game.realm.outcome.p1", "bad", 1, "{}", b"\0\xff")
    async with transaction(engine) as connection:
        await ingest.add_games(connection, ["realm", "realm"])
        await ingest.add_decisions(connection, [whole()])
        await ingest.add_outcomes(connection, [outcome_row(), outcome_row("d2")])
        await ingest.add_experiences(connection, [reward()])
        await ingest.add_tallies(connection, [Tally("realm", "p1", 1, 1, 1, 1, 0, 0.5, None, None, None)])
        await ingest.add_letters(connection, [letter, letter])
        totals = await read.totals(connection)
        again = "UPDATE experiences SET happened_at = happened_at - interval '1 s'"
        await connection.execute(text(again))
        await ingest.add_experiences(connection, [reward()])
        doubled = await read.totals(connection)
        await connection.execute(text("DELETE FROM experiences WHERE happened_at <> :now"), {"now": NOW})
        record = await read.record_of(connection, "d1")
        assert not (await read.record_of(connection, "d9")).is_known
        (shown,) = await read.dead_letters_of(connection, game="realm")
        assert await read.dead_letters_of(connection, game="other") == []
        assert await read.traces_of(connection, "d1") == []
    assert totals == read.Totals(1, 1, 1, 1, 0.5, 1, 0, 1)
    assert doubled.doubled == 1
    assert record.is_known
    assert [len(rows) for rows in (record.decisions, record.outcomes, record.experiences, record.texts)] == [1, 1, 1, 0]
    assert (shown.reason, shown.body, shown.sequence) == ("bad", b"\0\xff", 9)
