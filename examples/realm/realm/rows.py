"""What comes and goes in a world, as tables of columns: parties on the road, offers on the market, offers of treaties, truces.

Rows are in the order in which they began, so a table is the same in every replay.
"""

from __future__ import annotations

import dataclasses
from dataclasses import field

import numpy as np

from .rules import RESOURCES, SORTS, Bools, Ints

RAID, ATTACK, SCOUT, SETTLE, HELP, EVADE, TRADE = range(7)
ERRANDS = ("raid", "attack", "scout", "settle", "help", "evade", "trade")
GOING, HOME, STAYING = range(3)


def _column() -> Ints:
    return np.zeros(0, dtype=np.int64)


def _sorts() -> Ints:
    return np.zeros((0, SORTS), dtype=np.int64)


def _goods() -> Ints:
    return np.zeros((0, len(RESOURCES)), dtype=np.int64)


@dataclasses.dataclass
class Rows:
    """Columns of equal length."""

    def __len__(self) -> int:
        return len(getattr(self, dataclasses.fields(self)[0].name))

    def add(self, **columns: Ints | int) -> None:
        """Put rows at the end; a number stands for all of them."""
        count = max(len(column) for column in columns.values() if not isinstance(column, int))
        for column in dataclasses.fields(self):
            before = getattr(self, column.name)
            more = np.broadcast_to(np.asarray(columns.pop(column.name, 0)), (count, *before.shape[1:]))
            setattr(self, column.name, np.concatenate([before, more.astype(np.int64)]))
        if columns:
            raise TypeError(f"there are no columns {sorted(columns)}")

    def keep(self, kept: Bools) -> None:
        """Forget all other rows."""
        if kept.all():
            return
        for column in dataclasses.fields(self):
            setattr(self, column.name, getattr(self, column.name)[kept])


@dataclasses.dataclass
class Parties(Rows):
    """Who is on the road, or stays to help."""

    number: Ints = field(default_factory=_column)
    village: Ints = field(default_factory=_column)  # where they live
    player: Ints = field(default_factory=_column)
    errand: Ints = field(default_factory=_column)
    target: Ints = field(default_factory=_column)  # a village; for settlers a spot
    sent: Ints = field(default_factory=_column)  # the turn
    hours: Ints = field(default_factory=_column)  # until they arrive, or leave after staying
    phase: Ints = field(default_factory=_column)
    troops: Ints = field(default_factory=_sorts)
    load: Ints = field(default_factory=_goods)

    def hostile(self) -> Bools:
        """Who goes to rob or to attack."""
        which: Bools = (self.phase == GOING) & (self.errand <= ATTACK)
        return which

    def is_settling(self) -> Bools:
        """Who goes to found a village."""
        which: Bools = (self.phase == GOING) & (self.errand == SETTLE)
        return which

    def staying(self) -> Bools:
        """Who stays somewhere to help."""
        which: Bools = self.phase == STAYING
        return which

    def soldiers_of(self, villages: int) -> Ints:
        """How many parties of soldiers each village has out, settlers aside: [V]."""
        soldiers = (self.errand != TRADE) & (self.errand != SETTLE)
        return np.bincount(self.village[soldiers], minlength=villages)

    def merchants_of(self, villages: int) -> Ints:
        """How many loads each village has on the road: [V]."""
        return np.bincount(self.village[self.errand == TRADE], minlength=villages)


@dataclasses.dataclass
class Market(Rows):
    """Offers on the market: so much of one resource for as much of another; what is given has been set aside."""

    number: Ints = field(default_factory=_column)
    village: Ints = field(default_factory=_column)
    give: Ints = field(default_factory=_column)
    amount: Ints = field(default_factory=_column)
    want: Ints = field(default_factory=_column)
    since: Ints = field(default_factory=_column)


@dataclasses.dataclass
class Offers(Rows):
    """Offers of treaties, with the gift that comes with an acceptance."""

    number: Ints = field(default_factory=_column)
    maker: Ints = field(default_factory=_column)
    to: Ints = field(default_factory=_column)
    treaty: Ints = field(default_factory=_column)
    gift: Ints = field(default_factory=_column)  # a resource
    amount: Ints = field(default_factory=_column)
    since: Ints = field(default_factory=_column)


@dataclasses.dataclass
class Truces(Rows):
    """Who has promised whom to keep the peace, until when."""

    one: Ints = field(default_factory=_column)
    other: Ints = field(default_factory=_column)
    until: Ints = field(default_factory=_column)
