"""How much does playing well pay in the Realm, and what does a turn cost?

    python benchmarks/realm_styles.py

Two styles share one world of 20 villages for 120 turns, every other village each; the figure is by how many mean ranks the
first is better (10 would be: all of the first before all of the second), with its 95 % interval over 20 seeds. Then the
time of a turn by the number of players, good against random: what the world takes to step and players take to see.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from realm import players
from realm.contest import compete
from realm.players import Dice, Player
from realm.sight import look
from realm.world import World

SEEDS = range(20)
PAIRS: tuple[tuple[Player, Player], ...] = (
    (players.good, players.random),
    (players.good, players.peaceful),
    (players.peaceful, players.random),
)
TURNS_TIMED = 25


def styles() -> None:
    print("| first | second | ranks better | 95 % interval | worst seed |\n| --- | --- | --- | --- | --- |")
    for first, second in PAIRS:
        result = compete(first, second, SEEDS)
        interval, worst = f"{result.low:.1f} to {result.high:.1f}", min(result.differences)
        print(f"| {first.__name__} | {second.__name__} | {result.mean:.1f} | {interval} | {worst:.1f} |")


def times() -> None:
    print("\n| players | step, ms | sight, ms |\n| --- | --- | --- |")
    for size in (50, 500, 5_000):
        world, dice = World.found(size, 1), Dice(np.random.PCG64(1))
        steps_s, looks_s = [], []
        for _ in range(TURNS_TIMED):
            begun_s = time.perf_counter()
            sights = look(world)
            looks_s.append(time.perf_counter() - begun_s)
            plays = [(players.good, players.random)[sight.player % 2](sight, dice) for sight in sights]
            orders = [order for order in plays if order is not None]
            begun_s = time.perf_counter()
            world.step(orders)
            steps_s.append(time.perf_counter() - begun_s)
        print(f"| {size} | {1000 * statistics.median(steps_s):.1f} | {1000 * statistics.median(looks_s):.1f} |")


if __name__ == "__main__":
    styles()
    times()
