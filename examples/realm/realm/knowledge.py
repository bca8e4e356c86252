"""What players know of others: what somebody saw when, and a guess where nobody looked."""

from __future__ import annotations

import numpy as np

from .events import Looked
from .rules import GUESS, MILITIA, WALL, Bools, Ints
from .rules import SCOUT as SCOUTS
from .state import State

_PATROLS = 13
_PER_HEAD_DEFENCE, _PER_HEAD_STOCKS = 6, 8
"""What a village is guessed to have for each of its people."""


def look_there(state: State, which: Bools) -> list[Looked]:
    """Scouts look around, unless the scouts of the village catch them: who has fewer is caught more often."""
    places = np.flatnonzero(which)
    if not len(places):
        return []
    parties, villages = state.parties, state.villages
    player, target = parties.player[places], parties.target[places]
    sent, guarding = parties.troops[places, SCOUTS], villages.troops[target, SCOUTS]
    luck = state.chance(_PATROLS).random(len(places))
    found = luck * (sent + guarding) < sent
    lost = np.minimum(np.rint(np.where(found, guarding / 2, sent)).astype(np.int64), sent)
    parties.troops[places, SCOUTS] -= lost
    np.add.at(state.players.lost[:, SCOUTS], player, lost)
    seen = state.defence_of(target, villages.levels[target, WALL])
    report(state, player[found], target[found], seen[found])
    columns = (player, parties.sent[places], target, found, lost)
    return [Looked(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def report(state: State, player: Ints, village: Ints, defence: Ints) -> None:
    """Players have seen this defence, and the stocks, of these villages; of far ones nobody takes notes."""
    players = state.players
    for one, there, strength in zip(player.tolist(), village.tolist(), defence.tolist(), strict=True):
        place = np.flatnonzero(players.nearby[one] == there)
        players.seen[one, place] = state.turn
        players.seen_defence[one, place] = strength
        players.seen_stocks[one, place] = state.villages.stocks[there].sum()


def believed(state: State, people: Ints) -> tuple[Ints, Ints]:
    """Defence and stocks of the villages nearby, as each player believes: [P, K] each."""
    players = state.players
    seen = players.seen >= 0
    near = people[players.nearby]
    defence = np.where(seen, players.seen_defence, MILITIA + near * _PER_HEAD_DEFENCE * players.guess // 100)
    stocks = np.where(seen, players.seen_stocks, near * _PER_HEAD_STOCKS * players.guess // 100)
    return defence, stocks


def recognise(state: State, village: int, dice: np.random.Generator) -> None:
    """A village was founded: those for whom it is nearer than the farthest they know of know it instead."""
    players, at = state.players, state.villages.at
    if not players.nearby.shape[1]:
        return
    homes = at[: state.size]
    apart = ((homes - at[village]) ** 2).sum(axis=1)
    farthest = ((homes - at[players.nearby[:, -1]]) ** 2).sum(axis=1)
    closer = (apart < farthest) & (np.arange(state.size) != state.villages.owner[village])
    for player in np.flatnonzero(closer).tolist():
        known = ((at[players.nearby[player]] - at[player]) ** 2).sum(axis=1)
        place = int(np.searchsorted(known, apart[player], side="right"))
        guess = int(dice.integers(100 - GUESS, 100 + GUESS, endpoint=True))
        for column, value in (
            (players.nearby, village),
            (players.seen, -1),
            (players.seen_defence, 0),
            (players.seen_stocks, 0),
            (players.guess, guess),
        ):
            column[player, place + 1 :] = column[player, place:-1]
            column[player, place] = value
