"""Kuhn and Leduc poker as tables in lockstep, from OpenSpiel's game trees, where play can be measured exactly.

The whole tree is walked once into arrays; a step of all tables is then a few look-ups. These games are so small that every
view, all that a player can come to see, is known beforehand (`views`) and is one token of its own: whoever plays may be asked
about each of them once instead of at each table, and `view` says which of them each table is at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyspiel

from hearthmind.errors import Refused
from services.selfplay.cards import below, key_of
from services.selfplay.compiled import compiled
from services.selfplay.tables import Bool, Float32, Int8, Int16, Int32, Int64

GAMES = {"kuhn": "kuhn_poker", "leduc": "leduc_poker"}
CHANCE, OVER = int(pyspiel.PlayerId.CHANCE), int(pyspiel.PlayerId.TERMINAL)
CARDS_KEY, BOARD_KEY = 0, 1
LOTS = 1 << 31

Arrays = tuple[Int8, Int32, npt.NDArray[np.float64], Float32]
"""Of a tree: who is to act, the histories that follow, the odds, the payoffs."""


class NotSmall(Refused):
    """{game!r} is not one of the small games {known}."""


@dataclass
class Tree:
    """A game's histories as rows of arrays."""

    name: str
    player: Int8
    """[H] who is to act: a seat, -1 for chance, -4 at the end, as OpenSpiel counts"""
    child: Int32
    """[H, K] the history after each action or outcome of chance"""
    odds: npt.NDArray[np.float64]
    """[H, K] at chance, the sum of the odds up to and with each outcome"""
    payoff: Float32
    """[H, P]"""
    hope: Float32
    """[H, P] what it comes to where everybody plays at random from here"""
    view: Int32
    """[H] what the player to act sees, as a row of the views"""
    tokens: Int16
    """[V, L]"""
    legal: Bool
    """[V, A]"""
    viewer: Int8
    """[V] whose view it is"""
    keys: list[str] = field(default_factory=list)
    """[V] OpenSpiel's own words for each view"""
    words: list[dict[int, str]] = field(default_factory=list)
    """[V] OpenSpiel's own words for each legal action"""


@cache
def tree_of(game: str) -> Tree:
    """The tree of `kuhn` or `leduc`."""
    if game not in GAMES:
        raise NotSmall(game=game, known=", ".join(GAMES))
    rules = pyspiel.load_game(GAMES[game])
    histories = list(_walk(rules.new_initial_state()))
    number = {state.history_str(): row for row, state in enumerate(histories)}
    width = max(rules.num_distinct_actions(), rules.max_chance_outcomes())
    count, seats = len(histories), rules.num_players()
    tree = Tree(
        name=GAMES[game],
        player=np.array([state.current_player() for state in histories], np.int8),
        child=np.zeros((count, width), np.int32),
        odds=np.ones((count, width)),
        payoff=np.zeros((count, seats), np.float32),
        hope=np.zeros((count, seats), np.float32),
        view=np.zeros(count, np.int32),
        tokens=np.zeros((0, 0), np.int16),
        legal=np.zeros((0, 0), np.bool_),
        viewer=np.zeros(0, np.int8),
    )
    views: dict[str, Any] = {}
    for row, state in enumerate(histories):
        if state.is_terminal():
            tree.payoff[row] = state.returns()
        elif state.is_chance_node():
            outcomes = state.chance_outcomes()
            tree.child[row, : len(outcomes)] = [number[state.child(move).history_str()] for move, _ in outcomes]
            tree.odds[row, : len(outcomes)] = np.cumsum([odds for _, odds in outcomes])
            tree.odds[row, len(outcomes) - 1 :] = 1
        else:
            for move in state.legal_actions():
                tree.child[row, move] = number[state.child(move).history_str()]
            key = state.information_state_string()
            views.setdefault(key, (len(views), state))
            tree.view[row] = views[key][0]
    _guess(tree)
    _describe(tree, {key: state for key, (_, state) in views.items()}, rules.num_distinct_actions())
    return tree


def _walk(state: Any) -> Iterator[Any]:
    yield state
    if not state.is_terminal():
        for move in state.legal_actions():
            yield from _walk(state.child(move))


def _guess(tree: Tree) -> None:
    for row in reversed(range(len(tree.player))):  # whatever follows has a higher number
        if tree.player[row] == OVER:
            tree.hope[row] = tree.payoff[row]
        elif tree.player[row] == CHANCE:
            tree.hope[row] = np.diff(tree.odds[row], prepend=0) @ tree.hope[tree.child[row]]
        else:
            tree.hope[row] = tree.hope[tree.child[row][tree.child[row] > 0]].mean(0)


def _describe(tree: Tree, views: dict[str, Any], actions: int) -> None:
    tree.keys = list(views)
    tree.words = [
        {move: state.action_to_string(state.current_player(), move) for move in state.legal_actions()}
        for state in views.values()
    ]
    tree.tokens = np.arange(1, 1 + len(views), dtype=np.int16)[:, None]
    tree.legal = np.zeros((len(views), actions), np.bool_)
    tree.viewer = np.array([state.current_player() for state in views.values()], np.int8)
    for row, state in enumerate(views.values()):
        tree.legal[row, state.legal_actions()] = True


class SmallTables:
    """Many tables of a small game in lockstep; satisfies `Tables`."""

    def __init__(self, game: str, count: int, seed: int) -> None:
        self.tree = tree_of(game)
        self.count = count
        self.players = self.tree.payoff.shape[1]
        self.actions = self.tree.legal.shape[1]
        self.tokens_max = self.tree.tokens.shape[1]
        self.lead, self.outlooks = 1, 1
        self.vocabulary = 1 + len(self.tree.tokens)
        self.number = np.zeros(count, np.int64)
        self.finished = np.zeros(count, np.bool_)
        self.payoff = np.zeros((count, self.players), np.float32)
        self._at = np.zeros(count, np.int32)
        self._seed, self._steps = seed, 0
        _deal_all(self._at, self._arrays, seed)

    @property
    def view(self) -> Int32:
        """[N] the view of whoever is to act, as a row of `views`."""
        return self.tree.view[self._at]

    @property
    def views(self) -> tuple[Int16, Bool]:
        """The tokens [V, L] and legal actions [V, A] of everything that can be seen."""
        return self.tree.tokens, self.tree.legal

    def observe(self, tokens: Int16, mask: Bool, actor: Int8) -> None:
        """Fills in what whoever is to act sees, may do, and who it is."""
        view = self.view
        tokens[:] = self.tree.tokens[view]
        mask[:] = self.tree.legal[view]
        actor[:] = self.tree.player[self._at]

    def foresee(self, outlook: Float32) -> None:
        """Fills in what random play from here brings whoever is to act."""
        outlook[:, 0] = self.tree.hope[self._at, self.tree.player[self._at]]

    def step(self, action: Int8) -> None:
        """All tables one decision further; a finished hand is paid out and the next one dealt."""
        self._steps += 1
        _step_all(self._at, action, self._arrays, self.number, self.finished, self.payoff, self._seed, self._steps)

    @property
    def _arrays(self) -> Arrays:
        return self.tree.player, self.tree.child, self.tree.odds, self.tree.payoff


@compiled
def _deal_all(at: Int32, arrays: Arrays, seed: int) -> None:
    for table in range(len(at)):
        at[table] = after_chance(at[table], arrays, key_of(seed, table, 0, CARDS_KEY))


@compiled
def _step_all(
    at: Int32, action: Int8, arrays: Arrays, number: Int64, finished: Bool, payoff: Float32, seed: int, step: int
) -> None:
    player, child, _, payoffs = arrays
    for table in range(len(at)):
        here = after_chance(child[at[table], action[table]], arrays, key_of(seed, table, step, BOARD_KEY))
        finished[table] = player[here] == OVER
        payoff[table] = payoffs[here]
        if finished[table]:
            number[table] += 1
            here = after_chance(0, arrays, key_of(seed, table, step, CARDS_KEY))
        at[table] = here


@compiled
def after_chance(here: int, arrays: Arrays, key: np.uint64) -> int:
    """The next history at which a player is to act or the hand is over."""
    player, child, odds, _ = arrays
    drawn = 0
    while player[here] == CHANCE:
        lot, outcome = below(key, drawn, LOTS) / LOTS, 0
        while lot >= odds[here, outcome]:
            outcome += 1
        here, drawn = child[here, outcome], drawn + 1
    return here
