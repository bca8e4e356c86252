"""Whether summaries, "ten cases like this one" and ingestion stay as fast when the table of experiences grows.

    python -m benchmarks.experiences [--rows 200000] [--days 30] [--asked 200]

A real, durable Postgres. A few batches are ingested into empty tables; then the table is filled with so many experiences, by
COPY, over so many days and partitions; then the same number of batches is ingested again, and the questions are asked, each so
often with other NPCs and states. The baseline of a summary is the same figure counted from the experiences themselves, and that
of the cases a comparison with all of the kind. Ten million rows take some 10 GB and half an hour: `--rows 10000000`, by hand.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import uvloop
from sqlalchemy import event, text

from benchmarks.backlog import GAME, NPCS, a_decision
from benchmarks.ingestion import Came
from hearthmind.store import partitions, similar, summaries
from hearthmind.store import read as read_back
from hearthmind.store.cases import features_of
from hearthmind.store.engine import Connection, Engine, create_engine, transaction
from hearthmind.store.migrate import upgrade
from hearthmind.testing.servers import postgres_server
from services.reward.reading import Incoming, read
from services.reward.transaction import store

RESULTS = Path(__file__).parent / "results" / "experiences.json"
KINDS = ("economic", "combat", "diplomacy", "chat")
BATCH, BATCHES = 2_000, 9
LIMIT_MS = 50.0
COLUMNS = (
    *(
        "game",
        "decision",
        "happened_at",
        "npc",
        "kind",
        "episode",
        "game_time",
        "action",
        "arguments",
        "source",
        "tier",
    ),
    *("persona", "experiment", "variant", "tokens_in", "tokens_out", "cost_usd", "latency_ms", "success", "facts"),
    *("state", "state_after", "answers", "reward", "reward_parts", "features", "reasoning", "model", "stages_ms"),
)
ROLLUPS = """
INSERT INTO npcs SELECT game, npc, count(*), count(*), count(*) FILTER (WHERE success), 0, 0, sum(reward), 7, 3, 900
FROM experiences GROUP BY 1, 2 ON CONFLICT DO NOTHING;
INSERT INTO personas SELECT game, persona, count(*), count(*) FILTER (WHERE success), sum(reward), sum(reward * reward)
FROM experiences GROUP BY 1, 2 ON CONFLICT DO NOTHING;
INSERT INTO variants SELECT game, experiment, variant, count(*), count(*) FILTER (WHERE success), sum(reward),
    sum(reward * reward), sum(tokens_in), sum(tokens_out), sum(cost_usd), sum(latency_ms)
FROM experiences WHERE experiment <> '' GROUP BY 1, 2, 3 ON CONFLICT DO NOTHING;
INSERT INTO training_metrics SELECT game, (happened_at AT TIME ZONE 'UTC')::date, count(*), count(*),
    count(*) FILTER (WHERE success), sum(reward), 0, 0, 0, 0, sum(tokens_in), sum(tokens_out), sum(cost_usd)
FROM experiences GROUP BY 1, 2 ON CONFLICT DO NOTHING;
"""


async def ingest(engine: Engine, dice: random.Random) -> float:
    """Milliseconds for a batch, the median of some."""
    took = []
    for number in range(BATCHES):
        said = (one for each in range(BATCH // 3) for one in a_decision(number * BATCH + each, dice))
        batch = [read(Came(subject, data, at)) for at, (subject, data, _) in enumerate(said)]
        known = [each for each in batch if isinstance(each, Incoming)]
        began_s = time.perf_counter()
        async with transaction(engine) as connection:
            await store(connection, known)
        took.append((time.perf_counter() - began_s) * 1000)
    return statistics.median(took)


def a_state(dice: random.Random) -> bytes:
    villages = [
        {"id": dice.randrange(9_999), "wall": dice.randrange(20), "people": dice.randrange(900)} for _ in range(6)
    ]
    return json.dumps({"stocks": [dice.randrange(5_000) for _ in range(4)], "villages": villages}).encode()


def rows(count: int, days: int, states: list[str], dice: random.Random) -> Iterator[str]:
    """Lines for COPY, the oldest first."""
    now, step = datetime.now(UTC), timedelta(days=days) / count
    facts = json.dumps({"production_before": 40, "production_after": 42, "wasted": 0, "rank": 17})
    why = "The stores hold wood, and a farm feeds more people than a wall, as long as nobody comes."
    for number in range(count):
        at, npc, kind = now - step * (count - number), f"p{dice.randrange(NPCS):04}", KINDS[number % len(KINDS)]
        reward = round(dice.gauss(0, 0.3), 3)
        trial = ("tone", "ab"[number % 2]) if number % 4 == 0 else ("", "")
        state = f"\\\\x{dice.getrandbits(128):032x}"
        values = (
            *(
                GAME,
                f"{number:014}",
                at.isoformat(),
                npc,
                kind,
                "main",
                number,
                "build",
                '{"what": "farm"}',
                "model",
                "strategic",
            ),
            *(f"miser{number % 20}@1", *trial, 700, 40, 0.001, 33, "t" if reward > 0 else "f", facts),
            *(state, state, "[]", reward, '{"production": 0.1}', dice.choice(states), why, "onnx_nano", '{"bus": 1.5}'),
        )
        yield "\t".join(map(str, values)) + "\n"


def fill(dsn: str, count: int, days: int, states: list[str], dice: random.Random) -> None:
    """Fills the table, and the counters as they would have grown."""
    with psycopg.connect(dsn) as connection:
        with connection.cursor().copy(f"COPY experiences ({', '.join(COLUMNS)}) FROM STDIN") as copy:
            for number, line in enumerate(rows(count, days, states, dice)):
                copy.write(line)
                if number % 500_000 == 499_999:
                    print(f"{number + 1:,} rows", flush=True)
        connection.execute(ROLLUPS)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE experiences")
        connection.execute("CHECKPOINT")  # so that what was filled is not written out while something is measured


Question = Callable[[Connection, random.Random], Awaitable[object]]


class Took(NamedTuple):
    """The 95th percentiles of a question in milliseconds: until the answer was there, and of Postgres' processor."""

    wall_ms: float
    cpu_ms: float


async def p95(engine: Engine, asked: int, question: Question, dice: random.Random) -> Took:
    """Asks it so often."""
    took = []
    for _ in range(asked):
        async with transaction(engine) as connection:
            pid = await connection.scalar(text("SELECT pg_backend_pid()"))
            began, cpu = time.perf_counter(), cpu_ms(pid)
            await question(connection, dice)
            took.append(((time.perf_counter() - began) * 1000, cpu_ms(pid) - cpu))
    return Took(*(statistics.quantiles(each, n=20)[-1] for each in zip(*took, strict=True)))


def cpu_ms(pid: int) -> float:
    """How long a process has had a processor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


def questions(states: list[str]) -> dict[str, Question]:
    """What is asked, and in brackets its baseline."""

    def counted(what: str) -> Question:
        sql = text(f"SELECT count(*), avg(reward) FROM experiences WHERE game = '{GAME}' AND {what}")
        return lambda to, dice: to.execute(
            sql, {"npc": f"p{dice.randrange(NPCS):04}", "persona": f"miser{dice.randrange(20)}@1"}
        )

    async def like(connection: Connection, dice: random.Random, among: int = similar.AMONG) -> None:
        found = await similar.cases_like(
            connection, dice.choice(states), game=GAME, kind=dice.choice(KINDS), among=among
        )
        assert len(found) == 10

    return {
        "nothing (SELECT 1)": lambda to, _: to.execute(text("SELECT 1")),
        "an NPC": lambda to, dice: summaries.npc(to, GAME, f"p{dice.randrange(NPCS):04}"),
        "an NPC (counted)": counted("npc = :npc"),
        "all NPCs": lambda to, _: summaries.npcs_of(to, GAME),
        "personas": lambda to, _: summaries.personas_of(to, GAME),
        "a persona (counted)": counted("persona = :persona"),
        "variants": lambda to, _: summaries.variants_of(to, GAME),
        "days": lambda to, _: summaries.days_of(to, GAME),
        "totals": lambda to, _: read_back.totals(to),
        "ten cases": like,
        "ten cases (among all of a week)": partial(like, among=2**31 - 1),
    }


async def plan_of(engine: Engine, state: str) -> list[str]:
    """How Postgres finds ten cases."""
    asked = similar.nearest(state, game=GAME, kind=KINDS[0], most=10, among=similar.AMONG, days=similar.DAYS)

    def explained(*call: Any) -> tuple[str, Any]:
        return f"EXPLAIN (ANALYZE, BUFFERS) {call[2]}", call[3]

    async with transaction(engine) as connection:
        event.listen(engine.sync_engine, "before_cursor_execute", explained, retval=True)
        return list(await connection.scalars(asked))


async def main(arguments: argparse.Namespace) -> None:
    """Measures, and keeps the result."""
    dice = random.Random(1)
    states = [found for _ in range(5_000) if (found := features_of(a_state(dice)))]
    with tempfile.TemporaryDirectory() as name:
        async with postgres_server(Path(name)) as server:
            upgrade(server.dsn)
            engine = create_engine(server.dsn)
            async with transaction(engine) as connection:
                first = datetime.now(UTC).date() - timedelta(days=arguments.days)
                for table in partitions.PARTITIONED:
                    await partitions.make_ahead(connection, table, first, arguments.days + 2)
            before_ms = await ingest(engine, dice)
            await asyncio.to_thread(fill, server.dsn, arguments.rows, arguments.days, states, dice)
            after_ms = await ingest(engine, dice)
            asked: dict[str, Took] = {}
            for what, question in questions(states).items():
                often = 5 if "counted" in what or "all of a week" in what else arguments.asked
                asked[what] = await p95(engine, often, question, dice)
                print(f"{what}: p95 {asked[what].wall_ms:.1f} ms, of Postgres {asked[what].cpu_ms:.2f} ms", flush=True)
            async with transaction(engine) as connection:
                sql = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('experiences')"
                mib = float(await connection.scalar(text(sql)) or 0) / 2**20
            plan = await plan_of(engine, states[0])
            await engine.dispose()
    tell(arguments, {"before_ms": before_ms, "after_ms": after_ms, "mib": mib}, asked, plan)


def tell(arguments: argparse.Namespace, sizes: dict[str, float], asked: dict[str, Took], plan: list[str]) -> None:
    """Prints and keeps it; fails where something takes too long."""
    slow = [what for what, took in asked.items() if "(" not in what and took.wall_ms > LIMIT_MS]
    grown = sizes["after_ms"] / sizes["before_ms"]
    print("\n".join(plan))
    size = f"{arguments.rows:,} experiences, {sizes['mib']:,.0f} MiB"
    print(f"{size}; a batch of {BATCH} takes {grown:.2f} x as long as in the beginning")
    kept: dict[str, Any] = {"machine": platform.platform(), "cores": os.cpu_count(), "arguments": vars(arguments)}
    RESULTS.write_text(json.dumps({**kept, **sizes, "p95_ms": asked, "plan": plan}, indent=1) + "\n")
    if slow:
        raise SystemExit(f"over {LIMIT_MS:g} ms: {', '.join(slow)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--asked", type=int, default=200)
    uvloop.run(main(parser.parse_args()))
