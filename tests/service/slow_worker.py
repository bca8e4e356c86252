"""A worker as a process whose engine takes its time: `python -m tests.service.slow_worker`, to be killed in mid-generation.

`SLOW_ENGINE_S` says how long an answer takes, `SLOW_ENGINE_BEGAN` names a file that gets a line when the engine begins one.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from hearthmind.contracts.inference import Infer
from hearthmind.models import SCRIPTED, Rules
from hearthmind.process import run
from hearthmind.settings import load
from services.inference_worker.app import SERVICE, serve_with
from services.inference_worker.engines import Adapter, Generated
from services.inference_worker.engines.rules import RulesEngine
from services.inference_worker.settings import InferenceWorker


class SlowEngine(RulesEngine):
    """The scripted mind, thinking aloud: its answers can be told from the fallback's by who gave them."""

    slots_max = 16

    def __init__(self, takes_s: float, began: Path) -> None:
        super().__init__(SCRIPTED, Rules())
        self._takes_s = takes_s
        self._began = began

    async def answer(self, infer: Infer, adapter: Adapter | None = None) -> Generated:
        with self._began.open("a") as file:
            file.write(f"{infer.decision} {infer.attempt}\n")
        await asyncio.sleep(self._takes_s)
        return await super().answer(infer, adapter)


async def serve(stop: asyncio.Event) -> None:
    engine = SlowEngine(float(os.environ["SLOW_ENGINE_S"]), Path(os.environ["SLOW_ENGINE_BEGAN"]))
    await serve_with(engine, load(SERVICE, InferenceWorker), stop)


if __name__ == "__main__":
    run(SERVICE, serve)
