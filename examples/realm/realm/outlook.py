"""What players can do and know this turn, as arrays for all of them at once: the ground that advice and sight stand on.

Nobody sees into another village: its defence and stocks are as somebody saw them, or a guess. How strong a party on its way
is can be told from afar to a quarter.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from .checks import merchants_free, parties_out
from .deeds import march_hours
from .knowledge import believed
from .land import nearest
from .rules import (
    ATTACK,
    BARRACKS,
    BARRACKS_NEEDED,
    BUILD_COST,
    BUILDINGS,
    DAY_H,
    FIGHTER,
    LEVEL_MAX,
    MARCHING,
    MARKET_REACH,
    MARKET_SHOWN,
    MERCHANT_CARRY,
    PARTIES_MAX,
    RIDER,
    SETTLER,
    SETTLERS_NEEDED,
    SORTS,
    SPOTS_SHOWN,
    TRAIN_COST,
    WALL,
    Bools,
    Ints,
)
from .state import NOBODY, State, ranked

FORCE_ERROR = 25
"""Per cent that the strength of a party on its way may be off."""
_MANY = 2 * MARKET_SHOWN


@dataclasses.dataclass(frozen=True)
class Outlook:
    """What lies before each player; K villages nearby, C contacts, S spots, M offers on the market."""

    # villages
    people: Ints  # [V]
    defence: Ints  # [V] with wall and helpers
    threat: Ints  # [V] strength of all who come to rob or attack, as it looks from afar
    threat_hours: Ints  # [V] until the first of them arrives
    planned: Ints  # [V, building] levels once the queue is built
    buildable: Bools  # [V, building]
    trainable: Ints  # [V, sort]
    force: Ints  # [parties] strength of each party, as it looks from afar
    # players
    population: Ints  # [P]
    ranks: Ints  # [P]
    power: Ints  # [P] the strength of all soldiers in attack
    seat: Ints  # [P] the village whose economy is asked about in this turn
    strength: Ints  # [V] of the fighters and riders at home, in attack
    camp: Ints  # [P] the village with the strongest soldiers at home
    can_march: Bools  # [P]
    hours: Ints  # [P, K] from the camp to each village nearby, at the pace of fighters
    known_defence: Ints  # [P, K] seen or guessed
    known_stocks: Ints  # [P, K]
    friendly: Bools  # [P, K] whether its owner is an ally or has a truce
    spots: Ints  # [P, S] the nearest free spots, NOBODY where there are fewer
    can_settle: Bools  # [P] the seat has the settlers, and the halls are large enough
    may_found: Bools  # [P]
    market: Ints  # [P, M] places on the market that the seat could buy, NOBODY where there are fewer
    besieged: Ints  # [P] the village in most danger, NOBODY where none is
    pleas: Ints  # [P] the village of an ally in most danger, NOBODY where none is
    contact_friendly: Bools  # [P, C]
    contact_power: Ints  # [P, C]
    has_offers: Bools  # [P] somebody offers a treaty


def look_around(state: State) -> Outlook:
    """The outlook of this turn."""
    villages, players = state.villages, state.players
    everybody = np.arange(state.size)
    people = state.people()
    power = (state.soldiers() * ATTACK[state.tribes()]).sum(axis=1)
    population, power_of = state.by_player(people), state.by_player(power)
    at_home = (villages.troops[:, MARCHING] * ATTACK[state.tribes()][:, MARCHING]).sum(axis=1)
    camp = _best(state, np.where(villages.troops.any(axis=1), at_home + 1, 0))
    raiders = [FIGHTER, RIDER]
    strength = (villages.troops[:, raiders] * ATTACK[state.tribes()][:, raiders]).sum(axis=1)
    force = _force(state)
    threat, threat_hours = _threat(state, force)
    known_defence, known_stocks = believed(state, people)
    owner = villages.owner[players.nearby]
    seat = _seat(state)
    may_found = state.may_found()
    spots = _free_spots(state)
    settlers = villages.troops[seat, SETTLER] >= SETTLERS_NEEDED
    fighters = np.zeros(SORTS, dtype=np.int64)
    fighters[FIGHTER] = 1
    besieged = _best(state, threat)
    return Outlook(
        people=people,
        defence=state.defence_of(np.arange(len(villages)), villages.levels[:, WALL]),
        threat=threat,
        threat_hours=threat_hours,
        planned=state.planned_levels(),
        buildable=_buildable(state),
        trainable=_trainable(state),
        force=force,
        population=population,
        ranks=ranked(population),
        power=power_of,
        seat=seat,
        strength=strength,
        camp=camp,
        can_march=villages.troops[camp].any(axis=1) & (parties_out(state)[camp] < PARTIES_MAX),
        hours=march_hours(state, camp[:, None], villages.at[players.nearby], fighters),
        known_defence=known_defence,
        known_stocks=known_stocks,
        friendly=_friendly(state, everybody[:, None], owner),
        spots=spots,
        can_settle=settlers & may_found & (spots >= 0).any(axis=1),
        may_found=may_found,
        market=_market(state, seat),
        besieged=np.where(threat[besieged] > 0, besieged, NOBODY),
        pleas=_pleas(state, threat),
        contact_friendly=_friendly(state, everybody[:, None], players.contacts),
        contact_power=power_of[players.contacts],
        has_offers=np.bincount(state.offers.to, minlength=state.size) > 0,
    )


def _best(state: State, figure: Ints) -> Ints:
    """The village of each player with the highest figure; the first one, where all have none."""
    own = state.players.villages
    best = np.where(own >= 0, figure[own], -1).argmax(axis=1)
    village: Ints = own[np.arange(len(own)), best]
    return village


def _seat(state: State) -> Ints:
    """Each of a player's villages in turn."""
    everybody = np.arange(state.size)
    seat: Ints = state.players.villages[everybody, (state.turn + everybody) % state.villages_owned()]
    return seat


def _force(state: State) -> Ints:
    """The same guess for a party in every turn, so that looking twice tells nothing more."""
    parties = state.parties
    strength = (parties.troops * ATTACK[state.players.tribe[parties.player]]).sum(axis=1)
    off = parties.number * 7919 % (2 * FORCE_ERROR + 1) - FORCE_ERROR
    force: Ints = strength * (100 + off) // 100
    return force


def _threat(state: State, force: Ints) -> tuple[Ints, Ints]:
    hostile = state.parties.hostile()
    threat = np.zeros(len(state.villages), dtype=np.int64)
    np.add.at(threat, state.parties.target[hostile], force[hostile])
    hours = np.full(len(state.villages), np.iinfo(np.int64).max)
    np.minimum.at(hours, state.parties.target[hostile], state.parties.hours[hostile])
    return threat, np.where(threat > 0, hours, 0)


def _friendly(state: State, player: Ints, other: Ints) -> Bools:
    somebody = np.maximum(other, 0)
    player = np.broadcast_to(player, other.shape)
    friendly: Bools = (other >= 0) & (state.allied(player, somebody) | state.truce_between(player, somebody))
    return friendly


def _pleas(state: State, threat: Ints) -> Ints:
    """Of the first villages of allies among the contacts the one in most danger that could fall."""
    contacts = state.players.contacts
    if not contacts.shape[1]:
        return np.full(state.size, NOBODY)
    everybody = np.broadcast_to(np.arange(state.size)[:, None], contacts.shape)
    danger = np.where(state.allied(everybody, contacts), threat[contacts], 0)
    worst = danger.argmax(axis=1)
    return np.where(danger.max(axis=1) > 0, contacts[np.arange(state.size), worst], NOBODY)


def _buildable(state: State) -> Bools:
    level = state.planned_levels()
    cost = BUILD_COST[np.arange(len(BUILDINGS)), np.minimum(level, LEVEL_MAX - 1)]
    affordable = (cost <= state.villages.stocks[:, None]).all(axis=2)
    buildable: Bools = affordable & (level < LEVEL_MAX) & (state.villages.queue[:, -1:] < 0)
    return buildable


def _trainable(state: State) -> Ints:
    affordable = (state.villages.stocks[:, None] // TRAIN_COST).min(axis=2)
    barracks = state.villages.levels[:, BARRACKS][:, None]
    return np.where(barracks >= BARRACKS_NEEDED, np.minimum(affordable, state.training_max()[:, None]), 0)


def _free_spots(state: State) -> Ints:
    near = state.players.spots
    if not near.shape[1]:
        return np.full((state.size, 0), NOBODY)
    taken = state.taken[near].astype(bool)
    order = taken.argsort(axis=1, kind="stable")[:, :SPOTS_SHOWN]
    return np.where(np.take_along_axis(taken, order, axis=1), NOBODY, np.take_along_axis(near, order, axis=1))


def _market(state: State, seat: Ints) -> Ints:
    """The nearest offers that the seat can pay and fetch."""
    market, villages = state.market, state.villages
    if len(market) < 2:
        near = np.zeros((len(seat), len(market)), dtype=np.int64)
    else:
        near = nearest(villages.at[seat], villages.at[market.village], _MANY)
    if not near.shape[1]:
        return np.full((len(seat), 0), NOBODY)
    seller, amount = market.village[near], market.amount[near]
    apart = ((villages.at[seller] - villages.at[seat][:, None]) ** 2).sum(axis=2)
    good = (villages.owner[seller] != villages.owner[seat][:, None]) & (apart <= MARKET_REACH**2)
    good &= amount <= np.minimum(
        villages.stocks[seat[:, None], market.want[near]], MERCHANT_CARRY[state.tribes()[seat]][:, None]
    )
    good &= merchants_free(state)[seat][:, None] > 0
    order = (~good).argsort(axis=1, kind="stable")[:, :MARKET_SHOWN]
    return np.where(np.take_along_axis(good, order, axis=1), np.take_along_axis(near, order, axis=1), NOBODY)


def hours_since(state: State, turn: Ints) -> Ints:
    """Hours that have passed, at most a few days; -1 for never."""
    return np.where(turn >= 0, np.minimum(state.turn - turn, 9 * DAY_H), -1)
