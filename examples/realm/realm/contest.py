"""Does one style of play beat another? Both in one world, every other player each, over many seeds."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from .answers import as_order
from .events import Hour
from .orders import Order
from .players import Dice, Style
from .sight import look
from .world import World

_DICE = 3


@dataclasses.dataclass(frozen=True)
class Result:
    """By how many ranks the first style is better on average, with its 95 % interval over the seeds."""

    differences: tuple[float, ...]
    mean: float
    low: float
    high: float


def compete(first: Style, second: Style, seeds: Iterable[int], *, players: int = 20, turns: int = 240) -> Result:
    """Play a world for each seed and compare the mean ranks at its end."""
    differences = []
    for seed in seeds:
        styles = [(first, second)[(player + seed) % 2] for player in range(players)]
        ranks = played(styles, seed, turns).ranks()
        firsts = np.array([style is first for style in styles])
        differences.append(float(ranks[~firsts].mean() - ranks[firsts].mean()))
    return result_of(differences)


def played(
    styles: Sequence[Style], seed: int, turns: int, each_turn: Callable[[World, list[Order]], None] | None = None
) -> World:
    """A world after so many turns, each player in its style; `each_turn` is told of the orders before they are done."""
    *_, (world, _) = playing(styles, seed, turns, each_turn)
    return world


def playing(
    styles: Sequence[Style], seed: int, turns: int, each_turn: Callable[[World, list[Order]], None] | None = None
) -> Iterator[tuple[World, Hour | None]]:
    """The same world as it is founded, and then after each turn with what happened in it."""
    world, dice = World.found(len(styles), seed), Dice(np.random.PCG64([seed, _DICE]))
    yield world, None
    for _ in range(turns):
        orders = choose(world, styles, dice)
        if each_turn:
            each_turn(world, orders)
        yield world, world.step(orders)


def choose(world: World, styles: Sequence[Style], dice: Dice) -> list[Order]:
    """What everybody orders in this turn."""
    appetite = np.array([style.appetite for style in styles])
    orders = []
    for sight in look(world, style=appetite):
        order = as_order(world, sight, *styles[sight.player].player(sight, dice))
        if order is not None:
            orders.append(order)
    return orders


def result_of(differences: Sequence[float]) -> Result:
    """The mean of the seeds' differences, and how sure it is."""
    mean, error = statistics.fmean(differences), statistics.stdev(differences) / len(differences) ** 0.5
    margin = _student_95(len(differences) - 1) * error
    return Result(tuple(differences), mean, mean - margin, mean + margin)


def _student_95(freedom: int) -> float:
    """The 97.5 % point of Student's t, by its expansion around the normal one; right to 1 % from 4 degrees on."""
    z = statistics.NormalDist().inv_cdf(0.975)
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2
