"""Play at many tables in lockstep, kept as what PPO learns from.

The law: what is kept of a decision is what the player saw, what it did, and how likely it was to do so by its own account.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.selfplay.model import valued
from services.selfplay.players import Enumerated, Player, draw
from services.selfplay.tables import Bool, Float32, Int8, Int16, Int32, Tables

LEARNER = 0
"""The player whose decisions are learned from; the others are opponents."""


@dataclass(frozen=True)
class Rollout:
    """T steps of N tables of P seats."""

    tokens: Int16
    """[R, L] everything that was seen; each thing once where the game is so small that all of it is known"""
    legal: Bool
    """[R, A]"""
    row: Int32
    """[T, N] what was seen at each decision, as a row of the above"""
    actor: Int8
    """[T, N] the seat"""
    learner: Bool
    """[T, N] whether the learner sat there"""
    action: Int8
    """[T, N]"""
    log_probability: Float32
    """[T, N]"""
    outlook: Float32
    """[T, N, K] what somebody who sees everything guessed"""
    value: Float32
    """[T, N]"""
    finished: Bool
    """[T, N]"""
    payoff: Float32
    """[T, N, P]"""

    @property
    def games(self) -> int:
        """How many hands came to their end."""
        return int(self.finished.sum())


def joined(parts: Sequence[Rollout]) -> Rollout:
    """The rollouts of several lots of tables as one, side by side."""
    first, rows, seen = parts[0], [], 0
    known = len(first.tokens) < first.row.size  # the same views for all
    for part in parts:
        rows.append(part.row + np.int32(0 if known else seen))
        seen += len(part.tokens)

    def beside(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts], 1)

    tokens = first.tokens if known else np.concatenate([part.tokens for part in parts])
    legal = first.legal if known else np.concatenate([part.legal for part in parts])
    names = ("actor", "learner", "action", "log_probability", "outlook", "value", "finished", "payoff")
    return Rollout(tokens, legal, np.concatenate(rows, 1), *map(beside, names))


class Dealer:
    """Asks whoever is to act at each table, draws what they do, and plays it; shows the last step.

    The values are of use only where it is `judging`, since they need what is hidden to be looked at.
    """

    def __init__(
        self,
        tables: Tables,
        players: Sequence[Player],
        seating: Int8,
        dice: np.random.Generator,
        *,
        judging: bool = False,
    ) -> None:
        """`seating` [N, P] says which of the players sits where."""
        count = tables.count
        self.tables = tables
        self.tokens = np.zeros((count, tables.tokens_max), np.int16)
        self.legal = np.zeros((count, tables.actions), np.bool_)
        self.actor, self.action = np.zeros(count, np.int8), np.zeros(count, np.int8)
        self.player = np.zeros(count, np.int8)
        self.log_probability, self.value = np.zeros(count, np.float32), np.zeros(count, np.float32)
        self.outlook = np.zeros((count, tables.outlooks), np.float32)
        self._players, self._seating, self._dice, self._judging = players, seating, dice, judging
        self._every = np.arange(count)

    def step(self) -> None:
        """One decision at every table."""
        self.tables.observe(self.tokens, self.legal, self.actor)
        if self._judging:
            self.tables.foresee(self.outlook)
        self.player = self._seating[self._every, self.actor]
        for number in np.unique(self.player):
            rows = np.flatnonzero(self.player == number)
            weighed, worth = self._players[number].weigh(self.tables, rows, self.tokens[rows], self.legal[rows])
            chosen = draw(weighed, self._dice)
            self.action[rows], self.value[rows] = chosen, valued(worth, self.outlook[rows])
            self.log_probability[rows] = np.take_along_axis(weighed, chosen[:, None], 1)[:, 0]
        self.tables.step(self.action)


def collect(tables: Tables, players: Sequence[Player], seating: Int8, steps: int, dice: np.random.Generator) -> Rollout:
    """Plays that many steps; `seating` [N, P] says which of the players sits where."""
    shape, dealer = (steps, tables.count), Dealer(tables, players, seating, dice, judging=True)
    enumerated = tables if isinstance(tables, Enumerated) else None
    row = np.arange(steps * tables.count, dtype=np.int32).reshape(shape)
    tokens = np.zeros((0 if enumerated else steps, tables.count, tables.tokens_max), np.int16)
    legal = np.zeros((*tokens.shape[:2], tables.actions), np.bool_)
    actor, learner, action = np.zeros(shape, np.int8), np.zeros(shape, np.bool_), np.zeros(shape, np.int8)
    likely, value = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    outlook = np.zeros((*shape, tables.outlooks), np.float32)
    finished, payoff = np.zeros(shape, np.bool_), np.zeros((*shape, tables.players), np.float32)

    for step in range(steps):
        if enumerated:
            row[step] = enumerated.view
        dealer.step()
        if not enumerated:
            tokens[step], legal[step] = dealer.tokens, dealer.legal
        actor[step], action[step], learner[step] = dealer.actor, dealer.action, dealer.player == LEARNER
        likely[step], outlook[step], value[step] = dealer.log_probability, dealer.outlook, dealer.value
        finished[step], payoff[step] = tables.finished, tables.payoff

    seen = enumerated.views if enumerated else (tokens.reshape(row.size, -1), legal.reshape(row.size, -1))
    return Rollout(seen[0], seen[1], row, actor, learner, action, likely, outlook, value, finished, payoff)
