"""How much better does the judge of examples/board play than anything legal?

    python benchmarks/board_matches.py

Two players share one table for 1,000 matches and begin in turn, without the bus: one does what the scripted mind does with
the appeals and defaults that the game gives, the other any legal move. The baseline, in the same run, is two that do any
legal move. Points are 1 for a win and half for a draw.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from random import Random

from board.judge import Judge
from board.match import Match
from board.rules import load
from hearthmind.contracts.observation import Choice

GAMES = ("tic_tac_toe", "connect_four", "kuhn_poker", "leduc_poker")
MATCHES = 1_000

Player = Callable[[Match, Random], str]


def judged(match: Match, dice: Random) -> str:
    to = Judge(match.rules).legal_move(match, dice).parameters["to"]
    assert isinstance(to, Choice)
    assert to.default
    return to.default


def anything(match: Match, dice: Random) -> str:
    return dice.choice(list(match.words()))


def returns_of(name: str, first: Player, second: Player) -> list[float]:
    """What each match brought the first player."""
    rules, dice, found = load(name), Random(f"players of {name}"), []
    for number in range(MATCHES):
        match, mine = Match(rules, Random(f"{name}/{number}")), number % 2
        while not match.is_over:
            player = first if match.player == mine else second
            match.move(match.words()[player(match, dice)])
        found.append(match.state.returns()[mine])
    return found


def interval(values: list[float]) -> str:
    mean, half = statistics.mean(values), 1.96 * statistics.stdev(values) / math.sqrt(len(values))
    return f"{mean:.2f} ({mean - half:.2f} to {mean + half:.2f})"


def row(name: str, first: Player, second: Player) -> str:
    begun_s = time.perf_counter()
    returns = returns_of(name, first, second)
    spent_s = time.perf_counter() - begun_s
    won, lost = sum(got > 0 for got in returns), sum(got < 0 for got in returns)
    points = [1.0 if got > 0 else 0.0 if got < 0 else 0.5 for got in returns]
    ends = f"{won} | {MATCHES - won - lost} | {lost}"
    who = f"{first.__name__} against {second.__name__}"
    return f"| {name} | {who} | {ends} | {interval(points)} | {interval(returns)} | {1000 * spent_s / MATCHES:.1f} |"


if __name__ == "__main__":
    print("| game | first against second | won | drawn | lost | points (95 %) | mean return (95 %) | ms a match |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for game in GAMES:
        print(row(game, anything, anything), flush=True)
        print(row(game, judged, anything), flush=True)
