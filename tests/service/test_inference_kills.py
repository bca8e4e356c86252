"""A worker that is killed in mid-generation: its work is done by another or by the fallback, and no answer counts twice."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from hearthmind.contracts.action import FALLBACK, MODEL
from hearthmind.testing.servers import nats_server, provisioned
from hearthmind.testing.waiting import until
from tests.engines.behaviour import needs
from tests.service.killing import run


async def test_a_worker_killed_in_mid_generation_costs_no_decision_its_action(folder: Path) -> None:
    report = await run(3, folder)
    assert report.broken() == []
    assert report.interrupted
    assert report.interrupted <= set(report.decided)
    assert set(report.sources()) <= {MODEL, FALLBACK, "client"}
    assert report.sources()[MODEL], "the other worker did none of it"


@needs("vllm")
@pytest.mark.filterwarnings("default")  # those of vLLM's own imports are not ours to mend
async def test_nothing_is_left_of_a_worker_with_vllm_and_its_work_is_done_by_another(folder: Path) -> None:
    report = await run(1, folder, engine="vllm")
    assert report.broken() == []
    (killed,) = report.kills
    assert len(killed.family) > 2, "the engine should have had processes of its own"
    assert killed.decisions
    assert killed.decisions <= set(report.decided)
    assert report.again_s, "the other worker began none of it"


async def test_a_worker_that_is_told_to_end_while_its_model_loads_ends_at_once(folder: Path) -> None:
    began = folder / "began"
    async with nats_server(folder / "nats") as server, provisioned(server.url):
        environment = {
            **os.environ,
            "NATS_URL": server.url,
            "ENGINE_BEGAN": str(began),
            "SLOW_ENGINE_S": "0",
            "SLOW_ENGINE_STARTS_S": "3600",
            "HEARTHMIND_INFERENCE_WORKER__POOL": "rules",
        }
        worker = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.service.slow_worker", env=environment
        )
        try:
            await until(began.exists)
            worker.send_signal(signal.SIGTERM)
            async with asyncio.timeout(60):
                assert await worker.wait() == 0
        finally:
            if worker.returncode is None:
                worker.kill()
                await worker.wait()
    assert began.read_text().split() == ["starts", "closed"]
