"""The figures of `hearthmind bench serve`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hearthmind.contracts.inference import Infer
from hearthmind.errors import CannotStart
from hearthmind.models import SCRIPTED, Rules
from services.command import bench_serve
from services.command.bench_serve import Answered, Served, agents_per_s, level, measure, percentiles, request, summed_up
from services.inference_worker.engines import Adapter, Generated
from services.inference_worker.engines.rules import RulesEngine


class Echo:
    """Answers with three tokens, and fails at each tenth request."""

    model, slots_max, adapters_max, progress, ailment = "echo", 64, 0, 0, ""

    def __init__(self) -> None:
        self.at_once, self.most, self.count = 0, 0, 0

    async def start(self) -> None:
        """It is ready."""

    async def answer(self, infer: Infer, adapter: Adapter | None = None) -> Generated:
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        self.count += 1
        if self.count % 10 == 0:
            raise RuntimeError("busy")
        return Generated("a b c", tokens_in=len(infer.prompt[0].text), tokens_out=3, first_token_ms=2.0)

    async def load(self, adapter: Adapter) -> None: ...

    async def unload(self, version: str) -> None: ...

    async def close(self) -> None: ...


async def test_as_many_ask_at_once_as_were_to_and_each_request_is_asked_once() -> None:
    engine = Echo()
    figures = await level(engine, 7, (request(number, 40, 3) for number in range(50)))
    assert (engine.most, engine.count, figures.requests, figures.failed) == (7, 50, 50, 5)
    assert figures.first_token_ms == {"p50": 2.0, "p95": 2.0}


def test_what_failed_has_no_part_in_the_rates() -> None:
    good = [Answered(float(ms), Generated("", tokens_out=10)) for ms in range(1, 101)]
    figures = summed_up(4, [*good, Answered(9e9, None)], seconds=2.0)
    assert (figures.requests, figures.failed, figures.requests_per_s, figures.tokens_per_s) == (101, 1, 50.0, 500.0)
    assert figures.latency_ms == {"p50": 50.0, "p95": 95.0, "mean": 50.5}
    assert summed_up(1, [Answered(1.0, None)], 1.0).latency_ms["p95"] == 0.0
    assert percentiles([3.0]) == {"p50": 3.0, "p95": 3.0}


def test_a_tier_is_carried_as_far_as_its_time_is_kept() -> None:
    def at(concurrency: int, rate: float, p95_ms: float) -> bench_serve.Level:
        answered = [Answered(p95_ms, Generated("", tokens_out=1))] * int(rate)
        return summed_up(concurrency, answered, 1.0)

    carried = agents_per_s([at(1, 10, 100), at(10, 60, 900), at(100, 200, 3_900), at(500, 210, 60_000)])
    assert carried == {"critical": 60.0, "strategic": 200.0, "social": 200.0, "routine": 200.0}


def test_prompts_begin_alike_and_none_is_like_another() -> None:
    first, second = request(1, 200, 8), request(2, 200, 8)
    assert first.prompt[0] == second.prompt[0]
    assert first.prompt[1] != second.prompt[1]
    assert first.varied


async def test_it_is_shown_as_a_table_as_json_and_as_a_picture(tmp_path: Path) -> None:
    served = await measure(Echo(), (1, 10), 40, 3, lambda _: None)
    assert isinstance(served, Served)
    assert [one.concurrency for one in served.levels] == [1, 10]
    assert bench_serve.table(served).row_count == 2
    bench_serve.plot(served, tmp_path / "served.svg")
    assert "<svg" in (tmp_path / "served.svg").read_text()


async def test_an_engine_that_answers_no_prompt_says_so() -> None:
    with pytest.raises(CannotStart, match="rules_scripted answers no prompt"):
        await measure(RulesEngine(SCRIPTED, Rules()), (1,), 40, 3, lambda _: None)
