"""Watching a world in the terminal: the map, the ranks, and what happens.

A `Show` is told of every turn and draws the last one into whatever room there is, never into more. The same turns make the
same picture, whether they are played now or come from a log.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from rich.align import Align
from rich.console import Console, ConsoleOptions, JustifyMethod, RenderableType, RenderResult
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .events import Hour
from .history import Moment
from .map import ALONE, DIM, VILLAGE, Banners, Grid, Mark, draw, is_crowded, roads_legend, villages_legend
from .news import BREACH, DEAL, LAND, PEACE, WAR, Line, news
from .players import Style
from .rules import DAY_H, Ints, is_night
from .situation import player_name
from .world import World

NEWS_MAX = 100
NEWS_PER_TURN = 5
FRAMES_PER_S = 20
"""More would only flicker."""
REST_S = 0.1
BESIDE = 78
"""Columns from which on the ranks stand beside the map."""
RANKS_WIDTH = (58, 72)
"""Columns that they have at least, as long as that is less than half of all, and at most."""
SMALL = (36, 14)
"""With fewer columns or rows, there is the map alone."""
BAR = 12
_NEVER = 10**6

_GROUND, _EDGE = f"{ALONE} on #0d1117", "#30363d"
_FIGHT, _FOUGHT, _FOUNDED = Mark("✗", "#ff6b5e"), Mark("✗", "#93423b"), Mark("+", "#2fbf8f")
_SORTS = {
    WAR: ("✗", "#ff6b5e"),
    LAND: ("+", "#2fbf8f"),
    PEACE: ("=", "#56b4e9"),
    DEAL: ("~", DIM),
    BREACH: ("!", "#ffb000"),
}
_EIGHTHS = " ▏▎▍▌▋▊▉"

SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {terminal_width} {terminal_height}">
<style>
.{unique_id}-matrix {{ font-family: Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: {char_height}px }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}</defs>
<rect width="{terminal_width}" height="{terminal_height}" fill="#0d1117"/>
{backgrounds}<g class="{unique_id}-matrix">
{matrix}
</g></svg>
"""
"""A frame as a picture that needs nothing from elsewhere."""


class Show:
    """A world as it is watched; `styles` are those of its players, where they are known."""

    def __init__(self, styles: Sequence[Style] = ()) -> None:
        self.drawn = True
        """Whether what was told last has been drawn."""
        self._styles = [style.name for style in styles]
        self._world: World | None = None
        self._banners = Banners()
        self._marks: dict[int, Mark] = {}
        self._news: deque[tuple[int, Line]] = deque(maxlen=NEWS_MAX)

    def tell(self, world: World, hour: Hour | None) -> None:
        """An hour has passed, or the world has been founded."""
        self.drawn = False
        self._world = world
        self._banners.see(world)
        if hour:
            self._marks = _marks(hour, self._marks)
            lines = news(world, hour)[:NEWS_PER_TURN]
            self._news.extendleft((world.turn, line) for line in reversed(lines))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._world:
            self.drawn = True
            width, height = options.max_width, options.height or console.height
            yield from console.render(self._frame(self._world, width, height), options.update_dimensions(width, height))

    def _frame(self, world: World, width: int, height: int) -> Layout:
        frame, below = Layout(), Layout()
        if width < SMALL[0] or height < SMALL[1]:
            return Layout(self._map(world, width, height))
        frame.split_column(Layout(self._head(world), size=1), below)
        rows = height - 1
        if width < BESIDE:
            half = rows * 3 // 5
            ranks = self._ranks(world, width, rows - half)
            below.split_column(Layout(self._land(world, width, half), size=half), Layout(ranks))
            return frame
        # The map is a square: what it does not need is for the ranks.
        across = min(max(width - 2 * rows, min(RANKS_WIDTH[0], width * 9 // 20)), RANKS_WIDTH[1])
        beside, down = Layout(size=across), min(world.size + 3, rows * 2 // 3)
        below.split_row(Layout(self._land(world, width - across, rows)), beside)
        ranks = self._ranks(world, across, down)
        beside.split_column(Layout(ranks, size=down), Layout(self._told(rows - down)))
        return frame

    def _head(self, world: World) -> Text:
        text = Text(no_wrap=True, overflow="ellipsis", style=_GROUND)
        text.append(" Realm ", "bold #0d1117 on #e6edf3")
        text.append(f"  {day_and_hour(world.turn)} ", "bold")
        text.append("☾ night" if is_night(world.turn) else "☀ day", DIM)
        under_way = len(world.parties)
        counts = f"{world.size} players, {len(world.villages)} villages, {under_way} on the road, seed {world.seed}"
        return text.append(f"   {counts}", DIM)

    def _map(self, world: World, width: int, height: int) -> Text:
        return draw(world, self._banners, self._marks, width, height)

    def _land(self, world: World, width: int, height: int) -> Panel:
        inner = width - 4, height - 2
        picture = Align(self._map(world, *inner), "center", vertical="middle")
        grid = Grid.fit(world, *inner)
        return _panel(picture, roads_legend().append(str(grid), DIM), villages_legend(is_crowded(world, grid)))

    def _ranks(self, world: World, width: int, height: int) -> Panel:
        table = Table(box=None, padding=(0, 1, 0, 0), header_style=DIM)
        columns = [column for column in self._columns(world) if width >= column.from_width]
        for column in columns:
            table.add_column(column.title, justify=column.justify, width=column.width, no_wrap=True, overflow="crop")
        ranks = world.ranks()
        for player in np.argsort(ranks)[: max(height - 3, 0)].tolist():
            table.add_row(*(column.of(player) for column in columns))
        return _panel(table, Text("ranks", DIM), self._by_style(ranks))

    def _columns(self, world: World) -> list[_Column]:
        players, banners = world.players, self._banners
        ranks, population, villages = world.ranks(), world.population(), world.villages_owned()
        army = world.by_player(world.soldiers().sum(axis=1))
        most = max(int(population.max()), 1)
        alliance, tribe = players.alliance.tolist(), players.tribe.tolist()

        def colour(player: int) -> str:
            return banners.colour(alliance[player])

        return [
            _Column("", 4, lambda player: Text(str(ranks[player]), DIM)),
            _Column("player", 6, lambda player: Text(player_name(player), colour(player)), "left"),
            _Column("", 1, lambda player: Text(VILLAGE[tribe[player]][-1], colour(player)), "left"),
            _Column("style", 8, lambda player: Text(self._styles[player]), "left", 44 if self._styles else _NEVER),
            _Column("ally", 4, lambda player: Text(banners.letter(alliance[player]), colour(player)), "left", 58),
            _Column("people", 6, lambda player: Text(str(population[player]))),
            _Column("", BAR, lambda player: Text(bar(population[player] / most, BAR), colour(player)), "left", 71),
            _Column("vil", 3, lambda player: Text(str(villages[player]))),
            _Column("army", 5, lambda player: Text(str(army[player]))),
            _Column("won:lost", 8, lambda player: Text(f"{players.won[player]}:{players.beaten[player]}"), "right", 53),
        ]

    def _by_style(self, ranks: Ints) -> Text:
        """The mean rank of each style, the best first."""
        of = {name: ranks[[own == name for own in self._styles]].mean() for name in dict.fromkeys(self._styles)}
        best = sorted(of, key=of.__getitem__)
        return Text("  ".join(f"{name} {of[name]:.1f}" for name in best), DIM, no_wrap=True, overflow="ellipsis")

    def _told(self, height: int) -> Panel:
        told = Text(no_wrap=True, overflow="ellipsis")
        for place, (turn, line) in enumerate(islice(self._news, max(height - 2, 0))):
            character, colour = _SORTS[line.sort]
            told.append("\n" if place else "").append(f"{turn // DAY_H + 1:>2}/{turn % DAY_H:02} ", DIM)
            told.append(f"{character} ", colour).append(line.text, DIM if line.sort == DEAL else ALONE)
        return _panel(told, Text("news", DIM))


class _Column(NamedTuple):
    """A column of the ranks, and how wide they must be to have it."""

    title: str
    width: int
    of: Callable[[int], Text]
    justify: JustifyMethod = "right"
    from_width: int = 0


def bar(share: float, width: int) -> str:
    """A bar of characters and eighths of them."""
    whole, eighths = divmod(round(min(max(share, 0), 1) * width * 8), 8)
    return "█" * whole + _EIGHTHS[eighths].strip()


def day_and_hour(turn: int) -> str:
    """When it is in the world; days count from 1."""
    return f"day {turn // DAY_H + 1}, {turn % DAY_H:02}:00"


def watch(
    show: Show, console: Console, moments: Callable[[Callable[[], bool]], Iterable[Moment]], turns_per_s: float
) -> None:
    """Draw live, with no more turns in a second than that; `moments` is told how to rest until more of them come."""
    with Live(console=console, screen=True, auto_refresh=False) as live:

        def rest() -> bool:
            if not show.drawn:
                live.update(show, refresh=True)
            time.sleep(REST_S)
            return True

        drawn_s, due_s = 0.0, time.monotonic()
        for world, hour in moments(rest):
            show.tell(world, hour)
            if time.monotonic() - drawn_s >= 1 / FRAMES_PER_S:
                live.update(show, refresh=True)
                drawn_s = time.monotonic()
            if turns_per_s:
                due_s = max(due_s + 1 / turns_per_s, time.monotonic())
                time.sleep(max(due_s - time.monotonic(), 0))


def _panel(inside: RenderableType, title: Text, below: Text | None = None) -> Panel:
    return Panel(inside, title=title, subtitle=below, title_align="left", style=_GROUND, border_style=_EDGE)


def _marks(hour: Hour, before: Mapping[int, Mark]) -> dict[int, Mark]:
    """Battles flash, and glow for one more turn."""
    marks = {village: _FOUGHT for village, mark in before.items() if mark is _FIGHT}
    marks |= {settled.village: _FOUNDED for settled in hour.settled if settled.village >= 0}
    return marks | {battle.target: _FIGHT for battle in hour.battles}
