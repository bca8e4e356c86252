"""Looking back on a real Postgres: what is due, what becomes due again, and that it comes out the same however it is done."""

from __future__ import annotations

import asyncio
import random
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from hearthmind.contracts.outcome import CLIENT
from hearthmind.store import ingest, lookback
from hearthmind.store.engine import Engine, create_engine, transaction
from hearthmind.store.migrate import upgrade
from hearthmind.store.rows import LinkRow, OutcomeRow, RatingRow
from hearthmind.testing.servers import postgres_server
from services.reward.recomputing import Recomputing
from services.reward.settings import Reward
from services.reward.transaction import STANDARD, _reward

SETTINGS = Reward(look_back_max=3, over_after_s=1e9, late_s=1e-6)
NOW = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
READ = text(
    "SELECT decision, long_term_reward, long_term_parts::text, n_step_return, long_term_at IS NOT NULL FROM experiences"
    " WHERE game = :game ORDER BY decision"
)
Worth = list[tuple[Any, ...]]


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Engine]:
    folder: Path = tmp_path_factory.mktemp("lookback")
    async with postgres_server(folder) as server:
        upgrade(server.dsn)
        made = create_engine(server.dsn)
        yield made
        await made.dispose()


def an_outcome(game: str, npc: str, at: int, rank: int, answers: tuple[str, ...] = (), **facts: Any) -> OutcomeRow:
    return OutcomeRow(
        game=game,
        decision=f"{npc}-{at}",
        happened_at=NOW + timedelta(seconds=at),
        npc=npc,
        kind="combat",
        episode="main",
        action="raid" if facts else "wait",
        arguments="{}",
        executed_by=CLIENT,
        why="",
        success=True,
        facts=msgspec.json.encode({"rank": rank, **facts}).decode(),
        state_after=b"",
        game_time=float(at),
        opponent=None,
        answers=msgspec.json.encode(answers).decode(),
        observation=None,
        state=None,
        legal_actions=None,
        features=None,
        digest=b"",
        sequence=at,
        trace_id=None,
    )


def a_war(game: str) -> list[OutcomeRow]:
    """Two who fight, and one who looks on."""
    rows = []
    for at in range(0, 60, 4):
        rows.append(an_outcome(game, "p1", at, 50 - at // 2, victory=True))
        back = (f"p1-{at}",) if at % 12 == 0 else ()
        rows.append(an_outcome(game, "p2", at + 1, 20 + at // 3, back, victory=at % 8 == 0))
        rows.append(an_outcome(game, "p3", at + 2, 70))
    return rows


async def lived(engine: Engine, rows: list[OutcomeRow]) -> None:
    async with transaction(engine) as connection:
        await ingest.add_games(connection, {row.game for row in rows})
        await ingest.add_outcomes(connection, rows)
        links = [
            LinkRow(row.game, earlier, row.decision, "answers", row.npc, row.happened_at)
            for row in rows
            for earlier in msgspec.json.decode(row.answers)
        ]
        await ingest.add_links(connection, links)
        joined = await ingest.join(connection, {(row.game, row.decision) for row in rows})
        await _reward(connection, joined, (), (), ingest, STANDARD)


async def look(engine: Engine, game: str, settings: Reward = SETTINGS) -> int:
    return sum([done async for done in Recomputing(engine, settings).all_due(game)])


async def worth(engine: Engine, game: str) -> Worth:
    async with transaction(engine) as connection:
        return [tuple(row) for row in await connection.execute(READ, {"game": game})]


async def test_it_is_done_at_a_fixed_age_and_once(engine: Engine) -> None:
    rows = a_war("aged")
    await lived(engine, rows)
    due = sum(row.game_time <= 58 - 24 for row in rows)
    assert await look(engine, "aged") == due
    assert await look(engine, "aged") == 0
    found = {row[0]: row for row in await worth(engine, "aged")}
    assert found["p1-4"][1] == pytest.approx(0.12)
    parts = msgspec.json.decode(found["p1-0"][2])
    assert parts["rank"] == pytest.approx(0.12)
    assert parts["retaliation"] == pytest.approx(-0.5)
    assert found["p1-0"][1] == pytest.approx(0.12 - 0.5)
    beside = msgspec.json.decode(found["p1-4"][2])
    assert beside == pytest.approx({"rank": 0.12, "control": 0, "advantage": 0.12, "controls": 1})
    assert found["p1-56"][1:] == (None, None, None, False)


async def test_an_episode_that_is_over_is_done_to_its_end(engine: Engine) -> None:
    rows = a_war("over")
    await lived(engine, rows)
    assert await look(engine, "over", Reward(over_after_s=60, late_s=1e-6)) == len(rows)
    assert all(row[4] for row in await worth(engine, "over"))


async def test_what_comes_late_in_any_order_comes_out_the_same(engine: Engine) -> None:
    for number, game in enumerate(("early", "late", "later")):
        rows = a_war(game)
        if number:
            random.Random(number).shuffle(rows)
        step = len(rows) if not number else 7
        for start in range(0, len(rows), step):
            await lived(engine, rows[start : start + step])
            await look(engine, game)
        if number:  # those compared with may have come later
            async with transaction(engine) as connection:
                await lookback.make_due(connection, game, NOW - timedelta(days=9), NOW + timedelta(days=9), 10_000)
            await look(engine, game)
    first = await worth(engine, "early")
    assert await worth(engine, "late") == first
    assert await worth(engine, "later") == first


async def test_a_killed_process_leaves_nothing_half_done(engine: Engine) -> None:
    """Two look back at a time, an experience in each transaction; whichever says that it has done some is killed."""
    rows = a_war("killed")
    await lived(engine, a_war("spared"))
    await lived(engine, rows)
    await look(engine, "spared")
    url = engine.url.render_as_string(hide_password=False)
    for _ in range(6):
        both = [await Process.begin(url, "killed") for _ in range(2)]
        for process in both:
            await process.has_done_some()
            await process.kill()
    done = await worth(engine, "killed")
    assert 0 < sum(row[4] for row in done) < sum(row[4] for row in await worth(engine, "spared"))
    await look(engine, "killed")
    assert await worth(engine, "killed") == await worth(engine, "spared")


LOOKING = """
import asyncio, sys
from hearthmind.store.engine import create_engine
from services.reward.recomputing import Recomputing
from services.reward.settings import Reward

async def main(url, game):
    settings = Reward(look_back_max=1, over_after_s=1e9, late_s=1e-6)
    async for done in Recomputing(create_engine(url), settings).all_due(game):
        print(done, flush=True)
        sys.stdin.readline()

asyncio.run(main(*sys.argv[1:]))
"""


class Process:
    """Looks back, and goes on with each line that it is told."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def begin(cls, url: str, game: str) -> Process:
        made = await asyncio.create_subprocess_exec(sys.executable, "-c", LOOKING, url, game, stdin=PIPE, stdout=PIPE)
        return cls(made)

    async def has_done_some(self) -> None:
        assert self._process.stdout
        assert self._process.stdin
        assert await self._process.stdout.readline() == b"1\n"
        self._process.stdin.write(b"\n")  # so that it is killed somewhere in the next one

    async def kill(self) -> None:
        self._process.kill()
        await self._process.wait()


async def test_several_at_once_share_the_work(engine: Engine) -> None:
    rows = a_war("shared")
    await lived(engine, rows)
    done = await asyncio.gather(*(look(engine, "shared") for _ in range(3)))
    assert sum(done) == sum(row.game_time <= 58 - 24 for row in rows)
    first = await worth(engine, "shared")
    async with transaction(engine) as connection:
        assert await lookback.make_due(connection, "shared", NOW - timedelta(days=9), NOW + timedelta(days=9), 4) == 4
    assert await look(engine, "shared") == 4
    assert await worth(engine, "shared") == first


async def test_a_rating_is_looked_at_again_and_the_last_word_counts(engine: Engine) -> None:
    await lived(engine, a_war("rated"))
    await look(engine, "rated")
    for number, score in enumerate((1.0, -1.0)):
        rated_at = NOW + timedelta(seconds=number)
        async with transaction(engine) as connection:
            await ingest.add_ratings(connection, [RatingRow("rated", "p1-4", "reply", "ann", "p1", score, rated_at)])
        assert await look(engine, "rated") == 1
        found = {row[0]: row for row in await worth(engine, "rated")}
        assert msgspec.json.decode(found["p1-4"][2])["rating"] == pytest.approx(score / 4)
        assert found["p1-4"][1] == pytest.approx(0.12 + score / 4)


async def test_ranks_beyond_all_bounds_are_no_ranks(engine: Engine) -> None:
    rows = a_war("huge")
    odd = [row._replace(facts='{"rank": 1e400}' if row.npc == "p1" else '{"rank": "first"}') for row in rows]
    await lived(engine, rows)
    async with transaction(engine) as connection:
        for row in odd:
            given = {"facts": row.facts, "decision": row.decision}
            await connection.execute(
                text(
                    "UPDATE experiences SET facts = cast(:facts AS jsonb) WHERE game = 'huge' AND decision = :decision"
                ),
                given,
            )
    await look(engine, "huge")
    assert all("rank" not in (row[2] or "") for row in await worth(engine, "huge"))
