"""The `realm` command: watch a world in the terminal, plot its history, let the styles compete."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import NoReturn, TypeVar

from hearthmind.errors import HearthmindError

from .contest import playing
from .events import Hour
from .history import History, Moment, followed
from .log import BrokenLog, replayed
from .players import STYLES, Style
from .tournament import ALL, table, tournament
from .world import World

EXIT_BAD_INPUT = 2
PLAYERS_MAX = 20_000
TURNS_MAX = 100_000
SIZE_MAX = 1_000
LOOK_S = 0.1
"""How often a log that is being written is looked at, where nothing is drawn."""
TELL_S = {True: 0.2, False: 10.0}
"""How often progress is told, to a terminal and to a file."""

T = TypeVar("T")


class Missing(HearthmindError):
    """`realm {command}` needs {package}, which is not installed: install the Realm as `examples/realm[{command}]`."""


class NoTerminal(HearthmindError):
    """--follow draws live and needs a terminal; say --at TURN to have one frame."""


class NotYet(HearthmindError):
    """There is no turn {at} in this world: its last one is {last}."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_BAD_INPUT, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; what is wrong with the input is said in one line."""
    asked = _parser().parse_args(arguments)
    try:
        asked.run(asked)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        return _wrong(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (HearthmindError, BrokenLog) as error:
        return _wrong(str(error))
    return 0


def _wrong(message: str) -> int:
    print(f"realm: {message}", file=sys.stderr)
    return EXIT_BAD_INPUT


def watch(asked: argparse.Namespace) -> None:
    """Draw live in a terminal; where there is none, one frame at the end."""
    _settle_world(asked)
    try:
        from rich.console import Console

        from . import watch as stage
    except ModuleNotFoundError as error:
        raise Missing(command="watch", package=str(error.name).split(".")[0]) from error
    width, height = asked.size or (None, None)
    console = Console(width=width, height=height, highlight=False, record=asked.svg is not None)
    show = stage.Show(asked.styles)
    if console.is_terminal and not console.is_dumb_terminal and asked.at is None and not asked.svg:
        try:
            stage.watch(show, console, lambda rest: _moments(asked, rest), 0.0 if asked.follow else asked.speed)
        except KeyboardInterrupt:
            return  # without a last frame: the world may be in the middle of a turn
    elif asked.follow and asked.at is None:
        raise NoTerminal
    else:
        _go_through(asked, show.tell)
    console.print(show, end="")
    if asked.svg:
        asked.svg.write_text(console.export_svg(code_format=stage.SVG), encoding="utf-8")


def plot(asked: argparse.Namespace) -> None:
    """Write pictures of a history into a folder."""
    _settle_world(asked)
    try:
        from .plot import draw_all
    except ModuleNotFoundError as error:
        raise Missing(command="plot", package=str(error.name).split(".")[0]) from error
    history = History()
    world = _go_through(asked, history.add)
    asked.to.mkdir(parents=True, exist_ok=True)
    for path in draw_all(history, world, asked.styles, asked.to, asked.format):
        print(path, flush=True)


def contest(asked: argparse.Namespace) -> None:
    """Let every style compete with every other and print how they fared."""
    pairs = len(asked.styles) * (len(asked.styles) - 1) // 2
    matches = tournament(asked.styles, asked.seeds, asked.turns, asked.players, asked.processes)
    print(table(asked.styles, list(_counted(matches, "pair", 1, pairs))))


def _settle_world(asked: argparse.Namespace) -> None:
    """Fill in what was not said about the world."""
    if asked.follow and not asked.log:
        asked.complain("--follow goes with --log FILE")
    for name, usual in _SCRIPTED.items():
        if getattr(asked, name) is None:
            setattr(asked, name, usual)
        elif asked.log:
            asked.complain(f"--log FILE tells all about the world, so leave out --{name}")
    asked.styles = () if asked.log else tuple(islice(cycle(asked.styles), asked.players))


def _moments(asked: argparse.Namespace, rest: Callable[[], bool]) -> Iterator[Moment]:
    if not asked.log:
        return playing(asked.styles, asked.seed, _last(asked))
    return followed(asked.log, rest) if asked.follow else replayed(asked.log)


def _go_through(asked: argparse.Namespace, tell: Callable[[World, Hour | None], None]) -> World:
    """All turns up to the one that is asked for; the world after it."""
    for world, hour in _counted(_moments(asked, _rest), "turn", 0, _last(asked)):
        tell(world, hour)
        if world.turn == asked.at:
            break
    if asked.at is not None and world.turn < asked.at:
        raise NotYet(at=asked.at, last=world.turn)
    return world


def _last(asked: argparse.Namespace) -> int:
    """The number of the last turn, as far as is known."""
    if asked.at is not None or not asked.log:
        return int(asked.turns if asked.at is None else asked.at)
    with asked.log.open("rb") as file:
        return sum(1 for _ in file) - 1


def _rest() -> bool:
    time.sleep(LOOK_S)
    return True


def _counted(things: Iterable[T], what: str, first: int, last: int) -> Iterator[T]:
    """The same things, while somebody is told how far they are."""
    terminal = sys.stderr.isatty()
    begin, end = ("\r", "\x1b[K") if terminal else ("", "\n")
    told_s = time.monotonic()
    try:
        for number, thing in enumerate(things, first):
            yield thing
            if time.monotonic() - told_s >= TELL_S[terminal]:
                print(f"{begin}{what} {number} of {last}", end=end, file=sys.stderr, flush=True)
                told_s = time.monotonic()
    finally:
        if terminal:
            print(begin, end=end, file=sys.stderr, flush=True)


def _parser() -> _Parser:
    parser = _Parser(prog="realm", description="The Realm, to look at.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for run in (watch, plot, contest):
        command = commands.add_parser(run.__name__, help=run.__doc__, description=run.__doc__)
        command.set_defaults(run=run, complain=command.error)
        _ARGUMENTS[run](command)
    return parser


def _watch_arguments(command: argparse.ArgumentParser) -> None:
    _world_arguments(command)
    command.add_argument("--follow", action="store_true", help="go on with a log that is still being written")
    command.add_argument(
        "--speed", type=_number(float, 0, 1000), default=8, help="turns in a second (8); 0: all it can"
    )
    command.add_argument("--at", type=_number(int, 0, TURNS_MAX), metavar="TURN", help="one frame, of this turn")
    command.add_argument("--size", type=_size, metavar="80x24", help="columns and rows, instead of the terminal's")
    command.add_argument("--svg", type=Path, metavar="FILE", help="write the frame as a picture as well")


def _plot_arguments(command: argparse.ArgumentParser) -> None:
    _world_arguments(command)
    command.add_argument("--to", type=Path, metavar="FOLDER", default=Path("pictures"), help="where to (pictures)")
    command.add_argument("--format", choices=("svg", "png"), default="svg", help="of the pictures (svg)")
    command.set_defaults(follow=False, at=None)


def _world_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--log", type=Path, metavar="FILE", help="a log of the Realm, instead of a game of styles")
    command.add_argument("--players", type=_number(int, 1, PLAYERS_MAX), help="how many play (24)")
    command.add_argument("--seed", type=_number(int, 0, 2**63), help="of the world and the players (1)")
    command.add_argument("--styles", type=_styles, help="dealt out in turn (raider,builder,diplomat,turtle)")
    command.add_argument("--turns", type=_number(int, 0, TURNS_MAX), help="how many hours (240)")


def _contest_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seeds", type=_number(int, 2, 10_000), default=20, help="how many worlds for a pair (20)")
    command.add_argument("--turns", type=_number(int, 1, TURNS_MAX), default=240, help="how many hours (240)")
    command.add_argument("--players", type=_number(int, 2, PLAYERS_MAX), default=20, help="in each world (20)")
    command.add_argument("--styles", type=_styles, default=ALL, help="which ones (all)")
    command.add_argument("--processes", type=_number(int, 1, 256), default=os.cpu_count(), help="at once (one a core)")


_ARGUMENTS = {watch: _watch_arguments, plot: _plot_arguments, contest: _contest_arguments}
_SCRIPTED = {"players": 24, "seed": 1, "styles": STYLES, "turns": 240}
"""What a game of styles is like, where nothing else is said."""


def _number(kind: type[int] | type[float], least: int, most: int) -> Callable[[str], float]:
    def read(text: str) -> float:
        try:
            number = kind(text)
        except ValueError:
            number = math.nan
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} to {most}")
        return number

    return read


def _size(text: str) -> tuple[int, int]:
    match text.split("x"):
        case [width, height] if width.isdecimal() and height.isdecimal():
            if 1 <= int(width) <= SIZE_MAX and 1 <= int(height) <= SIZE_MAX:
                return int(width), int(height)
    raise argparse.ArgumentTypeError(f"{text!r} is no size such as 120x40, of at most {SIZE_MAX}x{SIZE_MAX}")


def _styles(text: str) -> tuple[Style, ...]:
    known = {style.name: style for style in ALL}
    names = text.split(",")
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"there is no style {unknown[0]!r}, only {', '.join(known)}")
    return tuple(known[name] for name in names)
