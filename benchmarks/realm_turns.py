"""What a turn of the Realm costs with 50, 500 and 5,000 characters: the world alone, and through the platform.

    python benchmarks/realm_turns.py [--turns 24] [--sizes 50 500 5000]

Alone: everybody looks, plays what the world's good player advises, and an hour passes; no bus. Through the platform: the same
world by `realm.play` on an embedded NATS and Postgres with the services as processes, each turn as soon as the last one is
answered. The figure to compare is the processor time of all processes per decision, the smallest size being the baseline;
`game` is the process of the world with the client library, of which the world's own share is given apart.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from hearthmind.client import connect
from hearthmind.flow import game_user
from hearthmind.settings import Flow
from realm import players
from realm.answers import as_order
from realm.play import Turn, play
from realm.sight import look
from realm.world import World
from services.command.platform import Options, Platform

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
ANSWER_WITHIN_S = 280.0
OURS = ("decision", "inference_worker", "reward", "nats", "postgres")


def alone(size: int, turns: int) -> tuple[float, float, float]:
    """Median milliseconds of a look and of a step, and microseconds a question."""
    world, dice = World.found(size, 1), np.random.Generator(np.random.PCG64(1))
    looks_s, steps_s, asked = [], [], 0
    for _ in range(turns):
        begun_s = time.perf_counter()
        sights = look(world)
        looks_s.append(time.perf_counter() - begun_s)
        asked += len(sights)
        orders = [as_order(world, sight, *players.good(sight, dice)) for sight in sights]
        begun_s = time.perf_counter()
        world.step([order for order in orders if order is not None])
        steps_s.append(time.perf_counter() - begun_s)
    each_us = 1e6 * (sum(looks_s) + sum(steps_s)) / asked
    return 1000 * statistics.median(looks_s), 1000 * statistics.median(steps_s), each_us


async def through_the_platform(size: int, turns: int) -> None:
    """One line of the table."""
    with tempfile.TemporaryDirectory(prefix="hearthmind-") as folder:
        options = Options(folder=Path(folder), flow=Flow(games=("realm",)), sync_interval="1s", sample_ratio=0.0)
        async with Platform(options, say=lambda _line: None) as platform:
            address = platform.connection.url_of(game_user("realm"))
            async with connect(address, game="realm") as mind:
                seen: list[Turn] = []
                begun_s, before, own_before = time.monotonic(), _used(platform), _own_s()
                await play(
                    mind,
                    npcs=size,
                    seed=1,
                    until=lambda: len(seen) >= turns,
                    on_turn=seen.append,
                    turn_s=0,
                    answer_within_s=ANSWER_WITHIN_S,
                )
                took_s = time.monotonic() - begun_s
                await mind.wait_stored(within_s=300)
                used = {name: seconds - before[name] for name, seconds in _used(platform).items()}
                used["game"] = _own_s() - own_before
                decisions = mind.tally.actions
                late = mind.tally.by_source.get("client", 0)
    each = {name: 1e6 * seconds / decisions for name, seconds in used.items()}
    shares = " | ".join(f"{each[name]:.0f}" for name in ("game", *OURS))
    total = sum(each.values())
    print(
        f"| {size:,} | {decisions:,} | {turns / took_s:.2f} | {decisions / took_s:.0f} | {late} | {shares} | {total:.0f} |",
        flush=True,
    )


def _own_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _used(platform: Platform) -> dict[str, float]:
    """Seconds of processor time of each process of the platform, with its children."""
    return {name: _tree_s(platform.supervisor.pid(name)) for name in OURS}


def _tree_s(pid: int | None) -> float:
    if pid is None:
        return 0.0
    ticks, below = 0, [pid]
    while below:
        one = below.pop()
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            below += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(int(field) for field in fields[11:15])  # its own, and that of children who have ended
    return ticks / TICKS_PER_S


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=24)
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 500, 5000])
    asked = parser.parse_args()
    print("| characters | look, ms | step, ms | turns/s | µs a question |\n| --- | --- | --- | --- | --- |", flush=True)
    for size in asked.sizes:
        looked, stepped, each_us = alone(size, asked.turns)
        print(
            f"| {size:,} | {looked:.1f} | {stepped:.1f} | {1000 / (looked + stepped):.1f} | {each_us:.0f} |", flush=True
        )
        gc.collect()
    heads = ("characters", "decisions", "turns/s", "decisions/s", "late", "game", *OURS, "all, µs a decision")
    print(f"\n| {' | '.join(heads)} |\n|{' --- |' * len(heads)}", flush=True)
    for size in asked.sizes:
        asyncio.run(through_the_platform(size, asked.turns))


if __name__ == "__main__":
    main()
