"""Violations and their review on a real Postgres, by the commands that people use; the log can't be changed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest
from rich.console import Console
from sqlalchemy import create_engine as create_sync_engine
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from typer.testing import CliRunner

from hearthmind import flow
from hearthmind.bus.connect import close, connect
from hearthmind.bus.registry import Registry
from hearthmind.contracts.observation import Heard
from hearthmind.contracts.policy import PolicyViolated
from hearthmind.embedded.nats import EmbeddedNats
from hearthmind.embedded.postgres import EmbeddedPostgres
from hearthmind.errors import Malformed
from hearthmind.minds import Ban
from hearthmind.settings import Broker
from hearthmind.store import ingest
from hearthmind.store.engine import Engine, create_engine, driver_url, transaction
from hearthmind.store.grants import GRANTS, grant
from hearthmind.store.migrate import upgrade
from hearthmind.store.rows import TextRow
from hearthmind.store.violations import add_violations, log_of, review, row_of, scan, violation_of, violations_of
from hearthmind.testing.observations import an_observation
from hearthmind.testing.servers import provisioned
from services.command.app import app
from services.command.policy import question_in
from services.command.violations import NoSuchViolation, judge_at, list_at, log_at, scan_at, show_at
from services.decision.policy import BadPolicy

NOW = datetime.now(UTC)
OWNERS = "violations"


@pytest.fixture
async def engine(database: EmbeddedPostgres) -> AsyncIterator[Engine]:
    """A database of its own, new for each test."""
    admin = create_sync_engine(driver_url(database.dsn), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {OWNERS} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {OWNERS}"))
    admin.dispose()
    url = driver_url(database.dsn).set(database=OWNERS).render_as_string(hide_password=False)
    upgrade(url)
    made = create_engine(url)
    yield made
    await made.dispose()


@pytest.fixture
def settings(engine: Engine, broker: EmbeddedNats, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are told by the environment where everything is."""
    monkeypatch.setenv("DATABASE_URL", engine.url.render_as_string(hide_password=False))
    monkeypatch.setenv("NATS_URL", broker.url)


def violated(decision: str = "d1", **changes: object) -> PolicyViolated:
    fields: dict[str, object] = {
        "decision": decision,
        "game": "realm",
        "npc": "p1",
        "kind": "combat",
        "rule": "breaks-a-treaty",
        "why": "Treaties are ended openly. (there is a treaty with p7)",
        "action": "attack",
        "arguments": {"target": "p7"},
        "speech": "Charge!\x00",
        "model": "onnx_nano",
        "template": "combat@2",
        "frozen_s": 5.0,
        "observation": an_observation(id=decision, texts=(Heard(speaker="somebody", text="attack p7"),)),
        "answer": '{"action":"attack"}',
    }
    return PolicyViolated(**{**fields, **changes})  # type: ignore[arg-type]


async def add(engine: Engine, *messages: PolicyViolated, at: datetime = NOW) -> int:
    async with transaction(engine) as connection:
        return await add_violations(connection, [row_of(message, at) for message in messages])


async def test_each_is_kept_once_with_its_context_and_a_line_in_the_log(engine: Engine) -> None:
    assert await add(engine, violated(), violated(), violated("d2")) == 2
    assert await add(engine, violated(), violated(rule="another")) == 1
    async with transaction(engine) as connection:
        await ingest.add_texts(connection, [TextRow("realm", "d1", 0, "p1", "somebody", "attack p7")])
        shown = await violation_of(connection, "d1")
        lines = await log_of(connection)
    assert [line.what for line in lines] == ["violated"] * 3
    row = msgspec.json.decode(shown.rows[0])
    assert (row["arguments"], row["answer"], row["frozen_s"]) == ({"target": "p7"}, '{"action":"attack"}', 5.0)
    assert row["speech"] == "Charge!\ufffd"
    assert row["observation"]["texts"] == [], "players' words are kept apart, where they can be erased"
    assert shown.texts == [("somebody", "attack p7")]


@pytest.mark.parametrize("table", ["violations", "audit"])
@pytest.mark.parametrize("change", ["UPDATE {} SET rule = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
async def test_nobody_changes_what_was_kept(engine: Engine, table: str, change: str) -> None:
    await add(engine, violated())
    with pytest.raises(DBAPIError, match="append-only"):
        async with engine.begin() as connection:
            await connection.execute(text(change.format(table)))
    async with transaction(engine) as connection:
        assert len(await violations_of(connection)) == len(await log_of(connection)) == 1


async def test_the_reward_service_may_add_and_no_more(engine: Engine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    grant(url, dict.fromkeys(GRANTS, "secret"))
    reward = create_engine(
        str(engine.url.set(username="reward", password="secret").render_as_string(hide_password=False))
    )
    try:
        assert await add(reward, violated()) == 1
        assert await add(reward, violated()) == 0
        with pytest.raises(DBAPIError) as caught:
            async with reward.begin() as connection:
                await connection.execute(text("SELECT * FROM audit"))
        assert isinstance(caught.value.orig, psycopg.errors.InsufficientPrivilege)
    finally:
        await reward.dispose()


async def test_the_last_verdict_counts(engine: Engine) -> None:
    await add(engine, violated("d1"), violated("d2", game="castle"))
    async with transaction(engine) as connection:
        assert [each.decision for each in await violations_of(connection)] == ["d1", "d2"]
        assert [each.decision for each in await violations_of(connection, game="castle")] == ["d2"]
        assert await review(connection, "d1", "reject", "somebody", "clear") == [("realm", "p1")]
        assert [each.decision for each in await violations_of(connection)] == ["d2"]
        await review(connection, "d1", "approve", "somebody else", "")
        verdicts = {each.decision: each.verdict for each in await violations_of(connection, waiting=False)}
        assert verdicts == {"d1": "approve", "d2": None}
        assert await review(connection, "d9", "ban", "somebody", "") == []


async def test_a_scan_finds_what_repeats(engine: Engine) -> None:
    for number in range(4):
        await add(engine, violated(f"a{number}", npc="p1"))
    await add(engine, violated("b", npc="p2", rule="one", model=""), violated("c", npc="p3", game="castle"))
    await add(engine, *(violated(f"old{number}", npc="p9") for number in range(9)), at=NOW - timedelta(days=30))
    async with transaction(engine) as connection:
        await review(connection, "a0", "approve", "somebody", "")
        found = await scan(connection, timedelta(days=7), times_min=3)
        assert await scan(connection, timedelta(days=7), times_min=3, game="castle") == []
    assert {(each.times, each.npcs, each.approved) for each in found} == {(4, 1, 1)}
    alike = [each.by for each in found]
    assert {"npc": "p1", "rule": "breaks-a-treaty"} in alike
    assert {"rule": "breaks-a-treaty", "action": "attack"} in alike
    assert {"rule": "breaks-a-treaty", "model": "onnx_nano"} in alike
    assert {"rule": "breaks-a-treaty", "template": "combat@2"} in alike


# ---- the commands -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("settings")
async def test_people_see_and_judge_and_a_ban_reaches_the_platform(
    engine: Engine, broker: EmbeddedNats, folder: Path
) -> None:
    await add(engine, violated())
    console = Console(record=True, width=400)
    async with provisioned(broker.url):
        await list_at(folder, 9, None, console, waiting=True)
        await show_at(folder, "d1", console)
        assert await judge_at(folder, "d1", "ban", "somebody", "again") == [("realm", "p1")]
        nc = await connect(Broker(url=broker.url), "test", lambda: None)
        try:
            banned = (await Registry(nc, bucket=flow.MINDS).start()).get("ban.realm.p1")
            assert msgspec.json.decode(banned or b"", type=Ban).why == "again"
            await judge_at(folder, "d1", "unban", "somebody", "")
            assert (await Registry(nc, bucket=flow.MINDS).start()).get("ban.realm.p1") == b""
        finally:
            await close(nc)
    with pytest.raises(NoSuchViolation, match="'d9'"):
        await judge_at(folder, "d9", "reject", "somebody", "")
    with pytest.raises(NoSuchViolation):
        await show_at(folder, "d9", console)
    await list_at(folder, 9, None, console, waiting=True)
    await scan_at(folder, 7, 2, None, console)
    await log_at(folder, 9, None, console)
    said = console.export_text()
    for words in (
        "breaks-a-treaty",
        "attack",
        "nothing waits",
        "nothing was violated 2 times",
        "ban  somebody",
        "again",
    ):
        assert words in said


def test_a_policy_file_is_shown_and_its_mistakes_are_named(folder: Path) -> None:
    shown = CliRunner().invoke(app, ["policy", "show"])
    assert "wrecks-the-world" in shown.output
    wrong = folder / "wrong.yaml"
    wrong.write_text("rules: {one: {says: No.}}")
    with pytest.raises(BadPolicy, match="one demands nothing"):
        CliRunner().invoke(app, ["policy", "show", str(wrong)], catch_exceptions=False)


def test_a_question_needs_no_more_than_what_it_is_about(folder: Path) -> None:
    file = folder / "question.json"
    file.write_text(
        '{"observation": {"game": "realm", "npc": "p1", "kind": "combat", "legal_actions": [{"name": "wait"}]}, "action": "wait"}'
    )
    question, observation = question_in(file)
    assert (question.action, observation.npc, observation.snapshot) == ("wait", "p1", 0)
    file.write_text("{}")
    with pytest.raises(Malformed, match="question"):
        question_in(file)
