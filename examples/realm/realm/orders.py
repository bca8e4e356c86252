"""What players may order, whether it can be done, and doing it: all orders of a turn at once.

In a turn a player gives at most one economic order (build or train) and at most one raid. These touch nothing in common
(resources, the soldiers at home when the turn began), and nothing of another village, so no order can spoil another and
the order they come in means nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from .rules import (
    BARRACKS,
    BARRACKS_NEEDED,
    BUILD_COST,
    BUILD_HOURS,
    BUILDINGS,
    LEVEL_MAX,
    SPEED,
    TRAIN_COST,
    TROOPS,
    Bools,
    Ints,
)
from .state import State

_NUMBER_MAX = 2**31
_FIRST_TROOP = 2  # the column of a raid in which the soldiers begin


class Build(NamedTuple):
    """Put the next level of a building into the queue."""

    player: int
    building: int


class Train(NamedTuple):
    """Train soldiers of one sort; they are at home in the next hour."""

    player: int
    troop: int
    amount: int


class Raid(NamedTuple):
    """Send soldiers to rob a village."""

    player: int
    target: int
    troops: tuple[int, ...]


Order = Build | Train | Raid
Problems = Iterator[tuple[Bools | np.bool_, str]]


class IllegalOrder(ValueError):
    """The world refused an order; nothing of that turn was carried out."""


def travel_hours(state: State, source: Ints, target: Ints, troops: Ints) -> Ints:
    """Hours that these soldiers need for this way, at the pace of the slowest."""
    pace = np.where(troops > 0, SPEED, SPEED.max()).min(axis=-1)
    apart = np.sqrt(((state.at[source] - state.at[target]) ** 2).sum(axis=-1))
    hours: Ints = np.maximum(np.ceil(apart / pace), 1).astype(np.int64)
    return hours


def problems(state: State, orders: Sequence[Order]) -> dict[int, str]:
    """The orders that can't be carried out, by their place, and why."""
    wrong: dict[int, str] = {}
    for kind, columns, check in (
        (Build, 2, _build_problems),
        (Train, 3, _train_problems),
        (Raid, _FIRST_TROOP + len(TROOPS), _raid_problems),
    ):
        places = [place for place, order in enumerate(orders) if isinstance(order, kind)]
        table = _table([orders[place] for place in places], columns)
        for refused, why in _number_problems(state, table):
            wrong |= {places[row]: why for row in np.flatnonzero(refused)}
        sound = [row for row, place in enumerate(places) if place not in wrong]
        for refused, why in check(state, table[sound]):
            for row in np.flatnonzero(refused):
                wrong.setdefault(places[sound[row]], why)
    asked = Counter(map(_slot, orders))
    for place, order in enumerate(orders):
        if asked[_slot(order)] > 1:
            wrong.setdefault(place, "there is more than one such order of this player in this turn")
    return wrong


def carry_out(state: State, orders: Sequence[Order]) -> None:
    """Pay and begin all these orders, which have no problems."""
    _build(state, _table([order for order in orders if isinstance(order, Build)], 2))
    _train(state, _table([order for order in orders if isinstance(order, Train)], 3))
    _raid(state, _table([order for order in orders if isinstance(order, Raid)], _FIRST_TROOP + len(TROOPS)))


def _slot(order: Order) -> tuple[int, bool]:
    return order.player, isinstance(order, Raid)


def _table(orders: Sequence[Order], columns: int) -> Ints:
    """A row for each order; a number that no order could mean becomes -1, and a party of another size a row of -1."""
    rows = [(*order[:2], *order.troops) if isinstance(order, Raid) else order for order in orders]
    table = [
        row if len(row) == columns and all(-1 <= n < _NUMBER_MAX for n in row) else (-1,) * columns for row in rows
    ]
    return np.array(table, dtype=np.int64).reshape(-1, columns)


def _number_problems(state: State, table: Ints) -> Problems:
    yield (table < 0).any(axis=1), "a number is missing, negative or too large"
    yield table[:, 0] >= state.players, "there is no such player"


def _build_problems(state: State, table: Ints) -> Problems:
    player, building = table.T
    yield building >= len(BUILDINGS), "there is no such building"
    building = np.minimum(building, len(BUILDINGS) - 1)
    level = state.planned_levels()[player, building]
    yield state.queue[player, -1] >= 0, "the building queue is full"
    yield level >= LEVEL_MAX, "the building has its highest level"
    cost = BUILD_COST[building, np.minimum(level, LEVEL_MAX - 1)]
    yield (cost > state.stocks[player]).any(axis=1), "there are not enough resources"


def _train_problems(state: State, table: Ints) -> Problems:
    player, troop, amount = table.T
    yield troop >= len(TROOPS), "there are no such soldiers"
    troop = np.minimum(troop, len(TROOPS) - 1)
    yield amount == 0, "nobody would be trained"
    yield state.levels[player, BARRACKS] < BARRACKS_NEEDED[troop], "the barracks are too small for these soldiers"
    yield amount > state.training_max()[player], "the barracks train fewer in an hour"
    yield (TRAIN_COST[troop] * amount[:, None] > state.stocks[player]).any(axis=1), "there are not enough resources"


def _raid_problems(state: State, table: Ints) -> Problems:
    player, target, troops = table[:, 0], table[:, 1], table[:, _FIRST_TROOP:]
    yield target >= state.size, "there is no such village"
    yield target == player, "that is the player's own village"
    yield (troops == 0).all(axis=1), "nobody would go"
    yield (troops > state.troops[player]).any(axis=1), "there are fewer soldiers at home"
    yield (state.raid_hours[player] > 0).all(axis=1), "too many raids are under way"


def _build(state: State, table: Ints) -> None:
    player, building = table.T
    level = state.planned_levels()[player, building]
    place = (state.queue[player] >= 0).sum(axis=1)
    state.stocks[player] -= BUILD_COST[building, level]
    state.queue[player, place] = building
    state.queue_hours[player, place] = BUILD_HOURS[level]


def _train(state: State, table: Ints) -> None:
    player, troop, amount = table.T
    state.stocks[player] -= TRAIN_COST[troop] * amount[:, None]
    state.troops[player, troop] += amount
    state.trained[player, troop] += amount


def _raid(state: State, table: Ints) -> None:
    player, target, troops = table[:, 0], table[:, 1], table[:, _FIRST_TROOP:]
    slot = (state.raid_hours[player] > 0).argmin(axis=1)
    hours = travel_hours(state, player, target, troops)
    state.troops[player] -= troops
    state.raid_target[player, slot] = target
    state.raid_sent[player, slot] = state.turn
    state.raid_trip[player, slot] = hours
    state.raid_hours[player, slot] = hours
    state.raid_troops[player, slot] = troops
