"""A worker that is killed in mid-generation: its work is done by another or by the fallback, and no answer counts twice."""

from __future__ import annotations

from pathlib import Path

from hearthmind.contracts.action import FALLBACK, MODEL

from .killing import run


async def test_a_worker_killed_in_mid_generation_costs_no_decision_its_action(folder: Path) -> None:
    report = await run(3, folder)
    assert report.broken() == []
    assert report.interrupted
    assert report.interrupted <= set(report.decided)
    assert set(report.sources()) <= {MODEL, FALLBACK, "client"}
    assert report.sources()[MODEL], "the other worker did none of it"
