"""The world: founded from a seed, moved by orders, an hour a turn. It promises:

- It is a function of its seed and the orders carried out, bit for bit (see `log`).
- The order that orders come in means nothing; an illegal one is refused, and then nothing of that turn happens.
- Stocks stay between nothing and the storage, soldiers are trained or lost and never vanish, no village is ever ruined.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .checks import problems
from .deeds import carry_out
from .events import Hour
from .market import take_back
from .orders import IllegalOrder, Order
from .roads import travel
from .rules import HEADS, SORTS, UPTIME_HOURS, WHEAT, Ints
from .state import State

_UPTIME_BITS = (1 << UPTIME_HOURS) - 1


class World(State):
    """A world that lives."""

    def problems(self, orders: Sequence[Order]) -> dict[int, str]:
        """The orders that would be refused now, by their place, and why."""
        return problems(self, orders)

    def step(self, orders: Sequence[Order]) -> Hour:
        """Carry out the orders and let an hour pass."""
        if wrong := self.problems(orders):
            place = min(wrong)
            raise IllegalOrder(f"{orders[place]} can't be carried out: {wrong[place]}")
        done = carry_out(self, orders)
        self.turn += 1
        battles, looks, settled = travel(self)
        take_back(self)
        self._harvest()
        deserted = self._go_hungry()
        wasted = self._store()
        self._construct()
        return Hour(battles, looks, settled, *done, wasted, deserted)

    def _harvest(self) -> None:
        self.villages.stocks += self.production()
        self.villages.stocks[:, WHEAT] -= self.upkeep()

    def _go_hungry(self) -> Ints:
        """Each missing wheat is somebody at home who leaves; who is on the road gets by."""
        villages = self.villages
        missing = np.maximum(-villages.stocks[:, WHEAT], 0)
        villages.stocks[:, WHEAT] += missing
        deserted = np.zeros_like(missing)
        if not missing.any():
            return deserted
        lost = np.zeros_like(villages.troops)
        for sort in range(SORTS):
            leaving = np.minimum(villages.troops[:, sort], -(-missing // HEADS[sort]))
            lost[:, sort] = leaving
            deserted += leaving
            missing = np.maximum(missing - leaving * HEADS[sort], 0)
        villages.troops -= lost
        self.players.lost += self.by_player(lost)
        return deserted

    def _store(self) -> Ints:
        over = np.maximum(self.villages.stocks - self.storage()[:, None], 0)
        self.villages.stocks -= over
        wasted: Ints = over.sum(axis=1)
        return wasted

    def _construct(self) -> None:
        villages = self.villages
        busy = villages.queue[:, 0] >= 0
        villages.busy = (villages.busy << 1 | busy) & _UPTIME_BITS
        villages.queue_hours[:, 0] -= busy
        done = np.flatnonzero(busy & (villages.queue_hours[:, 0] == 0))
        villages.levels[done, villages.queue[done, 0]] += 1
        for array, free in ((villages.queue, -1), (villages.queue_hours, 0)):
            array[done, :-1] = array[done, 1:]
            array[done, -1] = free
