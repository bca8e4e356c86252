"""The rules of the world as tables: what is built and trained, what it costs, gives and takes.

Whole numbers throughout, so that a world is the same on every machine. One turn is one game hour.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def _table(rows: object) -> Ints:
    table = np.array(rows, dtype=np.int64)
    table.setflags(write=False)
    return table


# ---- time and way ----------------------------------------------------------------------------------------------------

DAY_H = 24
NIGHT_FROM, NIGHT_TO = 22, 6
"""By night everybody goes at half the pace."""

CELLS_PER_VILLAGE = 12
"""How much room a founding village has on the map; most of it stays free."""
PLAYERS_PER_HAMLET = 2
"""For so many players there is a hamlet that nobody plays: it grows crops, never changes and is there to be robbed."""
SPOTS_PER_PLAYER = 3
"""Free spots, where new villages can be founded."""
VILLAGES_MAX = 3
NEARBY = 8
"""How many villages of others around its first one a player knows of, and how many spots it looks out for."""
CONTACTS = 6
"""How many other players a player deals with."""
SPOTS_SHOWN = 3

# ---- villages --------------------------------------------------------------------------------------------------------

RESOURCES = ("wood", "clay", "iron", "wheat")
WHEAT = 3
BUILDINGS = ("woodcutter", "clay_pit", "iron_mine", "farm", "storehouse", "barracks", "wall", "market", "hall")
FIELDS = 4
"""The first buildings are fields: each yields the resource at its own place in RESOURCES."""
STOREHOUSE, BARRACKS, WALL, MARKET, HALL = range(FIELDS, len(BUILDINGS))
LEVEL_MAX = 15
QUEUE_MAX = 3
UPTIME_HOURS = 12
"""Over how many of the last hours the uptime of the building queue is taken."""

PEOPLE_BASE = 10
START_FIELDS = (0, 1, 1, 2)
"""The levels of the first fields, dealt out to each village by the dice."""
START_STOCK = 150
SHELTERED = 20
"""Of each resource, this much is never found by robbers."""
RAZED, RAZED_ABOVE = 4, 2
"""A won attack razes a level each of so many of the tallest buildings, unless they are no higher than this: no village is
ever ruined."""

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
    (30, 50, 15, 5),
    (40, 30, 30, 30),
    (50, 50, 40, 30),
)
BUILD_COST = _table([[[c * 3**n // 2**n for c in first] for n in range(LEVEL_MAX)] for first in _COST_FIRST])
"""What the next level costs, by building, level reached, resource."""
BUILD_HOURS = _table([1 + level // 2 for level in range(LEVEL_MAX)])
HALL_HASTE = 5
"""Each level of the hall takes so many per cent off the hours of building; a part of an hour counts as a whole one."""
HALL_PER_VILLAGE = 2
"""Levels of the halls of all its villages together that a player needs for each village it has, before it founds another."""

# ---- soldiers --------------------------------------------------------------------------------------------------------

TRIBES = ("oakfolk", "riverfolk", "steppefolk")
"""Behind walls, at market, on horseback."""
TROOPS = (
    ("spearman", "axeman", "stag_rider", "ram", "ranger", "settler"),
    ("shieldman", "swordsman", "lancer", "ram", "pathfinder", "settler"),
    ("herdsman", "sabreman", "horse_archer", "ram", "hawker", "settler"),
)
"""By tribe: each has its own guards, fighters, riders, rams, scouts and settlers."""
GUARD, FIGHTER, RIDER, RAM, SCOUT, SETTLER = range(6)
SORTS = 6
MARCHING = (GUARD, FIGHTER, RIDER, RAM)
"""Who goes on raids and attacks, and to help."""

ATTACK = _table([(10, 36, 64, 20, 0, 0), (12, 40, 68, 20, 0, 0), (12, 42, 76, 20, 0, 0)])
DEFENCE = _table([(48, 22, 30, 5, 5, 5), (42, 24, 32, 5, 5, 5), (36, 20, 34, 5, 5, 5)])
CARRY = _table([(30, 60, 110, 0, 0, 0), (30, 60, 120, 0, 0, 0), (30, 65, 150, 0, 0, 0)])
SPEED = _table([(2, 2, 4, 2, 6, 2), (2, 2, 4, 2, 6, 2), (2, 2, 5, 2, 7, 2)])
"""Cells in an hour; a party goes as fast as its slowest."""
HEADS = _table([1, 1, 2, 2, 1, 1])
"""People that a soldier counts as, and the wheat that they eat in an hour, at home or away."""
TRAIN_COST = _table(
    [(15, 10, 5, 10), (10, 10, 25, 10), (25, 15, 40, 25), (60, 20, 30, 20), (5, 5, 10, 15), (150, 150, 120, 120)]
)
BARRACKS_NEEDED = _table([1, 1, 3, 4, 1, 2])
TRAINED_PER_LEVEL = 10
"""Soldiers that each level of the barracks trains in an hour."""
SETTLERS_NEEDED = 3
"""They become the people of the new village."""

PARTIES_MAX = 4
"""Parties of one village that may be under way at once, merchants not counted."""
DEPART_H_MAX = 12
"""How many hours a party may wait outside before it leaves."""
DEPARTURES_H = (0, 1, 2, 4, 8, 12)
"""In how many hours a player may have its soldiers leave."""
STAY_H = 24
"""How long those who came to help stay."""

LUCK = 0.2
"""Who marches fights with its strength, give or take this share."""
DRAW = 0.05
"""A fight of strengths closer than this share is a draw: both lose, nobody takes anything."""
MILITIA = 30
"""What a village without soldiers defends itself with."""
WALL_BONUS = _table([6, 4, 3])
"""Per cent of defence for each level of the wall, by tribe; a hamlet has none."""
RAMS_PER_LEVEL = 3
"""So many rams of an attack make a level of the wall worth nothing, and after a victory it lies in ruins."""
RAID_LOSSES = 0.5
"""A raid flees and is let go: both sides lose this share of what they would lose in an attack."""
GUESS = 50
"""What is said of villages where nobody looked is up to so many per cent off."""

# ---- dealings --------------------------------------------------------------------------------------------------------

MERCHANT_CARRY = _table([200, 350, 200])
"""By tribe; a market has as many merchants as levels."""
MERCHANT_SPEED = 3
MARKET_OFFERS_MAX = 3
"""Open offers of one village on the market."""
MARKET_SHOWN = 6
MARKET_REACH = 40
"""Cells that merchants travel at most."""
SELL_MIN = 20

TRUCE, ALLIANCE = range(2)
TREATIES = ("truce", "alliance")
OFFER_H = 24
"""How long an offer stands."""
TRUCE_H = 72
ALLIANCE_MAX = 8
"""Members of an alliance."""
OFFERS_SHOWN = 4
GIFT_MAX = 400

TRUST_START, TRUST_MAX = 50, 100
TRUST_KEPT = 10
"""Gained by a treaty made; a gift adds one for each GIFT_PER_TRUST."""
GIFT_PER_TRUST = 40
TRUST_REFUSED = -2
TRUST_ENDED = -10
"""Lost by who ends a treaty openly."""
TRUST_HURT, TRUST_BETRAYED, TRUST_WITNESSED = -5, -60, -15
"""Lost by who raids or attacks; by who does it in spite of a treaty; and then among all others who deal with it."""

PRIORITIES = ("expand", "fortify", "attack", "diplomacy", "economy")
EXPAND, FORTIFY, ATTACKING, DIPLOMACY, ECONOMY = range(5)
"""What a player puts first for the day."""


def is_night(hour: int) -> bool:
    """Whether it is night at this hour of the world."""
    return hour % DAY_H >= NIGHT_FROM or hour % DAY_H < NIGHT_TO


_PACE = [1 if is_night(hour) else 2 for hour in range(DAY_H)]
DAY_WAY = sum(_PACE)
"""Half hours of way that are covered in a day and night."""


def _hours_for() -> Ints:
    hours = np.zeros((DAY_H, DAY_WAY), dtype=np.int64)
    for start in range(DAY_H):
        gone, hour = 0, 0
        for way in range(1, DAY_WAY):
            while gone < way:
                gone += _PACE[(start + hour) % DAY_H]
                hour += 1
            hours[start, way] = hour
    return _table(hours)


HOURS_FOR = _hours_for()
"""Hours that so many half hours of way take, by the hour of departure."""
