"""The demo, while every process is killed once: nothing is lost, nothing is doubled, everyone gets a legal action.

And the harness sees faults: with the inbox dropped, the same run turns red.
"""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path

import psycopg
from rich.console import Console

from hearthmind.client import Client
from hearthmind.embedded import postgres
from hearthmind.testing.waiting import until
from services.command.demo import Demo, run_demo
from services.command.figures import Summary
from services.command.platform import Platform

PROCESSES = ("decision", "inference_worker", "reward", "postgres", "nats")
NPCS = 60


Plan = Callable[[Platform, Client], Coroutine[object, object, None]]


def faults(outcomes_between: int, *, with_inbox: bool = True) -> Plan:
    """Kills every process, each when the game has gone on for a while and the one before is back; then holds up reward."""

    async def plan(platform: Platform, mind: Client) -> None:
        if not with_inbox:
            drop_the_inbox(platform)
        for number, name in enumerate(PROCESSES, 1):
            await until(lambda number=number: mind.outcomes > number * outcomes_between, 60)  # type: ignore[misc]
            pid = platform.supervisor.pid(name)
            assert pid
            os.kill(pid, signal.SIGKILL)
            await platform.supervisor.wait_ready(name, other_than=pid)
        await until(lambda: mind.outcomes > (len(PROCESSES) + 1) * outcomes_between, 60)
        await hold_up_reward(platform, mind)

    return plan


def drop_the_inbox(platform: Platform) -> None:
    """Empties the inbox after every insert: what it knew is forgotten."""
    with psycopg.connect(platform.connection.database_url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION forget() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM inbox; RETURN NULL; END'"
        )
        connection.execute("CREATE TRIGGER forget AFTER INSERT ON inbox EXECUTE FUNCTION forget()")


async def hold_up_reward(platform: Platform, mind: Client) -> None:
    """Stops the reward service until the client has sent so many outcomes again that the broker has most of them already."""
    pid = platform.supervisor.pid("reward")
    assert pid
    resent = mind.resent
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: mind.resent > resent + 2 * NPCS, 60)
    os.kill(pid, signal.SIGCONT)


async def played(folder: Path, plan: Plan, seconds: float) -> Summary:
    demo = Demo(npcs=NPCS, seconds=seconds, seed=3, as_json=True, folder=folder, sample_ratio=0.0)
    try:
        summary, _ = await run_demo(demo, Console(file=io.StringIO()), plan)
    finally:
        postgres.remove(folder / "postgres")
    return summary


async def test_every_process_is_killed_once_and_nothing_is_lost(folder: Path) -> None:
    summary = await played(folder, faults(outcomes_between=8 * NPCS), seconds=60)
    assert summary.all_is_well, summary
    assert (summary.lost, summary.doubled, summary.illegal) == (0, 0, 0)


async def test_without_the_inbox_the_same_faults_turn_it_red(folder: Path) -> None:
    summary = await played(folder, faults(outcomes_between=NPCS, with_inbox=False), seconds=1)
    assert not summary.all_is_well
    assert summary.doubled or summary.lost, summary  # sent again it is doubled; delivered again it holds up the others
