"""Worlds in the middle of a game, for the tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from hypothesis import strategies as st

from realm import players
from realm.answers import as_order
from realm.orders import Order
from realm.players import Dice
from realm.rules import BARRACKS, HALL, MARKET, SETTLER, SORTS, Ints
from realm.sight import look
from realm.world import World

seeds = st.integers(0, 2**32)
sizes = st.integers(1, 12)
lengths = st.integers(1, 40)


def turns(size: int, seed: int, length: int) -> Iterator[tuple[World, list[Order]]]:
    """A world before each turn of a random game that starts with soldiers, and what is ordered in it."""
    world, dice = armed(size, seed), Dice(np.random.PCG64([seed, 7]))
    for _ in range(length):
        orders = [as_order(world, sight, *players.random(sight, dice)) for sight in look(world)]
        yield world, [order for order in orders if order is not None]


def armed(size: int, seed: int) -> World:
    """A new world in which everybody has some soldiers, settlers and buildings, so that everything happens at once."""
    world = World.found(size, seed)
    for building, level in ((BARRACKS, 3), (MARKET, 2), (HALL, 4)):
        world.villages.levels[:size, building] = level
    some = Dice(np.random.PCG64([seed, 8])).integers(0, 9, (size, SORTS))
    some[:, SETTLER] = 3
    return with_troops(world, some)


def with_troops(world: World, troops: Sequence[int] | Ints, of: slice | int = slice(None)) -> World:
    """The same world, where the first villages of these players have these soldiers, who count as trained."""
    for soldiers in (world.villages.troops[: world.size], world.players.trained):
        soldiers[of] = np.asarray(troops)
    return world
