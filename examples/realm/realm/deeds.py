"""Carrying out the orders of a turn, which have no problems: what is paid, begun, sent, promised."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .dealings import answer, leave, propose
from .events import Deeds, Left
from .land import distance, travel_hours
from .market import buy, sell
from .orders import (
    FIRST_TROOP,
    Answer,
    Build,
    Buy,
    Leave,
    March,
    Order,
    Prioritise,
    Propose,
    Sell,
    Train,
    of_kind,
)
from .rows import EVADE, GOING, HOME, SETTLE
from .rules import BUILD_COST, BUILD_HOURS, HALL, HALL_HASTE, SPEED, TRAIN_COST, Floats, Ints
from .state import State


def carry_out(state: State, orders: Sequence[Order]) -> Deeds:
    """Do all of them; dealings come last, since a gift is of what is left."""
    _build(state, of_kind(orders, Build))
    _train(state, of_kind(orders, Train))
    sell(state, of_kind(orders, Sell))
    traded, missed = buy(state, of_kind(orders, Buy))
    _march(state, of_kind(orders, March))
    _prioritise(state, of_kind(orders, Prioritise))
    answered = answer(state, of_kind(orders, Answer))
    leaving = of_kind(orders, Leave)
    leave(state, leaving)
    propose(state, of_kind(orders, Propose))
    active = np.array([order.player for order in orders], dtype=np.int64)
    state.players.active[active] = state.turn
    return Deeds(answered, [Left(*row) for row in leaving.tolist()], traded, missed)


def building_hours(state: State) -> Ints:
    """Per cent of the hours in the rules that each village needs to build: [V]."""
    return 100 - HALL_HASTE * state.villages.levels[:, HALL]


def pace_of(tribe: Ints, troops: Ints) -> Ints:
    """The pace of these soldiers together: that of the slowest."""
    speed = SPEED[tribe]
    pace: Ints = np.where(troops > 0, speed, SPEED.max()).min(axis=-1)
    return pace


def march_hours(state: State, village: Ints, cells: Ints, troops: Ints, wait_h: Ints | int = 0) -> Ints:
    """Hours that these soldiers need for this way, should they leave after so many hours."""
    apart: Floats = distance(state.villages.at[village], cells)
    pace = pace_of(state.tribes()[village], troops)
    return travel_hours(apart, pace, state.turn + wait_h)


def _build(state: State, rows: Ints) -> None:
    _, village, building = rows.T
    level = state.planned_levels()[village, building]
    place = (state.villages.queue[village] >= 0).sum(axis=1)
    state.villages.stocks[village] -= BUILD_COST[building, level]
    state.villages.queue[village, place] = building
    hours = -(-BUILD_HOURS[level] * building_hours(state)[village] // 100)
    state.villages.queue_hours[village, place] = hours


def _train(state: State, rows: Ints) -> None:
    player, village, sort, amount = rows.T
    state.villages.stocks[village] -= TRAIN_COST[sort] * amount[:, None]
    state.villages.troops[village, sort] += amount
    state.players.trained[player, sort] += amount


def _march(state: State, rows: Ints) -> None:
    if not len(rows):
        return
    player, village, errand, target, wait_h = rows[:, :FIRST_TROOP].T
    troops = rows[:, FIRST_TROOP:]
    settling, evading = errand == SETTLE, errand == EVADE
    place = state.villages.at[np.where(settling, 0, target)]
    cells = np.where(settling[:, None], state.spots[np.where(settling, target, 0)], place)
    hours = march_hours(state, village, cells, troops, wait_h)
    # A player's soldiers and its settlers may leave one village in one turn.
    np.subtract.at(state.villages.troops, village, troops)
    state.parties.add(
        number=state.next_numbers(len(rows)),
        village=village,
        player=player,
        errand=errand,
        target=target,
        sent=state.turn,
        hours=np.where(evading, wait_h, wait_h + hours),
        phase=np.where(evading, HOME, GOING),
        troops=troops,
    )


def _prioritise(state: State, rows: Ints) -> None:
    player, priority = rows.T
    state.players.priority[player] = priority
