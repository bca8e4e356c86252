"""The engine on vLLM, on a tiny model: on the CPU flavour here, the same on a GPU."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hearthmind.errors import CannotStart
from hearthmind.models import Model, Vllm
from hearthmind.testing.tiny_model import TEXT, tiny_llama
from hearthmind.testing.waiting import until
from services.inference_worker.engines import Engine
from services.inference_worker.engines.choose import engine_for
from services.inference_worker.engines.kin import marked
from services.inference_worker.engines.vllm import VllmEngine
from tests.engines.behaviour import (
    CONTEXT,
    EngineBehaviour,
    answered_before_an_urgent_one,
    ask,
    needs,
    refused,
    running,
)

pytestmark = [needs("vllm"), pytest.mark.filterwarnings("default")]  # those of vLLM's own imports are not ours to mend

STARTS = """
import asyncio, sys
from hearthmind.models import Model, Vllm
from services.inference_worker.engines.vllm import VllmEngine

async def main():
    settings = Vllm(dtype="float32", eager=True, context=512, slots=2, adapters_max=0)
    engine = VllmEngine(Model(name="vllm_tiny", pool="tiny", path=sys.argv[1], engine=settings), settings)
    await engine.start()
    print(engine._kin.mark, "started", flush=True)
    await asyncio.Event().wait()

if __name__ == "__main__":
    asyncio.run(main())
"""


def model(path: Path, context: int = CONTEXT) -> Model:
    settings = Vllm(dtype="float32", eager=True, context=context, slots=8, adapters_max=2)
    return Model(name="vllm_tiny", pool="tiny", path=str(path), engine=settings)


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[Engine]:
    async with running(engine_for(model(tiny_llama()))) as engine:
        yield engine


class TestVllm(EngineBehaviour):
    async def test_what_prompts_begin_with_in_common_is_read_once(self, engine: Engine) -> None:
        await engine.answer(ask(TEXT * 8 + "Who comes?"))
        assert (await engine.answer(ask(TEXT * 8 + "What now?"))).tokens_cached > 0

    async def test_the_urgent_one_does_not_wait_for_all_before_it(self, engine: Engine) -> None:
        assert await answered_before_an_urgent_one(engine, 64) < 40


async def test_a_folder_without_a_model_is_named(folder: Path) -> None:
    why = await refused(engine_for(model(folder)), CannotStart)
    assert "correct `path` of vllm_tiny" in why


async def test_a_context_that_the_model_has_not_is_named() -> None:
    assert "lower `context`" in await refused(engine_for(model(tiny_llama(), 100_000)), CannotStart)


async def test_nothing_is_left_of_a_worker_that_was_killed(folder: Path) -> None:
    script = folder / "starts.py"
    script.write_text(STARTS)
    process = await asyncio.create_subprocess_exec(sys.executable, script, tiny_llama(), stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        said = (await process.stdout.readuntil(b"started\n")).decode()
        mark = said.split()[-2]
        assert len(marked(mark)) > 1
    finally:
        process.kill()
        await process.wait()
    await until(lambda: not marked(mark))


async def test_an_engine_whose_process_died_says_so() -> None:
    engine = engine_for(model(tiny_llama()))
    assert isinstance(engine, VllmEngine)
    async with running(engine):
        answer = asyncio.create_task(engine.answer(ask(tokens_max=1900)))
        before = engine.progress
        await until(lambda: engine.progress > before)
        assert engine._kin is not None
        for pid in marked(engine._kin.mark):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(Exception, match=r".+"):
            await answer
        await until(lambda: engine.ailment != "")
