"""Raids on their way: who comes home, who fights, who takes what.

A raid is fought when it arrives. Those who come home in the same hour are there before the raiders; of several raids on
one village the dice say who is first, and each next one meets what the one before has left.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .rules import ATTACK, CARRY, DEFENCE, LUCK, MILITIA, SHELTERED, Bools, Floats, Ints
from .state import State

_BATTLE = 1


class Battle(NamedTuple):
    """What came of one raid; the player and the turn it was sent in tell which."""

    player: int
    sent: int
    target: int
    victory: bool
    own_losses: int
    enemy_losses: int
    loot: int


def travel(state: State) -> list[Battle]:
    """Let an hour pass on the roads."""
    moving = state.raid_hours > 0
    state.raid_hours[moving] -= 1
    arrived = moving & (state.raid_hours == 0)
    back, there = arrived & (state.raid_home == 1), arrived & (state.raid_home == 0)
    _come_home(state, back)
    return _arrive(state, there)


def _come_home(state: State, back: Bools) -> None:
    village, slot = np.nonzero(back)
    np.add.at(state.troops, village, state.raid_troops[village, slot])
    np.add.at(state.stocks, village, state.raid_loot[village, slot])
    _forget(state, village, slot)


def _arrive(state: State, there: Bools) -> list[Battle]:
    village, slot = np.nonzero(there)
    luck = state.chance(_BATTLE).random(there.shape)[village, slot]
    target = state.raid_target[village, slot]
    first = np.lexsort((luck, target))
    village, slot, luck, target = village[first], slot[first], luck[first], target[first]
    # The how-manieth on its target: all first ones are fought at once, then all second ones, and so on.
    turn = np.arange(len(target)) - np.searchsorted(target, target)
    battles: list[Battle] = []
    for now in range(turn.max(initial=-1) + 1):
        fighting = turn == now
        battles += _fight(state, village[fighting], slot[fighting], luck[fighting])
    return battles


def _fight(state: State, village: Ints, slot: Ints, luck: Floats) -> list[Battle]:
    target, sent = state.raid_target[village, slot], state.raid_troops[village, slot]
    home = state.troops[target]
    attack = (sent @ ATTACK) * (1 - LUCK + 2 * LUCK * luck)
    defence = (home @ DEFENCE + MILITIA).astype(np.float64)
    victory = attack > defence
    won, lost = loss_shares(attack, defence)
    own = np.rint(sent * np.where(victory, won, lost)[:, None]).astype(np.int64)
    enemy = np.rint(home * np.where(victory, lost, won)[:, None]).astype(np.int64)
    loot = np.where(victory[:, None], _taken(state.stocks[target], (sent - own) @ CARRY), 0)
    state.troops[target] -= enemy
    state.stocks[target] -= loot
    state.lost[target] += enemy
    np.add.at(state.lost, village, own)
    _turn_back(state, village, slot, sent - own, loot)
    columns = (village, state.raid_sent[village, slot], target, victory, own.sum(1), enemy.sum(1), loot.sum(1))
    return [Battle(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def loss_shares(attack: Floats, defence: Floats) -> tuple[Floats, Floats]:
    """Which share of their soldiers the winner and the loser lose: half each when equal, apart as strengths differ.

    Only operations that are rounded alike everywhere.
    """
    ratio = np.minimum(attack, defence) / np.maximum(np.maximum(attack, defence), 1)
    closeness = ratio * np.sqrt(ratio)
    return closeness / (1 + closeness), 1 / (1 + closeness)


def _taken(stocks: Ints, carry: Ints) -> Ints:
    """The same share of each resource that is not sheltered, as much as can be carried."""
    found = np.maximum(stocks - SHELTERED, 0)
    total = found.sum(axis=1)
    taken: Ints = (found * np.minimum(carry, total)[:, None]) // np.maximum(total, 1)[:, None]
    return taken


def _turn_back(state: State, village: Ints, slot: Ints, survivors: Ints, loot: Ints) -> None:
    state.raid_troops[village, slot] = survivors
    state.raid_loot[village, slot] = loot
    state.raid_home[village, slot] = 1
    state.raid_hours[village, slot] = state.raid_trip[village, slot]
    fallen = (survivors == 0).all(axis=1)
    _forget(state, village[fallen], slot[fallen])


def _forget(state: State, village: Ints, slot: Ints) -> None:
    for array in (state.raid_target, state.raid_trip, state.raid_hours, state.raid_home):
        array[village, slot] = 0
    state.raid_troops[village, slot] = 0
    state.raid_loot[village, slot] = 0
