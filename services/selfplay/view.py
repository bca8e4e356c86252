"""Training as it is watched: the terminal's live view with a curve, and TensorBoard's files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from torch.utils.tensorboard import SummaryWriter

from services.selfplay.ppo import Progress

BARS = "▁▂▃▄▅▆▇█"
CURVE_MAX = 60
SHOWN = ("policy", "value", "entropy", "kl", "clipped", "advantage_std", "explained")


class View:
    """Remembers what was measured, and draws it."""

    def __init__(self) -> None:
        self.newest: Progress | None = None
        self.curves: dict[str, list[float]] = {}

    def told(self, progress: Progress) -> None:
        """An iteration has ended."""
        self.newest = progress
        for name, value in progress.measured.items():
            curve = self.curves.setdefault(name, [])
            curve.append(value)
            del curve[:-CURVE_MAX]

    def drawn(self) -> Group | Text:
        """What there is to see."""
        if self.newest is None:
            return Text("the first hands are played ...")
        newest, table = self.newest, Table.grid(padding=(0, 2))
        table.add_row("iteration", f"{newest.iteration:,}", "games", f"{newest.games:,}")
        table.add_row("games/s", f"{newest.games_per_s:,.0f}", "while playing", f"{newest.played_per_s:,.0f}")
        losses = Table.grid(padding=(0, 2))
        losses.add_row(*SHOWN)
        losses.add_row(*(f"{newest.losses.get(name, 0):.4f}" for name in SHOWN))
        measured = Table.grid(padding=(0, 2))
        for name, curve in self.curves.items():
            measured.add_row(name, f"{curve[-1]:+.3f}" if abs(curve[-1]) < 1 else f"{curve[-1]:+.0f}", drawn(curve))
        return Group(ProgressBar(total=1, completed=newest.share, width=60), table, losses, measured)


def drawn(curve: list[float]) -> str:
    """A curve as a line of bars."""
    low, high = min(curve), max(curve)
    return "".join(BARS[round((value - low) / ((high - low) or 1) * (len(BARS) - 1))] for value in curve)


@contextmanager
def watched(folder: Path, console: Console) -> Iterator[Callable[[Progress], None]]:
    """Something to tell of each iteration: on a terminal it is drawn, elsewhere a line is printed where something is measured."""
    view = View()
    with SummaryWriter(str(folder)) as board, Live(console=console, auto_refresh=False) as live:

        def tell(progress: Progress) -> None:
            view.told(progress)
            for group in ("losses", "measured"):
                for name, value in getattr(progress, group).items():
                    board.add_scalar(f"{group}/{name}", value, progress.games)
            board.add_scalar("games_per_s/training", progress.games_per_s, progress.games)
            board.add_scalar("games_per_s/playing", progress.played_per_s, progress.games)
            if console.is_terminal:
                live.update(view.drawn(), refresh=True)
            elif progress.measured:
                said = ", ".join(f"{name} {value:+.3f}" for name, value in progress.measured.items())
                console.print(f"{progress.games:,} games, {progress.games_per_s:,.0f}/s: {said}", soft_wrap=True)

        yield tell
