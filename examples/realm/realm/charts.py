"""The parts that pictures of a history are made of: sheets of small charts, bands, stacks, and one legend outside of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .history import History
from .players import Style
from .rules import TRIBES, Bools, Floats, Ints
from .situation import player_name
from .world import World

COLOURS = ("#d55e00", "#0072b2", "#009e73", "#e69f00", "#cc79a7", "#56b4e9", "#7f7f7f")
"""Of groups; those of Okabe and Ito, which the colour-blind can tell apart."""
GREY, INK = "#b8bec6", "#24292f"
LOOK: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#eaecef",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "realm",
}
_NAMES_APART = 0.04
"""Of a chart's height, so that names at the ends of lines don't lie upon each other."""


@dataclasses.dataclass(frozen=True)
class Groups:
    """Who belongs together, and in which colour: those of one style, or of one tribe where styles are not known."""

    names: tuple[str, ...]
    of: Ints  # [P]

    @classmethod
    def among(cls, world: World, styles: Sequence[Style]) -> Groups:
        """All players of a world."""
        if not styles:
            return cls(TRIBES, world.players.tribe)
        names = tuple(dict.fromkeys(style.name for style in styles))
        return cls(names, np.array([names.index(style.name) for style in styles]))

    def __iter__(self) -> Iterator[tuple[str, str, Bools]]:
        for number, name in enumerate(self.names):
            members: Bools = self.of == number
            if members.any():
                yield name, COLOURS[number % len(COLOURS)], members

    def colour(self, player: int) -> str:
        """That of its group."""
        return COLOURS[int(self.of[player]) % len(COLOURS)]


def sheet(world: World, title: str, rows: int = 2, columns: int = 2, height: float = 3.0) -> tuple[Figure, list[Any]]:
    """An empty picture of so many charts."""
    figure = Figure(figsize=(9.5, height * rows + 0.8), layout="constrained")
    told = f"{world.size} players, seed {world.seed}, {world.turn} hours"
    figure.suptitle(f"{title}   ({told})", x=0.01, ha="left", color=INK, fontsize=12)
    return figure, list(figure.subplots(rows, columns, squeeze=False).flat)


def name(axes: Any, title: str, upwards: str, across: str = "days") -> None:
    """Say what a chart shows."""
    axes.set_title(title, color=INK)
    axes.set_ylabel(upwards)
    axes.set_xlabel(across)
    if across == "days":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def bands(axes: Any, days: Floats, figures: Ints, groups: Groups) -> None:
    """The median of each group over time, and the half of its members around it."""
    for _, colour, members in groups:
        low, middle, high = np.quantile(figures[:, members], (0.25, 0.5, 0.75), axis=1)
        axes.fill_between(days, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(days, middle, color=colour, linewidth=1.6)


def players(axes: Any, days: Floats, figures: Ints, which: Ints, groups: Groups) -> None:
    """A line for each of these players, named at its end."""
    for player in which.tolist():
        axes.plot(days, figures[:, player], color=groups.colour(player), linewidth=1.2, alpha=0.9)
    ends = np.sort(figures[-1, which].astype(float))
    apart = _NAMES_APART * max(float(np.ptp(figures[:, which])), 1.0)
    for place in range(1, len(ends)):
        ends[place] = max(ends[place], ends[place - 1] + apart)
    highest = float(figures[-1, which].max()) + apart
    for place in reversed(range(len(ends))):
        ends[place] = highest = min(ends[place], highest)
        highest -= apart
    for player, height in zip(which[np.argsort(figures[-1, which], kind="stable")].tolist(), ends, strict=True):
        colour = groups.colour(player)
        axes.text(days[-1], height, f" {player_name(player)}", color=colour, va="center", fontsize=7)


def stacks(axes: Any, history: History, totals: Mapping[str, tuple[str, str]]) -> None:
    """How much of each came in a day, one upon the other; totals are given as label and colour."""
    below: Floats | int = 0
    for total, (label, colour) in totals.items():
        days, grown = history.daily(history.of_world(total))
        axes.bar(days, grown, bottom=below, color=colour, label=label, width=0.8)
        below = below + grown
    axes.set_ylim(0, 1.06 * np.max(below, initial=1))
    if len(totals) > 1:
        beside_title(axes)


def beside_title(axes: Any) -> None:
    """A legend above the chart, where it hides nothing."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=7, borderaxespad=0.2, handlelength=1.2)


def with_groups(figure: Figure, groups: Groups, *more: Line2D) -> Figure:
    """The same picture with the legend of the groups below all charts."""
    lines = [Line2D([], [], color=colour, linewidth=3, label=name) for name, colour, _ in groups]
    figure.legend(handles=[*lines, *more], loc="outside lower center", ncols=len(lines) + len(more), fontsize=8.5)
    return figure
