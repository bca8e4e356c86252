"""The history of a world as pictures: who grew, who led, what war cost and peace brought, and the land at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .charts import GREY, INK, LOOK, Groups, bands, beside_title, name, players, sheet, stacks, with_groups
from .events import DRAW, LOSS, WIN
from .history import History, alliances
from .players import Style
from .rules import BUILDINGS, TREATIES, TRIBES, TRUST_MAX, VILLAGES_MAX, WALL, Ints
from .world import World

BEST, RANKED = 8, 24
"""How many of the best players have a line of their own."""
STATIONS = 21
"""On the way of each player through the ranks; more would be a tangle."""
TIES_MAX = 2_000
"""Lines between players in one picture, those of the strongest feelings."""
RASTER_FROM = 1_000
"""Villages from which on they are drawn as pixels, also in a picture of shapes."""
MARKERS = ("^", "o", "D")
"""By tribe."""
_TRUSTS, _DISTRUSTS = "#0072b2", "#d55e00"
_RESULTS = {
    f"attack {WIN}": ("attack won", "#0072b2"),
    f"raid {WIN}": ("raid won", "#56b4e9"),
    f"attack {DRAW}": ("attack, a draw", "#8c959f"),
    f"raid {DRAW}": ("raid, a draw", "#d0d7de"),
    f"raid {LOSS}": ("raid lost", "#f5b57f"),
    f"attack {LOSS}": ("attack lost", "#d55e00"),
}


def draw_all(
    history: History, world: World, styles: Sequence[Style], folder: Path, form: str = "svg"
) -> Iterator[Path]:
    """Write the pictures of a world as it is now, and name each as soon as it is there."""
    groups = Groups.among(world, styles)
    with mpl.rc_context(LOOK):
        for draw in (growth, ranks, war, economy, peace, land):
            path = folder / f"{draw.__name__}.{form}"
            draw(history, world, groups).savefig(
                path, dpi=110, metadata=dict.fromkeys(("Creator", "Date")) if form == "svg" else None
            )
            yield path


def growth(history: History, world: World, groups: Groups) -> Figure:
    """Who grew: the best players, and all groups."""
    figure, (best, people, armies, villages) = sheet(world, "Growth")
    days, population = history.days, history.of_players("population")
    which = np.argsort(world.ranks())[:BEST]
    players(best, days, population, which, groups)
    name(best, f"The best {len(which)} players", "population")
    bands(people, days, population, groups)
    name(people, "Population: median and middle half", "people of a player")
    bands(armies, days, history.of_players("army"), groups)
    name(armies, "Armies: median and middle half", "soldiers of a player")
    for _, colour, members in groups:
        villages.plot(days, history.of_players("villages")[:, members].mean(axis=1), color=colour, linewidth=1.6)
    villages.set_ylim(0.9, VILLAGES_MAX + 0.1)
    name(villages, "Villages: mean", "villages of a player")
    return with_groups(figure, groups)


def ranks(history: History, world: World, groups: Groups) -> Figure:
    """Who led: how the first came to their ranks, and the ranks of the groups."""
    figure, (first, all_) = sheet(world, "Ranks", rows=1, height=4.4)
    days, rank = history.days, history.of_players("rank")
    which = np.argsort(rank[-1])[:RANKED]
    some = np.unique(np.linspace(0, len(days) - 1, STATIONS).astype(np.int64))
    players(first, days[some], rank[some], which, groups)
    name(first, f"The way of the {len(which)} who are first in the end", "rank")
    bands(all_, days, rank, groups)
    name(all_, "Ranks of the groups: median and middle half", "rank")
    for axes in (first, all_):
        axes.invert_yaxis()
    return with_groups(figure, groups)


def war(history: History, world: World, groups: Groups) -> Figure:
    """What wars there were and what they cost."""
    figure, (battles, fallen, loot, harm) = sheet(world, "War")
    stacks(battles, history, _RESULTS)
    name(battles, "Battles", "battles a day")
    stacks(fallen, history, {"fallen": ("fallen in battle", INK), "deserted": ("left hungry", GREY)})
    name(fallen, "Soldiers lost", "soldiers a day")
    stacks(loot, history, {"loot": ("loot", "#e69f00")})
    name(loot, "Loot", "resources a day")
    stacks(harm, history, {"razed": ("levels razed", "#8c6d31"), "breach": ("treaties broken", "#cc79a7")})
    name(harm, "Harm", "times a day")
    del groups
    return figure


def economy(history: History, world: World, groups: Groups) -> Figure:
    """What was made of what the land gives."""
    figure, (waste, built, founded, traded) = sheet(world, "Economy")
    wasted, levels = history.of_players("wasted"), world.by_player(world.villages.levels)
    width = 0.8 / len(groups.names)
    for place, (_, colour, members) in enumerate(groups):
        days, grown = history.daily(wasted[:, members].mean(axis=1))
        waste.plot(days, grown, color=colour, marker="o", markersize=3)
        built.bar(np.arange(len(BUILDINGS)) + place * width, levels[members].mean(axis=0), width, color=colour)
    name(waste, "Resources that found no room: mean", "wasted a day by a player")
    built.set_xticks(np.arange(len(BUILDINGS)) + 0.4 - width / 2, [what.replace("_", " ") for what in BUILDINGS])
    built.tick_params(axis="x", rotation=40)
    name(built, "What stands in the end: mean", "levels of a player", across="")
    stacks(founded, history, {"founded": ("founded", "#009e73")})
    name(founded, "Villages founded", "villages a day")
    stacks(traded, history, {"trade": ("trades", "#cc79a7")})
    name(traded, "Trade", "deals a day")
    return with_groups(figure, groups)


def peace(history: History, world: World, groups: Groups) -> Figure:
    """What treaties there were, and who trusts whom."""
    figure, (truces, leagues, standing, trust) = sheet(world, "Peace")
    for axes, treaty in ((truces, TREATIES[0]), (leagues, TREATIES[1])):
        answers = (("accepted", "#009e73"), ("refused", "#f5b57f"), ("expired", GREY))
        stacks(axes, history, {f"{treaty} {came}": (came, colour) for came, colour in answers})
        name(axes, f"Offers of {treaty}s", "offers a day")
    for what, colour in (("alliances", "#0072b2"), ("truces", "#56b4e9")):
        standing.step(history.days, history.of_world(what), color=colour, where="post", label=what)
    standing.set_ylim(bottom=0)
    beside_title(standing)
    name(standing, "Treaties in force", "how many")
    _trust(trust, world, groups)
    return with_groups(figure, groups)


def _trust(axes: Any, world: World, groups: Groups) -> None:
    """A line for each pair of players that both trust, or both distrust, each other more than at first."""
    figures, at = world.players, world.villages.at[: world.size]
    one, place = np.nonzero(figures.contacts >= 0)
    other = figures.contacts[one, place]
    back, known = world.contact(other, one)
    mutual = known & (one < other)
    one, other, place, back = one[mutual], other[mutual], place[mutual], back[mutual]
    felt = (figures.trust[one, place] + figures.trust[other, back]) / TRUST_MAX - 1
    strong = np.argsort(-np.abs(felt))[:TIES_MAX]
    ways = np.stack([at[one], at[other]], axis=1)[strong]
    colours = np.where(felt[strong] > 0, _TRUSTS, _DISTRUSTS)
    axes.add_collection(LineCollection(list(ways), colors=colours, linewidths=2 * np.abs(felt[strong]), alpha=0.7))
    shades = [groups.colour(player) for player in range(world.size)]
    axes.scatter(*at.T, s=14, color=shades, zorder=2, rasterized=world.size > RASTER_FROM)
    _as_map(axes)
    name(axes, "Trust (blue) and distrust (orange)", "", across="")


def land(history: History, world: World, groups: Groups) -> Figure:
    """The map in the end: villages by group, tribe and levels, walls as rims, allies joined by lines."""
    figure, (axes,) = sheet(world, "The land", rows=1, columns=1, height=8.2)
    villages, owner, tribe = world.villages, world.villages.owner, world.tribes()
    raster, shrink = len(villages) > RASTER_FROM, min(1.0, 80 / len(villages))
    axes.scatter(*world.spots[world.taken == 0].T, s=max(3 * shrink, 0.2), color=GREY, rasterized=raster)
    axes.scatter(*villages.at[owner < 0].T, s=max(16 * shrink, 0.4), color=GREY, marker="s", rasterized=raster)
    axes.add_collection(LineCollection(list(_ties(world)), colors=GREY, linewidths=0.8 * shrink**0.5, zorder=0))
    size, rims = 5 * villages.levels.sum(axis=1), 0.3 * villages.levels[:, WALL]
    for place, (_, colour, members) in enumerate(groups):
        for which, marker in enumerate(MARKERS):
            here = np.flatnonzero((owner >= 0) & members[owner] & (tribe == which))
            look = {"marker": marker, "color": colour, "edgecolors": INK, "rasterized": raster, "zorder": 2 + place}
            axes.scatter(*villages.at[here].T, s=size[here] * shrink, linewidths=rims[here] * shrink**0.5, **look)
    _as_map(axes)
    name(axes, "larger: more levels; thicker rim: higher wall; lines: allies", "", across="")
    del history
    marks = [*zip(MARKERS, TRIBES, strict=True), ("s", "hamlet"), (".", "free spot")]
    shapes = [Line2D([], [], color=GREY, marker=mark, linestyle="", label=label) for mark, label in marks]
    return with_groups(figure, groups, *shapes)


def _ties(world: World) -> Ints:
    """From each ally to the next one of its alliance: [N, 2 ends, 2]."""
    chains = [np.array(members) for members in alliances(world).values()]
    pairs = [np.stack([members, np.roll(members, 1)], axis=1) for members in chains]
    ends: Ints = world.villages.at[np.concatenate([np.zeros((0, 2), dtype=np.int64), *pairs])]
    return ends


def _as_map(axes: Any) -> None:
    axes.set_aspect("equal")
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
