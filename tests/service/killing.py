"""Workers killed with kill -9 in mid-generation while a game is played: `python -m tests.service.killing --kills 45`.

Two workers with an engine that takes its time; as soon as one of them has begun an answer it is killed and another is started in
its place. Half of the decisions have time to be delivered again, for the others the fallback has to do. `--engine vllm` does it
with nano on vLLM, where a worker is a family of processes, none of which may outlive it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec
from nats.aio.msg import Msg

from examples.nano.lessons import HELD_OUT_FROM, lessons
from hearthmind.bus.wire import decode
from hearthmind.client import Client, connect
from hearthmind.contracts.inference import Inferred
from hearthmind.contracts.observation import Observation
from hearthmind.testing.servers import nats_server, provisioned
from hearthmind.testing.serving import process, serving
from hearthmind.testing.waiting import until
from services.decision import app as decision_service
from tests.service.family import family, is_gone
from tests.service.kill_report import Killed, Report, told

ENGINE_S = 0.4
PATIENT_S, HASTY_S = 12.0, 2.0
NPCS, WORKERS = 8, 2
QUESTIONS = 256
NANO = Path(__file__).parents[2] / "examples" / "nano" / "model"
MODELS = f"""
models:
  vllm_nano: {{path: {NANO}, pool: rules, engine: {{dtype: float32, eager: true, context: 1024, adapters_max: 0}}}}
"""
ENGINES = {"rules": "rules_scripted", "vllm": "vllm_nano"}


@dataclass
class Aloud:
    """A worker as a process, and the place where its engine says what it has begun."""

    process: Process
    began: Path
    stack: AsyncExitStack

    def has_begun(self, patient: bool = False) -> set[str]:
        """The decisions; those alone that have time for another worker, where only they are of interest."""
        lines = self.began.read_text().splitlines() if self.began.exists() else []
        said = [line.split() for line in lines if line.count(" ") == 2]
        return {decision for decision, _, npc in said if not patient or _is_patient(npc)}


def _is_patient(npc: str) -> bool:
    return int(npc.removeprefix("p")) % 2 == 1


async def a_worker(url: str, folder: Path, number: int, model: str) -> Aloud:
    began, stack = folder / f"began-{number}", AsyncExitStack()
    environment = {
        "NATS_URL": url,
        "SLOW_ENGINE_S": str(ENGINE_S),
        "ENGINE_BEGAN": str(began),
        "HEARTHMIND_MODELS__PATH": str(folder / "models.yaml"),
        "HEARTHMIND_INFERENCE_WORKER__MODEL": model,
        "HEARTHMIND_INFERENCE_WORKER__POOL": "rules",
        "HEARTHMIND_INFERENCE_WORKER__SLOTS": "3",
        "HEARTHMIND_INFERENCE_WORKER__ANSWERS_MAX": "0",
    }
    place = folder / str(number)
    started = await stack.enter_async_context(process("tests.service.slow_worker", place, **environment))
    if started.returncode is not None:
        said = "".join(path.read_text()[-2000:] for path in place.glob("*.log"))
        raise RuntimeError(f"the worker ended with {started.returncode} before it was ready: {said}")
    return Aloud(started, began, stack)


async def run(kills: int, folder: Path, say: Callable[[str], None] = lambda _: None, engine: str = "rules") -> Report:
    """Plays and kills."""
    report, model = Report(), ENGINES[engine]
    # All of them now: to play a world takes as long as a deadline.
    questions = itertools.cycle([lesson.observation for lesson in itertools.islice(lessons(HELD_OUT_FROM), QUESTIONS)])
    (folder / "models.yaml").write_text(MODELS)
    async with nats_server(folder / "nats") as server, provisioned(server.url, partitions=2) as nc:

        async def on_stored(msg: Msg) -> None:
            report.stored[(msg.headers or {})["Nats-Msg-Id"]] += 1

        async def on_reply(msg: Msg) -> None:
            reply = decode(msg.data, Inferred)
            report.replied[reply.decision, reply.attempt] += 1

        await nc.subscribe("game.*.action.*", cb=on_stored)
        await nc.subscribe("inference.reply.*", cb=on_reply)
        settings = {
            "NATS_URL": server.url,
            "HEARTHMIND_MODELS__PATH": str(folder / "models.yaml"),
            "HEARTHMIND_DECISION__TRIAGE": f"*={model}",
            "HEARTHMIND_FLOW__PARTITIONS": "2",
        }
        async with (
            serving(decision_service.serve, folder, **settings),
            connect(server.url, game="realm") as game,
            asyncio.TaskGroup() as group,
        ):
            killing = Killing(server.url, folder, model, report, say)
            players = [
                group.create_task(_play(game, f"p{number}", questions, report, killing.going)) for number in range(NPCS)
            ]
            try:
                await killing.kill(kills)
                await until(lambda: report.asked == len(report.decided))
            finally:
                for player in players:
                    player.cancel()
                await killing.end()
        await nc.flush()
    return report


async def _play(game: Client, npc: str, questions: Iterator[Observation], report: Report, going: asyncio.Event) -> None:
    within_s = PATIENT_S if _is_patient(npc) else HASTY_S
    while True:
        await going.wait()
        seen = next(questions)
        report.asked += 1
        decision = await game.observe(
            npc=npc,
            kind=seen.kind,
            state=msgspec.json.decode(seen.state),
            legal_actions=seen.legal_actions,
            answer_within_s=within_s,
        )
        report.decided[decision.id] = decision


@dataclass
class Killing:
    """Two workers, of which one after the other is killed and replaced."""

    url: str
    folder: Path
    model: str
    report: Report
    say: Callable[[str], None]
    workers: list[Aloud] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)
    going: asyncio.Event = field(default_factory=asyncio.Event)
    """The game goes on."""

    async def kill(self, kills: int) -> None:
        """Kills so many, each when it has just begun something that another can still do; plays until all of it is done."""
        for number in range(kills):
            await self._complete()
            self.going.set()
            victim = self.workers.pop(0)
            members = family(victim.process.pid)
            await until(partial(_began_more, victim, victim.has_begun(patient=True)))
            killed = await self._kill(victim, members)
            await until(partial(self._is_settled, killed))
            self.going.clear()
            self.say(self._said(number + 1, killed))

    async def _complete(self) -> None:
        """Starts as many as are missing, while the game rests: on two cores it would take minutes beside it."""
        missing = range(WORKERS - len(self.workers))
        self.workers += await asyncio.gather(
            *(a_worker(self.url, self.folder, next(self.numbers), self.model) for _ in missing)
        )

    async def _kill(self, victim: Aloud, members: set[int]) -> Killed:
        killed = Killed(time.monotonic(), set(), members)
        victim.process.kill()
        await victim.process.wait()
        killed.decisions |= victim.has_begun() - set(self.report.decided)
        self.report.kills.append(killed)
        await until(lambda: all(is_gone(pid) for pid in members))
        self.report.gone_s.append(time.monotonic() - killed.at_s)
        await victim.stack.aclose()
        return killed

    def _is_settled(self, killed: Killed) -> bool:
        """Whether all that was cut off is decided; on the way it is noted when another worker began it."""
        elsewhere = set[str]().union(*(worker.has_begun() for worker in self.workers))
        for decision in killed.decisions & elsewhere - set(self.report.again_s):
            self.report.again_s[decision] = time.monotonic() - killed.at_s
        return killed.decisions <= set(self.report.decided)

    def _said(self, number: int, killed: Killed) -> str:
        cut, processes = len(killed.decisions), len(killed.family)
        return f"kill {number}: {processes} processes, {cut} cut off, {dict(self.report.sources())} so far"

    async def end(self) -> None:
        """Ends those that still live."""
        for worker in self.workers:
            await worker.stack.aclose()


def _began_more(worker: Aloud, before: set[str]) -> bool:
    return bool(worker.has_begun(patient=True) - before)


async def main(kills: int, engine: str) -> None:
    """Prints what happened."""
    with tempfile.TemporaryDirectory() as name:
        report = await run(kills, Path(name), print, engine)
    print("\n".join(told(report)))  # noqa: T201


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=45)
    parser.add_argument("--engine", choices=sorted(ENGINES), default="rules")
    asked = parser.parse_args()
    asyncio.run(main(asked.kills, asked.engine))
