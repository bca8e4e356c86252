"""The map as characters: villages by tribe, size and alliance, who is on the road, free spots, day and night.

It fits into any number of rows and columns. Where there is room, cells are spread out and every village has a character of
its own; otherwise a character stands for a block of cells and shows the largest village in it, or where they crowd how many
people live there, in the colour of the rank of its owner.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
from rich.text import Text

from .deeds import march_hours
from .history import alliances
from .rows import ATTACK, ERRANDS, EVADE, GOING, HELP, RAID, SCOUT, SETTLE, TRADE
from .rules import TRIBES, Floats, Ints, is_night
from .state import State

Characters = npt.NDArray[np.str_]

PALETTE = ("#e69f00", "#56b4e9", "#2fbf8f", "#f0e442", "#cc79a7", "#e8703a", "#9c8cff", "#b8d65a")
"""Of the alliances, in the order in which they were made; can be told apart by the colour-blind, on dark ground."""
ALONE = "#c9d1d9"
NOBODYS = "#8a7f6a"
DIM = "#6e7681"

VILLAGE = ("▵△▲", "◦○●", "⋄◇◆")
"""By tribe and size."""
SIZES = (60, 180)
"""People from which on a village is drawn larger."""
HAMLET, SPOT = "▫", "·"
SPOTS_FROM = 0.5
"""Rows for a cell; on smaller maps, spots would only be in the way."""
CROWD = "░▒▓█"
"""More and more people in a block of cells."""
HEAT = ("#f7e06a", "#a8cf5a", "#4fb08a", "#3f7f9b", "#46568f", "#4a3a6e")
"""Of people, by the rank of those of the largest village among them, the best first."""
CROWDED = 1.5
"""With more villages than this in a character, people are shown instead of villages."""
ARROWS = "→↘↓↙←↖↑↗"
LOAD = "•"
ROAD = {RAID: "#ff6b5e", ATTACK: "#ff6b5e", SCOUT: "#a5adb8", SETTLE: "#2fbf8f", HELP: "#56b4e9", TRADE: "#f0e442"}

_NIGHT, _DUSK, _DAY = "#0b1026", "#141d2c", "#1b2a24"
_DUSK_H = 2


class Mark(NamedTuple):
    """What makes a village stand out for the moment: a character beside it and a colour behind it."""

    character: str
    colour: str


class Banners:
    """A letter and a colour for each alliance, which it keeps as long as it lasts."""

    def __init__(self) -> None:
        self._places: dict[int, int] = {}

    def see(self, state: State) -> None:
        """Hand them out to new alliances."""
        for number in alliances(state):
            self._places.setdefault(number, len(self._places))

    def letter(self, alliance: int) -> str:
        """A to Z and then again with one more letter; empty for none."""
        if alliance not in self._places:
            return ""
        more, place = divmod(self._places[alliance], 26)
        return ("" if not more else chr(ord("A") + (more - 1) % 26)) + chr(ord("A") + place)

    def colour(self, alliance: int) -> str:
        """Its colour, or that of players on their own."""
        return PALETTE[self._places[alliance] % len(PALETTE)] if alliance in self._places else ALONE


@dataclasses.dataclass(frozen=True)
class Grid:
    """Which character of the map a cell of the world is at; a character is twice as high as it is wide."""

    rows: int
    columns: int
    side: int
    """Of the world, in cells."""

    @classmethod
    def fit(cls, state: State, width: int, height: int) -> Self:
        """As large as goes into so much room."""
        rows = min(height, max(width // 2, 1))
        side = 1 + int(max(state.villages.at.max(), state.spots.max(initial=0)))
        return cls(rows, min(2 * rows, width), side)

    @property
    def spreads(self) -> bool:
        """Whether every cell has a character of its own, and one more beside it."""
        return self.rows >= self.side

    def __str__(self) -> str:
        across = self.side / (2 * self.rows)
        return "" if self.spreads else f"   {across:.1f} x {2 * across:.1f} cells each"

    def at(self, cells: Ints) -> tuple[Ints, Ints]:
        """Rows and columns of whole cells."""
        if not self.spreads:
            return self.between(cells)
        column, row = (cells * self.rows // self.side).T
        return row, 2 * column

    def between(self, points: Floats | Ints) -> tuple[Ints, Ints]:
        """Rows and columns of points, which may lie between cells."""
        scaled = points / self.side * self.rows
        row, column = np.floor(scaled[:, 1]), np.floor(2 * scaled[:, 0])
        return np.minimum(row, self.rows - 1).astype(np.int64), np.minimum(column, self.columns - 1).astype(np.int64)


def sky(hour: int) -> str:
    """The colour behind the map at this hour."""
    if is_night(hour):
        return _NIGHT
    return _DUSK if is_night(hour - _DUSK_H) or is_night(hour + _DUSK_H) else _DAY


def draw(state: State, banners: Banners, marks: Mapping[int, Mark], width: int, height: int) -> Text:
    """The map in so many columns and rows at most."""
    grid = Grid.fit(state, width, height)
    sheet = _Sheet(grid.rows, grid.columns, sky(state.turn))
    if grid.rows >= SPOTS_FROM * grid.side:
        sheet.put(grid.at(state.spots[state.taken == 0]), SPOT, DIM)
    _draw_roads(state, sheet, grid)
    _draw_villages(state, banners, sheet, grid)
    crowded = is_crowded(state, grid)
    for village, mark in marks.items():
        row, column = grid.at(state.villages.at[[village]])
        sheet.mark((int(row[0]), int(column[0])), mark, beside=grid.spreads, behind=not crowded)
    return sheet.text()


class _Sheet:
    """Characters and their colours."""

    def __init__(self, rows: int, columns: int, ground: str) -> None:
        self.characters: Characters = np.full((rows, columns), " ")
        self._colours = np.full((rows, columns), ALONE, dtype=object)
        self._grounds = np.full((rows, columns), ground, dtype=object)

    def put(self, where: tuple[Ints, Ints], characters: object, colours: object) -> None:
        self.characters[where] = characters
        self._colours[where] = colours

    def mark(self, where: tuple[int, int], mark: Mark, beside: bool, behind: bool) -> None:
        row, column = where
        self._colours[where] = "#000000" if behind else mark.colour
        if behind:
            self._grounds[where] = mark.colour
        if beside:
            self.characters[row, column + 1] = mark.character
            self._colours[row, column + 1] = mark.colour

    def text(self) -> Text:
        text = Text(no_wrap=True, overflow="crop", end="")
        for row, columns in enumerate(zip(self.characters, self._colours, self._grounds, strict=True)):
            text.append("\n" if row else "")
            run, style = "", ""
            for character, colour, ground in zip(*(column.tolist() for column in columns), strict=True):
                here = f"{colour} on {ground}"
                if here != style and (character != " " or not style.endswith(ground)):
                    text.append(run, style)
                    run, style = "", here
                run += character
            text.append(run, style)
        return text


def is_crowded(state: State, grid: Grid) -> bool:
    """Whether there are too many villages to show them one by one."""
    row, column = grid.at(state.villages.at)
    return len(row) > CROWDED * len(np.unique(row * grid.columns + column))


def _draw_villages(state: State, banners: Banners, sheet: _Sheet, grid: Grid) -> None:
    where, people, ranks = grid.at(state.villages.at), state.people(), state.ranks()
    characters, colours = _as_villages(state, people, banners)
    if is_crowded(state, grid):
        characters = _as_crowds(people, where, (grid.rows, grid.columns))
        heat = np.array(HEAT, dtype=object)[-(-ranks * len(HEAT) // state.size) - 1]
        colours = np.where(state.villages.owner >= 0, heat[state.villages.owner], NOBODYS)
    by_size = people.argsort(kind="stable")
    # Of several in one place the last remains.
    sheet.put((where[0][by_size], where[1][by_size]), characters[by_size], colours[by_size])
    if grid.spreads:
        first = ranks.argsort()[:9]
        sheet.put((where[0][first], where[1][first] + 1), np.arange(1, len(first) + 1).astype("U1"), colours[first])


def _as_villages(state: State, people: Ints, banners: Banners) -> tuple[Characters, npt.NDArray[np.object_]]:
    owner = state.villages.owner
    shapes = np.array([list(sizes) for sizes in VILLAGE])[state.tribes(), np.searchsorted(SIZES, people, side="right")]
    alliance = np.where(owner >= 0, state.players.alliance[np.maximum(owner, 0)], 0)
    colours = np.array([banners.colour(number) for number in alliance.tolist()], dtype=object)
    return np.where(owner >= 0, shapes, HAMLET), np.where(owner >= 0, colours, NOBODYS)


def _as_crowds(people: Ints, where: tuple[Ints, Ints], shape: tuple[int, ...]) -> Characters:
    crowd = np.zeros(shape, dtype=np.int64)
    np.add.at(crowd, where, people)
    steps = np.quantile(crowd[crowd > 0], (0.25, 0.6, 0.9))
    shades: Characters = np.array(list(CROWD))[np.searchsorted(steps, crowd[where], side="right")]
    return shades


def _draw_roads(state: State, sheet: _Sheet, grid: Grid) -> None:
    """Whoever is between two villages, as far as can be told from the hours that are left."""
    parties = state.parties
    moving = np.flatnonzero((parties.errand != EVADE) & ~parties.staying())
    if not len(moving):
        return
    points, ways = on_the_road(state, moving)
    eighths = np.rint(np.arctan2(ways[:, 1], ways[:, 0]) / (np.pi / 4)).astype(np.int64) % len(ARROWS)
    errand, going = parties.errand[moving], parties.phase[moving] == GOING
    arrows = np.where(errand == TRADE, LOAD, np.array(list(ARROWS))[eighths])
    colours = np.array([ROAD.get(number, DIM) for number in range(len(ERRANDS))], dtype=object)[errand]
    sheet.put(grid.between(points + 0.5), arrows, np.where(going, colours, DIM))


def on_the_road(state: State, moving: Ints) -> tuple[Floats, Floats]:
    """Where these parties are, and which way they go: [N, 2] each, in cells."""
    parties = state.parties
    target, village = parties.target[moving], parties.village[moving]
    settling, going = parties.errand[moving] == SETTLE, parties.phase[moving] == GOING
    there = np.where(
        settling[:, None],
        state.spots[np.where(settling, target, 0)],
        state.villages.at[np.where(settling, 0, target)],
    )
    left = parties.hours[moving]
    back = march_hours(state, village, there, parties.troops[moving])
    whole = np.where(going, state.turn - parties.sent[moving] + left, np.maximum(back, left))
    near = (left / np.maximum(whole, 1))[:, None]
    home = state.villages.at[village]
    start, end = np.where(going[:, None], home, there), np.where(going[:, None], there, home)
    return end + (start - end) * near, (end - start).astype(np.float64)


def villages_legend(crowded: bool) -> Text:
    """What the characters of villages mean, and their colours where there is a crowd."""
    text = Text(no_wrap=True, overflow="crop")
    if crowded:
        text.append(CROWD, ALONE).append(" people   ", DIM).append("best ", DIM)
        for colour in HEAT:
            text.append(CROWD[-1], colour)
        return text.append(" worst rank", DIM)
    for tribe, sizes in zip(TRIBES, VILLAGE, strict=True):
        text.append(sizes, ALONE).append(f" {tribe}  ", DIM)
    return text.append(HAMLET, NOBODYS).append(" hamlet  ", DIM).append(SPOT, ALONE).append(" free", DIM)


def roads_legend() -> Text:
    """What the colours of those on the road mean."""
    text = Text(no_wrap=True, overflow="crop")
    for errand in (RAID, SCOUT, SETTLE, HELP):
        text.append(f"→ {ERRANDS[errand]}  ", ROAD[errand])
    return text.append("→ home  ", DIM).append(f"{LOAD} {ERRANDS[TRADE]}", ROAD[TRADE])
