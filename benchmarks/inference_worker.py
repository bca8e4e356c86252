"""What the worker costs its engine, and what its tiers bring, with a tiny model on a real engine.

    python benchmarks/inference_worker.py [--engine onnx] [--requests 500] [--repeats 5]

All variants of a repeat use one engine in one process, in shuffled order, each with prompts of its own that begin alike; whoever
asks over the bus is another process. Only ratios within a repeat are compared.

- `bus` against `direct`: all requests at once over the bus, or given to the engine without worker and bus.
- `waves`: the usual client loop, 20 gathered requests after 20.
- `urgent`: one critical request after all the others, by tiers; `queue`: the same in one tier, first come, first served.
- `alone`: single requests to an idle engine: how long they take to reach it, and to their first token.
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
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path

import uvloop

from hearthmind import prompts
from hearthmind.contracts.inference import SYSTEM, USER, Infer, Inferred, Sampling, Turn
from hearthmind.models import Hf, Model, Onnx, Vllm
from hearthmind.testing.servers import nats_server, provisioned
from hearthmind.testing.tiny_model import tiny_llama, tiny_onnx
from hearthmind.testing.waiting import until
from services.inference_worker.app import serve_with
from services.inference_worker.engines import Engine
from services.inference_worker.engines.choose import engine_for
from services.inference_worker.settings import InferenceWorker

RESULTS = Path(__file__).parent / "results"
TOKENS = 24
SAMPLING = Sampling(tokens_max=TOKENS, temperature=0.0)
SHARED = "You are the chief of a village by the river. Wood is short and the neighbours arm. " * 4
WAVE = 20
ALONE = 60
WITHIN_S = 300.0
VARIANTS = ("direct", "bus", "waves", "urgent", "queue", "alone")
numbers = itertools.count(random.Random(os.getpid()).randrange(10**9))


def a_prompt() -> tuple[Turn, ...]:
    """Like no other, with a beginning that all share."""
    return Turn(SYSTEM, SHARED), Turn(USER, f"Day {next(numbers)}: fortify, expand or trade?")


def tiny_engine(kind: str) -> Engine:
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
            engine=Vllm(context=512, eager=True, slots=64, dtype="float32"),
        ),
    }
    return engine_for(engines[kind]())


# ---- who asks -----------------------------------------------------------------------------------------------------------


async def ask(url: str, variant: str, requests: int) -> dict[str, float]:
    """Asks over the bus, as another process, and says how it went."""
    async with prompts.connect(url, game="bench", pool="bench", at_once=10_000) as asking:
        began_s = time.monotonic()
        if variant == "alone":
            answers = [await asking.ask(a_prompt(), priority=0, sampling=SAMPLING, varied=True) for _ in range(ALONE)]
            return {
                "to_engine_ms": statistics.median(each.queue_ms for each in answers),
                "first_token_ms": statistics.median(each.queue_ms + each.first_token_ms for each in answers),
            }
        ended: list[float] = []

        async def all_the_others() -> list[Inferred]:
            found = await asking.ask_all(
                [a_prompt() for _ in range(requests)], priority=9, sampling=SAMPLING, varied=True, within_s=WITHIN_S
            )
            ended.append(time.monotonic() - began_s)
            return found

        others = asyncio.create_task(all_the_others())
        said: dict[str, float] = {}
        if variant in ("urgent", "queue"):
            await asyncio.sleep(0.5)
            priority = 0 if variant == "urgent" else 9
            answer = await asking.ask(a_prompt(), priority=priority, sampling=SAMPLING, varied=True, within_s=WITHIN_S)
            said["first_token_ms"] = answer.queue_ms + answer.first_token_ms
        failed = [each.failed for each in await others if each.failed]
        assert not failed, failed[:3]
        return {**said, "seconds": ended[0]}


# ---- who answers --------------------------------------------------------------------------------------------------------


async def directly(engine: Engine, requests: int, at_once: int) -> dict[str, float]:
    """Gives the engine so many requests at once, again and again."""
    began_s = time.monotonic()
    left = requests
    while left > 0:
        await asyncio.gather(*(engine.answer(an_infer()) for _ in range(min(left, at_once))))
        left -= at_once
    return {"seconds": time.monotonic() - began_s}


def an_infer() -> Infer:
    """A request as the worker would give it to the engine."""
    number = next(numbers)
    return Infer(
        game="bench",
        npc="bench",
        decision=f"d{number}",
        attempt=1,
        partition=0,
        tier="routine",
        priority=9,
        pool="bench",
        model="",
        prompt=a_prompt(),
        sampling=SAMPLING,
        varied=True,
    )


async def over_the_bus(url: str, variant: str, requests: int) -> dict[str, float]:
    """The same asked by another process."""
    argv = (sys.executable, __file__, "--ask", url, variant, "--requests", str(requests))
    asker = await asyncio.create_subprocess_exec(*argv, stdout=PIPE)
    output, _ = await asker.communicate()
    found: dict[str, float] = json.loads(output)
    return found


async def measure(engine: Engine, url: str, variant: str, requests: int) -> dict[str, float]:
    """One variant, with the CPU time of this process: the engine's, and the worker's where it has a part in it."""
    before_s = time.process_time()
    if variant in ("direct", "waves"):
        found = await directly(engine, requests, WAVE if variant == "waves" else requests)
    else:
        found = await over_the_bus(url, variant, requests)
    return {**found, "cpu_s": time.process_time() - before_s}


def ratios(runs: dict[str, list[dict[str, float]]]) -> dict[str, list[float]]:
    """Each repeat's ratios, in order."""

    def of(above: str, below: str, what: str) -> list[float]:
        pairs = zip(runs[above], runs[below], strict=True)
        return [round(sorted_pair[0][what] / sorted_pair[1][what], 3) for sorted_pair in pairs]

    return {
        "time over the bus / fed directly": of("bus", "direct", "seconds"),
        "time in waves of 20 / over the bus": of("waves", "bus", "seconds"),
        "CPU of engine and worker / of the engine alone": of("bus", "direct", "cpu_s"),
        "first token, first come first served / by tiers": of("queue", "urgent", "first_token_ms"),
        "first token, urgent among many / alone": of("urgent", "alone", "first_token_ms"),
        "time of the others, with an urgent one / without": of("urgent", "bus", "seconds"),
    }


async def main(arguments: argparse.Namespace) -> None:
    """Runs everything and keeps the result."""
    engine, stop = tiny_engine(arguments.engine), asyncio.Event()
    runs: dict[str, list[dict[str, float]]] = {variant: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with nats_server(folder / "nats") as server, provisioned(server.url, pools=("bench",)):
            ready = folder / "ready"
            os.environ |= {"NATS_URL": server.url, "HEARTHMIND_READY_FILE": str(ready)}
            serving = asyncio.create_task(serve_with(engine, InferenceWorker(pool="bench"), stop))
            await until(lambda: ready.exists() or serving.done(), within_s=300)
            await directly(engine, 40, 40)
            for repeat in range(arguments.repeats):
                for variant in random.Random(repeat).sample(VARIANTS, len(VARIANTS)):
                    runs[variant].append(await measure(engine, server.url, variant, arguments.requests))
                    print(f"repeat {repeat + 1}, {variant}: {runs[variant][-1]}", flush=True)
            stop.set()
            await serving
    found = ratios(runs)
    lines = [f"{what}: {statistics.median(each):.3g} [{min(each):.3g}-{max(each):.3g}]" for what, each in found.items()]
    to_engine = statistics.median(each["to_engine_ms"] for each in runs["alone"])
    lines.append(f"request to engine at low load, p50: {to_engine:.2f} ms")
    print("\n" + "\n".join(lines))
    kept = {
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "arguments": vars(arguments),
        "lines": lines,
        "runs": runs,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"inference_worker_{arguments.engine}.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("onnx", "hf", "vllm"), default="onnx")
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--ask", nargs=2, metavar=("URL", "VARIANT"), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.ask:
        address, variant = asked.ask
        print(json.dumps(uvloop.run(ask(address, variant, asked.requests))))
    else:
        del asked.ask
        uvloop.run(main(asked))
