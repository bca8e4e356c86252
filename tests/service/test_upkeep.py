"""What is kept in order, and what is read from it: partitions and archives, memories, cases, summaries, on a real Postgres."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from sqlalchemy import text

from hearthmind.bus.wire import decode, encode
from hearthmind.contracts.memory import Recall, Recalled
from hearthmind.store import ingest, partitions, similar, summaries
from hearthmind.store.cases import features_of
from hearthmind.store.documents import key_of
from hearthmind.store.engine import Engine, create_engine, transaction
from hearthmind.store.migrate import downgrade, upgrade
from hearthmind.store.recall import recall
from hearthmind.store.records import lines
from hearthmind.store.rows import DecisionRow, DocumentRow, OutcomeRow, RewardRow, Tally
from hearthmind.testing.servers import postgres_server
from hearthmind.testing.waiting import until
from services.reward.recalling import WAITING_MAX, Recalling
from services.reward.settings import Reward
from services.reward.upkeep import DOCUMENTS_LONGER_DAYS, Upkeep

from .test_store import database

TODAY = date(2031, 1, 31)


@pytest.fixture(scope="module")
async def server_url(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    async with postgres_server(tmp_path_factory.mktemp("upkeep")) as server:
        yield server.dsn


@pytest.fixture
async def engine(server_url: str) -> AsyncIterator[Engine]:
    url = database(server_url, "kept")
    upgrade(url)
    made = create_engine(url)
    yield made
    await made.dispose()


async def live(engine: Engine, decision: str, at: datetime, npc: str = "p1", state: str = '{"wood": 12}') -> None:
    """One experience, by the statements of ingestion."""

    def document(body: str) -> bytes:
        documents.append(DocumentRow("realm", key_of(body, at.timestamp()), body))
        return documents[-1].key

    documents: list[DocumentRow] = []
    half = DecisionRow("realm", decision, npc, "combat", "main", None, action="raid", tier="critical", source="model")
    whole = half._replace(
        state=document(state),
        features=features_of(state.encode()),
        answer=document("I raid"),
        prompt=json.dumps([["system", document("who you are").hex()], ["user", document(f"what now, {npc}").hex()]]),
        speech="For the river!",
    )
    outcome = OutcomeRow(
        *("realm", decision, at, npc, "combat", "main", "raid", '{"village": 3}', "platform", "", True, '{"rank": 4}'),
        *(document('{"wood": 20}'), 2.5, "eve", "[]", None, None, None, None, b"digest", 1, None),
    )
    async with transaction(engine) as connection:
        await ingest.add_documents(connection, documents)
        await ingest.add_decisions(connection, [whole])
        await ingest.add_outcomes(connection, [outcome])
        assert len(await ingest.join(connection, [("realm", decision)])) == 1
        await ingest.add_experiences(connection, [RewardRow("realm", decision, at, 0.5, "{}")])
        await ingest.add_tallies(connection, [Tally("realm", npc, 1, 1, 1, 1, 0, 0.5, 4, 2, None)])


def noon(days_ago: int) -> datetime:
    return datetime(TODAY.year, TODAY.month, TODAY.day, 12, tzinfo=UTC) - timedelta(days=days_ago)


async def days(engine: Engine, table: str) -> list[date]:
    async with transaction(engine) as connection:
        return [part.day for part in await partitions.parts(connection) if part.table == table]


async def count(engine: Engine, table: str) -> int:
    async with transaction(engine) as connection:
        return int(await connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)


# ---- partitions -------------------------------------------------------------------------------------------------------


async def test_partitions_are_made_ahead_and_what_was_there_before_moves_in(engine: Engine) -> None:
    await live(engine, "d1", noon(0))
    await live(engine, "d2", noon(-3))
    assert await count(engine, "experiences_rest") == 2
    upkeep = Upkeep(engine, Reward(ahead_days=2), lambda: TODAY)
    for _ in range(2):
        await upkeep.make_ahead()
    ahead = [TODAY + timedelta(days=number) for number in (-1, 0, 1, 2)]
    assert await days(engine, "experiences") == await days(engine, "documents") == ahead
    assert await count(engine, f"experiences_{TODAY:%Y%m%d}") == 1
    assert await count(engine, "experiences_rest") == 1
    assert await count(engine, "experiences") == 2
    await live(engine, "d3", noon(-1))
    assert await count(engine, "experiences_rest") == 1


async def test_old_days_become_files_and_leave(engine: Engine, tmp_path: Path) -> None:
    settings = Reward(kept_days=7, archive=str(tmp_path))
    for days_ago in (20, 8, 3):
        await Upkeep(engine, settings, lambda ago=days_ago: TODAY - timedelta(days=ago)).make_ahead()  # type: ignore[misc]
        await live(engine, f"d{days_ago}", noon(days_ago))
    await Upkeep(engine, settings, lambda: TODAY).retire()
    assert await count(engine, "experiences") == 1
    assert min(await days(engine, "experiences")) == TODAY - timedelta(days=7)
    assert min(await days(engine, "documents")) == TODAY - timedelta(days=7 + DOCUMENTS_LONGER_DAYS)
    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT decision, state, prompt, answer, state_after, reward, facts FROM '{tmp_path}/*.parquet'"
        ).fetchall()
    (old, newer) = sorted(found, key=lambda row: str(row[0]))
    assert old[:2] == ("d20", '{"wood": 12}')
    assert json.loads(old[2]) == [
        {"role": "system", "text": "who you are"},
        {"role": "user", "text": "what now, p1"},
    ]
    assert old[3:6] == ("I raid", '{"wood": 20}', 0.5)
    assert newer[0] == "d8"


async def test_what_was_interrupted_is_done_again(engine: Engine, tmp_path: Path) -> None:
    await Upkeep(engine, Reward(), lambda: TODAY - timedelta(days=20)).make_ahead()
    await live(engine, "d1", noon(20))
    async with transaction(engine) as connection:
        part = partitions.Part("experiences", TODAY - timedelta(days=20), is_detached=False)
        await partitions.detach(connection, part)
    assert await count(engine, "experiences") == 0
    await Upkeep(engine, Reward(kept_days=7, archive=str(tmp_path)), lambda: TODAY).retire()
    assert (tmp_path / f"experiences-{part.day}.parquet").exists()
    assert part.day not in await days(engine, "experiences")


async def test_without_a_setting_everything_stays(engine: Engine) -> None:
    await Upkeep(engine, Reward(), lambda: TODAY - timedelta(days=20)).make_ahead()
    await Upkeep(engine, Reward(), lambda: TODAY).retire()
    assert TODAY - timedelta(days=20) in await days(engine, "experiences")


async def test_a_partition_in_use_is_not_dropped(engine: Engine) -> None:
    await Upkeep(engine, Reward(), lambda: TODAY).make_ahead()
    with pytest.raises(Exception, match="still in use"):
        async with transaction(engine) as connection:
            await partitions.drop_detached(connection, partitions.Part("experiences", TODAY, is_detached=True))


# ---- what is read -----------------------------------------------------------------------------------------------------


async def test_a_record_is_whole(engine: Engine) -> None:
    await live(engine, "d1", noon(0))
    async with transaction(engine) as connection:
        (line,) = [line async for line in lines(connection, where="e.npc = :npc", npc="p1")]
    whole = json.loads(line)
    assert (whole["state"], whole["answer"], whole["state_after"]) == ('{"wood": 12}', "I raid", '{"wood": 20}')
    assert [turn["text"] for turn in whole["prompt"]] == ["who you are", "what now, p1"]


async def test_an_npc_remembers_the_newest_and_the_rest_in_numbers(engine: Engine) -> None:
    for number in range(4):
        await live(engine, f"d{number}", noon(4 - number))
    async with transaction(engine) as connection:
        first, nobody = await recall(connection, "realm", ["p1", "nobody"], most=2)
    assert [one.decision for one in first.lived] == ["d2", "d3"]
    assert first.lived[0].happened_s == noon(2).timestamp()
    assert (first.lived[0].opponent, first.lived[0].words, first.lived[0].facts) == (
        "eve",
        "For the river!",
        {"rank": 4},
    )
    assert first.summary == "4 deeds, 4 came off, mean reward +0.50; 4 battles won, 0 lost"
    assert nobody == Recalled(game="realm", npc="nobody")


async def test_memories_are_told_to_the_partition_and_questions_beyond_the_bound_passed_over(engine: Engine) -> None:
    told: list[tuple[str, Recalled]] = []

    async def publish(subject: str, data: bytes) -> None:
        told.append((subject, decode(data, Recalled)))

    await live(engine, "d1", noon(0))
    recalling = Recalling(engine, publish)
    recalling.asked(b"rubbish")
    for _ in range(WAITING_MAX + 5):
        recalling.asked(encode(Recall(game="realm", npcs=("p1",), partition=3)))

    task = asyncio.create_task(recalling.keep_answering())

    async def all_told() -> bool:
        return len(told) == WAITING_MAX

    await until(all_told)
    task.cancel()
    assert {subject for subject, _ in told} == {"mind.recalled.3"}
    assert told[0][1].lived[0].decision == "d1"


async def test_cases_like_this_one_are_the_nearest_of_the_newest(engine: Engine) -> None:
    now = datetime.now(UTC)
    for number in range(6):
        await live(
            engine, f"d{number}", now - timedelta(minutes=number), state=json.dumps({"wood": 10**number, "clay": 50})
        )
    await live(engine, "old", now - timedelta(days=9), state='{"wood": 100, "clay": 50}')
    features = features_of(b'{"wood": 100, "clay": 50}') or ""
    async with transaction(engine) as connection:
        like = await similar.cases_like(connection, features, game="realm", kind="combat", most=3)
        recent = await similar.cases_like(connection, features, game="realm", kind="combat", most=3, among=2)
        others = await similar.cases_like(connection, features, game="realm", kind="chat")
    assert like[0].decision == "d2"
    assert like[0].distance == pytest.approx(0, abs=1e-3)
    assert "old" not in {case.decision for case in like}
    assert [case.distance for case in like] == sorted(case.distance for case in like)
    assert {case.decision for case in recent} == {"d0", "d1"}
    assert others == []


async def test_summaries_say_what_was_counted(engine: Engine) -> None:
    await live(engine, "d1", noon(0))
    async with transaction(engine) as connection:
        found = await summaries.npc(connection, "realm", "p1")
        assert await summaries.npc(connection, "realm", "nobody") is None
        assert await summaries.npcs_of(connection, "realm") == [found]
        assert await summaries.personas_of(connection, "realm") == []
        assert await summaries.variants_of(connection, "realm", "e") == []
        assert await summaries.days_of(connection, "realm") == []
    assert found
    assert (found.reward_mean, found.success_rate, found.rank, found.villages, found.won) == (0.5, 1.0, 4, 2, 1)


# ---- the migration ----------------------------------------------------------------------------------------------------

FIRST = """
INSERT INTO npcs VALUES ('realm', 'p1', 2, 1, 0.5, 7);
INSERT INTO decisions (game, decision, npc, kind, episode, decided_at, action, source, tier, observation, answer)
VALUES ('realm', 'd1', 'p1', 'combat', 'main', '2031-01-01', 'raid', 'model', 'social',
    '{"type": "event", "state": {"wood": 12}, "legal_actions": [1]}', 'words'),
    ('realm', 'd2', 'p1', 'combat', 'main', '2031-01-01', 'wait', 'rules', NULL, NULL, NULL);
INSERT INTO outcomes VALUES ('realm', '2031-01-02', 'd1', 'p1', 'combat', 'main', 'raid', '{}', 'platform', '', true,
    '{"victory": true}', '{"wood": 20}', 2.5, NULL, 'digest', 9, NULL, now(), now());
INSERT INTO experiences VALUES ('realm', '2031-01-02', 'd1', 'p1', 'combat', 'main', 'raid', '{}', 'model', true, 0.5,
    '{"victory": 0.5}', '{"wood": 20}', 2.5, NULL);
"""
EVERYTHING = "SELECT to_jsonb(row)::text FROM {table} AS row ORDER BY 1"


async def test_what_was_there_before_is_there_after_and_after_the_way_down(server_url: str) -> None:
    url = database(server_url, "migrated")
    upgrade(url, "0001")
    tables = ("npcs", "decisions", "outcomes", "experiences")
    engine = create_engine(url)

    async def everything() -> list[list[str]]:
        async with transaction(engine) as connection:
            return [list(await connection.scalars(text(EVERYTHING.format(table=table)))) for table in tables]

    async with transaction(engine) as connection:
        for statement in filter(str.strip, FIRST.split(";")):
            await connection.exec_driver_sql(statement)
    before = await everything()
    upgrade(url)
    async with transaction(engine) as connection:
        (line,) = [json.loads(line) async for line in lines(connection)]
        npc = await summaries.npc(connection, "realm", "p1")
    assert (json.loads(line["state"]), line["answer"], line["facts"]) == ({"wood": 12}, "words", {"victory": True})
    assert npc
    assert (npc.experiences, npc.successes, npc.won, npc.lost) == (1, 1, 1, 0)
    downgrade(url, "0001")
    assert await everything() == before
    await engine.dispose()
