"""How fast no-limit hold'em is dealt and played here, with random legal play, beside OpenSpiel and RLCard.

    python benchmarks/selfplay_simulator.py [--repeats 5] [--seconds 2] [--players 2 6]

One process and one thread; seconds are those of the processor, so that a busy machine costs no one more than the others, and the
order of variants is shuffled in every repeat. Everybody plays 100 big blinds. Ours draws among the actions of the mask, without
tokens (`ours`), with those that a model reads (`ours, tokens`), and with all-ins paid by their equity too. OpenSpiel's
universal_poker is played by its own uniform bots in C++ with fold, call, half a pot, a pot and all-in (`openspiel`), which is
faster than asking it from Python (`openspiel from Python`); RLCard's no-limit-holdem by its environment. Last, what bounds
any simulator in numba: dealing and ranking all hands, and nothing else (`deal and rank`). Ratios are medians of those within a
repeat, with the lowest and the highest.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyspiel
import rlcard

from services.selfplay.cards import draw, key_of
from services.selfplay.compiled import compiled
from services.selfplay.holdem import Game, Holdem
from services.selfplay.ranks import bit_of, strength
from services.selfplay.tables import Bool, Int8

RESULTS = Path(__file__).parent / "results" / "selfplay_simulator.json"
TABLES = 1024
AT_ONCE = 100
UNIVERSAL = (
    "universal_poker(betting=nolimit,numPlayers={players},numRounds=4,blind={blinds},firstPlayer={first},numSuits=4,"
    "numRanks=13,numHoleCards=2,numBoardCards=0 3 1 1,stack={stacks},bettingAbstraction=fchpa)"
)

Batch = Iterator[tuple[int, int]]  # decisions and hands of what was just played


@compiled
def draw_actions(mask: Bool, word: int, action: Int8) -> int:
    """One of the legal actions for each table, and the word to go on from."""
    for at in range(len(mask)):
        word ^= word << 13
        word ^= (word >> 7) & 0x1FFFFFFFFFFFFFF
        word ^= word << 17
        legal = 0
        for each in range(mask.shape[1]):
            legal += mask[at, each]
        left = ((word >> 20) & 0xFFFFFFFF) * legal >> 32
        for each in range(mask.shape[1]):
            if mask[at, each]:
                if left == 0:
                    action[at] = each
                    break
                left -= 1
    return word


def ours(players: int, *, tokens: bool, equity: bool) -> Batch:
    """Our tables."""
    tables = Holdem(TABLES, Game(players=players, equity=equity), seed=1)
    mask = np.zeros((TABLES, tables.actions), np.bool_)
    row = np.zeros((TABLES, tables.tokens_max), np.int16)
    actor, action = np.zeros(TABLES, np.int8), np.zeros(TABLES, np.int8)
    word = 88172645463325252
    while True:
        before = int(tables.number.sum())
        for _ in range(AT_ONCE):
            if tokens:
                tables.observe(row, mask, actor)
            else:
                tables.legal(mask, actor)
            word = draw_actions(mask, word, action)
            tables.step(action)
        yield AT_ONCE * TABLES, int(tables.number.sum()) - before


def universal(players: int) -> pyspiel.Game:
    """OpenSpiel's game of that size."""
    blinds = ["100", "50"] if players == 2 else ["50", "100", *["0"] * (players - 2)]
    first = "2 1 1 1" if players == 2 else "3 1 1 1"
    stacks = " ".join(["10000"] * players)
    return pyspiel.load_game(UNIVERSAL.format(players=players, blinds=" ".join(blinds), first=first, stacks=stacks))


def openspiel(players: int) -> Batch:
    """OpenSpiel's tables and bots."""
    game = universal(players)
    bots = [pyspiel.make_uniform_random_bot(player, player) for player in range(players)]
    a_hand, seed = decisions_a_hand(game, bots), 0
    while True:
        for _ in range(AT_ONCE):
            pyspiel.evaluate_bots(game.new_initial_state(), bots, seed)
            seed += 1
        yield round(AT_ONCE * a_hand), AT_ONCE


def decisions_a_hand(game: pyspiel.Game, bots: list[pyspiel.Bot]) -> float:
    """How many decisions its random hands have, from some beforehand."""
    decisions = 0
    for seed in range(20 * AT_ONCE):
        state = game.new_initial_state()
        pyspiel.evaluate_bots(state, bots, seed)
        decisions += sum(each.player >= 0 for each in state.full_history())
    return decisions / (20 * AT_ONCE)


def openspiel_from_python(players: int) -> Batch:
    """OpenSpiel's tables, asked from Python."""
    game = universal(players)
    while True:
        decisions = 0
        for _ in range(AT_ONCE):
            state = game.new_initial_state()
            while not state.is_terminal():
                decisions += not state.is_chance_node()
                actions = state.legal_actions()
                state.apply_action(actions[int(random.random() * len(actions))])
        yield decisions, AT_ONCE


def rlcard_holdem(players: int) -> Batch:
    """RLCard's environment."""
    table = rlcard.make("no-limit-holdem", config={"game_num_players": players, "seed": 1})
    while True:
        decisions = 0
        for _ in range(AT_ONCE):
            state, _player = table.reset()
            while not table.is_over():
                actions = list(state["legal_actions"])
                state, _player = table.step(actions[int(random.random() * len(actions))])
                decisions += 1
        yield decisions, AT_ONCE


@compiled
def deal_and_rank(players: int, hands: int, first: int) -> int:
    """How often the first player has the best hand, of so many."""
    cards, best = np.empty(23, np.int8), 0
    for hand in range(hands):
        draw(cards, 2 * players + 5, np.uint64(0), key_of(1, 0, first + hand, 0))
        board = np.uint64(0)
        for at in range(2 * players, 2 * players + 5):
            board |= bit_of(cards[at])
        mine, most = strength(board | bit_of(cards[0]) | bit_of(cards[1])), 0
        for place in range(1, players):
            most = max(most, strength(board | bit_of(cards[2 * place]) | bit_of(cards[2 * place + 1])))
        best += mine >= most
    return best


def dealing(players: int) -> Batch:
    """Dealing and ranking alone."""
    first, hands = 0, 100 * AT_ONCE
    while True:
        deal_and_rank(players, hands, first)
        first += hands
        yield 0, hands


VARIANTS: dict[str, Callable[[int], Batch]] = {
    "ours": partial(ours, tokens=False, equity=False),
    "ours, tokens": partial(ours, tokens=True, equity=False),
    "ours, tokens, equity": partial(ours, tokens=True, equity=True),
    "openspiel": openspiel,
    "openspiel from Python": openspiel_from_python,
    "rlcard": rlcard_holdem,
    "deal and rank": dealing,
}

COMPARED = (
    ("ours", "openspiel", 0),
    ("ours", "openspiel from Python", 0),
    ("ours", "rlcard", 0),
    ("ours, tokens", "openspiel", 0),
    ("ours, tokens", "rlcard", 0),
    ("deal and rank", "ours", 1),
)


def rates(batches: Batch, seconds: float) -> tuple[float, float]:
    """Decisions and hands per second of processor time, after a batch that warms up."""
    next(batches)
    decisions, hands, begun_s = 0, 0, time.process_time()
    while (took_s := time.process_time() - begun_s) < seconds:
        more_decisions, more_hands = next(batches)
        decisions += more_decisions
        hands += more_hands
    return decisions / took_s, hands / took_s


def ratio(found: dict[str, list[tuple[float, float]]], one: str, other: str, column: int) -> str:
    """How many times as fast, within the repeats."""
    pairs = zip(found[one], found[other], strict=True)
    each = sorted(mine[column] / theirs[column] for mine, theirs in pairs)
    return f"{statistics.median(each):.3g} [{each[0]:.3g}-{each[-1]:.3g}]"


def measured(players: int, repeats: int, seconds: float) -> list[str]:
    """The lines of one size of table."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in VARIANTS}
    for repeat in range(repeats):
        for name in random.sample(list(VARIANTS), len(VARIANTS)):
            found[name].append(rates(VARIANTS[name](players), seconds))
        print(f"{players} players: {repeat + 1} of {repeats}", flush=True)
    lines = [f"{'':<22} {'decisions/s':>12} {'hands/s':>12}"]
    for name, each in found.items():
        decisions, hands = (statistics.median(one[column] for one in each) for column in (0, 1))
        lines.append(f"{name:<22} {decisions or float('nan'):>12,.0f} {hands:>12,.0f}")
    return lines + [
        f"{one} / {other}, {('decisions', 'hands')[column]}: {ratio(found, one, other, column)}"
        for one, other, column in COMPARED
    ]


def main() -> None:
    """All sizes, printed and kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--players", type=int, nargs="+", default=[2, 6])
    arguments = parser.parse_args()
    kept: dict[str, object] = {"machine": platform.platform(), "cores": os.cpu_count(), "arguments": vars(arguments)}
    for players in arguments.players:
        lines = measured(players, arguments.repeats, arguments.seconds)
        print("\n".join(lines), flush=True)
        kept[f"{players} players"] = lines
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
