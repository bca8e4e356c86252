"""The world's own good player: how appealing each thing is to each player now, and how it is best done.

It judges by the outlook alone, so it knows no more than any player is shown. It grows the field that pays back first,
keeps the storehouse ahead of the stocks, keeps soldiers in proportion to its people, and robs whom it can beat clearly
where the loot is worth more than the soldiers it costs.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from .outlook import Outlook
from .raids import loss_shares
from .rules import (
    ATTACK,
    BARRACKS,
    BUILD_COST,
    BUILDINGS,
    CARRY,
    DEFENCE,
    FIELDS,
    HEADS,
    LEVEL_MAX,
    PRODUCTION,
    RESOURCES,
    SHELTERED,
    STOREHOUSE,
    TRAIN_COST,
    WHEAT,
    Floats,
    Ints,
)
from .world import World

IDLE = 0.1
"""How appealing it is to wait."""
CLEARLY = 3
"""A raid is worth thinking about from so many times the estimated defence: weaker ones win too, at too high a price."""
UNWANTED, NEVER = 0.05, 0.0
"""What can be done but is worse than waiting, and what can't."""

_STORE_AHEAD_H = 4  # the storehouse has to hold what comes in so many hours
_ARMY_SHARE = 0.3  # soldiers wanted for each of the other people
_SPARE_WHEAT = 6  # an hour, that no soldier may eat up
_RAIDERS = ATTACK > DEFENCE  # the others stay and guard
_TROOP_VALUE: Ints = TRAIN_COST.sum(axis=1)
_LOOT_OF_NOTE = 500


@dataclasses.dataclass(frozen=True)
class Advice:
    """How appealing (0 to 1) each action is to each player, and what it is best done with."""

    build: Floats  # [V]
    building: Ints  # [V]
    train: Floats  # [V, T]
    amount: Ints  # [V, T]
    raid: Floats  # [V]
    target: Ints  # [V] a place among the nearby villages
    party: Ints  # [V, T]
    hold: Floats  # [V]


def advise(world: World, outlook: Outlook) -> Advice:
    """The good player's opinion on this turn."""
    wishes = _building_wishes(world, outlook)
    train, amount = _training(world, outlook)
    raid, target, party = _raiding(world, outlook)
    building = wishes.argmax(axis=1)
    return Advice(
        build=wishes.max(axis=1),
        building=building,
        train=train,
        amount=amount,
        raid=raid,
        target=target,
        party=party,
        hold=np.where(outlook.threat > 0, 0.6, 0.3),
    )


def _building_wishes(world: World, outlook: Outlook) -> Floats:
    level = np.minimum(outlook.planned, LEVEL_MAX - 1)
    cost = BUILD_COST[np.arange(len(BUILDINGS)), level].sum(axis=2)
    fields = level[:, :FIELDS]
    yields = PRODUCTION[fields + 1] - PRODUCTION[fields]
    wishes = np.zeros(level.shape)
    wishes[:, :FIELDS] = 0.3 + 2 * yields * _scarcity(world) / cost[:, :FIELDS]
    soon = world.stocks + _STORE_AHEAD_H * world.production()
    full = (soon > world.storage()[:, None]).any(axis=1) & (level[:, STOREHOUSE] == world.levels[:, STOREHOUSE])
    wishes[:, STOREHOUSE] = np.where(full, 0.85, NEVER)
    wishes[:, BARRACKS] = np.where(level[:, BARRACKS] < fields.mean(axis=1) - 1, 0.8, NEVER)
    return np.where(outlook.buildable, np.clip(wishes, UNWANTED, 1), NEVER)


def _scarcity(world: World) -> Floats:
    """How much more a resource is worth that the village makes little of; wheat that is eaten is not made."""
    made = world.planned_production().astype(np.float64)
    made[:, WHEAT] = np.maximum(made[:, WHEAT] - world.upkeep(), 1)
    scarcity: Floats = np.clip(made.mean(axis=1, keepdims=True) / made, 0.5, 3)
    return scarcity


def _training(world: World, outlook: Outlook) -> tuple[Floats, Ints]:
    """Riders where there are barracks for them, else swordsmen; spearmen when raiders come that are too strong."""
    heads = world.upkeep()
    wheat = world.production()[:, WHEAT] - heads - _SPARE_WHEAT
    wanted = np.minimum(_ARMY_SHARE * (outlook.population - heads), heads + wheat) - heads
    amount = np.clip(wanted[:, None] // HEADS, 0, outlook.trainable).astype(np.int64)
    appeal = np.where(amount > 0, np.array([0.2, 0.7, 0.75]), NEVER)
    pressed = (outlook.threat > outlook.own_defence) & (outlook.trainable[:, 0] > 0)
    appeal[pressed, 0] = 0.9
    amount[pressed, 0] = outlook.trainable[pressed, 0]
    return appeal, np.maximum(amount, 1)


def _raiding(world: World, outlook: Outlook) -> tuple[Floats, Ints, Ints]:
    """The nearby village where a raid brings most an hour, after what it costs in soldiers."""
    party = np.where(_RAIDERS, world.troops, 0)
    attack = (party @ ATTACK)[:, None]
    defence = np.maximum(outlook.defence, 1)
    won, _ = loss_shares(attack.astype(np.float64), defence.astype(np.float64))
    loot = np.minimum(outlook.stocks - len(RESOURCES) * SHELTERED, (1 - won) * (party @ CARRY)[:, None])
    gain = loot - won * (party @ _TROOP_VALUE)[:, None]
    worth = np.where(attack > CLEARLY * defence, gain, -1) / (2 * outlook.hours)
    if not worth.shape[1]:
        return np.zeros(world.size), np.zeros(world.size, dtype=np.int64), party
    target = worth.argmax(axis=1)
    best = np.take_along_axis(gain, target[:, None], axis=1)[:, 0]
    good = outlook.can_raid & (worth.max(axis=1) > 0)
    return np.where(good, np.clip(0.4 + best / _LOOT_OF_NOTE, 0.4, 1), NEVER), target, party
