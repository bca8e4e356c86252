"""The rules of the world as tables: what is built and trained, what it costs, gives and takes.

Whole numbers throughout, so that a world is the same on every machine. One turn is one game hour.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

RESOURCES = ("wood", "clay", "iron", "wheat")
WHEAT = 3
BUILDINGS = ("woodcutter", "clay_pit", "iron_mine", "farm", "storehouse", "barracks")
FIELDS = 4
"""The first buildings are fields: each yields the resource at its own place in RESOURCES."""
STOREHOUSE, BARRACKS = 4, 5
TROOPS = ("spearman", "swordsman", "rider")

CELLS_PER_VILLAGE = 12
"""How much room a village has on the map; most of it is free."""
NEARBY = 8
"""How many of the nearest villages a player sees."""
LEVEL_MAX = 15
QUEUE_MAX = 3
RAIDS_MAX = 3
"""Raids of one village that may be under way at once."""
UPTIME_HOURS = 12
"""Over how many of the last hours the uptime of the building queue is taken."""

LUCK = 0.2
"""A raid fights with its strength, give or take this share."""
MILITIA = 40
"""What a village without soldiers defends itself with."""
SHELTERED = 60
"""Of each resource, this much is never found by raiders: no village is ever ruined."""
PEOPLE_BASE = 10

START_FIELDS = (0, 1, 1, 2)
"""The levels of the first fields, dealt out to each village by the dice."""
START_STOCK = 150
PLAYERS_PER_HAMLET = 2
"""For so many players there is a hamlet that nobody plays: it grows crops, never changes and is there to be robbed."""


def _table(rows: object) -> Ints:
    table = np.array(rows, dtype=np.int64)
    table.setflags(write=False)
    return table


PRODUCTION = _table([8 + 6 * level + level * level for level in range(LEVEL_MAX + 1)])
"""What a field of each level yields in an hour."""
STORAGE = _table([400 * 4**level // 3**level for level in range(LEVEL_MAX + 1)])
"""How much of each resource a storehouse of each level keeps; what comes on top is wasted."""
PEOPLE = _table([level * (level + 3) // 2 for level in range(LEVEL_MAX + 1)])
"""How many people live off a building of each level."""

_COST_FIRST = (
    (10, 30, 25, 15),
    (30, 10, 25, 15),
    (30, 25, 10, 15),
    (30, 30, 15, 5),
    (40, 30, 20, 10),
    (50, 40, 40, 20),
)
BUILD_COST = _table([[[c * 3**n // 2**n for c in first] for n in range(LEVEL_MAX)] for first in _COST_FIRST])
"""What the next level costs, by building, level reached, resource."""
BUILD_HOURS = _table([1 + level // 2 for level in range(LEVEL_MAX)])

ATTACK = _table([10, 40, 70])
DEFENCE = _table([40, 20, 30])
CARRY = _table([20, 40, 90])
SPEED = _table([2, 2, 4])
"""Cells in an hour; a party goes as fast as its slowest."""
HEADS = _table([1, 1, 2])
"""People that a soldier counts as, and the wheat that they eat in an hour, at home or away."""
TRAIN_COST = _table([(15, 10, 5, 10), (10, 10, 30, 15), (25, 15, 45, 30)])
BARRACKS_NEEDED = _table([1, 1, 3])
TRAINED_PER_LEVEL = 4
"""Soldiers that each level of the barracks trains in an hour."""

POPULATION_MIN = PEOPLE_BASE + int(PEOPLE[list(START_FIELDS)].sum())
"""What every village begins with and can't lose."""
