"""The action log: a line with seed and players, then a line of orders for each turn. A world is a function of it.

A log whose end was cut off by a crash replays up to its last whole line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from .events import Hour
from .orders import KINDS, March, Order
from .world import World

FORMAT = 2


class BrokenLog(ValueError):
    """An action log can't be replayed."""


class Log:
    """Writes the log of one world, a line a turn."""

    def __init__(self, file: IO[str], world: World) -> None:
        self._file = file
        self._write({"realm": FORMAT, "seed": world.seed, "players": world.size})

    def turn(self, orders: Sequence[Order]) -> None:
        """Write down what is about to be carried out."""
        self._write([(type(order).__name__.lower(), *order) for order in sorted(orders, key=_by_player)])

    def _write(self, line: object) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()


def replay(path: Path) -> World:
    """The world at the end of this log, the same bit for bit."""
    *_, (world, _) = replayed(path)
    return world


def replayed(path: Path) -> Iterator[tuple[World, Hour | None]]:
    """The world of a log, as it was founded and then after each turn with what happened in it."""
    with path.open(encoding="utf-8") as file:
        yield from retold((line for line in file if line.endswith("\n")), path)


def retold(lines: Iterator[str], path: Path) -> Iterator[tuple[World, Hour | None]]:
    """The same from the lines of a log; the path is for whoever reads of an error."""
    try:
        head = json.loads(next(lines, "{}"))
        if head.get("realm") != FORMAT:
            raise BrokenLog(f"{path} is no log of the Realm in the format {FORMAT}")
        world = World.found(head["players"], head["seed"])
        yield world, None
        for line in lines:
            yield world, world.step([_order(row) for row in json.loads(line)])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BrokenLog(f"{path} can't be replayed: {error}") from error


def _order(row: list[object]) -> Order:
    match row:
        case [str(name), *numbers] if name in KINDS:
            kind = KINDS[name]
            if len(numbers) != len(kind._fields):
                raise BrokenLog(f"{row} is no order")
            if kind is March and isinstance(numbers[-1], list):
                numbers[-1] = tuple(numbers[-1])
            return kind(*numbers)  # type: ignore[arg-type]
        case _:
            raise BrokenLog(f"{row} is no order")


def _by_player(order: Order) -> tuple[int, str]:
    return order.player, type(order).__name__
