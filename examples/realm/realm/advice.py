"""The world's own good player: how appealing each thing is to each player now, and how it is best done.

It judges by the outlook alone, so it knows no more than any player is shown. A player's style (see
`players`) and what it puts first for the day make the things of a priority more appealing: its appetite.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from . import rules
from .battles import loss_shares
from .outlook import Outlook, hours_since
from .rows import SCOUT as SCOUTING
from .rules import (
    ALLIANCE,
    ATTACKING,
    BARRACKS,
    BUILD_COST,
    BUILDINGS,
    DIPLOMACY,
    ECONOMY,
    EXPAND,
    FIELDS,
    FIGHTER,
    FORTIFY,
    GIFT_MAX,
    GUARD,
    HALL,
    HALL_PER_VILLAGE,
    HEADS,
    LEVEL_MAX,
    MARKET,
    PRODUCTION,
    RAM,
    RESOURCES,
    RIDER,
    SCOUT,
    SETTLER,
    SETTLERS_NEEDED,
    SHELTERED,
    SORTS,
    STOREHOUSE,
    TRAIN_COST,
    VILLAGES_MAX,
    WALL,
    WHEAT,
    Bools,
    Floats,
    Ints,
)
from .state import State

BALANCED = (1.05, 0.95, 0.9, 1.4, 1.2)
"""The good player's appetite for expand, fortify, attack, diplomacy, economy, found by trying."""
IDLE = 0.1
"""How appealing it is to wait."""
UNWANTED, NEVER = 0.05, 0.0
"""What can be done but is worse than waiting, and what can't."""
FIRST_MORE = 0.5
"""By so much the appetite for what comes first is larger."""
CLEARLY = 1.6
"""A raid is worth thinking about from so many times the known defence; twice that, where it is a guess or old."""
FRESH_H = 24
"""How long what somebody saw counts as known."""

_STORE_AHEAD_H = 4  # the storehouse has to hold what comes in so many hours
_ARMY_SHARE = 0.2  # soldiers wanted for each of the other people
_SPARE_WHEAT = 6  # an hour, that no soldier may eat up
_SCOUTS_WANTED = 2
_IDLE_HANDS = 0.25  # by so much it is better to build where nobody builds
_LOOT_OF_NOTE = 500
_TROOP_VALUE: Ints = TRAIN_COST.sum(axis=1)
_RAIDERS = (FIGHTER, RIDER)


@dataclasses.dataclass(frozen=True)
class Advice:
    """How appealing (0 to 1) each action is to each player, and what it is best done with."""

    build: Floats  # [P]
    building: Ints  # [P]
    train: Floats  # [P, sort]
    amount: Ints  # [P, sort]
    sell: Floats  # [P, resource]
    sold: Ints  # [P, resource] how much
    wanted: Ints  # [P] the resource that is scarcest
    buy: Floats  # [P]
    bought: Ints  # [P] a place among the market's offers
    settle: Floats  # [P]
    raid: Floats  # [P]
    raided: Ints  # [P] a place among the villages nearby
    gain: Ints  # [P] what robbing it would bring, after what it costs in soldiers
    safe: Bools  # [P] whether that would be won even if the guess is somewhat off
    attack: Floats  # [P]
    attacked: Ints  # [P]
    party: Ints  # [P, sort] who goes
    scout: Floats  # [P]
    scouted: Ints  # [P]
    hold: Floats  # [P]
    evade: Floats  # [P]
    help: Floats  # [P]
    treaty: Floats  # [P, treaty] how appealing an offer is
    partner: Ints  # [P, treaty] a place among the contacts
    gift: Ints  # [P, treaty]
    accept: Floats  # [offers]
    refuse: Floats  # [offers]
    priorities: Floats  # [P, priority]


def balanced(state: State) -> Floats:
    """The appetite of the good player for everybody: [P, priority]."""
    return np.tile(BALANCED, (state.size, 1))


def advise(state: State, outlook: Outlook, style: Floats) -> Advice:
    """The good player's opinion on this turn, for players of this style: [P, priority]."""
    appetite = style.copy()
    appetite[np.arange(state.size), state.players.priority] += FIRST_MORE
    build, building = _building(state, outlook, appetite)
    train, amount = _training(state, outlook, appetite)
    sell, sold, wanted, buy, bought = _trading(state, outlook, appetite)
    party = _party(state, outlook)
    raid, raided, gain, safe, attack, attacked = _fighting(state, outlook, appetite, party)
    scout, scouted = _scouting(state, outlook, appetite)
    evade, help_them = _tactics(state, outlook, appetite)
    treaty, partner, gift = _proposing(state, outlook, appetite)
    accept, refuse = _answering(state, outlook, appetite)
    return Advice(
        build=build,
        building=building,
        train=train,
        amount=amount,
        sell=sell,
        sold=sold,
        wanted=wanted,
        buy=buy,
        bought=bought,
        settle=np.where(outlook.can_settle, np.clip(0.9 * appetite[:, EXPAND], 0, 1), NEVER),
        raid=raid,
        raided=raided,
        gain=gain,
        safe=safe,
        attack=attack,
        attacked=attacked,
        party=party,
        scout=scout,
        scouted=scouted,
        hold=np.where(outlook.besieged >= 0, 0.5, 0.3),
        evade=evade,
        help=help_them,
        treaty=treaty,
        partner=partner,
        gift=gift,
        accept=accept,
        refuse=refuse,
        priorities=_priorities(state, outlook, style),
    )


# ---- economy ---------------------------------------------------------------------------------------------------------


def _building(state: State, outlook: Outlook, appetite: Floats) -> tuple[Floats, Ints]:
    seat, villages = outlook.seat, state.villages
    level = np.minimum(outlook.planned[seat], LEVEL_MAX - 1)
    cost = BUILD_COST[np.arange(len(BUILDINGS)), level].sum(axis=2)
    fields = level[:, :FIELDS]
    yields = PRODUCTION[fields + 1] - PRODUCTION[fields]
    mean = fields.mean(axis=1)
    wishes = np.zeros(level.shape)
    economy, fortify, expand = appetite[:, ECONOMY], appetite[:, FORTIFY], appetite[:, EXPAND]
    wishes[:, :FIELDS] = (0.3 + 2 * yields * _scarcity(state, outlook) / cost[:, :FIELDS]) * economy[:, None]
    soon = villages.stocks[seat] + _STORE_AHEAD_H * state.production()[seat]
    full = (soon > state.storage()[seat][:, None]).sum(axis=1)
    waiting = level[:, STOREHOUSE] > villages.levels[seat, STOREHOUSE]
    wishes[:, STOREHOUSE] = np.where((full == 0) | waiting, NEVER, np.where(full > 1, 0.85, 0.5))
    soldiers = np.maximum(appetite[:, ATTACKING], fortify)
    wishes[:, BARRACKS] = np.where(level[:, BARRACKS] < mean * np.minimum(soldiers, 1.2) - 1, 0.8 * soldiers, NEVER)
    wishes[:, WALL] = np.where(level[:, WALL] < mean * fortify - 2, 0.7 * fortify, NEVER)
    wishes[:, MARKET] = np.where((level[:, MARKET] < 1) & (mean > 3), 0.5 * economy, NEVER)
    owned = state.villages_owned()
    halls = state.by_player(outlook.planned[:, HALL])
    growing = (
        (owned < VILLAGES_MAX) & (halls < HALL_PER_VILLAGE * owned) & (mean > 2) & (outlook.spots >= 0).any(axis=1)
    )
    wishes[:, HALL] = np.where(growing, 0.75 * expand, NEVER)
    settling = outlook.may_found & (level[:, BARRACKS] < 2)
    wishes[:, BARRACKS] = np.where(settling, np.maximum(wishes[:, BARRACKS], 0.75 * expand), wishes[:, BARRACKS])
    wishes += np.where((villages.queue[seat, :1] < 0) & (wishes > 0), _IDLE_HANDS, 0)
    wishes = np.where(outlook.buildable[seat], np.clip(wishes, UNWANTED, 1), NEVER)
    return wishes.max(axis=1), wishes.argmax(axis=1)


def _scarcity(state: State, outlook: Outlook) -> Floats:
    """How much more a resource is worth that the seat makes little of; wheat that is eaten is not made."""
    seat = outlook.seat
    made = PRODUCTION[outlook.planned[seat][:, :FIELDS]].astype(np.float64)
    made[:, WHEAT] = np.maximum(made[:, WHEAT] - state.upkeep()[seat], 1)
    scarcity: Floats = np.clip(made.mean(axis=1, keepdims=True) / made, 0.5, 3)
    return scarcity


def _training(state: State, outlook: Outlook, appetite: Floats) -> tuple[Floats, Ints]:
    """Soldiers in proportion to the people, guards and raiders by appetite; scouts and settlers as they are needed."""
    seat, villages = outlook.seat, state.villages
    heads = state.upkeep()[seat]
    wheat = state.production()[seat, WHEAT] - heads - _SPARE_WHEAT
    housed = outlook.people[seat] - heads
    soldiers = state.soldiers()[seat]
    trainable = outlook.trainable[seat]
    fortify, attacking = appetite[:, FORTIFY], appetite[:, ATTACKING]
    guards, raiders = _ARMY_SHARE * housed * fortify / 2, _ARMY_SHARE * housed * attacking
    more_guards = guards - soldiers[:, GUARD]
    more_raiders = raiders - soldiers[:, _RAIDERS] @ HEADS[list(_RAIDERS)]
    wanted = np.zeros((state.size, SORTS))
    wanted[:, GUARD] = more_guards
    wanted[:, FIGHTER] = more_raiders
    wanted[:, RIDER] = more_raiders / 2
    wanted[:, RAM] = np.where(attacking > 1.2, soldiers[:, list(_RAIDERS)].sum(axis=1) // 8 - soldiers[:, RAM], 0)
    wanted[:, SCOUT] = np.where(attacking > 0.5, _SCOUTS_WANTED - soldiers[:, SCOUT], 0)
    settling = outlook.may_found & (outlook.spots >= 0).any(axis=1)
    wanted[:, SETTLER] = np.where(settling, SETTLERS_NEEDED - villages.troops[seat, SETTLER], 0)
    fed = np.maximum(wheat, 0)[:, None] // HEADS
    fed[:, SETTLER] = SETTLERS_NEEDED
    amount = np.clip(np.minimum(wanted, fed), 0, trainable).astype(np.int64)
    guard = 0.6 * fortify * np.clip(2 * more_guards / guards, 0, 1)
    raider = 0.65 * attacking * np.clip(2 * more_raiders / raiders, 0, 1)
    strength = np.stack([guard, raider, 1.05 * raider, 0.5 * attacking, 0.7 * attacking], axis=1)
    appeal = np.concatenate([strength, 0.95 * appetite[:, [EXPAND]]], axis=1)
    appeal = np.where(amount > 0, np.clip(appeal, UNWANTED, 1), UNWANTED)
    pressed = (outlook.threat[seat] > outlook.defence[seat]) & (trainable[:, GUARD] > 0)
    appeal[pressed, GUARD] = 0.9
    amount[pressed, GUARD] = trainable[pressed, GUARD]
    return np.where(trainable > 0, appeal, NEVER), np.maximum(amount, 1)


def _trading(state: State, outlook: Outlook, appetite: Floats) -> tuple[Floats, Ints, Ints, Floats, Ints]:
    """Sell what is about to overflow for what is scarcest; buy what is scarce for what there is enough of."""
    seat = outlook.seat
    stocks, room = state.villages.stocks[seat], state.storage()[seat]
    scarce = stocks + 2 * state.production()[seat]
    wanted = scarce.argmin(axis=1)
    share = stocks / room[:, None]
    plenty = (share > 0.6) & (share > 2 * share.min(axis=1, keepdims=True))
    sell = np.where(plenty, np.clip(0.45 * appetite[:, [ECONOMY]], 0, 1), UNWANTED)
    sold = np.minimum(stocks // 4, rules.MERCHANT_CARRY[state.tribes()[seat]][:, None])
    market, offers = state.market, outlook.market
    if not offers.shape[1]:
        return sell, sold, wanted, np.zeros(state.size), np.zeros(state.size, dtype=np.int64)
    there = offers >= 0
    gain = np.take_along_axis(share, market.want[offers], 1) - np.take_along_axis(share, market.give[offers], 1)
    gain = np.where(there, gain, -1)
    bought = gain.argmax(axis=1)
    best = gain.max(axis=1)
    buy = np.where(best > 0.2, np.clip(0.5 * appetite[:, ECONOMY] + best / 4, 0, 1), UNWANTED)
    return sell, sold, wanted, np.where(there.any(axis=1), buy, NEVER), bought


# ---- war -------------------------------------------------------------------------------------------------------------


def _party(state: State, outlook: Outlook) -> Ints:
    home = state.villages.troops[outlook.camp].copy()
    home[:, [GUARD, RAM, SCOUT, SETTLER]] = 0
    return home


def _fighting(
    state: State, outlook: Outlook, appetite: Floats, party: Ints
) -> tuple[Floats, Ints, Ints, Bools, Floats, Ints]:
    """Raid where it brings most an hour, after what it costs in soldiers; attack whom one would overrun."""
    if not outlook.hours.shape[1]:
        none = np.zeros(state.size)
        nowhere = none.astype(np.int64)
        return none, nowhere, nowhere, none.astype(bool), none, nowhere
    tribe, attacking = state.players.tribe, appetite[:, ATTACKING]
    attack = (party * rules.ATTACK[tribe]).sum(axis=1)[:, None].astype(np.float64)
    defence = np.maximum(outlook.known_defence, 1).astype(np.float64)
    margin = np.where(_known(state), CLEARLY, 2 * CLEARLY) / np.sqrt(attacking)[:, None]
    won, _ = loss_shares(attack, defence)
    won *= rules.RAID_LOSSES
    carried = (party * rules.CARRY[tribe]).sum(axis=1)[:, None]
    loot = np.minimum(outlook.known_stocks - len(RESOURCES) * SHELTERED, (1 - won) * carried)
    gain = loot - won * (party @ _TROOP_VALUE)[:, None]
    safe = (attack > margin * defence) & ~(outlook.friendly & (appetite[:, [DIPLOMACY]] > 0.2))
    worth = np.where(safe, gain, -1) / (2 * outlook.hours)
    raided = worth.argmax(axis=1)
    best, is_safe = (np.take_along_axis(figure, raided[:, None], axis=1)[:, 0] for figure in (gain, safe))
    good = outlook.can_march & (worth.max(axis=1) > 0)
    raid = np.where(good, np.clip(0.4 + best / _LOOT_OF_NOTE, 0.4, 1) * np.minimum(attacking, 1), UNWANTED)
    near = state.players.nearby
    rival = (state.villages.owner[near] >= 0) & safe & (attack > 2 * margin * defence)
    target = np.where(rival, outlook.people[near] / outlook.hours, 0)
    overrun = np.where(outlook.can_march & (target.max(axis=1) > 0), 0.45 * attacking, UNWANTED)
    return raid, raided, best.astype(np.int64), is_safe, np.clip(overrun, 0, 1), target.argmax(axis=1)


def _known(state: State) -> Bools:
    since = hours_since(state, state.players.seen)
    known: Bools = (since >= 0) & (since < FRESH_H)
    return known


def _scouting(state: State, outlook: Outlook, appetite: Floats) -> tuple[Floats, Ints]:
    """Look where nobody has lately and most is to be had."""
    if not outlook.hours.shape[1]:
        return np.zeros(state.size), np.zeros(state.size, dtype=np.int64)
    unknown = ~_known(state) & ~outlook.friendly
    hope = np.where(unknown, (outlook.known_stocks + 1) / outlook.hours, 0)
    looking = state.parties.errand == SCOUTING
    out = np.bincount(state.parties.player[looking], minlength=state.size) > 0
    ready = outlook.can_march & (state.villages.troops[outlook.camp, SCOUT] > 0) & ~out
    scout = np.where(ready & (hope.max(axis=1) > 0), np.clip(0.55 * appetite[:, ATTACKING], 0, 1), UNWANTED)
    return scout, hope.argmax(axis=1)


def _tactics(state: State, outlook: Outlook, appetite: Floats) -> tuple[Floats, Floats]:
    """Leave before those come who are too strong; help where one's own guards are not needed."""
    there = np.maximum(outlook.besieged, 0)
    threat, defence = outlook.threat[there], outlook.defence[there]
    hopeless = (outlook.besieged >= 0) & (threat > 1.5 * defence) & state.villages.troops[there].any(axis=1)
    evade = np.where(hopeless, np.clip(0.7 / appetite[:, FORTIFY], 0, 1), UNWANTED)
    plea = np.maximum(outlook.pleas, 0)
    close = (outlook.threat[plea] > outlook.defence[plea] / 2) & (outlook.pleas >= 0)
    willing = np.clip(0.6 * appetite[:, DIPLOMACY], 0, 1)
    own = (outlook.besieged >= 0) & (outlook.besieged != outlook.camp) & (threat > defence / 2)
    return evade, np.where(own, 0.65, np.where(close, willing, UNWANTED))


# ---- dealings --------------------------------------------------------------------------------------------------------


def _proposing(state: State, outlook: Outlook, appetite: Floats) -> tuple[Floats, Ints, Ints]:
    """A truce with the strongest who is not a friend yet, an alliance with the most trusted."""
    contacts, trust = state.players.contacts, state.players.trust
    count = state.size
    if not contacts.shape[1]:
        return np.zeros((count, 2)), np.zeros((count, 2), dtype=np.int64), np.zeros((count, 2), dtype=np.int64)
    asked = np.isin(np.arange(count)[:, None] * count + contacts, state.offers.maker * count + state.offers.to)
    stranger = ~outlook.contact_friendly & ~asked
    fear = np.where(stranger, outlook.contact_power + 1, -1)
    alliance = state.players.alliance
    free = (alliance[:, None] == 0) | (alliance[contacts] == 0)
    liking = np.where(free & ~asked & ~_same_alliance(state), trust, -1)
    partner = np.stack([fear.argmax(axis=1), liking.argmax(axis=1)], axis=1)
    diplomacy = appetite[:, DIPLOMACY]
    truce = np.where(fear.max(axis=1) >= 0, 0.45 * diplomacy, UNWANTED)
    ally = np.where(liking.max(axis=1) >= 50, 0.3 * diplomacy + liking.max(axis=1) / 400, UNWANTED)
    spare = np.clip(state.villages.stocks[:count].max(axis=1) // 4, 0, GIFT_MAX)
    gift = np.stack([np.where(diplomacy > 1, spare, 0), np.zeros(count, dtype=np.int64)], axis=1)
    return np.clip(np.stack([truce, ally], axis=1), 0, 1), partner, gift


def _same_alliance(state: State) -> Bools:
    contacts = state.players.contacts
    everybody = np.broadcast_to(np.arange(state.size)[:, None], contacts.shape)
    return state.allied(everybody, contacts)


def _answering(state: State, outlook: Outlook, appetite: Floats) -> tuple[Floats, Floats]:
    """Accept from those one trusts or fears, and the more so for a gift."""
    offers = state.offers
    if not len(offers):
        return np.zeros(0), np.zeros(0)
    place, known = state.contact(offers.to, offers.maker)
    trust = np.where(known, state.players.trust[offers.to, place] if state.players.trust.size else 50, 40) / 100
    stronger = outlook.power[offers.maker] > outlook.power[offers.to]
    diplomacy = appetite[offers.to, DIPLOMACY]
    liking = np.where(offers.treaty == ALLIANCE, trust, trust + 0.15 * stronger + offers.amount / (4 * GIFT_MAX))
    return np.clip(0.9 * liking * diplomacy, 0, 1), np.full(len(offers), 0.3)


def _priorities(state: State, outlook: Outlook, style: Floats) -> Floats:
    """What would come first for the day."""
    robbed = state.players.beaten > state.players.won
    strong = outlook.power[:, None] > outlook.contact_power
    wishes = np.stack(
        [
            np.where(outlook.may_found & (outlook.spots >= 0).any(axis=1), 0.6, 0.15),
            np.where(robbed | (outlook.besieged >= 0), 0.5, 0.2),
            0.2 + 0.3 * strong.mean(axis=1) if strong.shape[1] else np.full(state.size, 0.2),
            np.where(outlook.contact_friendly.any(axis=1), 0.2, 0.35),
            np.full(state.size, 0.4),
        ],
        axis=1,
    )
    return np.clip(wishes * style, 0, 1)
