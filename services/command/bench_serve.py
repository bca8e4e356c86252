"""`hearthmind bench serve`: how fast an engine answers here, at growing numbers of requests at once.

The engine runs alone in this process, without the bus, so that the figures are the model's and the machine's own. At each
concurrency as many askers as that take turns: each sends its next request when its last was answered. No two prompts are
equal, but all begin alike, as a game's do.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from hearthmind.contracts.inference import SYSTEM, USER, Infer, Sampling, Turn
from hearthmind.errors import CannotStart
from hearthmind.flow import TIERS
from hearthmind.models import model_named
from services.inference_worker.engines import Engine, Generated
from services.inference_worker.engines.choose import engine_for

commands = typer.Typer(no_args_is_help=True, help="Measure what this machine can do.")

CONCURRENCIES = (1, 10, 20, 100, 500)
WAITS_S = {"critical": 1.0, "strategic": 4.0, "social": 8.0, "routine": 15.0}
"""How long a decision of a tier may take, for the question how many agents an engine carries."""
_WORDS = (
    "rank",
    "village",
    "wheat",
    "wall",
    "army",
    "spot",
    "truce",
    "raid",
    "market",
    "threat",
    "night",
    "road",
    "clay",
)


class Level(msgspec.Struct, frozen=True):
    """What one concurrency came to."""

    concurrency: int
    requests: int
    failed: int
    seconds: float
    requests_per_s: float
    tokens_per_s: float
    tokens_per_s_each: float
    """The median of what a single request got."""
    first_token_ms: dict[str, float]
    latency_ms: dict[str, float]


class Served(msgspec.Struct, frozen=True):
    """All of it, as JSON."""

    model: str
    prompt_words: int
    answer_tokens: int
    levels: list[Level]
    agents_per_s: dict[str, float]
    """By tier: decisions a second, at the highest concurrency whose p95 is within what the tier may take."""


class Answered(msgspec.Struct, frozen=True):
    """One request: how long it took, and what came."""

    latency_ms: float
    generated: Generated | None


def request(number: int, words: int, tokens: int, tier: str = "routine") -> Infer:
    """A request like no other, with a beginning that all share."""
    shared, own = words * 3 // 4, words - words * 3 // 4
    said = " ".join(_WORDS[at % len(_WORDS)] for at in range(shared))
    differing = " ".join(
        f"{_WORDS[(at * 7 + number) % len(_WORDS)]} {number * 31 + at}" for at in range(max(1, own // 2))
    )
    return Infer(
        game="bench",
        npc=f"n{number}",
        decision=f"d{number}",
        attempt=1,
        partition=0,
        tier=tier,
        priority=8,
        pool="bench",
        model="",
        prompt=(Turn(SYSTEM, said), Turn(USER, differing)),
        sampling=Sampling(tokens_max=tokens, temperature=0.0),
        varied=True,
    )


async def level(engine: Engine, concurrency: int, requests: Iterable[Infer]) -> Level:
    """As many askers take turns until all requests are answered."""
    left, answered = iter(requests), list[Answered]()

    async def asker() -> None:
        for infer in left:
            began_s = time.monotonic()
            try:
                generated = await engine.answer(infer)
            except Exception:
                generated = None
            answered.append(Answered((time.monotonic() - began_s) * 1000, generated))

    began_s = time.monotonic()
    await asyncio.gather(*(asker() for _ in range(concurrency)))
    return summed_up(concurrency, answered, time.monotonic() - began_s)


def summed_up(concurrency: int, answered: list[Answered], seconds: float) -> Level:
    """The figures of one concurrency."""
    good = [(one.latency_ms, one.generated) for one in answered if one.generated]
    tokens = sum(generated.tokens_out for _, generated in good)
    each = [generated.tokens_out / (latency_ms / 1000) for latency_ms, generated in good if latency_ms > 0]
    return Level(
        concurrency=concurrency,
        requests=len(answered),
        failed=len(answered) - len(good),
        seconds=round(seconds, 3),
        requests_per_s=round(len(good) / seconds, 2),
        tokens_per_s=round(tokens / seconds, 1),
        tokens_per_s_each=round(statistics.median(each), 1) if each else 0.0,
        first_token_ms=percentiles([generated.first_token_ms for _, generated in good]),
        latency_ms=percentiles([latency_ms for latency_ms, _ in good]) | {"mean": _mean([ms for ms, _ in good])},
    )


def percentiles(values: list[float]) -> dict[str, float]:
    """p50 and p95 by the nearest rank; zeros where there is nothing."""
    ordered = sorted(values)
    return {f"p{share}": round(ordered[(len(ordered) * share - 1) // 100], 1) if ordered else 0.0 for share in (50, 95)}


def _mean(values: list[float]) -> float:
    return round(statistics.fmean(values), 1) if values else 0.0


def agents_per_s(levels: list[Level]) -> dict[str, float]:
    """By tier, how many decisions a second keep the tier's time."""
    kept = {tier: [one for one in levels if one.latency_ms["p95"] <= WAITS_S[tier] * 1000] for tier in TIERS}
    return {tier: max((one.requests_per_s for one in fitting), default=0.0) for tier, fitting in kept.items()}


async def measure(
    engine: Engine, concurrencies: tuple[int, ...], words: int, tokens: int, say: Callable[[str], None]
) -> Served:
    """All concurrencies, one after the other, after a warm-up that does not count."""
    await engine.start()
    try:
        number = await _warmed_up(engine, words, tokens)
        levels = []
        for concurrency in concurrencies:
            count = max(8, min(2 * concurrency, 1_000))
            levels.append(
                await level(engine, concurrency, (request(number + at, words, tokens) for at in range(count)))
            )
            number += count
            say(
                f"{concurrency} at once: {levels[-1].requests_per_s:g} requests/s, {levels[-1].tokens_per_s:g} tokens/s"
            )
    finally:
        await engine.close()
    return Served(engine.model, words, tokens, levels, agents_per_s(levels))


async def _warmed_up(engine: Engine, words: int, tokens: int) -> int:
    try:
        await asyncio.gather(*(engine.answer(request(at, words, tokens)) for at in range(4)))
    except Exception as error:
        raise CannotStart(why=f"{engine.model} answers no prompt: {error}") from error
    return 4


def table(served: Served) -> Table:
    """For people."""
    shown = Table("at once", "requests/s", "tokens/s", "each", title=served.model, box=None)
    for name in ("first token p50", "p95", "answer mean", "p50", "p95", "failed"):
        shown.add_column(name, justify="right")
    for one in served.levels:
        first, whole = one.first_token_ms, one.latency_ms
        times = (first["p50"], first["p95"], whole["mean"], whole["p50"], whole["p95"])
        rates = (one.requests_per_s, one.tokens_per_s, one.tokens_per_s_each)
        shown.add_row(str(one.concurrency), *map(str, rates), *(f"{ms:.0f} ms" for ms in times), str(one.failed))
    return shown


def show(served: Served, console: Console) -> None:
    """The table, and how many agents that is."""
    console.print(table(served))
    console.print("decisions a second within the time of their tier (p95):")
    for tier, rate in served.agents_per_s.items():
        console.print(f"  {tier:<10} {rate:g}  (within {WAITS_S[tier]:g} s)")


def plot(served: Served, path: Path) -> None:
    """Throughput and waiting against concurrency, as a picture."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise CannotStart(why="a plot needs matplotlib: pip install matplotlib") from None
    at = [one.concurrency for one in served.levels]
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    rates, times = figure.subplots(1, 2)
    rates.plot(at, [one.tokens_per_s for one in served.levels], "o-")
    rates.set(xscale="log", xlabel="requests at once", ylabel="tokens/s", title=served.model, ylim=(0, None))
    times.plot(at, [one.latency_ms["p95"] for one in served.levels], "o-", label="answer p95")
    times.plot(at, [one.latency_ms["p50"] for one in served.levels], "o-", label="answer p50")
    times.plot(at, [one.first_token_ms["p50"] for one in served.levels], "o-", label="first token p50")
    times.set(xscale="log", yscale="log", xlabel="requests at once", ylabel="ms")
    times.legend(frameon=False)
    figure.savefig(path)


@commands.callback()
def measured() -> None:
    """Measure what this machine can do."""


@commands.command()
def serve(
    model: Annotated[
        str, typer.Argument(help="A declared model, such as onnx_nano; see infra/models.yaml.")
    ] = "onnx_nano",
    at_once: Annotated[
        list[int] | None, typer.Option(min=1, max=4096, help="How many ask; can be given several times.")
    ] = None,
    words: Annotated[
        int, typer.Option(min=1, max=100_000, help="The length of a prompt; three quarters are shared.")
    ] = 120,
    tokens: Annotated[int, typer.Option(min=1, max=32_768, help="The longest answer.")] = 64,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as one last line of JSON.")] = False,
    picture: Annotated[Path | None, typer.Option("--plot", help="A file for a picture: .svg or .png.")] = None,
) -> None:
    """Tokens a second, time to the first token and to the whole answer, with few and with many requests at once."""
    console = Console(stderr=json, highlight=False)
    concurrencies = tuple(sorted(set(at_once or CONCURRENCIES)))
    engine = engine_for(model_named(model))
    served = asyncio.run(
        measure(engine, concurrencies, words, tokens, lambda line: console.print(f"[dim]{line}[/dim]"))
    )
    show(served, console)
    if picture:
        plot(served, picture)
        console.print(f"drawn: {picture}")
    if json:
        sys.stdout.write(msgspec.json.encode(served).decode() + "\n")
