"""Workers killed with kill -9 in mid-generation while a game is played: `python -m tests.service.killing --kills 45`.

Two workers with an engine that takes its time; as soon as one of them has begun an answer it is killed and another is started in
its place. Half of the decisions have time to be delivered again, for the others the fallback has to do.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from nats.aio.msg import Msg

from hearthmind.bus.wire import decode
from hearthmind.client import Client, Decision, LegalAction, connect
from hearthmind.contracts.action import FALLBACK, MODEL
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.inference import Inferred
from hearthmind.testing.servers import nats_server, provisioned
from hearthmind.testing.serving import process, serving
from hearthmind.testing.waiting import until
from services.decision import app as decision_service

ENGINE_S = 0.4
PATIENT_S, HASTY_S = 12.0, 2.0
NPCS = 8


@dataclass
class Killed:
    """What a worker had begun when it was killed."""

    at_s: float
    decisions: set[str]


@dataclass
class Report:
    """What happened, told by the game, by the broker and by the engines."""

    decided: dict[str, Decision] = field(default_factory=dict)
    asked: int = 0
    stored: Counter[str] = field(default_factory=Counter)
    """How many actions the broker stored for each decision."""
    replied: Counter[tuple[str, int]] = field(default_factory=Counter)
    made_by: dict[str, str] = field(default_factory=dict)
    kills: list[Killed] = field(default_factory=list)
    again_s: dict[str, float] = field(default_factory=dict)
    """How long after a kill another worker began what was lost."""

    @property
    def interrupted(self) -> set[str]:
        """The decisions whose generation was cut off."""
        return set[str]().union(*(each.decisions for each in self.kills))

    def sources(self) -> Counter[str]:
        """Who decided what was cut off."""
        return Counter(self.decided[decision].source for decision in self.interrupted if decision in self.decided)

    def broken(self) -> list[str]:
        """Which promises were not kept."""
        never = self.asked - len(self.decided)
        twice = {decision for decision, count in self.stored.items() if count > 1}
        odd = {each.source for each in self.decided.values()} - {MODEL, FALLBACK, "client"}
        return [
            *([f"{never} decisions never got an action"] if never else []),
            *([f"two actions were stored for {sorted(twice)}"] if twice else []),
            *([f"decisions are said to be by {odd}"] if odd else []),
        ]


@dataclass
class Slow:
    """A worker as a process, and the place where its engine says what it has begun."""

    process: Process
    began: Path
    stack: AsyncExitStack

    def has_begun(self) -> set[str]:
        lines = self.began.read_text().splitlines() if self.began.exists() else []
        return {line.split()[0] for line in lines}


async def slow_worker(url: str, folder: Path, number: int) -> Slow:
    began, stack = folder / f"began-{number}", AsyncExitStack()
    environment = {
        "NATS_URL": url,
        "SLOW_ENGINE_S": str(ENGINE_S),
        "SLOW_ENGINE_BEGAN": str(began),
        "HEARTHMIND_INFERENCE_WORKER__POOL": "rules",
        "HEARTHMIND_INFERENCE_WORKER__SLOTS": "3",
    }
    place = folder / str(number)
    started = await stack.enter_async_context(process("tests.service.slow_worker", place, **environment))
    return Slow(started, began, stack)


async def run(kills: int, folder: Path, say: Callable[[str], None] = lambda _: None) -> Report:
    """Plays and kills."""
    report, stop = Report(), asyncio.Event()
    async with nats_server(folder / "nats") as server, provisioned(server.url, partitions=2) as nc:

        async def on_stored(msg: Msg) -> None:
            report.stored[(msg.headers or {})["Nats-Msg-Id"]] += 1

        async def on_detail(msg: Msg) -> None:
            detail = decode(msg.data, DecisionMade)
            report.made_by[detail.decision] = detail.worker

        async def on_reply(msg: Msg) -> None:
            reply = decode(msg.data, Inferred)
            report.replied[reply.decision, reply.attempt] += 1

        await nc.subscribe("game.*.action.*", cb=on_stored)
        await nc.subscribe("mind.decision.*.*", cb=on_detail)
        await nc.subscribe("inference.reply.*", cb=on_reply)
        settings = {"HEARTHMIND_DECISION__TRIAGE": "*=rules_scripted", "HEARTHMIND_FLOW__PARTITIONS": "2"}
        async with (
            serving(decision_service.serve, folder, NATS_URL=server.url, **settings),
            connect(server.url, game="realm") as game,
            asyncio.TaskGroup() as group,
        ):
            for number in range(NPCS):
                group.create_task(_play(game, number, report, stop))
            try:
                await _kill(kills, server.url, folder, report, say)
            finally:
                stop.set()
        await nc.flush()
    return report


async def _play(game: Client, number: int, report: Report, stop: asyncio.Event) -> None:
    within_s = PATIENT_S if number % 2 else HASTY_S
    actions = [LegalAction(name="wait"), LegalAction(name="raid")]
    while not stop.is_set():
        report.asked += 1
        npc = f"p{number}"
        decision = await game.observe(npc=npc, kind="combat", legal_actions=actions, answer_within_s=within_s)
        report.decided[decision.id] = decision


async def _kill(kills: int, url: str, folder: Path, report: Report, say: Callable[[str], None]) -> None:
    numbers = itertools.count()
    workers = [await slow_worker(url, folder, next(numbers)) for _ in range(2)]
    try:
        for number in range(kills):
            victim, other = workers
            await until(partial(_began_more, victim, victim.has_begun()))
            victim.process.kill()
            killed = Killed(time.monotonic(), victim.has_begun() - set(report.decided))
            await victim.stack.aclose()
            report.kills.append(killed)
            workers = [other, await slow_worker(url, folder, next(numbers))]
            await until(partial(_is_settled, killed, workers, report))
            say(f"kill {number + 1}: {len(killed.decisions)} cut off, {dict(report.sources())} so far")
    finally:
        for worker in workers:
            await worker.stack.aclose()


def _began_more(worker: Slow, before: set[str]) -> bool:
    return bool(worker.has_begun() - before)


def _is_settled(killed: Killed, workers: list[Slow], report: Report) -> bool:
    """Whether all that was cut off is decided; on the way it is noted when another worker began it."""
    elsewhere = set[str]().union(*(worker.has_begun() for worker in workers))
    for decision in killed.decisions & elsewhere - set(report.again_s):
        report.again_s[decision] = time.monotonic() - killed.at_s
    return killed.decisions <= set(report.decided)


async def main(kills: int) -> None:
    """Prints what happened."""
    with tempfile.TemporaryDirectory() as name:
        report = await run(kills, Path(name), print)
    again = max(report.again_s.values(), default=0.0)
    lines = (
        f"{len(report.kills)} kills, {len(report.interrupted)} generations cut off of {report.asked} decisions",
        f"all decisions: {dict(Counter(each.source for each in report.decided.values()))}",
        f"of what was cut off: {dict(report.sources())}; begun again at the latest {again:.1f} s after the kill",
        *(report.broken() or ["every decision had one action in time"]),
    )
    print("\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=45)
    asyncio.run(main(parser.parse_args().kills))
