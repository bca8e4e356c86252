"""The land: where villages and spots lie, and who is near whom."""

from __future__ import annotations

import numpy as np

from .rules import BUILDINGS, CELLS_PER_VILLAGE, DAY_H, DAY_WAY, FIELDS, HOURS_FOR, START_FIELDS, Ints

_BLOCK = 24
"""Cells."""
_FAR = np.iinfo(np.int64).max


def places(count: int, villages: int, dice: np.random.Generator) -> Ints:
    """A cell of its own for each village and spot, on a square map."""
    side = int(np.ceil(np.sqrt(villages * CELLS_PER_VILLAGE)))
    cells = dice.choice(side * side, size=count, replace=False)
    return np.stack([cells % side, cells // side], axis=1).astype(np.int64)


def first_fields(villages: int, dice: np.random.Generator) -> Ints:
    """The levels that villages begin with."""
    levels = np.zeros((villages, len(BUILDINGS)), dtype=np.int64)
    levels[:, :FIELDS] = dice.permuted(np.tile(np.array(START_FIELDS), (villages, 1)), axis=1)
    return levels


def nearest(of: Ints, among: Ints, count: int) -> Ints:
    """The nearest of `among` to each of `of`, what lies in the same cell left out; of equally far ones the first.

    Block by block, looking only so far around as is needed: the cost grows with the land, not with its square.
    """
    count = max(min(count, len(among) - 1), 0)
    found = np.zeros((len(of), count), dtype=np.int64)
    if not count or not len(of):
        return found
    block = of // _BLOCK
    order = np.lexsort((block[:, 1], block[:, 0]))
    starts = np.flatnonzero(np.diff(block[order], axis=0, prepend=-1).any(axis=1))
    east = among[:, 0].argsort(kind="stable")
    for rows in np.split(order, starts[1:]):
        found[rows] = _nearest_around(of[rows], among, east, count)
    return found


def _nearest_around(of: Ints, among: Ints, east: Ints, count: int) -> Ints:
    """The same for a few that lie close together; `east` sorts `among` from west to east."""
    low, high, margin = of.min(axis=0), of.max(axis=0), _BLOCK
    while True:
        strip = east[slice(*np.searchsorted(among[east, 0], (low[0] - margin, high[0] + margin + 1)))]
        there = np.sort(strip[(among[strip, 1] >= low[1] - margin) & (among[strip, 1] <= high[1] + margin)])
        if len(there) > count or len(there) == len(among):
            apart = ((of[:, None] - among[there][None]) ** 2).sum(axis=2)
            same = apart == 0
            apart = np.where(same, _FAR, apart * len(there) + np.arange(len(there)))
            few = np.argpartition(apart, count - 1, axis=1)[:, :count]
            few = np.take_along_axis(few, np.take_along_axis(apart, few, axis=1).argsort(axis=1), axis=1)
            farthest = np.take_along_axis(apart, few[:, -1:], axis=1).max() // len(there)
            if farthest <= margin * margin or len(there) == len(among):
                return there[few]
        margin *= 2


def distance(one: Ints, other: Ints) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Cells between cells."""
    apart: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = np.sqrt(((one - other) ** 2).sum(axis=-1))
    return apart


def travel_hours(apart: np.ndarray[tuple[int, ...], np.dtype[np.float64]], pace: Ints | int, hour: Ints | int) -> Ints:
    """Hours for so many cells at this pace by day and half of it by night, starting at this hour."""
    way = np.maximum(np.ceil(2 * apart / pace), 1).astype(np.int64)
    hours: Ints = way // DAY_WAY * DAY_H + HOURS_FOR[np.asarray(hour) % DAY_H, way % DAY_WAY]
    return hours
