"""Observation → action by rules, against nats-py doing nothing but the same publishes, pulls and acknowledgements.

    python benchmarks/round_trip.py [--repeats 5] [--decisions 3000] [--sync 1m always]

Both sides have the same broker, streams, durability, message sizes and load generator; each variant runs in a process of
its own, the order is shuffled in every repeat, and every repeat starts a fresh broker. Rates hold within a run only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import nats
import uvloop
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from hearthmind.bus.provision import provision
from hearthmind.bus.wire import encode
from hearthmind.contracts.observation import Choice, LegalAction, Observation, Whole
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.embedded.processes import Command, Supervisor
from hearthmind.ids import new_decision_id, observation_subject
from hearthmind.process import READY_FILE
from hearthmind.settings import Broker, Flow, Telemetry, as_environment

RESULTS = Path(__file__).parent / "results" / "round_trip.json"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
NPCS = 500
AT_ONCE = 256
SETTLE_S = 1.5
VARIANTS = ("bare", "tracing off", "tracing 10 %", "tracing full")
RATIO = {"tracing off": 0.0, "tracing 10 %": 0.1, "tracing full": 1.0}


@dataclass(frozen=True)
class Measured:
    """One variant in one repeat."""

    p50_ms: float
    p99_ms: float
    per_s: float
    cpu_us: float


def an_observation(npc: int) -> Observation:
    """About 1 KB, as the Realm's are."""
    builds = Choice(enum=("woodcutter", "clay pit", "iron mine", "farm", "storehouse", "barracks"))
    state = {"stocks": [120, 240, 90, 400], "production": [12, 9, 7, 14], "rank": 17, "near": list(range(40))}
    return Observation(
        id=new_decision_id(),
        game="realm",
        npc=f"p{npc:04}",
        kind="economic",
        legal_actions=(
            LegalAction(name="wait"),
            LegalAction(name="build", parameters={"what": builds}, appeal=0.5),
            LegalAction(name="train", parameters={"amount": Whole(minimum=1, maximum=40)}, appeal=0.25),
        ),
        answer_within_ms=60_000,
        snapshot=1,
        state=msgspec.Raw(json.dumps(state).encode()),
    )


class Generator:
    """Publishes observations and waits for their actions; the same for every variant."""

    def __init__(self, nc: Nats, sampled: float, seed: int) -> None:
        self._js = nc.jetstream(publish_async_max_pending=20_000)
        self._waiting: dict[str, asyncio.Future[float]] = {}
        self._random = random.Random(seed)
        self._sampled = sampled

    async def on_action(self, msg: Msg) -> None:
        """An action came; the broker's message id names its decision."""
        future = self._waiting.pop((msg.headers or {})["Nats-Msg-Id"], None)
        if future and not future.done():
            future.set_result(time.perf_counter())

    async def ask(self, number: int) -> float:
        """One round trip in milliseconds."""
        observation = an_observation(number % NPCS)
        message_id = f"realm/{observation.npc}/{observation.id}"
        trace, span = self._random.getrandbits(128) | 1, self._random.getrandbits(64) | 1
        flag = int(self._random.random() < self._sampled)
        headers = {"Nats-Msg-Id": message_id, "traceparent": f"00-{trace:032x}-{span:016x}-{flag:02x}"}
        answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[message_id] = answered
        data, subject = encode(observation), observation_subject("realm", observation.npc, "economic")
        began = time.perf_counter()
        await self._js.publish_async(subject, data, headers=headers)
        async with asyncio.timeout(30):
            return (await answered - began) * 1000

    async def one_by_one(self, count: int) -> list[float]:
        """Latencies without any queue."""
        return [await self.ask(number) for number in range(count)]

    async def saturate(self, count: int) -> float:
        """Decisions per second with many NPCs asking all the time; an NPC asks again when it has its answer."""
        numbers: Iterator[int] = iter(range(count))

        async def npc() -> None:
            for number in numbers:
                await self.ask(number)

        began = time.perf_counter()
        await asyncio.gather(*(npc() for _ in range(AT_ONCE)))
        return count / (time.perf_counter() - began)


def cpu_s(pid: int) -> float:
    """CPU seconds of a process, in user and system mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


@asynccontextmanager
async def decider(variant: str, url: str, folder: Path) -> AsyncIterator[int]:
    """The process under test; gives its pid."""
    ready = folder / "ready"
    argv: tuple[str, ...]
    if variant == "bare":
        argv = (sys.executable, str(Path(__file__).with_name("bare_decider.py")), url, "330", "1250")
        env: dict[str, str] = {}
    else:
        argv = (sys.executable, "-m", "services.decision")
        telemetry = Telemetry(sample_ratio=RATIO[variant], folder=str(folder / "traces") if RATIO[variant] else "")
        env = as_environment("broker", Broker(url=url)) | as_environment("flow", Flow())
        env |= as_environment("telemetry", telemetry) | {"HEARTHMIND_DECISION__TRIAGE": "*=rules"}

    async def is_ready() -> bool:
        return ready.exists()

    command = Command(name="decider", argv=argv, env={**env, READY_FILE: str(ready)}, ready=is_ready)
    async with Supervisor([command], folder) as supervisor:
        pid = supervisor.pid("decider")
        assert pid
        yield pid


async def measure(variant: str, sync: str, decisions: int, seed: int) -> Measured:
    """One variant on a fresh broker."""
    with tempfile.TemporaryDirectory() as name:
        server = EmbeddedNats(Path(name) / "nats", NatsConfig(sync_interval=sync))
        async with Supervisor([server.command()], Path(name) / "broker"):
            nc = await nats.connect(server.url, skip_subject_validation=True)
            await provision(nc, partitions=1 if variant == "bare" else 16)
            generator = Generator(nc, RATIO.get(variant, 0.0), seed)
            await nc.subscribe("game.realm.action.*", cb=generator.on_action)
            async with decider(variant, server.url, Path(name) / "decider") as pid:
                await asyncio.sleep(SETTLE_S)
                await generator.saturate(decisions // 4)
                latencies = sorted(await generator.one_by_one(decisions // 4))
                before_s = cpu_s(pid)
                per_s = await generator.saturate(decisions)
                cpu_us = (cpu_s(pid) - before_s) / decisions * 1e6
            await nc.close()
    count = len(latencies)
    return Measured(latencies[count // 2], latencies[count * 99 // 100], per_s, cpu_us)


def table(sync: str, runs: dict[str, list[Measured]]) -> list[str]:
    """Medians, and in brackets the median of the ratios to bare in the same repeat, lowest and highest."""
    lines = [f"sync {sync}", f"{'':14}{'p50 ms':>26}{'p99 ms':>26}{'decisions/s':>28}{'CPU us/decision':>28}"]
    for variant, measured in runs.items():
        cells = []
        for name in ("p50_ms", "p99_ms", "per_s", "cpu_us"):
            values = [getattr(one, name) for one in measured]
            ratios = [value / getattr(bare, name) for value, bare in zip(values, runs["bare"], strict=True)]
            spread = f"{statistics.median(ratios):.2f}x [{min(ratios):.2f}-{max(ratios):.2f}]"
            cells.append(f"{statistics.median(values):>8.5g} {spread:>18}")
        lines.append(f"{variant:14}" + "".join(cells))
    return lines


async def main(arguments: argparse.Namespace) -> None:
    """Runs everything and keeps the result."""
    kept: dict[str, object] = {"machine": platform.platform(), "cores": os.cpu_count(), "arguments": vars(arguments)}
    for sync in arguments.sync:
        runs: dict[str, list[Measured]] = {variant: [] for variant in VARIANTS}
        for repeat in range(arguments.repeats):
            for variant in random.Random(repeat).sample(VARIANTS, len(VARIANTS)):
                runs[variant].append(await measure(variant, sync, arguments.decisions, repeat))
                print(f"sync {sync}, repeat {repeat + 1}, {variant}: {runs[variant][-1]}", flush=True)
        lines = table(sync, runs)
        print("\n" + "\n".join(lines) + "\n", flush=True)
        kept[f"sync {sync}"] = lines
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--decisions", type=int, default=4000)
    parser.add_argument("--sync", nargs="+", default=["1m", "always"])
    uvloop.run(main(parser.parse_args()))
