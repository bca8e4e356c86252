"""What players may order, and orders as tables of numbers.

In a turn a player gives at most one order of each sort: for its economy, for its soldiers, to others, for the day. No two of
these touch the same things, and an order that others can be faster at (to buy, to make a treaty) is decided by rules that
don't ask who came first; so the order they come in means nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .rules import SORTS, Bools, Ints

_NUMBER_MAX = 2**31


class Build(NamedTuple):
    """Put the next level of a building into the queue."""

    player: int
    village: int
    building: int


class Train(NamedTuple):
    """Train soldiers of one sort; they are at home in the next hour."""

    player: int
    village: int
    sort: int
    amount: int


class Sell(NamedTuple):
    """Offer so much of a resource for as much of another."""

    player: int
    village: int
    give: int
    amount: int
    want: int


class Buy(NamedTuple):
    """Take an offer of the market; of several who want it, the nearest gets it."""

    player: int
    village: int
    offer: int


class March(NamedTuple):
    """Send a party on an errand to a village, settlers to a spot; it leaves after so many hours."""

    player: int
    village: int
    errand: int
    target: int
    wait_h: int
    troops: tuple[int, ...]


class Propose(NamedTuple):
    """Offer a treaty to another player, with a gift that it gets when it accepts."""

    player: int
    to: int
    treaty: int
    gift: int
    amount: int


class Answer(NamedTuple):
    """Accept (1) or refuse (0) an offered treaty."""

    player: int
    offer: int
    accept: int


class Leave(NamedTuple):
    """End the truce with another player, or leave the alliance, openly."""

    player: int
    treaty: int
    other: int


class Prioritise(NamedTuple):
    """Put one thing first for the day."""

    player: int
    priority: int


Order = Build | Train | Sell | Buy | March | Propose | Answer | Leave | Prioritise
KINDS: dict[str, type[Order]] = {
    kind.__name__.lower(): kind for kind in (Build, Train, Sell, Buy, March, Propose, Answer, Leave, Prioritise)
}
FIRST_TROOP = 5
"""The column of a march in which the soldiers begin."""


class IllegalOrder(ValueError):
    """The world refused an order; nothing of that turn was carried out."""


def table(orders: Sequence[Order], kind: type[Order]) -> Ints:
    """A row for each order of this kind; what no order could mean becomes a row of -1."""
    columns = FIRST_TROOP + SORTS if kind is March else len(kind._fields)
    rows = [(*order[:FIRST_TROOP], *order.troops) if isinstance(order, March) else order for order in orders]
    sound = [row if _is_sound(row, columns) else (-1,) * columns for row in rows]
    return np.array(sound, dtype=np.int64).reshape(len(rows), columns)


def of_kind(orders: Sequence[Order], kind: type[Order]) -> Ints:
    """The table of the orders of this kind among all of a turn, by player."""
    found = table([order for order in orders if type(order) is kind], kind)
    ordered: Ints = found[np.lexsort(found.T[::-1])]
    return ordered


def _is_sound(row: Sequence[object], columns: int) -> bool:
    return len(row) == columns and all(type(number) is int and 0 <= number < _NUMBER_MAX for number in row)


def find(numbers: Ints, wanted: Ints) -> tuple[Ints, Bools]:
    """The places of these numbers in a growing column, and whether they are there."""
    if not len(numbers):
        return np.zeros_like(wanted), np.zeros(len(wanted), dtype=bool)
    place = np.minimum(np.searchsorted(numbers, wanted), len(numbers) - 1)
    return place, numbers[place] == wanted
