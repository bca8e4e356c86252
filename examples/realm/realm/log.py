"""The action log: a line with seed and players, then a line of orders for each turn. A world is a function of it.

A log whose end was cut off by a crash replays up to its last whole line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from .orders import Build, Order, Raid, Train
from .world import World

FORMAT = 1


class BrokenLog(ValueError):
    """An action log can't be replayed."""


class Log:
    """Writes the log of one world, a line a turn."""

    def __init__(self, file: IO[str], world: World) -> None:
        self._file = file
        self._write({"realm": FORMAT, "seed": world.seed, "players": world.players})

    def turn(self, orders: Sequence[Order]) -> None:
        """Write down what is about to be carried out."""
        self._write([(type(order).__name__.lower(), *order) for order in sorted(orders, key=_by_player)])

    def _write(self, line: object) -> None:
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()


def replay(path: Path) -> World:
    """The world at the end of this log, the same bit for bit."""
    with path.open(encoding="utf-8") as file:
        lines = (line for line in file if line.endswith("\n"))
        try:
            head = json.loads(next(lines, "{}"))
            if head.get("realm") != FORMAT:
                raise BrokenLog(f"{path} is no log of the Realm in the format {FORMAT}")
            world = World.found(head["players"], head["seed"])
            for line in lines:
                world.step(list(_orders(json.loads(line))))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise BrokenLog(f"{path} can't be replayed: {error}") from error
    return world


def _orders(rows: list[list[object]]) -> Iterator[Order]:
    for row in rows:
        match row:
            case ["build", int(player), int(building)]:
                yield Build(player, building)
            case ["train", int(player), int(troop), int(amount)]:
                yield Train(player, troop, amount)
            case ["raid", int(player), int(target), [*troops]]:
                yield Raid(player, target, tuple(n for n in troops if isinstance(n, int)))
            case _:
                raise BrokenLog(f"{row} is no order")


def _by_player(order: Order) -> tuple[int, str]:
    return order.player, type(order).__name__
