"""Train, evaluate, play and measure agents of poker; it needs what `./just models` installs."""

from __future__ import annotations

import os
import signal
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hearthmind.errors import CannotStart

PRETRAINED = Path(__file__).parents[1] / "selfplay" / "pretrained" / "heads_up.safetensors"
"""Two players, 100 big blinds; its card is beside it."""

commands = typer.Typer(no_args_is_help=True, help=__doc__)


@commands.command()
def train(
    change: Annotated[
        list[str] | None, typer.Argument(help="Settings as key=value, such as weights.entropy=0.02; they come last.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file; services/selfplay/configs has some.")] = None,
    folder: Annotated[Path, typer.Option(help="Where the run is kept.")] = Path(".hearthmind/selfplay"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint of the folder.")] = False,
    games: Annotated[int | None, typer.Option(min=1, help="How many hands are played.")] = None,
    tables: Annotated[int | None, typer.Option(min=1, help="How many hands are played at a time.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Decisions in a step of learning.")] = None,
    learning_rate: Annotated[float | None, typer.Option(min=0, help="Of Adam.")] = None,
    players: Annotated[int | None, typer.Option(min=2, max=9, help="Seats at a table.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.")] = None,
    checkpoint_every: Annotated[int | None, typer.Option(min=1, help="Iterations between checkpoints.")] = None,
) -> None:
    """Train an agent by PPO in self-play. Ctrl-C and SIGTERM keep a checkpoint to resume."""
    settings, ppo, view = (_part(name) for name in ("settings", "ppo", "view"))
    given: dict[str, Any] = {
        "games": games, "tables": tables, "batch": batch, "learning_rate": learning_rate, "players": players,
        "device": device, "checkpoint_every": checkpoint_every,
    }  # fmt: skip
    told = settings.read(
        config, [*(f"{key}={value}" for key, value in given.items() if value is not None), *(change or ())]
    )
    is_first = os.environ.get("RANK", "0") == "0"  # of several that torchrun has started, one shows what they do
    console, stop = Console(highlight=False, quiet=not is_first), Stop()
    with view.watched(folder, console) as tell:
        kept = ppo.train(told, folder, resume=resume, watch=tell, is_stopped=stop.is_asked)
    console.print(f"kept {kept}", soft_wrap=True)


@commands.command()
def evaluate(
    checkpoint: Annotated[
        Path, typer.Argument(help="A checkpoint that `train` kept; else one that is here.")
    ] = PRETRAINED,
    hands: Annotated[int, typer.Option(min=100, help="Duplicate hands against each opponent.")] = 20_000,
    against: Annotated[
        list[Path] | None, typer.Option(help="Another checkpoint of the same game; several times.")
    ] = None,
    best_response: Annotated[
        float, typer.Option(min=0, help="Minutes of training somebody to beat it: a lower bound of what it can lose.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the deals.")] = 1,
) -> None:
    """Play a checkpoint against the scripted opponents and others; small games are measured exactly."""
    _part("yardsticks").show(checkpoint, hands, against or [], best_response, seed, Console(highlight=False))


@commands.command()
def play(
    checkpoint: Annotated[
        Path, typer.Argument(help="A checkpoint that `train` kept; else one that is here.")
    ] = PRETRAINED,
    seed: Annotated[int, typer.Option(min=0, help="Of the deals.")] = 1,
) -> None:
    """Play against a checkpoint in the terminal."""
    _part("terminal").play(checkpoint, seed, Console(highlight=False))


@commands.command()
def export(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint that `train` kept.")],
    to: Annotated[Path, typer.Argument(help="The file to write.")],
) -> None:
    """Write a checkpoint at half its size, in bf16, for others to play."""
    size = _part("checkpoint").lighten(checkpoint, to)
    Console(highlight=False).print(f"kept {to}, {size / 1e6:.1f} MB", soft_wrap=True)


@commands.command()
def bench(
    preset: Annotated[str, typer.Option(help="large, small or tiny.")] = "small",
    players: Annotated[int, typer.Option(min=2, max=9, help="Seats at a table.")] = 2,
    tables: Annotated[int, typer.Option(min=1, help="How many hands are played at a time.")] = 512,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Measure how many games a second this machine plays and learns from, in each precision."""
    _part("speed").show(preset, players, tables, device, Console(highlight=False))


def _part(name: str) -> Any:
    """A module of self-play, whose libraries are heavy and not always there."""
    try:
        return import_module(f"services.selfplay.{name}")
    except ModuleNotFoundError as error:
        raise CannotStart(why=f"self-play needs the library {error.name}; `./just models` installs it") from error


class Stop:
    """Whether somebody has asked to end: what is under way is finished and kept; asked again, it ends at once."""

    def __init__(self) -> None:
        self._asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def is_asked(self) -> bool:
        """Whether a signal has come."""
        return self._asked

    def _ask(self, number: int, _: object) -> None:
        self._asked = True
        signal.signal(number, signal.SIG_DFL)
