"""From 50 to 5,000 characters: what a decision costs, what each process holds, and who decides. On the Realm with nano.

    python benchmarks/many_npcs.py [--sizes 50 500 5000] [--seconds 60] [--answer-within 250]

Each size has a platform of its own, and plays for so long, each turn as soon as the last one is answered. The cost of a decision
is the processor time of each process by its decisions, the smallest size being the baseline. Memory is told after the first
tenth, in the middle and at the end, so that what grows without end is seen. Nothing may be late or illegal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path

import uvloop

from hearthmind.client import Decision, connect
from hearthmind.contracts.outcome import CLIENT
from hearthmind.flow import game_user
from hearthmind.settings import Flow
from realm.play import Turn, play
from services.command.figures import Figures
from services.command.platform import Options, Platform

RESULTS = Path(__file__).parent / "results" / "many_npcs.json"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
MIB = 1024 * 1024
LOOK_EVERY_S = 1.0
STORED_WITHIN_S = 600.0
TAKEN = "took it first"
"""So ends why the client chose otherwise although the platform had answered in time."""


class Processes:
    """Processor time and memory of everything that runs, with its children."""

    def __init__(self, running: Platform) -> None:
        self._running = running
        self.names = sorted(running.supervisor._kept)
        self.memory: list[dict[str, float]] = []

    def used_s(self) -> dict[str, float]:
        """Seconds of processor time by process; `game` is this one."""
        own = resource.getrusage(resource.RUSAGE_SELF)
        used = {name: sum(_ticks(pid) for pid in self._tree(name)) / TICKS_PER_S for name in self.names}
        return {"game": own.ru_utime + own.ru_stime, **used}

    async def watch(self) -> None:
        """Looks at the memory from time to time."""
        while True:
            held = {name: sum(_held(pid) for pid in self._tree(name)) / MIB for name in self.names}
            self.memory.append({"game": _held(os.getpid()) / MIB, **held})
            await asyncio.sleep(LOOK_EVERY_S)

    def _tree(self, name: str) -> list[int]:
        pid = self._running.supervisor.pid(name)
        found = below = [pid] if pid else []
        while below:
            below = [child for one in below for child in _children(one)]
            found = found + below
        return found


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(fields[11]) + int(fields[12])


def _held(pid: int) -> int:
    """What is a process's own in memory; what Postgres shares among its processes is counted for none of them."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return (int(fields[1]) - int(fields[2])) * PAGE_BYTES


async def measure(size: int, seconds: float, answer_within_s: float) -> dict[str, object]:
    """One size."""
    with tempfile.TemporaryDirectory(prefix="hearthmind-") as folder:
        options = Options(folder=Path(folder), flow=Flow(games=("realm",)), sync_interval="1s", sample_ratio=0.0)
        async with Platform(options, say=lambda _line: None) as running:
            processes, turns, figures = Processes(running), Counter[str](), Figures()
            async with connect(running.connection.url_of(game_user("realm")), game="realm") as mind:
                unanswered = Counter[str]()

                def on_decision(decision: Decision) -> None:
                    figures.add(decision)
                    if decision.chosen.source == CLIENT and not decision.chosen.why.endswith(TAKEN):
                        unanswered[decision.chosen.why] += 1

                mind.on_decision = on_decision
                watching = asyncio.create_task(processes.watch())
                before, began_s = processes.used_s(), time.monotonic()
                ends_s = began_s + seconds

                def on_turn(_: Turn) -> None:
                    turns["turns"] += 1

                await play(
                    mind,
                    npcs=size,
                    seed=1,
                    until=lambda: time.monotonic() >= ends_s,
                    on_turn=on_turn,
                    turn_s=0,
                    answer_within_s=answer_within_s,
                )
                took_s = time.monotonic() - began_s
                await mind.wait_stored(STORED_WITHIN_S)
                used = {name: spent - before[name] for name, spent in processes.used_s().items()}
                watching.cancel()
                tally = mind.tally
    decisions = tally.actions
    cost = {name: round(1e6 * spent / decisions) for name, spent in used.items()}
    looked = processes.memory
    return {
        "characters": size,
        "turns": turns["turns"],
        "decisions": decisions,
        "decisions/s": round(decisions / took_s),
        "sources": {name: f"{count / decisions:.1%}" for name, count in sorted(tally.by_source.items())},
        "late": tally.late + unanswered.total(),
        "taken by another first": tally.taken,
        "answered by the client, and why": dict(unanswered),
        "illegal": tally.illegal,
        "latency, ms": figures.everything.summary(),
        "µs a decision": {**cost, "all": sum(cost.values())},
        "MiB": {name: [round(looked[at][name]) for at in _moments(len(looked))] for name in looked[0]},
    }


def _moments(count: int) -> tuple[int, int, int]:
    return count // 10, count // 2, count - 1


async def main(arguments: argparse.Namespace) -> None:
    """All sizes, and keeps the result."""
    kept: dict[str, object] = {"machine": platform.platform(), "cores": os.cpu_count(), "arguments": vars(arguments)}
    baseline = 0.0
    for size in arguments.sizes:
        found = await measure(size, arguments.seconds, arguments.answer_within)
        cost: dict[str, float] = found["µs a decision"]  # type: ignore[assignment]
        baseline = baseline or cost["all"]
        found["cost by that of the smallest"] = round(cost["all"] / baseline, 2)
        decision = round(cost["decision"])
        print(json.dumps(found, indent=1, ensure_ascii=False), flush=True)
        print(f"{size:,} characters: the decision service takes {decision} µs a decision\n", flush=True)
        kept[f"{size}"] = found
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 500, 5000])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--answer-within", type=float, default=250)
    uvloop.run(main(parser.parse_args()))
