"""The thread that engines share: the most urgent first, but nothing waits for ever."""

from __future__ import annotations

import asyncio
import threading

from services.inference_worker.engines.thread import OVERTAKEN_BY, Bench

ROUTINE, STRATEGIC, CRITICAL = 9, 3, 0


async def order_of(asked: list[tuple[str, int]]) -> list[str]:
    """In which order the thread does what was asked for while it was held up."""
    done: list[str] = []
    held = threading.Event()

    def work(bench: Bench[str]) -> None:
        for each in bench.take(1):
            done.append(each.wanted)
            each.end()

    bench = Bench("bench", work)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(bench.do(held.wait))
            await asyncio.sleep(0)  # the chore is given in
            for name, urgency in asked:
                group.create_task(bench.ask(name, urgency))
            await asyncio.sleep(0)  # and so is all that is asked for
            held.set()
    finally:
        held.set()
        await bench.close()
    return done


async def test_the_most_urgent_comes_first_and_of_equals_the_one_that_waited_longest() -> None:
    asked = [("a", ROUTINE), ("b", ROUTINE), ("c", STRATEGIC), ("d", CRITICAL), ("e", CRITICAL)]
    assert await order_of(asked) == ["d", "e", "c", "a", "b"]


async def test_a_critical_tier_that_never_runs_dry_does_not_hold_up_a_routine_answer_for_ever() -> None:
    later = [(f"critical {number}", CRITICAL) for number in range(300)]
    done = await order_of([("routine", ROUTINE), *later])
    assert 0 < done.index("routine") <= ROUTINE * OVERTAKEN_BY
