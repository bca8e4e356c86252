"""The market: offers of so much for as much, and merchants who carry what was agreed.

What is offered has been set aside, and what is sold travels both ways at once; so nothing is ever promised twice.
"""

from __future__ import annotations

import numpy as np

from .events import Missed, Traded
from .land import distance, travel_hours
from .orders import find
from .rows import GOING, TRADE
from .rules import DAY_H, MERCHANT_SPEED, RESOURCES, Ints
from .state import State


def sell(state: State, rows: Ints) -> None:
    """Put offers on the market."""
    if not len(rows):
        return
    _, village, give, amount, want = rows.T
    state.villages.stocks[village, give] -= amount
    numbers = state.next_numbers(len(rows))
    state.market.add(number=numbers, village=village, give=give, amount=amount, want=want, since=state.turn)


def buy(state: State, rows: Ints) -> tuple[list[Traded], list[Missed]]:
    """Each wanted offer goes to the nearest who wants it; of equally near ones, to the lower village."""
    if not len(rows):
        return [], []
    player, village, offer = rows.T
    at, market = state.villages.at, state.market
    place, _ = find(market.number, offer)
    apart = distance(at[market.village[place]], at[village])
    order = np.lexsort((village, apart, offer))
    first = np.ones(len(order), dtype=bool)
    first[1:] = offer[order][1:] != offer[order][:-1]
    served = order[first]
    taken = place[served]
    columns = (state.villages.owner[market.village[taken]], player[served], market.give[taken], market.want[taken])
    traded = zip(*(column.tolist() for column in (*columns, market.amount[taken])), strict=True)
    _exchange(state, taken, player[served], village[served], travel_hours(apart[served], MERCHANT_SPEED, state.turn))
    late = np.setdiff1d(np.arange(len(rows)), served)
    missed = zip(player[late].tolist(), offer[late].tolist(), strict=True)
    return [Traded(*row) for row in traded], [Missed(*row) for row in missed]


def _exchange(state: State, place: Ints, player: Ints, village: Ints, hours: Ints) -> None:
    market = state.market
    seller, amount = market.village[place], market.amount[place]
    state.villages.stocks[village, market.want[place]] -= amount
    owner = state.villages.owner
    for home, who, to, what in (
        (seller, owner[seller], village, market.give[place]),
        (village, player, seller, market.want[place]),
    ):
        state.parties.add(
            number=state.next_numbers(len(place)),
            village=home,
            player=who,
            errand=TRADE,
            target=to,
            sent=state.turn,
            hours=hours,
            phase=GOING,
            load=_load(amount, what),
        )
    kept = np.ones(len(market), dtype=bool)
    kept[place] = False
    market.keep(kept)


def _load(amount: Ints, what: Ints) -> Ints:
    load = np.zeros((len(amount), len(RESOURCES)), dtype=np.int64)
    load[np.arange(len(amount)), what] = amount
    return load


def take_back(state: State) -> None:
    """What nobody wanted for a day goes back into the stocks."""
    market = state.market
    old = state.turn - market.since >= DAY_H
    if old.any():
        np.add.at(state.villages.stocks, (market.village[old], market.give[old]), market.amount[old])
        market.keep(~old)
