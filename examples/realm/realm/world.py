"""The world: founded from a seed, moved by orders, an hour a turn. It promises:

- It is a function of its seed and the orders carried out, bit for bit (see `log`).
- The order that orders come in means nothing; an illegal one is refused, and then nothing of that turn happens.
- Stocks stay between nothing and the storage, soldiers are trained or lost and never vanish, no village is ever ruined.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from .orders import IllegalOrder, Order, carry_out, problems
from .raids import Battle, travel
from .rules import HEADS, TROOPS, UPTIME_HOURS, WHEAT, Ints
from .state import State

_UPTIME_BITS = (1 << UPTIME_HOURS) - 1


@dataclasses.dataclass(frozen=True)
class Hour:
    """What happened in a turn and can't be read off the world afterwards."""

    battles: list[Battle]
    wasted: Ints  # [V] resources that found no room
    deserted: Ints  # [V] soldiers who left for want of wheat


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
        carry_out(self, orders)
        self.turn += 1
        battles = travel(self)
        self._harvest()
        deserted = self._go_hungry()
        wasted = self._store()
        self._construct()
        return Hour(battles=battles, wasted=wasted, deserted=deserted)

    def _harvest(self) -> None:
        self.stocks += self.production()
        self.stocks[:, WHEAT] -= self.upkeep()

    def _go_hungry(self) -> Ints:
        """Each missing wheat is somebody at home who leaves; who is on the road gets by."""
        missing = np.maximum(-self.stocks[:, WHEAT], 0)
        self.stocks[:, WHEAT] += missing
        deserted = np.zeros_like(missing)
        for troop in range(len(TROOPS)):
            leaving = np.minimum(self.troops[:, troop], -(-missing // HEADS[troop]))
            self.troops[:, troop] -= leaving
            self.lost[:, troop] += leaving
            deserted += leaving
            missing = np.maximum(missing - leaving * HEADS[troop], 0)
        return deserted

    def _store(self) -> Ints:
        over = np.maximum(self.stocks - self.storage()[:, None], 0)
        self.stocks -= over
        wasted: Ints = over.sum(axis=1)
        return wasted

    def _construct(self) -> None:
        busy = self.queue[:, 0] >= 0
        self.busy = (self.busy << 1 | busy) & _UPTIME_BITS
        self.queue_hours[:, 0] -= busy
        done = np.flatnonzero(busy & (self.queue_hours[:, 0] == 0))
        self.levels[done, self.queue[done, 0]] += 1
        for array, free in ((self.queue, -1), (self.queue_hours, 0)):
            array[done, :-1] = array[done, 1:]
            array[done, -1] = free
