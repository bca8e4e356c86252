"""A worker as a process that thinks aloud: `python -m tests.service.slow_worker`, to be killed in mid-generation.

`ENGINE_BEGAN` names a file that gets a line when the engine begins an answer: decision, attempt, NPC. It runs the model of the
settings; `rules_scripted` takes `SLOW_ENGINE_S` for each answer, and `SLOW_ENGINE_STARTS_S` to load.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from hearthmind.contracts.inference import Infer
from hearthmind.models import SCRIPTED, Rules, model_named
from hearthmind.process import run
from hearthmind.settings import load
from services.inference_worker.app import SERVICE, serve_with
from services.inference_worker.engines import Adapter, Engine, Generated
from services.inference_worker.engines.choose import engine_for
from services.inference_worker.engines.rules import RulesEngine
from services.inference_worker.settings import InferenceWorker


class SlowEngine(RulesEngine):
    """The scripted mind, taking its time: its answers can be told from the fallback's by who gave them."""

    slots_max = 16

    def __init__(self, takes_s: float, began: Path) -> None:
        super().__init__(SCRIPTED, Rules())
        self._takes_s = takes_s
        self._began = began

    async def start(self) -> None:
        _write(self._began, "starts")
        await asyncio.sleep(float(os.environ.get("SLOW_ENGINE_STARTS_S", "0")))

    async def close(self) -> None:
        _write(self._began, "closed")

    async def answer(self, infer: Infer, adapter: Adapter | None = None) -> Generated:
        await asyncio.sleep(self._takes_s)
        return await super().answer(infer, adapter)


def aloud(engine: Engine, began: Path) -> Engine:
    """The engine, which says what it begins."""
    answer = engine.answer

    async def say_and_answer(infer: Infer, adapter: Adapter | None = None) -> Generated:
        _write(began, f"{infer.decision} {infer.attempt} {infer.npc}")
        return await answer(infer, adapter)

    engine.answer = say_and_answer  # type: ignore[method-assign]
    return engine


def _write(began: Path, line: str) -> None:
    with began.open("a") as file:
        file.write(line + "\n")


async def serve(stop: asyncio.Event) -> None:
    settings = load(SERVICE, InferenceWorker)
    began, is_light = Path(os.environ["ENGINE_BEGAN"]), settings.model == SCRIPTED.name
    engine = (
        SlowEngine(float(os.environ["SLOW_ENGINE_S"]), began) if is_light else engine_for(model_named(settings.model))
    )
    await serve_with(aloud(engine, began), settings, stop)


if __name__ == "__main__":
    run(SERVICE, serve)
