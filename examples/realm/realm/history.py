"""The history of a world: its turns, as a log tells them while it is being written, and the figures kept of them.

A `History` stays small however long the world goes on: when it is full, it forgets every other moment. So each figure is
either how things stand or a total since the beginning, which loses nothing by forgetting what was in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np

from .events import Hour
from .log import retold
from .rows import ERRANDS
from .rules import DAY_H, TREATIES, Floats, Ints
from .state import State
from .world import World

Moment: TypeAlias = tuple[World, Hour | None]
"""A world, and what has just happened in it: nothing yet when it is founded."""

MOMENTS_MAX = 512
"""Enough for a smooth line across a picture."""


def followed(path: Path, wait: Callable[[], bool]) -> Iterator[Moment]:
    """The world of a log that is still being written; `wait` lets time pass, and says whether more is to come."""
    with path.open(encoding="utf-8") as file:
        yield from retold(_whole_lines(file.readline, wait), path)


def _whole_lines(read: Callable[[], str], wait: Callable[[], bool]) -> Iterator[str]:
    line, more = "", True
    while more:
        while part := read():
            line += part
            if line.endswith("\n"):
                yield line
                line = ""
        more = wait()


class History:
    """The figures of one world over time, of an even number of moments at most."""

    def __init__(self, moments_max: int = MOMENTS_MAX) -> None:
        self.turns: list[int] = []
        self._of_players: list[dict[str, Ints]] = []
        self._of_world: list[Counter[str]] = []
        self._wasted = np.zeros(0, dtype=np.int64)
        self._totals: Counter[str] = Counter()
        self._moments_max = moments_max
        self._every = 1

    def add(self, world: World, hour: Hour | None) -> None:
        """Write down how the world stands after this hour; every hour is to be told of, in order."""
        if hour:
            self._totals.update(happened(hour))
            self._wasted += world.by_player(hour.wasted)
        else:
            self._wasted = np.zeros(world.size, dtype=np.int64)
        if world.turn % self._every:
            return
        if len(self.turns) == self._moments_max:
            self._thin_out()
        self.turns.append(world.turn)
        self._of_players.append(_standings(world) | {"wasted": self._wasted.astype(np.int32)})
        self._of_world.append(self._totals + Counter(truces=len(world.truces), alliances=len(alliances(world))))

    @property
    def days(self) -> Floats:
        """The moments that figures are of, in days: [M]."""
        return np.array(self.turns) / DAY_H

    def of_players(self, name: str) -> Ints:
        """A figure of each player: population, rank, army, villages, or resources wasted so far: [M, P]."""
        return np.array([figures[name] for figures in self._of_players])

    def of_world(self, name: str) -> Ints:
        """A figure of the world: alliances, truces, or a total of what has `happened`: [M]."""
        return np.array([figures[name] for figures in self._of_world])

    def daily(self, total: Ints) -> tuple[Ints, Floats]:
        """Days, and by how much a total [M] went up in each; the last counts even if it is not over."""
        ends = np.unique(np.append(np.arange(0, self.turns[-1], DAY_H), self.turns[-1]))
        grown: Floats = np.diff(np.interp(ends, self.turns, total))
        return np.arange(1, len(ends)), grown

    def _thin_out(self) -> None:
        for kept in (self.turns, self._of_players, self._of_world):
            del kept[1::2]
        self._every *= 2


def happened(hour: Hour) -> Counter[str]:
    """How often what happened in an hour, by name, such as "attack win", "truce refused", "founded", "trade"."""
    count = Counter(f"{ERRANDS[battle.errand]} {battle.result}" for battle in hour.battles)
    for battle in hour.battles:
        count["breach"] += battle.breach
        count["loot"] += battle.loot
        count["fallen"] += battle.own_losses + battle.enemy_losses
        count["razed"] += battle.razed
    for answered in hour.answered:
        came = "accepted" if answered.accepted else "expired" if answered.expired else "refused"
        count[f"{TREATIES[answered.treaty]} {came}"] += 1
    count["founded"] = sum(settled.village >= 0 for settled in hour.settled)
    count["deserted"] = int(hour.deserted.sum())
    count["trade"] = len(hour.traded)
    return count


def alliances(world: State) -> dict[int, list[int]]:
    """The members of each alliance; one that is left by all but one is none."""
    members: dict[int, list[int]] = {}
    for player in np.flatnonzero(world.players.alliance).tolist():
        members.setdefault(int(world.players.alliance[player]), []).append(player)
    return {number: members[number] for number in sorted(members) if len(members[number]) > 1}


def _standings(world: World) -> dict[str, Ints]:
    figures = {
        "population": world.population(),
        "rank": world.ranks(),
        "army": world.by_player(world.soldiers().sum(axis=1)),
        "villages": world.villages_owned(),
    }
    return {name: figure.astype(np.int32) for name, figure in figures.items()}
