"""The state of a world: a struct of arrays over villages, and what can be read off it.

A player has one village, and both have the same number; the hamlets, which nobody plays, have the numbers after them and
are always behind them in rank. All arrays are whole numbers and have a fixed size, so that their
bytes are the world: two worlds are the same exactly when their digests are.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Self

import numpy as np

from .rules import (
    BARRACKS,
    BUILDINGS,
    CELLS_PER_VILLAGE,
    FIELDS,
    HEADS,
    NEARBY,
    PEOPLE,
    PEOPLE_BASE,
    PLAYERS_PER_HAMLET,
    PRODUCTION,
    QUEUE_MAX,
    RAIDS_MAX,
    RESOURCES,
    START_FIELDS,
    START_STOCK,
    STORAGE,
    STOREHOUSE,
    TRAINED_PER_LEVEL,
    TROOPS,
    UPTIME_HOURS,
    Floats,
    Ints,
)

_ROWS_AT_ONCE = 256


def _zeros(*shape: int) -> Ints:
    return np.zeros(shape, dtype=np.int64)


@dataclasses.dataclass
class State:
    """Everything there is in a world; V villages, R raids each, T sorts of troops."""

    seed: int
    players: int  # the first villages
    at: Ints  # [V, 2] cells
    nearby: Ints  # [V, NEARBY] the nearest villages, nearest first
    stocks: Ints  # [V, resource]
    levels: Ints  # [V, building]
    queue: Ints  # [V, QUEUE_MAX] building, -1 where free; the first is being worked on
    queue_hours: Ints  # [V, QUEUE_MAX] hours of work left
    busy: Ints  # [V] one bit for each of the last hours: was there work in the queue?
    troops: Ints  # [V, T] at home
    trained: Ints  # [V, T] ever
    lost: Ints  # [V, T] ever
    raid_target: Ints  # [V, R]
    raid_sent: Ints  # [V, R] the turn it was ordered in
    raid_trip: Ints  # [V, R] hours there, and back
    raid_hours: Ints  # [V, R] hours until it arrives; 0 where there is no raid
    raid_home: Ints  # [V, R] 1 on the way home
    raid_troops: Ints  # [V, R, T]
    raid_loot: Ints  # [V, R, resource]
    turn: int = 0

    @classmethod
    def found(cls, players: int, seed: int) -> Self:
        """A new world of so many players."""
        if players < 1 or seed < 0:
            raise ValueError(f"a world needs at least one player and a seed from 0, not {players} and {seed}")
        dice = np.random.Generator(np.random.PCG64([seed]))
        villages = players + players // PLAYERS_PER_HAMLET
        at = _places(villages, dice)
        return cls(
            seed=seed,
            players=players,
            at=at,
            nearby=_nearest(at),
            stocks=np.full((villages, len(RESOURCES)), START_STOCK, dtype=np.int64),
            levels=_first_fields(villages, dice),
            queue=np.full((villages, QUEUE_MAX), -1, dtype=np.int64),
            queue_hours=_zeros(villages, QUEUE_MAX),
            busy=_zeros(villages),
            troops=_zeros(villages, len(TROOPS)),
            trained=_zeros(villages, len(TROOPS)),
            lost=_zeros(villages, len(TROOPS)),
            raid_target=_zeros(villages, RAIDS_MAX),
            raid_sent=_zeros(villages, RAIDS_MAX),
            raid_trip=_zeros(villages, RAIDS_MAX),
            raid_hours=_zeros(villages, RAIDS_MAX),
            raid_home=_zeros(villages, RAIDS_MAX),
            raid_troops=_zeros(villages, RAIDS_MAX, len(TROOPS)),
            raid_loot=_zeros(villages, RAIDS_MAX, len(RESOURCES)),
        )

    @property
    def size(self) -> int:
        """How many villages there are, with the hamlets."""
        return len(self.stocks)

    def digest(self) -> str:
        """The world in one line; the same for a play and its replay."""
        sha = hashlib.sha256(f"{self.seed} {self.players} {self.turn}".encode())
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                sha.update(f"{field.name} {value.shape}".encode())
                sha.update(np.ascontiguousarray(value, dtype="<i8").tobytes())
        return sha.hexdigest()

    def chance(self, purpose: int) -> np.random.Generator:
        """The dice of this turn for one purpose: the same in every replay, whatever was thrown before."""
        return np.random.Generator(np.random.PCG64([self.seed, self.turn, purpose]))

    def production(self) -> Ints:
        """What the fields yield in an hour, before anybody eats: [V, resource]."""
        return PRODUCTION[self.levels[:, :FIELDS]]

    def planned_levels(self) -> Ints:
        """The levels once everything in the queue is built: [V, building]."""
        queued: Ints = (self.queue[:, :, None] == np.arange(len(BUILDINGS))).sum(axis=1)
        return self.levels + queued

    def planned_production(self) -> Ints:
        """What the fields yield once everything in the queue is built: [V, resource]."""
        return PRODUCTION[self.planned_levels()[:, :FIELDS]]

    def storage(self) -> Ints:
        """How much of each resource a village keeps: [V]."""
        return STORAGE[self.levels[:, STOREHOUSE]]

    def training_max(self) -> Ints:
        """How many soldiers a village trains in an hour: [V]."""
        return self.levels[:, BARRACKS] * TRAINED_PER_LEVEL

    def soldiers(self) -> Ints:
        """All soldiers, at home and away: [V, T]."""
        away: Ints = self.raid_troops.sum(axis=1)
        return self.troops + away

    def upkeep(self) -> Ints:
        """The wheat that soldiers eat in an hour: [V]."""
        return self.soldiers() @ HEADS

    def population(self) -> Ints:
        """People in buildings and under arms: [V]. It is what the ranks go by."""
        housed: Ints = PEOPLE[self.levels].sum(axis=1)
        return PEOPLE_BASE + housed + self.upkeep()

    def ranks(self) -> Ints:
        """1 for the most populous; of equals, the lower number is before: [V]."""
        ranks = _zeros(self.size)
        ranks[np.argsort(-self.population(), kind="stable")] = np.arange(1, self.size + 1)
        return ranks

    def queue_uptime(self) -> Floats:
        """The share of the last hours in which something was being built: [V], 0 to 1."""
        return np.bitwise_count(self.busy) / min(max(self.turn, 1), UPTIME_HOURS)


def _places(villages: int, dice: np.random.Generator) -> Ints:
    """A cell of its own for each village, on a square map."""
    side = int(np.ceil(np.sqrt(villages * CELLS_PER_VILLAGE)))
    cells = dice.choice(side * side, size=villages, replace=False)
    return np.stack([cells % side, cells // side], axis=1).astype(np.int64)


def _first_fields(villages: int, dice: np.random.Generator) -> Ints:
    levels = _zeros(villages, len(BUILDINGS))
    levels[:, :FIELDS] = dice.permuted(np.tile(np.array(START_FIELDS), (villages, 1)), axis=1)
    return levels


def _nearest(at: Ints) -> Ints:
    """The nearest villages of each; of equally far ones the lower number first. A few rows at once bound the memory."""
    villages = len(at)
    count = min(NEARBY, villages - 1)
    nearest = _zeros(villages, count)
    for start in range(0, villages, _ROWS_AT_ONCE):
        rows = np.arange(start, min(start + _ROWS_AT_ONCE, villages))
        apart = ((at[rows, None] - at[None]) ** 2).sum(axis=2) * villages + np.arange(villages)
        apart[np.arange(len(rows)), rows] = np.iinfo(np.int64).max
        few = np.argpartition(apart, count - 1, axis=1)[:, :count] if count else nearest[rows]
        nearest[rows] = np.take_along_axis(few, np.take_along_axis(apart, few, axis=1).argsort(axis=1), axis=1)
    return nearest
