"""Kuhn and Leduc poker as tables in lockstep, from OpenSpiel's game trees, where play can be measured exactly.

The whole tree is walked once into arrays; a step of all tables is then a few look-ups. What a player sees are the features
of OpenSpiel's information state that are present, so that the tokens owe nothing to which game it is. These games are so
small that every view is known beforehand (`views`): whoever plays may be asked about each of them once instead of at
each table, and `view` says which of them each table is at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pyspiel
from numpy.typing import NDArray

from hearthmind.errors import Refused

GAMES = {"kuhn": "kuhn_poker", "leduc": "leduc_poker"}


class NotSmall(Refused):
    """{game!r} is not one of the small games {known}."""


@dataclass
class Tree:
    """A game's histories as rows of arrays."""

    name: str
    player: NDArray[np.int8]
    """[H] who is to act: a seat, -1 for chance, -4 at the end, as OpenSpiel counts"""
    child: NDArray[np.int32]
    """[H, K] the history after each action or outcome of chance"""
    odds: NDArray[np.float64]
    """[H, K] at chance, the sum of the odds up to and with each outcome"""
    payoff: NDArray[np.float32]
    """[H, P]"""
    view: NDArray[np.int32]
    """[H] what the player to act sees, as a row of the views"""
    tokens: NDArray[np.int16]
    """[V, L]"""
    legal: NDArray[np.bool_]
    """[V, A]"""
    viewer: NDArray[np.int8]
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
    _describe(tree, {key: state for key, (_, state) in views.items()}, rules.num_distinct_actions())
    return tree


def _walk(state: Any) -> Iterator[Any]:
    yield state
    if not state.is_terminal():
        for move in state.legal_actions():
            yield from _walk(state.child(move))


def _describe(tree: Tree, views: dict[str, Any], actions: int) -> None:
    features = [np.flatnonzero(state.information_state_tensor()) + 1 for state in views.values()]
    tree.keys = list(views)
    tree.words = [
        {move: state.action_to_string(state.current_player(), move) for move in state.legal_actions()}
        for state in views.values()
    ]
    tree.tokens = np.zeros((len(views), max(map(len, features))), np.int16)
    tree.legal = np.zeros((len(views), actions), np.bool_)
    tree.viewer = np.array([state.current_player() for state in views.values()], np.int8)
    for row, (present, state) in enumerate(zip(features, views.values(), strict=True)):
        tree.tokens[row, : len(present)] = present
        tree.legal[row, state.legal_actions()] = True


class SmallTables:
    """Many tables of a small game in lockstep; satisfies `Tables`."""

    def __init__(self, game: str, count: int, seed: int) -> None:
        self.tree = tree_of(game)
        self.count = count
        self.players = self.tree.payoff.shape[1]
        self.actions = self.tree.legal.shape[1]
        self.tokens_max = self.tree.tokens.shape[1]
        self.lead = 1
        self.vocabulary = 1 + pyspiel.load_game(self.tree.name).information_state_tensor_size()
        self.number = np.zeros(count, np.int64)
        self.finished = np.zeros(count, np.bool_)
        self.payoff = np.zeros((count, self.players), np.float32)
        self._dice = np.random.default_rng(seed)
        self._at = np.zeros(count, np.int32)
        self._let_chance_move()

    @property
    def view(self) -> NDArray[np.int32]:
        """[N] the view of whoever is to act, as a row of `views`."""
        return self.tree.view[self._at]

    @property
    def views(self) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """The tokens [V, L] and legal actions [V, A] of everything that can be seen."""
        return self.tree.tokens, self.tree.legal

    def observe(self, tokens: NDArray[np.int16], mask: NDArray[np.bool_], actor: NDArray[np.int8]) -> None:
        """Fills in what whoever is to act sees, may do, and who it is."""
        view = self.view
        tokens[:] = self.tree.tokens[view]
        mask[:] = self.tree.legal[view]
        actor[:] = self.tree.player[self._at]

    def step(self, action: NDArray[np.int8]) -> None:
        """All tables one decision further; a finished hand is paid out and the next one dealt."""
        self._at = self.tree.child[self._at, action.astype(np.intp)]
        self._let_chance_move()
        self.finished = self.tree.player[self._at] == pyspiel.PlayerId.TERMINAL
        self.payoff = self.tree.payoff[self._at]
        self.number += self.finished
        self._at[self.finished] = 0
        self._let_chance_move()

    def _let_chance_move(self) -> None:
        while True:
            chance = np.flatnonzero(self.tree.player[self._at] == pyspiel.PlayerId.CHANCE)
            if not len(chance):
                return
            at = self._at[chance]
            drawn = self._dice.random(len(chance))
            outcome = (drawn[:, None] >= self.tree.odds[at]).sum(1)
            self._at[chance] = self.tree.child[at, outcome]
