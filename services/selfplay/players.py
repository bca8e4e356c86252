"""Who sits at the tables: anyone that weighs the legal actions of what it sees.

A player answers for many tables at once and draws nothing itself: it says how likely each action is, and whoever deals
draws. So a rollout knows how likely every choice was, whoever made it and in whatever precision.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch

from services.selfplay.model import Network, shortened
from services.selfplay.tables import Bool, Float32, Int16, Int32, Int64, Tables

ROWS = {"cpu": 256, "cuda": 8192}
"""Rows that the network reads at a time. Few of about the same length have little padding, and stay in a core's caches."""


class Player(Protocol):
    """Somebody at the tables."""

    def weigh(self, tables: Tables, rows: Int64, tokens: Int16, legal: Bool) -> tuple[Float32, Float32]:
        """Log-probabilities [B, A] and what it is worth [B, 1 + K] for these `rows` of the tables, where it is to act."""
        ...


@runtime_checkable
class Enumerated(Protocol):
    """Tables of a game so small that everything that can be seen is known beforehand."""

    @property
    def view(self) -> Int32:
        """[N]: which of the views each table is at."""
        ...

    @property
    def views(self) -> tuple[Int16, Bool]:
        """Tokens [V, L] and legal actions [V, A] of all that can be seen."""
        ...


class NetworkPlayer:
    """A network as it is now; later learning doesn't change it."""

    def __init__(self, network: Network, precision: str = "fp32") -> None:
        device = next(network.parameters()).device
        copy = Network(network.shape).to(device)
        copy.load_state_dict(network.state_dict())
        self.network = copy.eval()
        if precision == "bf16":
            self.network = copy.bfloat16()
        self._device = device
        self._remembered: tuple[Float32, Float32] | None = None

    def weigh(self, tables: Tables, rows: Int64, tokens: Int16, legal: Bool) -> tuple[Float32, Float32]:
        """What the network says; of an enumerated game it is asked about everything once, and remembered."""
        if not isinstance(tables, Enumerated):
            return self.ask(tokens, legal)
        if self._remembered is None:
            self._remembered = self.ask(*tables.views)
        view = tables.view[rows]
        return self._remembered[0][view], self._remembered[1][view]

    @torch.inference_mode()
    def ask(self, tokens: Int16, legal: Bool) -> tuple[Float32, Float32]:
        """Log-probabilities [B, A] and what it is worth [B, 1 + K] of any rows."""
        weighed = np.empty(legal.shape, np.float32)
        worth = np.empty((len(legal), 1 + self.network.shape.outlooks), np.float32)
        for part in by_length(tokens, self._device.type):
            seen = shortened(torch.from_numpy(tokens[part].astype(np.int32))).to(self._device)
            log_probabilities, worths = self.network(seen, torch.from_numpy(legal[part]).to(self._device))
            weighed[part], worth[part] = log_probabilities.cpu().numpy(), worths.cpu().numpy()
        return weighed, worth


def by_length(tokens: Int16, device: str) -> list[Int64]:
    """All rows, the shortest first, in parts that the network reads at a time."""
    length = (tokens != 0).sum(1)
    return np.array_split(np.argsort(length, kind="stable"), max(1, round(len(tokens) / ROWS[device])))


def draw(log_probabilities: Float32, dice: np.random.Generator) -> Int64:
    """An action for each row, as likely as it says."""
    sums = np.exp(log_probabilities).cumsum(1)
    drawn = dice.random(len(sums), np.float32) * sums[:, -1]
    chosen: Int64 = (drawn[:, None] >= sums).sum(1)
    return chosen
