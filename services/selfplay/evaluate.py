"""How well somebody plays: what is won per hand, with its interval.

In hold'em every deal is played once from each seat, so that luck of the cards cancels out, and all-ins are paid by the board
that came; what counts as one observation is the mean over a deal's hands. Small games are measured exactly, by `exploit`.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np

from services.selfplay.exploit import exploitability
from services.selfplay.games import Game
from services.selfplay.players import NetworkPlayer, Player
from services.selfplay.rollout import Dealer
from services.selfplay.small_games import tree_of

TABLES = 512
CONFIDENT = 1.96


class Result(msgspec.Struct, frozen=True):
    """What a player won in big blinds per 100 hands, and the half width of its 95 % interval."""

    won: float
    half: float
    hands: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval lies above zero."""
        return self.won > self.half

    def __str__(self) -> str:
        return f"{self.won:+.1f} ± {self.half:.1f} bb/100 over {self.hands:,} hands"


def match(game: Game, player: Player, others: Player, hands: int, seed: int) -> Result:
    """Seat 0 against the same opponent on all other seats, for at least so many hands."""
    seats = game.players
    count = min(TABLES, max(1, hands // (2 * seats)))
    deals = math.ceil(hands / (count * seats))
    tables = game.tables(count, seed, duplicate=True, equity=False)
    seating = np.ones((count, seats), np.int8)
    seating[:, 0] = 0
    won = np.zeros((count, deals))
    dealer = Dealer(tables, (player, others), seating, np.random.default_rng(seed))
    while tables.number.min() < deals * seats:
        dealer.step()
        rows = np.flatnonzero(tables.finished & (tables.number <= deals * seats))
        won[rows, (tables.number[rows] - 1) // seats] += tables.payoff[rows, 0]
    each = 100 * won.ravel() / seats
    return Result(float(each.mean()), float(CONFIDENT * each.std(ddof=1) / math.sqrt(each.size)), each.size * seats)


def measure(game: Game, player: NetworkPlayer, hands: int, seed: int) -> dict[str, float]:
    """What is watched while learning: exploitability where it is exact, else big blinds per 100 hands by opponent."""
    if game.is_small:
        tree = tree_of(game.name)
        log_probabilities, _ = player.ask(tree.tokens, tree.legal)
        return {"exploitability": exploitability(game.name, np.exp(log_probabilities))}
    return {name: match(game, player, other, hands, seed).won for name, other in game.opponents.items()}
