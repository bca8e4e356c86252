"""Many tables played by minds, one move at each of them a turn.

Where the run has no name (`episode`), each match of a table is an episode of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hearthmind.client import Client

from .judge import Judge
from .match import Match
from .rules import TooFewPlayers, load
from .table import Table


@dataclass(frozen=True)
class Turn:
    """One move at every table, for those who watch."""

    turn: int
    actions: Counter[str]
    lines: Sequence[str]
    """How the matches ended so far, and the first table."""
    matches: int
    """How many are over."""


async def play(
    mind: Client,
    *,
    npcs: int,
    seed: int,
    until: Callable[[], bool],
    on_turn: Callable[[Turn], None] | None = None,
    turn_s: float = 1.0,
    answer_within_s: float = 1.0,
    log: Path | None = None,
    episode: str | None = None,
    rules: str = "tic_tac_toe",
) -> list[Table]:
    """Play until told to stop (asked between turns); matches under way are told of as not finished.

    Characters that fill no table watch.
    """
    loaded = load(rules)
    if npcs < loaded.num_players():
        raise TooFewPlayers(name=rules, players=loaded.num_players(), npcs=npcs)
    judge = Judge(loaded)
    tables = [Table(mind, loaded, judge, number, seed) for number in range(npcs // loaded.num_players())]
    turn, ends = 0, Counter[str]()
    with ExitStack() as open_files:
        written = open_files.enter_context(log.open("wb")) if log else None
        while not until():
            begun_s = time.monotonic()
            await asyncio.to_thread(_look, tables)
            decisions = await asyncio.gather(*(table.move(answer_within_s, episode) for table in tables))
            over = [table for table in tables if table.match.is_over]
            if written:
                written.writelines(msgspec.json.encode(table.record()) + b"\n" for table in over)
            turn, ends = turn + 1, ends + Counter(_end(table.match) for table in over)
            if on_turn:
                actions = Counter(decision.action for decision in decisions)
                on_turn(Turn(turn, actions, _lines(tables, ends), ends.total()))
            await asyncio.sleep(max(0.0, begun_s + turn_s - time.monotonic()))
    await asyncio.gather(*(table.leave() for table in tables))
    return tables


def _look(tables: Sequence[Table]) -> None:
    for table in tables:
        table.look()


def _end(match: Match) -> str:
    best = match.unbeaten
    return "drawn" if len(best) == len(match.moves_of) else f"won by player {' and '.join(map(str, best))}"


def _lines(tables: Sequence[Table], ends: Counter[str]) -> list[str]:
    so_far = ", ".join(f"{count} {end}" for end, count in sorted(ends.items())) or "none"
    first = tables[0]
    return [
        f"matches over at {len(tables)} tables: {so_far}",
        f"first table, match {first.played}: {', '.join(first.seats)}",
        *str(first.match.state).splitlines(),
    ]
