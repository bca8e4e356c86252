"""How many rows a second go from the bus into Postgres, against bare COPY and against an ORM, with the same rows.

    python -m benchmarks.ingestion [--repeats 3] [--decisions 6000] [--processes 1] [--apart 0]

A real NATS and a real Postgres, both durable. Each decision is three messages of 1 KB and more: action, detail with a prompt,
outcome; with `--apart` its outcome comes so many decisions later, in another batch. The reward service is started when all of
them lie on the bus; the clock runs from its first delivery until nothing is left, and what it wrote is counted row by row in
every table. Then the same rows are written once more into empty tables of the same kind, with the same keys and indexes, in
transactions of as many messages: by binary COPY of rows that lie ready in memory, which is as fast as this driver and this
Postgres go, and by SQLAlchemy's ORM, as most programs would. What neither of them does is reading the messages; that is measured
by itself. Rates hold within a run.
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import nats
import psycopg
import uvloop
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types import TypeInfo
from sqlalchemy import Column, MetaData, create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session, registry

from benchmarks.backlog import (
    PATIENCE_S,
    Said,
    a_backlog,
    check,
    cpu_s,
    fill,
    has_begun,
    is_drained,
    rewards,
    servers,
)
from hearthmind.bus.provision import provision
from hearthmind.bus.settle import Attempt
from hearthmind.embedded.processes import Supervisor
from hearthmind.store.engine import driver_url
from hearthmind.store.tables import metadata
from hearthmind.testing.waiting import until
from services.reward.reading import read
from services.reward.settings import Reward

RESULTS = Path(__file__).parent / "results" / "ingestion.json"
BATCH = Reward().batch_max // 3
"""The rows of so many decisions make a transaction, as in the service."""
TABLES = ("inbox", "documents", "decisions", "outcomes", "links", "experiences")


class Took(NamedTuple):
    """How long it took, and how long processors were at it: what is steady beside other work."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Measured:
    """One backlog, three ways."""

    rows: int
    bus: Took
    copy: Took
    orm: Took
    read: Took
    """Reading the same messages into rows, and nothing else: what neither COPY nor the ORM is asked to do."""
    reward_us: float
    """CPU time a message, of the reward service, the database and the broker."""
    postgres_us: float
    nats_us: float


async def measure(decisions: int, seed: int, processes: int, apart: int) -> Measured:
    """One backlog on fresh servers."""
    said = a_backlog(decisions, seed, apart)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with servers(folder, "always") as (broker, database, supervisor):
            nc = await nats.connect(broker.url)
            await provision(nc, partitions=16)
            await fill(nc, said)
            commands = rewards(broker, database, processes)
            async with Supervisor(commands, folder / "reward") as reward:
                rewarding = [reward.pid(command.name) or 0 for command in commands]
                keeping = [supervisor.pid(name) or 0 for name in ("postgres", "nats")]
                await until(partial(has_begun, nc), PATIENCE_S)
                before, began_s = [cpu_s(pid) for pid in (*rewarding, *keeping)], time.perf_counter()
                await until(partial(is_drained, nc), PATIENCE_S)
                wall_s = time.perf_counter() - began_s
                used = [cpu_s(pid) - was for pid, was in zip((*rewarding, *keeping), before, strict=True)]
            await nc.close()
            check(database.dsn, decisions)
            rows = sum(map(len, (await asyncio.to_thread(rows_of, database.dsn, binary)).values()))
            took = {}
            for way in random.Random(seed).sample((by_copy, by_orm), 2):
                took[way] = await asyncio.to_thread(way, database.dsn, partial(cpu_s, keeping[0]))
    us = [each / len(said) * 1e6 for each in (sum(used[:-2]), *used[-2:])]
    return Measured(rows, Took(wall_s, sum(used)), took[by_copy], took[by_orm], by_reading(said), *us)


class Came:
    """A message as the bus delivers it."""

    stream = "EXPERIENCE"
    attempt = Attempt(1, 10)

    def __init__(self, subject: str, data: bytes, sequence: int) -> None:
        self.subject, self.data, self.sequence = subject, data, sequence
        self.headers: dict[str, str] = {}
        self.stored_s = time.time()


def by_reading(said: list[Said]) -> Took:
    """Only reading."""
    came = [Came(subject, data, number) for number, (subject, data, _) in enumerate(said)]
    with clock(lambda: 0.0) as took:
        for one in came:
            read(one)
        return took()


@contextmanager
def clock(of_postgres: Callable[[], float]) -> Iterator[Callable[[], Took]]:
    """Tells what passed since, of this process and of Postgres."""
    wall_s, cpu = time.perf_counter(), time.process_time() + of_postgres()
    yield lambda: Took(time.perf_counter() - wall_s, time.process_time() + of_postgres() - cpu)


Rows = dict[str, list[tuple[Any, ...]]]


def rows_of(dsn: str, as_sent: Callable[[Column[Any]], str]) -> Rows:
    """Every row that was written, by table."""
    with psycopg.connect(dsn) as connection:
        found = {}
        for table in TABLES:
            columns = ", ".join(as_sent(column) for column in metadata.tables[table].columns)
            found[table] = connection.execute(f"SELECT {columns} FROM {table}").fetchall()
        return found


def _batches(rows: Rows) -> Iterator[list[tuple[str, list[tuple[Any, ...]]]]]:
    """What the service puts into a transaction."""
    count = -(-len(rows["experiences"]) // BATCH)
    for number in range(count):
        yield [
            (table, some[len(some) * number // count : len(some) * (number + 1) // count])
            for table, some in rows.items()
        ]


class AsItIs(Dumper):
    """Bytes that Postgres takes as they are."""

    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        """The same."""
        return obj


def binary(column: Column[Any]) -> str:
    """JSON and vectors in the form in which COPY sends them."""
    sends = {"JSONB": "jsonb_send", "HALFVEC(64)": "halfvec_send"}
    send = sends.get(_in_postgres(column), "")
    return f'{send}("{column.name}")'


def _in_postgres(column: Column[Any]) -> str:
    return str(column.type.compile(postgresql.dialect()))  # type: ignore[no-untyped-call]


def by_copy(dsn: str, of_postgres: Callable[[], float]) -> Took:
    """By binary COPY."""
    rows = rows_of(dsn, binary)
    with psycopg.connect(dsn) as connection:
        for name in ("jsonb", "halfvec"):
            info = TypeInfo.fetch(connection, name)
            assert info
            info.register(connection)
            connection.adapters.register_dumper(None, type(f"Raw{name}", (AsItIs,), {"oid": info.oid}))
        for table in TABLES:
            connection.execute(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)")
        connection.commit()
        types = {table: [_word(column) for column in metadata.tables[table].columns] for table in TABLES}
        with clock(of_postgres) as took:
            for batch in _batches(rows):
                for table, some in batch:
                    with connection.cursor().copy(f"COPY bare_{table} FROM STDIN (FORMAT BINARY)") as copy:
                        copy.set_types(types[table])
                        for row in some:
                            copy.write_row(row)
                connection.commit()
            return took()


def _word(column: Column[Any]) -> str:
    word = _in_postgres(column).lower()
    return {"timestamp with time zone": "timestamptz", "halfvec(64)": "halfvec", "double precision": "float8"}.get(
        word, word
    )


def by_orm(dsn: str, of_postgres: Callable[[], float]) -> Took:
    """By the ORM: objects, added to a session and committed batch by batch."""
    rows, engine, mapped = rows_of(dsn, lambda column: f'"{column.name}"'), create_engine(driver_url(dsn)), MetaData()
    classes = {table: _mapped(table, mapped) for table in TABLES}
    with psycopg.connect(dsn) as connection:
        for table in TABLES:
            connection.execute(f"CREATE TABLE orm_{table} (LIKE {table} INCLUDING ALL)")
    names = {table: [column.name for column in metadata.tables[table].columns] for table in TABLES}
    with clock(of_postgres) as took, Session(engine) as session:
        for batch in _batches(rows):
            for table, some in batch:
                made = classes[table]
                session.add_all(made(**dict(zip(names[table], row, strict=True))) for row in some)
            session.commit()
        measured = took()
    engine.dispose()
    return measured


def _mapped(table: str, into: MetaData) -> type:
    copied = metadata.tables[table].to_metadata(into, name=f"orm_{table}")
    made = type(table.title(), (), {})
    registry().map_imperatively(made, copied)
    return made


def line(runs: list[Measured]) -> str:
    """Medians, and in brackets the lowest and highest of the ratios."""
    rate = statistics.median(one.rows / one.bus.wall_s for one in runs)
    parts = ("reward", "postgres", "nats")
    cpu = ", ".join(f"{part} {statistics.median(getattr(one, f'{part}_us') for one in runs):.0f}" for part in parts)
    ratios = (
        f"by {by.removesuffix('_s')} time {_spread(runs, by, 'copy')} of bare COPY, "
        f"{_spread(runs, by, 'copy', 'read')} of reading the messages and bare COPY, {_spread(runs, by, 'orm')} x the ORM"
        for by in ("wall_s", "cpu_s")
    )
    return "\n".join((f"{rate:,.0f} rows/s from the bus; CPU us a message: {cpu}", *ratios))


def _spread(runs: list[Measured], by: str, *others: str) -> str:
    ratios = [sum(getattr(getattr(one, other), by) for other in others) / getattr(one.bus, by) for one in runs]
    return f"{statistics.median(ratios):.2f} [{min(ratios):.2f}-{max(ratios):.2f}]"


async def main(arguments: argparse.Namespace) -> None:
    """Runs everything and keeps the result."""
    runs = []
    for repeat in range(arguments.repeats):
        runs.append(await measure(arguments.decisions, repeat, arguments.processes, arguments.apart))
        print(runs[-1], line(runs[-1:]), sep="\n", flush=True)
    kept: dict[str, object] = {"machine": platform.platform(), "cores": os.cpu_count(), "arguments": vars(arguments)}
    print("\n" + line(runs), flush=True)
    kept |= {"runs": [asdict(one) for one in runs], "lines": line(runs).splitlines()}
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--decisions", type=int, default=6_000)
    parser.add_argument("--processes", type=int, default=1, help="of the reward service")
    parser.add_argument("--apart", type=int, default=0, help="so many decisions later the outcome of one comes")
    uvloop.run(main(parser.parse_args()))
