"""Whether orders can be carried out: all orders of a turn at once, each with what is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from .land import distance
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
    find,
    table,
)
from .rows import ATTACK, ERRANDS, EVADE, HELP, RAID, SCOUT, SETTLE
from .rules import (
    ALLIANCE,
    ALLIANCE_MAX,
    BARRACKS,
    BARRACKS_NEEDED,
    BUILD_COST,
    BUILDINGS,
    DEPART_H_MAX,
    GIFT_MAX,
    LEVEL_MAX,
    MARCHING,
    MARKET,
    MARKET_OFFERS_MAX,
    MARKET_REACH,
    MERCHANT_CARRY,
    PARTIES_MAX,
    PRIORITIES,
    RESOURCES,
    SELL_MIN,
    SETTLER,
    SETTLERS_NEEDED,
    SORTS,
    TRAIN_COST,
    TREATIES,
    TRUCE,
    Bools,
    Ints,
)
from .rules import SCOUT as SCOUTS
from .state import State

Problems = Iterator[tuple[Bools | np.bool_, str]]


def problems(state: State, orders: Sequence[Order]) -> dict[int, str]:
    """The orders that can't be carried out, by their place, and why."""
    wrong: dict[int, str] = {}
    for kind, check in _CHECKS.items():
        found = [place for place, order in enumerate(orders) if type(order) is kind]
        if not found:
            continue
        places, rows = np.array(found), table([orders[place] for place in found], kind)
        for checks in (_player_problems, check):
            for refused, why in checks(state, rows):
                for place in places[np.broadcast_to(refused, len(rows))].tolist():
                    wrong.setdefault(place, why)
            sound = np.array([place not in wrong for place in places.tolist()], dtype=bool)
            places, rows = places[sound], rows[sound]
    asked = Counter(map(_slot, orders))
    for place, order in enumerate(orders):
        if asked[_slot(order)] > 1:
            wrong.setdefault(place, "there is more than one such order of this player in this turn")
    return wrong


def _slot(order: Order) -> tuple[object, int]:
    match order:
        case March(player=player, errand=errand) if errand != SETTLE:
            return player, 1
        case Propose() | Answer() | Leave():
            return order.player, 2
        case Prioritise():
            return order.player, 3
        case _:
            return order[0], 0


# ---- each check assumes that those before it found nothing -----------------------------------------------------------


def _player_problems(state: State, rows: Ints) -> Problems:
    yield (rows < 0).any(axis=1), "its numbers mean nothing"
    yield rows[:, 0] >= state.size, "there is no such player"


def _own(state: State, rows: Ints) -> Problems:
    player, village = rows[:, 0], rows[:, 1]
    known = village < len(state.villages)
    yield ~known | (state.villages.owner[np.where(known, village, 0)] != player), "that is not a village of this player"


def _village_of(state: State, rows: Ints) -> Ints:
    """The village, or the player's first where it is wrong and has been complained of."""
    return np.where(rows[:, 1] < len(state.villages), rows[:, 1], 0)


def _build(state: State, rows: Ints) -> Problems:
    yield from _own(state, rows)
    village, building = _village_of(state, rows), rows[:, 2]
    yield building >= len(BUILDINGS), "there is no such building"
    building = np.minimum(building, len(BUILDINGS) - 1)
    level = state.planned_levels()[village, building]
    yield state.villages.queue[village, -1] >= 0, "the building queue is full"
    yield level >= LEVEL_MAX, "the building has its highest level"
    yield (
        _unpaid(state, village, BUILD_COST[building, np.minimum(level, LEVEL_MAX - 1)]),
        "there are not enough resources",
    )


def _train(state: State, rows: Ints) -> Problems:
    yield from _own(state, rows)
    village, sort, amount = _village_of(state, rows), rows[:, 2], rows[:, 3]
    yield sort >= SORTS, "there are no such soldiers"
    sort = np.minimum(sort, SORTS - 1)
    yield amount == 0, "nobody would be trained"
    barracks = state.villages.levels[village, BARRACKS]
    yield barracks < BARRACKS_NEEDED[sort], "the barracks are too small for these soldiers"
    yield amount > state.training_max()[village], "the barracks train fewer in an hour"
    yield _unpaid(state, village, TRAIN_COST[sort] * amount[:, None]), "there are not enough resources"


def _sell(state: State, rows: Ints) -> Problems:
    yield from _own(state, rows)
    village, give, amount, want = _village_of(state, rows), *rows[:, 2:].T
    yield (give >= len(RESOURCES)) | (want >= len(RESOURCES)), "there is no such resource"
    give = np.minimum(give, len(RESOURCES) - 1)
    yield give == want, "it would be sold for itself"
    yield amount < SELL_MIN, f"less than {SELL_MIN} are not worth a merchant's way"
    yield amount > MERCHANT_CARRY[state.tribes()[village]], "a merchant carries less"
    yield amount > state.villages.stocks[village, give], "there are not enough resources"
    yield merchants_free(state)[village] == 0, "no merchant is free"
    open_offers = np.bincount(state.market.village, minlength=len(state.villages))
    yield open_offers[village] >= MARKET_OFFERS_MAX, "the village has enough open offers"


def _buy(state: State, rows: Ints) -> Problems:
    yield from _own(state, rows)
    village, offer = _village_of(state, rows), rows[:, 2]
    place, there = find(state.market.number, offer)
    yield ~there, "there is no such offer any more"
    if not len(state.market):
        return
    seller, amount, want = state.market.village[place], state.market.amount[place], state.market.want[place]
    owner = state.villages.owner
    yield owner[seller] == owner[village], "that is the player's own offer"
    yield amount > MERCHANT_CARRY[state.tribes()[village]], "a merchant carries less"
    yield amount > state.villages.stocks[village, want], "there are not enough resources"
    yield merchants_free(state)[village] == 0, "no merchant is free"
    at = state.villages.at
    yield distance(at[seller], at[village]) > MARKET_REACH, "that is too far for merchants"


def _march(state: State, rows: Ints) -> Problems:
    yield from _own(state, rows)
    village, errand, target, wait_h, troops = _village_of(state, rows), *rows[:, 2:5].T, rows[:, FIRST_TROOP:]
    yield errand > EVADE, f"there is no such errand; there are {', '.join(ERRANDS[: EVADE + 1])}"
    limit = np.where(errand == SETTLE, len(state.spots), len(state.villages))
    yield target >= limit, "there is no such place"
    there = np.where(errand == SETTLE, 0, np.minimum(target, len(state.villages) - 1))
    player, owner = rows[:, 0], state.villages.owner[there]
    hostile = (errand == RAID) | (errand == ATTACK) | (errand == SCOUT)
    yield hostile & (owner == player), "that is the player's own village"
    friend = (owner == player) | ((owner >= 0) & state.allied(player, np.maximum(owner, 0)))
    yield (errand == HELP) & (~friend | (there == village)), "only own and allied villages are helped"
    yield (errand == EVADE) & (there != village), "who evades comes home again"
    yield (errand == EVADE) & (wait_h == 0), "who evades stays away for an hour at least"
    yield wait_h > DEPART_H_MAX, f"a party waits {DEPART_H_MAX} hours at most"
    yield (troops == 0).all(axis=1), "nobody would go"
    yield (troops > state.villages.troops[village]).any(axis=1), "there are fewer soldiers at home"
    others = np.delete(troops, SCOUTS, axis=1).any(axis=1)
    yield (errand == SCOUT) & others, "only scouts go scouting"
    yield (errand == EVADE) & (troops[:, SETTLER] > 0), "settlers stay at home, unless they leave to settle"
    fighters = np.isin(errand, (RAID, ATTACK, HELP))
    yield fighters & np.delete(troops, MARCHING, axis=1).any(axis=1), "neither scouts nor settlers go there"
    yield (errand != SETTLE) & (parties_out(state)[village] >= PARTIES_MAX), "too many parties are under way"
    settling = errand == SETTLE
    alone = troops[:, SETTLER] == troops.sum(axis=1)
    yield settling & ~(alone & (troops[:, SETTLER] == SETTLERS_NEEDED)), f"{SETTLERS_NEEDED} settlers found a village"
    yield settling & (state.taken[np.where(settling & (target < limit), target, 0)] > 0), "somebody has settled there"
    yield settling & ~state.may_found()[player], "the halls are too small for one more village"


def _propose(state: State, rows: Ints) -> Problems:
    player, to, treaty, gift, amount = rows.T
    yield to >= state.size, "there is no such player"
    to = np.minimum(to, state.size - 1)
    yield to == player, "nobody makes treaties with itself"
    yield treaty >= len(TREATIES), "there is no such treaty"
    yield gift >= len(RESOURCES), "there is no such resource"
    yield amount > GIFT_MAX, f"{GIFT_MAX} is the largest gift"
    offers = state.offers
    waiting = np.isin(player * state.size + to, offers.maker * state.size + offers.to)
    yield waiting, "an earlier offer to this player is still open"
    yield (treaty == TRUCE) & state.truce_between(player, to), "there is a truce already"
    yield (treaty == ALLIANCE) & ~fits(state, player, to), "these two can't be in one alliance"


def _answer(state: State, rows: Ints) -> Problems:
    player, offer, accept = rows.T
    place, there = find(state.offers.number, offer)
    yield ~there, "there is no such offer any more"
    yield accept > 1, "an offer is accepted (1) or refused (0)"
    if not len(state.offers):
        return
    yield state.offers.to[place] != player, "that offer is for somebody else"
    alliance = state.offers.treaty[place] == ALLIANCE
    taken = (accept == 1) & alliance & ~fits(state, player, state.offers.maker[place])
    yield taken, "these two can't be in one alliance any more"


def _leave(state: State, rows: Ints) -> Problems:
    player, treaty, other = rows.T
    yield treaty >= len(TREATIES), "there is no such treaty"
    yield other >= state.size, "there is no such player"
    other = np.minimum(other, state.size - 1)
    yield (treaty == TRUCE) & ~state.truce_between(player, other), "there is no truce to end"
    yield (treaty == ALLIANCE) & (state.players.alliance[player] == 0), "the player is in no alliance"


def _prioritise(state: State, rows: Ints) -> Problems:
    del state
    yield rows[:, 1] >= len(PRIORITIES), f"there is no such priority; there are {', '.join(PRIORITIES)}"


_CHECKS: dict[type[Order], Callable[[State, Ints], Problems]] = {
    Build: _build,
    Train: _train,
    Sell: _sell,
    Buy: _buy,
    March: _march,
    Propose: _propose,
    Answer: _answer,
    Leave: _leave,
    Prioritise: _prioritise,
}


# ---- what both the checks and those who see ask ----------------------------------------------------------------------


def merchants_free(state: State) -> Ints:
    """Merchants at home with nothing set aside for them: [V]."""
    count = len(state.villages)
    busy = state.parties.merchants_of(count) + np.bincount(state.market.village, minlength=count)
    free: Ints = np.maximum(state.villages.levels[:, MARKET] - busy, 0)
    return free


def parties_out(state: State) -> Ints:
    """Parties of soldiers that each village has out: [V]."""
    return state.parties.soldiers_of(len(state.villages))


def fits(state: State, one: Ints, other: Ints) -> Bools:
    """Whether two players could be in one alliance: one of them is in none, and there is room."""
    alliance = state.players.alliance
    members = np.bincount(alliance[alliance > 0], minlength=alliance.max(initial=0) + 1)
    both = np.maximum(alliance[one], alliance[other])
    free: Bools = (alliance[one] == 0) | (alliance[other] == 0)
    room: Bools = (both == 0) | (members[both] < ALLIANCE_MAX)
    return free & room


def _unpaid(state: State, village: Ints, cost: Ints) -> Bools:
    return np.asarray((cost > state.villages.stocks[village]).any(axis=1))
