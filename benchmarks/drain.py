"""How long a backlog takes from the bus into Postgres, against bare COPY of the same rows into the same tables.

    python -m benchmarks.drain [--repeats 3] [--decisions 4000] [--resent 0 3] [--kept limits interest] [--sync always]

A real NATS and a real Postgres, both durable. Each decision is three messages: action, detail and outcome; with `--resent 3`
each outcome lies on the bus four times, as after an outage. The reward service is started when all is there; the clock runs
from its first delivery until nothing is left on the bus. COPY is binary, in transactions of 1,000 messages' rows: as fast as
this Postgres takes them. `--kept interest` is the EXPERIENCE stream as it was before decision 11, for comparison. Rates hold
within a run only.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import nats
import psycopg
import uvloop

from benchmarks.backlog import PATIENCE_S, a_backlog, check, cpu_s, fill, has_begun, is_drained, rewards, servers
from hearthmind import flow
from hearthmind.bus.provision import provision, stream_config
from hearthmind.embedded.processes import Supervisor
from hearthmind.testing.waiting import until

RESULTS = Path(__file__).parent / "results" / "drain.json"
BATCH = 1000
TABLES = ("inbox", "decisions", "outcomes", "experiences")


@dataclass(frozen=True)
class Measured:
    """One backlog drained."""

    messages: int
    seconds: float
    copy_seconds: float
    reward_us: float
    """CPU time a message, of the reward service, the database and the broker."""
    postgres_us: float
    nats_us: float


def copy_s(dsn: str) -> float:
    """Seconds for the same rows by binary COPY into empty tables of the same kind."""
    with psycopg.connect(dsn) as connection:
        batches: list[list[tuple[str, bytes]]] = []
        for table in TABLES:
            connection.execute(f"CREATE TABLE bare_{table} (LIKE {table} INCLUDING ALL)")
            count = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
            step = BATCH if table == "inbox" else BATCH // 3
            for number, start in enumerate(range(0, count[0] if count else 0, step)):
                rows = f"SELECT * FROM {table} ORDER BY ctid LIMIT {step} OFFSET {start}"
                with connection.cursor().copy(f"COPY ({rows}) TO STDOUT (FORMAT BINARY)") as copy:
                    batches.extend([] for _ in range(number + 1 - len(batches)))
                    batches[number].append((table, b"".join(map(bytes, copy))))
        connection.commit()
        began_s = time.perf_counter()
        for batch in batches:
            for table, rows_bytes in batch:
                with connection.cursor().copy(f"COPY bare_{table} FROM STDIN (FORMAT BINARY)") as copy:
                    copy.write(rows_bytes)
            connection.commit()
        return time.perf_counter() - began_s


async def measure(decisions: int, resent: int, kept: Literal["limits", "interest"], sync: str) -> Measured:
    """One backlog on fresh servers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with servers(folder, sync) as (broker, database, supervisor):
            nc = await nats.connect(broker.url)
            await provision(nc, partitions=16)
            experience = replace(flow.stream_named("EXPERIENCE"), retention=kept)
            await nc.jetstream().update_stream(stream_config(experience, partitions=16))
            said = a_backlog(decisions, 0, resent=resent)
            await fill(nc, said)
            commands = rewards(broker, database)
            async with Supervisor(commands, folder / "reward") as reward:
                pids = [
                    owner.pid(name) or 0
                    for owner, name in ((reward, commands[0].name), (supervisor, "postgres"), (supervisor, "nats"))
                ]
                await until(partial(has_begun, nc), PATIENCE_S)
                before, began_s = [cpu_s(pid) for pid in pids], time.perf_counter()
                await until(partial(is_drained, nc), PATIENCE_S)
                seconds = time.perf_counter() - began_s
                used = [cpu_s(pid) - was for pid, was in zip(pids, before, strict=True)]
            await nc.close()
            copied = await asyncio.to_thread(copy_s, database.dsn)
            check(database.dsn, decisions)
    return Measured(len(said), seconds, copied, *(each / len(said) * 1e6 for each in used))


def line(name: str, runs: list[Measured]) -> str:
    """Medians, and in brackets the lowest and highest of the ratios to COPY."""
    ratios = [one.seconds / one.copy_seconds for one in runs]
    per_s = statistics.median(one.messages / one.seconds for one in runs)
    cpu = [statistics.median(getattr(one, f"{name}_us") for one in runs) for name in ("reward", "postgres", "nats")]
    return (
        f"{name}: {runs[0].messages} messages, {per_s:,.0f}/s, "
        f"{statistics.median(ratios):.2f}x the time of COPY [{min(ratios):.2f}-{max(ratios):.2f}]; "
        f"CPU us a message: reward {cpu[0]:.0f}, postgres {cpu[1]:.0f}, nats {cpu[2]:.0f}"
    )


async def main(arguments: argparse.Namespace) -> None:
    """Runs everything and keeps the result."""
    kept: dict[str, object] = {"machine": platform.platform(), "cores": os.cpu_count(), "arguments": vars(arguments)}
    variants = list(itertools.product(arguments.kept, arguments.resent))
    runs: dict[str, list[Measured]] = defaultdict(list)
    for repeat in range(arguments.repeats):
        for by, resent in random.Random(repeat).sample(variants, len(variants)):
            name = f"kept by {by}, resent {resent}"
            runs[name].append(await measure(arguments.decisions, resent, by, arguments.sync))
            print(f"{name}: {runs[name][-1]}", flush=True)
    lines = [line(name, runs[name]) for name in sorted(runs)]
    kept |= {name: [asdict(one) for one in measured] for name, measured in runs.items()}
    print("\n" + "\n".join(lines), flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**kept, "lines": lines}, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--decisions", type=int, default=4000)
    parser.add_argument("--resent", type=int, nargs="+", default=[0, 3])
    parser.add_argument("--kept", choices=("limits", "interest"), nargs="+", default=["limits", "interest"])
    parser.add_argument("--sync", default="always")
    uvloop.run(main(parser.parse_args()))
