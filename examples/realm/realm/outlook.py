"""What players can do and see this turn, as arrays for all of them at once: the ground that advice and sight stand on.

Nobody sees into another village: what is said about its defence and stocks is an estimate, off by up to ESTIMATE_ERROR.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from .orders import travel_hours
from .rules import (
    ATTACK,
    BARRACKS,
    BARRACKS_NEEDED,
    BUILD_COST,
    BUILDINGS,
    DEFENCE,
    LEVEL_MAX,
    MILITIA,
    TRAIN_COST,
    Bools,
    Ints,
)
from .world import World

ESTIMATE_ERROR = 0.25
_SCOUTING, _ROUNDED_TO = 2, 10


@dataclasses.dataclass(frozen=True)
class Outlook:
    """What lies before each player; K nearby villages."""

    planned: Ints  # [V, building] levels once the queue is built
    buildable: Bools  # [V, building]
    trainable: Ints  # [V, T] how many of one sort
    can_raid: Bools  # [V] somebody is at home and somebody nearby
    hours: Ints  # [V, K] to each nearby village, with everybody at home
    defence: Ints  # [V, K] estimated, should all its soldiers be at home
    stocks: Ints  # [V, K] estimated, of all resources together
    population: Ints  # [V]
    ranks: Ints  # [V]
    raid_attack: Ints  # [V, R] of each raid, as it is seen from afar
    threat: Ints  # [V] of all raids coming in
    own_defence: Ints  # [V]


def look_around(world: World) -> Outlook:
    """The outlook of this turn."""
    blur = world.chance(_SCOUTING)
    everybody, nearby = np.arange(world.size), world.nearby
    own_defence: Ints = world.troops @ DEFENCE + MILITIA
    raid_attack = _estimated(world.raid_troops @ ATTACK, blur)
    threat = np.zeros_like(own_defence)
    under_way = coming(world)
    np.add.at(threat, world.raid_target[under_way], raid_attack[under_way])
    return Outlook(
        planned=world.planned_levels(),
        buildable=_buildable(world),
        trainable=_trainable(world),
        can_raid=(world.troops > 0).any(axis=1) & (world.raid_hours == 0).any(axis=1) & (nearby.shape[1] > 0),
        hours=travel_hours(world, everybody[:, None], nearby, world.troops[:, None]),
        defence=_estimated((world.soldiers() @ DEFENCE + MILITIA)[nearby], blur),
        stocks=_estimated(world.stocks.sum(axis=1)[nearby], blur),
        population=world.population(),
        ranks=world.ranks(),
        raid_attack=raid_attack,
        threat=threat,
        own_defence=own_defence,
    )


def coming(world: World) -> Bools:
    """The raids on their way to a village: [V, R]."""
    under_way: Bools = (world.raid_hours > 0) & (world.raid_home == 0)
    return under_way


def _estimated(value: Ints, blur: np.random.Generator) -> Ints:
    off = 1 + ESTIMATE_ERROR * (2 * blur.random(value.shape) - 1)
    return (np.rint(value * off / _ROUNDED_TO) * _ROUNDED_TO).astype(np.int64)


def _buildable(world: World) -> Bools:
    level = world.planned_levels()
    cost = BUILD_COST[np.arange(len(BUILDINGS)), np.minimum(level, LEVEL_MAX - 1)]
    affordable = (cost <= world.stocks[:, None]).all(axis=2)
    return affordable & (level < LEVEL_MAX) & (world.queue[:, -1:] < 0)


def _trainable(world: World) -> Ints:
    affordable = (world.stocks[:, None] // TRAIN_COST).min(axis=2)
    barracks = world.levels[:, BARRACKS][:, None]
    return np.where(barracks >= BARRACKS_NEEDED, np.minimum(affordable, world.training_max()[:, None]), 0)
