"""The demo's live view: what passes per second, how long it takes by tier and source, what it led to."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from hearthmind.client import Client
from hearthmind.flow import TIERS
from hearthmind.store.read import EpisodeTotals
from services.command.figures import Figures, Summary

REFRESH_PER_S = 4
LINES_MAX = 14
ACTIONS_MAX = 8


class Turn(Protocol):
    """What a game tells `on_turn`. Each part may be missing, and there may be more for those who know the game."""

    turn: int
    """How many turns have passed."""
    actions: Mapping[str, int]
    """How often each action was chosen in it."""
    lines: Sequence[str]
    """What there is to see, the most telling first: the first ones are shown as they are, cut off at the edge."""


class View:
    """Draws itself whenever it is asked to."""

    def __init__(self, npcs: int, seconds: float, figures: Figures, mind: Client) -> None:
        self.totals = EpisodeTotals()
        self.phase = "playing"
        self._npcs = npcs
        self._seconds = seconds
        self._figures = figures
        self._mind = mind
        self._turn: Turn | None = None
        self._began_s = time.monotonic()
        self._rate = (self._began_s, 0, 0.0)

    def on_turn(self, turn: Turn) -> None:
        """A turn of the game has ended."""
        self._turn = turn

    @contextmanager
    def live(self, console: Console, quiet: bool) -> Iterator[None]:
        """Shows itself while the block runs, where somebody can see it."""
        if quiet or not console.is_terminal:
            yield
            return
        with Live(self, console=console, refresh_per_second=REFRESH_PER_S, transient=False):
            yield

    def __rich__(self) -> Group:
        return Group(self._head(), self._latencies(), picture(self._turn), self._foot())

    def _head(self) -> Table:
        passed_s = time.monotonic() - self._began_s
        grid = Table.grid(padding=(0, 2))
        bar = ProgressBar(total=self._seconds, completed=min(passed_s, self._seconds), width=30)
        turn = f"turn {getattr(self._turn, 'turn', '')}" if self._turn else "the game begins"
        rate = f"{self._per_s():.0f} decisions/s"
        grid.add_row(f"[bold]{self._npcs} characters[/bold]", turn, bar, rate, f"[dim]{self.phase}[/dim]")
        return grid

    def _per_s(self) -> float:
        now_s, actions = time.monotonic(), self._mind.tally.actions
        since_s, before, rate = self._rate
        if now_s - since_s >= 1:
            rate = (actions - before) / (now_s - since_s)
            self._rate = (now_s, actions, rate)
        return rate

    def _latencies(self) -> Table:
        return latency_table(self._figures)

    def _foot(self) -> Text:
        totals, tally = self.totals, self._mind.tally
        reward = "" if totals.reward_mean is None else f", mean reward {totals.reward_mean:+.3f}"
        fallbacks = tally.by_source.get("fallback", 0) + tally.by_source.get("client", 0)
        return Text(
            f"outcomes {self._mind.outcomes}   experiences {totals.experiences}{reward}   "
            f"fallbacks {fallbacks}   illegal {tally.illegal}   late {tally.late}"
        )


def picture(turn: Turn | None) -> Text:
    """A turn of any game, in its own lines; nothing in them is taken for markup."""
    return Text("\n".join(_lines(turn)), no_wrap=True, overflow="ellipsis")


def _lines(turn: Turn | None) -> Iterator[str]:
    actions: Mapping[str, int] = getattr(turn, "actions", {})
    often = sorted(actions.items(), key=lambda item: -item[1])[:ACTIONS_MAX]
    if often:
        yield "actions  " + "   ".join(f"{name} {count:,}" for name, count in often)
    yield from getattr(turn, "lines", ())[:LINES_MAX]


def latency_table(figures: Figures) -> Table:
    """Latencies in milliseconds, from asking to acting, by tier, source and model."""
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("tier", "source", "model", "decisions", "p50 ms", "p95 ms", "p99 ms"):
        table.add_column(name, justify="left" if name in {"tier", "source", "model"} else "right")
    ordered = sorted(figures.by_origin.items(), key=lambda item: (TIERS.index(item[0][0]), item[0][1:]))
    for origin, latencies in ordered:
        numbers = (f"{value:.1f}" for value in latencies.summary().values())
        table.add_row(*origin, f"{latencies.total:,}", *numbers)
    return table


def print_summary(console: Console, summary: Summary, figures: Figures) -> None:
    """The end of the demo: what happened, whether all is well, what to try next."""
    if not console.is_terminal:  # where the live view stood, its last state still does
        console.print(latency_table(figures))
    sources = ", ".join(f"{count:,} by {source}" for source, count in summary.by_source.items())
    console.print(f"\n{summary.observations:,} observations, {summary.actions:,} legal actions executed: {sources}")
    console.print(
        f"{summary.outcomes:,} outcomes became {summary.experiences:,} rewarded experiences; {summary.lost} lost"
    )
    if summary.all_is_well:
        console.print(
            "[green]Every observation had exactly one legal action, every outcome became one experience.[/green]"
        )
    else:
        console.print("[red]Something is missing or double: the figures above must agree.[/red]")
    console.print("\nTry next:")
    if summary.slowest:
        console.print(f"  ./just trace {summary.slowest}    follow the slowest decision through every hop")
    console.print("  ./just demo --npcs 500    ten times as many characters")
    console.print("  ./just demo --game village    another game: people who are spoken to")
    console.print("  ./just up                 the platform alone, for a game of your own (README, Connect a game)")
