"""How long a backlog takes from the bus into Postgres, against bare COPY of the same rows into the same tables.

    python benchmarks/drain.py [--repeats 3] [--decisions 4000] [--resent 0 3] [--kept limits interest] [--sync always]

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
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec
import nats
import psycopg
import uvloop
from nats.aio.client import Client as Nats

from hearthmind import flow, ids
from hearthmind.bus.provision import provision, stream_config
from hearthmind.bus.publish import Publisher
from hearthmind.bus.wire import encode
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.observation import Choice, LegalAction, Observation, Whole
from hearthmind.contracts.outcome import Executed, OutcomeObserved
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.embedded.postgres import EmbeddedPostgres, remove
from hearthmind.embedded.processes import Command, Supervisor
from hearthmind.settings import Broker, Store, as_environment
from hearthmind.store.migrate import upgrade
from hearthmind.testing.waiting import until

RESULTS = Path(__file__).parent / "results" / "drain.json"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
GAME = "realm"
NPCS = 100
BATCH = 1000
PATIENCE_S = 300.0
TABLES = ("inbox", "decisions", "outcomes", "experiences")
Said = tuple[str, bytes, str]


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


def a_decision(number: int, resent: int) -> Iterator[Said]:
    """All that is said about one decision, about 1 KB each, as the Realm does."""
    decision, npc = ids.new_decision_id(), f"p{number % NPCS:04}"
    state = {"stocks": [120, 240, 90, 400], "production": [12, 9, 7, 14], "rank": 17, "near": list(range(40))}
    seen = Observation(
        id=decision,
        game=GAME,
        npc=npc,
        kind="economic",
        legal_actions=(
            LegalAction(name="wait"),
            LegalAction(name="build", parameters={"what": Choice(enum=("woodcutter", "clay pit", "farm"))}, appeal=0.5),
            LegalAction(name="train", parameters={"amount": Whole(minimum=1, maximum=40)}, appeal=0.25),
        ),
        answer_within_ms=2_000,
        snapshot=number,
        state=msgspec.Raw(json.dumps(state).encode()),
    )
    whose: dict[str, Any] = {"decision": decision, "game": GAME, "npc": npc, "kind": "economic"}
    action = ActionChosen(**whose, snapshot=number, action="build", arguments={"what": "farm"}, source="model")
    detail = DecisionMade(
        **whose, attempt=1, epoch=1, partition=number % 16, tier="routine", source="model", observation=seen
    )
    outcome = OutcomeObserved(
        **whose,
        executed=Executed(action="build", arguments={"what": "farm"}),
        success=True,
        facts={"production_before": 40, "production_after": 42, "wasted": 0, "rank": 17},
        state_after=msgspec.Raw(json.dumps(state).encode()),
    )
    yield ids.chosen_subject(GAME, npc), encode(action), ids.message_id(GAME, npc, decision)
    yield ids.decision_subject(GAME, npc), encode(detail), ids.message_id(GAME, npc, decision, "detail")
    for attempt in range(1 + resent):
        yield ids.outcome_subject(GAME, npc), encode(outcome), ids.message_id(GAME, npc, decision, f"outcome-{attempt}")


async def fill(nc: Nats, decisions: int, resent: int) -> int:
    """Puts the backlog on the bus, resent outcomes after all others as they would be; returns how many messages it is."""
    said = [list(a_decision(number, resent)) for number in range(decisions)]
    ordered = (
        [each[at] for at in range(3 + resent) for each in said] if resent else [one for each in said for one in each]
    )
    publisher = await Publisher(nc).start()
    for start in range(0, len(ordered), BATCH):
        sent = [await publisher.send(*one, give_up_after_s=120) for one in ordered[start : start + BATCH]]
        await asyncio.gather(*sent)
    await publisher.stop()
    js = nc.jetstream()

    async def is_there() -> bool:
        return (await js.stream_info("EXPERIENCE")).state.messages == len(ordered)

    await until(is_there, PATIENCE_S)
    return len(ordered)


async def has_begun(nc: Nats) -> bool:
    """Whether anything was delivered."""
    info = await nc.jetstream().consumer_info("EXPERIENCE", "reward")
    return bool(info.delivered and info.delivered.consumer_seq)


async def is_drained(nc: Nats) -> bool:
    """Whether nothing is left."""
    info = await nc.jetstream().consumer_info("EXPERIENCE", "reward")
    return not info.num_pending and not info.num_ack_pending


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and of all that it started, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(map(int, fields[11:15])) / TICKS_PER_S + sum(cpu_s(int(child)) for child in children)


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


@asynccontextmanager
async def servers(folder: Path, sync: str) -> AsyncIterator[tuple[EmbeddedNats, EmbeddedPostgres, Supervisor]]:
    """Broker and database, empty, with all that the reward service needs."""
    broker, database = (
        EmbeddedNats(folder / "nats", NatsConfig(sync_interval=sync)),
        EmbeddedPostgres(folder / "postgres"),
    )
    async with AsyncExitStack() as stack:
        stack.callback(remove, folder / "postgres")
        commands = [broker.command(), database.command()]
        supervisor = await stack.enter_async_context(Supervisor(commands, folder / "servers", ready_within_s=60))
        await asyncio.to_thread(upgrade, database.dsn)
        yield broker, database, supervisor


async def measure(decisions: int, resent: int, kept: Literal["limits", "interest"], sync: str) -> Measured:
    """One backlog on fresh servers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with servers(folder, sync) as (broker, database, supervisor):
            nc = await nats.connect(broker.url)
            await provision(nc, partitions=16)
            experience = replace(flow.stream_named("EXPERIENCE"), retention=kept)
            await nc.jetstream().update_stream(stream_config(experience, partitions=16))
            messages = await fill(nc, decisions, resent)
            env = as_environment("broker", Broker(url=broker.url)) | as_environment("store", Store(url=database.dsn))
            command = Command(name="reward", argv=(sys.executable, "-m", "services.reward"), env=env)
            async with Supervisor([command], folder / "reward") as reward:
                pids = [
                    owner.pid(name) or 0
                    for owner, name in ((reward, "reward"), (supervisor, "postgres"), (supervisor, "nats"))
                ]
                await until(partial(has_begun, nc), PATIENCE_S)
                before, began_s = [cpu_s(pid) for pid in pids], time.perf_counter()
                await until(partial(is_drained, nc), PATIENCE_S)
                seconds = time.perf_counter() - began_s
                used = [cpu_s(pid) - was for pid, was in zip(pids, before, strict=True)]
            await nc.close()
            copied = await asyncio.to_thread(copy_s, database.dsn)
            check(database.dsn, decisions)
    return Measured(messages, seconds, copied, *(each / messages * 1e6 for each in used))


def check(dsn: str, decisions: int) -> None:
    """A figure counts only where every outcome became one experience."""
    with psycopg.connect(dsn) as connection:
        found = connection.execute("SELECT count(*), count(DISTINCT decision) FROM experiences").fetchone()
    if found != (decisions, decisions):
        raise SystemExit(f"{decisions} outcomes became {found} experiences")


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
