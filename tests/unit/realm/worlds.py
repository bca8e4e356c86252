"""Worlds in the middle of a game, for the tests."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from hypothesis import strategies as st

from realm import players
from realm.orders import Order
from realm.players import Dice
from realm.rules import TROOPS
from realm.sight import look
from realm.world import World

seeds = st.integers(0, 2**32)
sizes = st.integers(1, 12)
lengths = st.integers(1, 40)


def turns(size: int, seed: int, length: int) -> Iterator[tuple[World, list[Order]]]:
    """A world before each turn of a random game that starts with soldiers, and what is ordered in it."""
    world, dice = armed(size, seed), Dice(np.random.PCG64([seed, 7]))
    for _ in range(length):
        orders = [players.random(sight, dice) for sight in look(world)]
        yield world, [order for order in orders if order is not None]


def armed(size: int, seed: int) -> World:
    """A new world in which everybody has some soldiers and barracks, so that there is fighting at once."""
    world = World.found(size, seed)
    world.levels[:size, 5] = 3
    world.troops[:size] = world.trained[:size] = Dice(np.random.PCG64([seed, 8])).integers(0, 9, (size, len(TROOPS)))
    return world
