"""The roads: an hour passes for all parties, and who arrives does what it came for.

Those who come home in an hour are there first, then merchants and helpers arrive, then settlers and scouts, then raids and
attacks are fought; so nobody's luck depends on who ordered first.
"""

from __future__ import annotations

import numpy as np

from .battles import fight
from .deeds import march_hours
from .events import Battle, Looked, Settled
from .knowledge import look_there, recognise
from .land import first_fields
from .rows import ATTACK, GOING, HELP, HOME, SCOUT, SETTLE, STAYING, TRADE
from .rules import SETTLERS_NEEDED, STAY_H, VILLAGES_MAX, Bools
from .state import NOBODY, State, Villages

_SETTLING, _FOUNDING = 11, 12


def travel(state: State) -> tuple[list[Battle], list[Looked], list[Settled]]:
    """Let an hour pass."""
    parties = state.parties
    parties.hours -= 1
    arrived = parties.hours <= 0
    _come_home(state, arrived & (parties.phase == HOME))
    arrived, parties = state.parties.hours <= 0, state.parties
    _trade(state, arrived & (parties.errand == TRADE))
    arrived, parties = state.parties.hours <= 0, state.parties
    turn_back(state, arrived & (parties.phase == STAYING))
    _stay(state, arrived & (parties.phase == GOING) & (parties.errand == HELP))
    settled = _settle(state, arrived & parties.is_settling())
    looked = look_there(state, arrived & (parties.phase == GOING) & (parties.errand == SCOUT))
    turn_back(state, arrived & (parties.phase == GOING) & (parties.errand == SCOUT))
    battles = fight(state, arrived & parties.hostile())
    turn_back(state, arrived & (parties.phase == GOING) & (parties.errand <= ATTACK))
    fallen = (state.parties.troops.sum(axis=1) == 0) & (state.parties.errand != TRADE)
    state.parties.keep(~fallen)
    return battles, looked, settled


def turn_back(state: State, which: Bools) -> None:
    """Send these parties home."""
    if not which.any():
        return
    parties = state.parties
    village, target = parties.village[which], parties.target[which]
    settling = parties.errand[which] == SETTLE
    cells = np.where(
        settling[:, None],
        state.spots[np.where(settling, target, 0)],
        state.villages.at[np.where(settling, 0, target)],
    )
    parties.hours[which] = march_hours(state, village, cells, parties.troops[which])
    parties.phase[which] = HOME


def _come_home(state: State, which: Bools) -> None:
    if not which.any():
        return
    parties = state.parties
    np.add.at(state.villages.troops, parties.village[which], parties.troops[which])
    np.add.at(state.villages.stocks, parties.village[which], parties.load[which])
    parties.keep(~which)


def _trade(state: State, which: Bools) -> None:
    if not which.any():
        return
    parties = state.parties
    np.add.at(state.villages.stocks, parties.target[which], parties.load[which])
    parties.keep(~which)


def _stay(state: State, which: Bools) -> None:
    state.parties.phase[which] = STAYING
    state.parties.hours[which] = STAY_H


def _settle(state: State, which: Bools) -> list[Settled]:
    """Of several at one spot the dice say who stays; the others go home."""
    if not which.any():
        return []
    parties = state.parties
    places = np.flatnonzero(which)
    luck = state.chance(_SETTLING).random(len(places))
    founded: list[int] = []
    told: list[Settled] = []
    for place in places[np.lexsort((luck, parties.target[places]))].tolist():
        player, spot = int(parties.player[place]), int(parties.target[place])
        free = not state.taken[spot] and state.villages_owned()[player] < VILLAGES_MAX
        if free:
            state.taken[spot] = 1
            parties.troops[place] = 0
            state.players.lost[player, -1] += SETTLERS_NEEDED
            founded.append(place)
            _found(state, player, spot)
        told.append(Settled(player, int(parties.sent[place]), len(state.villages) - 1 if free else NOBODY))
    late = which.copy()
    late[founded] = False
    turn_back(state, late)
    return told


def _found(state: State, player: int, spot: int) -> None:
    dice = np.random.Generator(np.random.PCG64([state.seed, _FOUNDING, spot]))
    state.villages.add(Villages.new(state.spots[[spot]], np.array([player]), first_fields(1, dice), 0))
    number = len(state.villages) - 1
    own = state.players.villages[player]
    own[int((own >= 0).sum())] = number
    recognise(state, number, dice)


__all__ = ["travel", "turn_back"]
