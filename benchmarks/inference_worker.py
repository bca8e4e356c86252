"""What the worker costs its engine, and what its tiers bring, with a tiny model on a real engine.

    python benchmarks/inference_worker.py [--engine vllm] [--requests 500] [--repeats 7]

All variants of a repeat use one engine in one process, in shuffled order, each with prompts of its own that begin alike; whoever
asks over the bus is another process. Only ratios within a repeat are compared: the median, and an interval around it that needs
no more than that repeats do not depend on each other (the sign test's).

- `bus` against `direct`: all requests at once over the bus, or given to the engine without worker and bus.
- `waves`: the usual client loop, 20 gathered requests after 20, without worker and bus; `_even`: all answers equally long.
- `urgent`: while all the others wait, a few critical ones, by tiers; `queue`: in one tier, first come, first served.
- `oldest`: a routine request while the critical tier never runs dry.
- `alone`: single requests to an idle engine: how long they take to reach it, and to their first token.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import math
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.inference_worker_asker import ROUTINE, Said, a_prompt, samplings
from hearthmind.contracts.inference import Infer, Sampling
from hearthmind.flow import tier_of
from hearthmind.models import Hf, Model, Onnx, Vllm
from hearthmind.testing.servers import nats_server, provisioned
from hearthmind.testing.tiny_model import tiny_llama, tiny_onnx
from hearthmind.testing.waiting import until
from services.inference_worker.app import serve_with
from services.inference_worker.engines import Adapter, Engine, Generated
from services.inference_worker.engines.choose import engine_for
from services.inference_worker.engines.kin import MARK, marked
from services.inference_worker.settings import InferenceWorker

RESULTS = Path(__file__).parent / "results"
ASKER = Path(__file__).with_name("inference_worker_asker.py")
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
WAVE = 20
VARIANTS = ("direct", "direct_even", "bus", "bus_even", "waves", "waves_even", "urgent", "queue", "oldest", "alone")
numbers = itertools.count()


def tiny_engine(kind: str, slots: int) -> Engine:
    """The engine under test on an untrained Llama of 2.6 M parameters."""
    llama = tiny_llama(chat=True)
    engines: dict[str, Callable[[], Model]] = {
        "onnx": lambda: Model(
            name="onnx_tiny", path=str(tiny_onnx(llama)), pool="bench", engine=Onnx(context=512, threads=1)
        ),
        "hf": lambda: Model(name="hf_tiny", path=str(llama), pool="bench", engine=Hf(context=512)),
        "vllm": lambda: Model(
            name="vllm_tiny",
            path=str(llama),
            pool="bench",
            engine=Vllm(context=512, eager=True, slots=slots, dtype="float32", adapters_max=0),
        ),
    }
    return engine_for(engines[kind]())


class Watched:
    """An engine, and what is seen of it: when each request came to it, and when it made a step."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.entered_s: dict[str, float] = {}
        self.steps_s: list[float] = []
        if hasattr(engine, "heard_of"):
            self._heard_of, engine.heard_of = engine.heard_of, self._step

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def _step(self, tokens: int) -> None:
        self.steps_s.append(time.monotonic())
        self._heard_of(tokens)

    async def answer(self, infer: Infer, adapter: Adapter | None = None) -> Generated:
        """As the engine does."""
        self.entered_s[infer.decision] = time.monotonic()
        answer: Generated = await self._engine.answer(infer, adapter)
        return answer

    def step_ms(self) -> float:
        """How long a step took on average; 0 where none is seen."""
        steps = self.steps_s
        return (steps[-1] - steps[0]) / (len(steps) - 1) * 1000 if len(steps) > 1 else 0.0


# ---- one variant --------------------------------------------------------------------------------------------------------


def an_infer(sampling: Sampling) -> Infer:
    """A request as the worker would give it to the engine."""
    return Infer(
        game="bench",
        npc="bench",
        decision=f"d{next(numbers)}",
        attempt=1,
        partition=0,
        tier=tier_of(ROUTINE),
        priority=ROUTINE,
        pool="bench",
        model="",
        prompt=a_prompt(),
        sampling=sampling,
        varied=True,
    )


async def directly(engine: Watched, requests: int, at_once: int, *, even: bool) -> Said:
    """Gives the engine so many requests at once, again and again."""
    began_s = time.monotonic()
    left = samplings(requests, even=even)
    while left:
        await asyncio.gather(*(engine.answer(an_infer(sampling)) for sampling in left[:at_once]))
        left = left[at_once:]
    return {"seconds": time.monotonic() - began_s}


async def over_the_bus(engine: Watched, url: str, variant: str, requests: int) -> Said:
    """Asked by another process; of single requests, how long they took to the engine and to their first token."""
    asker = await asyncio.create_subprocess_exec(sys.executable, ASKER, url, variant, str(requests), stdout=PIPE)
    output, _ = await asker.communicate()
    found: Said = json.loads(output)
    for which in ("probes", "looked_up"):
        noted = [(engine.entered_s[name] - sent_s, first_ms) for name, sent_s, first_ms in found.pop(which, ())]
        if noted:
            found[f"{which}_to_engine_ms"] = statistics.median(way_s * 1000 for way_s, _ in noted)
            found[f"{which}_first_token_ms"] = [round(way_s * 1000 + first_ms, 2) for way_s, first_ms in noted]
    return found


async def measure(engine: Watched, kin: list[int], url: str, variant: str, requests: int) -> Said:
    """One variant, with the CPU time of this process and of the engine's own, and how long a step of the engine took."""
    engine.entered_s.clear()
    engine.steps_s.clear()
    own_s, kin_s = time.process_time(), _cpu_s(kin)
    how, _, even = variant.partition("_")
    if how in ("direct", "waves"):
        found = await directly(engine, requests, WAVE if how == "waves" else requests, even=bool(even))
    else:
        found = await over_the_bus(engine, url, variant, requests)
    own_s, kin_s = time.process_time() - own_s, _cpu_s(kin) - kin_s
    return {**found, "cpu_s": own_s, "kin_cpu_s": kin_s, "step_ms": engine.step_ms(), "load": os.getloadavg()[0]}


def _cpu_s(pids: list[int]) -> float:
    """What these processes have used."""
    fields = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids)
    return sum(int(each[11]) + int(each[12]) for each in fields) / TICKS_PER_S


# ---- what comes of it ---------------------------------------------------------------------------------------------------

Runs = dict[str, list[Said]]


def ratios(runs: Runs) -> dict[str, list[float]]:
    """Each repeat's figures, in order."""

    def of(above: str, below: str, what: str) -> list[float]:
        return [up[what] / down[what] for up, down in zip(runs[above], runs[below], strict=True)]

    def first_ms(variant: str) -> list[float]:
        return [statistics.median(each["probes_first_token_ms"]) for each in runs[variant]]

    urgent, queue, alone = first_ms("urgent"), first_ms("queue"), first_ms("alone")
    costs = [
        (bus["cpu_s"] - direct["cpu_s"]) / (direct["cpu_s"] + direct["kin_cpu_s"])
        for bus, direct in zip(runs["bus"] + runs["bus_even"], runs["direct"] + runs["direct_even"], strict=True)
    ]
    steps = [each["step_ms"] for each in runs["urgent"]]
    late = [(ours - idle) / step for ours, idle, step in zip(urgent, alone, steps, strict=True) if step]
    return {
        "time over the bus / fed directly": of("bus", "direct", "seconds"),
        "the same, answers equally long": of("bus_even", "direct_even", "seconds"),
        "time in waves of 20 / over the bus": of("waves", "bus", "seconds"),
        "the same, answers equally long ": of("waves_even", "bus_even", "seconds"),
        "CPU of the worker / of the engine": costs,
        "first token of critical ones, first come first served / by tiers": [
            one / other for one, other in zip(queue, urgent, strict=True)
        ],
        "first token of critical ones, beyond an idle engine's, in engine steps": late,
        "time of everything, by tiers / first come first served": of("urgent", "queue", "seconds"),
        "time of a routine one on average, by tiers / first come first served": of("urgent", "queue", "mean_s"),
        "the oldest routine one is done after, s": [each["seconds"] for each in runs["oldest"]],
        "critical ones done meanwhile": [float(each["critical"]) for each in runs["oldest"]],
        "from asking to the engine at low load, ms": [each["probes_to_engine_ms"] for each in runs["alone"]],
        "the same, where the cache is asked first, ms": [each["looked_up_to_engine_ms"] for each in runs["alone"]],
        "first token alone, ms": alone,
        "first token of critical ones by tiers, ms": urgent,
        "step of the full engine, ms": steps,
    }


def told(values: list[float]) -> str:
    """The median and its interval."""
    if not values:
        return "not seen"
    low, high = interval(values)
    return f"{statistics.median(values):.3g} [{low:.3g}, {high:.3g}]"


def interval(values: list[float]) -> tuple[float, float]:
    """Holds the median with 95 %: as many of the outermost left out as the sign test allows; of under 6, none."""
    count, left_out = len(values), 0
    while 2 * sum(math.comb(count, each) for each in range(left_out + 2)) <= 0.05 * 2**count:
        left_out += 1
    ordered = sorted(values)
    return ordered[left_out], ordered[-1 - left_out]


async def main(arguments: argparse.Namespace) -> None:
    """Runs everything and keeps the result."""
    engine, stop = Watched(tiny_engine(arguments.engine, arguments.slots)), asyncio.Event()
    runs: Runs = {variant: [] for variant in arguments.variants}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with nats_server(folder / "nats") as server, provisioned(server.url, pools=("bench",)):
            ready = folder / "ready"
            os.environ |= {"NATS_URL": server.url, "HEARTHMIND_READY_FILE": str(ready)}
            serving = asyncio.create_task(serve_with(engine, InferenceWorker(pool="bench"), stop))
            await until(lambda: ready.exists() or serving.done(), within_s=300)
            kin = marked(os.environ[MARK]) if MARK in os.environ else []
            await directly(engine, 100, 100, even=False)
            for repeat in range(arguments.repeats):
                for variant in random.Random(repeat).sample(list(runs), len(runs)):
                    runs[variant].append(await measure(engine, kin, server.url, variant, arguments.requests))
                    print(f"repeat {repeat + 1}, {variant}: {runs[variant][-1]}", flush=True)
            stop.set()
            await serving
    if set(runs) != set(VARIANTS):
        return
    lines = [f"{what.strip()}: {told(each)}" for what, each in ratios(runs).items()]
    print("\n" + "\n".join(lines))
    facts = {"machine": platform.platform(), "cores": os.cpu_count(), "arguments": vars(arguments)}
    RESULTS.mkdir(exist_ok=True)
    kept = json.dumps({**facts, "lines": lines, "runs": runs}, indent=1)
    (RESULTS / f"inference_worker_{arguments.engine}.json").write_text(kept + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("vllm", "onnx", "hf"), default="vllm")
    parser.add_argument("--slots", type=int, default=64, help="how many requests vLLM works on at once")
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument(
        "--variants", nargs="+", choices=VARIANTS, default=VARIANTS, help="without all, nothing is kept"
    )
    uvloop.run(main(parser.parse_args()))
