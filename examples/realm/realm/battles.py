"""Battles: who wins, what both sides lose, what is taken and razed.

Of several parties at one village the dice say who is first, and each next one meets what the one before has left. All at
home fight, the owner's soldiers and those who came to help, behind what the rams leave of the wall.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .dealings import hurt
from .events import DRAW as A_DRAW
from .events import LOSS, WIN, Battle
from .knowledge import report
from .rows import ATTACK
from .rules import ATTACK as STRENGTH
from .rules import (
    CARRY,
    DRAW,
    LUCK,
    RAID_LOSSES,
    RAM,
    RAMS_PER_LEVEL,
    RAZED,
    RAZED_ABOVE,
    SHELTERED,
    WALL,
    Bools,
    Floats,
    Ints,
)
from .state import State

_BATTLE = 1
_RESULTS = (LOSS, A_DRAW, WIN)


def fight(state: State, which: Bools) -> list[Battle]:
    """Fight all these; what is left of them is still there afterwards."""
    places = np.flatnonzero(which)
    if not len(places):
        return []
    target = state.parties.target[places]
    luck = state.chance(_BATTLE).random(len(places))
    order = np.lexsort((luck, target))
    places, target, luck = places[order], target[order], luck[order]
    # The how-manieth on its target: all first ones are fought at once, then all second ones, and so on.
    how_manieth = np.arange(len(target)) - np.searchsorted(target, target)
    battles: list[Battle] = []
    for now in range(how_manieth.max() + 1):
        fighting = how_manieth == now
        battles += _fight(state, places[fighting], luck[fighting])
    return battles


class _Sides(NamedTuple):
    attack: Floats
    defence: Ints
    wall: Ints  # what the rams leave of it


def _fight(state: State, places: Ints, luck: Floats) -> list[Battle]:
    """Fight parties that come to different villages."""
    parties, villages = state.parties, state.villages
    target, player, errand = parties.target[places], parties.player[places], parties.errand[places]
    sides = _sides(state, places, luck)
    outcome = _outcome(sides)
    victory = outcome == _RESULTS.index(WIN)
    stronger, weaker = loss_shares(sides.attack, sides.defence.astype(np.float64))
    share = np.where(errand == ATTACK, 1.0, RAID_LOSSES)
    own = _rounded(parties.troops[places], np.where(victory, stronger, weaker) * share)
    enemy = _defenders_lose(state, target, np.where(victory, weaker, stronger) * share)
    parties.troops[places] -= own
    np.add.at(state.players.lost, player, own)
    loot = np.where(victory[:, None], _taken(villages.stocks[target], _carried(state, places)), 0)
    villages.stocks[target] -= loot
    parties.load[places] += loot
    razed = np.zeros(len(places), dtype=np.int64)
    razing = victory & (errand == ATTACK)
    razed[razing] = _raze(state, target[razing], sides.wall[razing])
    breach = _remember(state, places, outcome, sides)
    columns = (
        *(player, parties.sent[places], errand, target, villages.owner[target], np.array(_RESULTS)[outcome]),
        *(own.sum(axis=1), enemy, loot.sum(axis=1), razed, breach),
    )
    return [Battle(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def _sides(state: State, places: Ints, luck: Floats) -> _Sides:
    parties = state.parties
    target, troops = parties.target[places], parties.troops[places]
    tribe = state.players.tribe[parties.player[places]]
    attack = (troops * STRENGTH[tribe]).sum(axis=1) * (1 - LUCK + 2 * LUCK * luck)
    rams = np.where(parties.errand[places] == ATTACK, troops[:, RAM], 0)
    wall = np.maximum(state.villages.levels[target, WALL] - rams // RAMS_PER_LEVEL, 0)
    return _Sides(attack, state.defence_of(target, wall), wall)


def _outcome(sides: _Sides) -> Ints:
    """The place in _RESULTS."""
    near = np.abs(sides.attack - sides.defence) <= DRAW * np.maximum(sides.attack, sides.defence)
    return np.where(near, 1, np.where(sides.attack > sides.defence, 2, 0))


def loss_shares(attack: Floats, defence: Floats) -> tuple[Floats, Floats]:
    """Which share of their soldiers the stronger and the weaker lose: half each when equal, apart as strengths differ.

    Only operations that are rounded alike everywhere.
    """
    ratio = np.minimum(attack, defence) / np.maximum(np.maximum(attack, defence), 1)
    closeness = ratio * np.sqrt(ratio)
    return closeness / (1 + closeness), 1 / (1 + closeness)


def _rounded(troops: Ints, share: Floats) -> Ints:
    return np.rint(troops * share[:, None]).astype(np.int64)


def _defenders_lose(state: State, target: Ints, share: Floats) -> Ints:
    """The same share of all who are there; says how many fell at each target."""
    villages, parties = state.villages, state.parties
    fallen = _rounded(villages.troops[target], share)
    villages.troops[target] -= fallen
    owned = villages.owner[target] >= 0
    np.add.at(state.players.lost, villages.owner[target][owned], fallen[owned])
    total: Ints = fallen.sum(axis=1)
    helping = np.flatnonzero(parties.staying() & np.isin(parties.target, target))
    if len(helping):
        of = np.zeros(len(villages), dtype=np.int64)
        of[target] = np.arange(len(target))
        battle = of[parties.target[helping]]
        lost = _rounded(parties.troops[helping], share[battle])
        parties.troops[helping] -= lost
        np.add.at(state.players.lost, parties.player[helping], lost)
        np.add.at(total, battle, lost.sum(axis=1))
    return total


def _carried(state: State, places: Ints) -> Ints:
    tribe = state.players.tribe[state.parties.player[places]]
    carried: Ints = (state.parties.troops[places] * CARRY[tribe]).sum(axis=1)
    return carried


def _taken(stocks: Ints, carry: Ints) -> Ints:
    """The same share of each resource that is not sheltered, as much as can be carried."""
    found = np.maximum(stocks - SHELTERED, 0)
    total = found.sum(axis=1)
    taken: Ints = (found * np.minimum(carry, total)[:, None]) // np.maximum(total, 1)[:, None]
    return taken


def _raze(state: State, target: Ints, wall: Ints) -> Ints:
    """A won attack leaves the wall as the rams have left it, and a level each of the tallest buildings in ruins."""
    levels = state.villages.levels
    razed: Ints = levels[target, WALL] - wall
    levels[target, WALL] = wall
    tallest = (-levels[target]).argsort(axis=1, kind="stable")
    for place in range(RAZED):
        building = tallest[:, place]
        falls = levels[target, building] > RAZED_ABOVE
        levels[target[falls], building[falls]] -= 1
        razed = razed + falls
    return razed


def _remember(state: State, places: Ints, outcome: Ints, sides: _Sides) -> Bools:
    """Who won, who has broken a treaty, and what the attackers have seen."""
    parties, villages = state.parties, state.villages
    player, target = parties.player[places], parties.target[places]
    victim = villages.owner[target]
    owned = victim >= 0
    for figure, mine, theirs in ((state.players.won, 2, 0), (state.players.beaten, 0, 2)):
        np.add.at(figure, player[outcome == mine], 1)
        np.add.at(figure, victim[owned & (outcome == theirs)], 1)
    villages.struck[target], villages.striker[target] = state.turn, player
    breach = np.zeros(len(places), dtype=bool)
    breach[owned] = hurt(state, player[owned], victim[owned])
    left = state.defence_of(target, villages.levels[target, WALL])
    survived = parties.troops[places].any(axis=1)
    seen = np.where(survived, left, np.maximum(sides.defence, sides.attack.astype(np.int64)))
    report(state, player, target, seen)
    return breach


__all__ = ["fight", "loss_shares"]
