"""How many games a second does self-play make, against the naive way and against the network's own forward passes?

    python benchmarks/selfplay_training.py [--seconds 20] [--rounds 3] [--threads 2]

With the 14.6 million parameters of `large`, heads-up: the naive way (fp32, one table, every row padded to 64 tokens), and
rollouts of 512 tables in lockstep with short rows in fp32 and bf16. The network alone is asked about the very rows of the
rollout, in the same batches. Then the small preset's rollouts, as training does them. All variants run in turns, several
times, and the median counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import torch

from services.selfplay.games import Game
from services.selfplay.model import Network
from services.selfplay.players import NetworkPlayer, Player
from services.selfplay.ppo import begin
from services.selfplay.rollout import Dealer
from services.selfplay.settings import Settings
from services.selfplay.tables import Bool, Float32, Int16, Int64, Tables

RESULTS = Path(__file__).parent / "results" / "selfplay_training.json"
NAIVE_TOKENS = 64
TABLES = 512
PRECISIONS = ("fp32", "bf16")


class Naive:
    """Every row padded to what might be needed, in fp32."""

    def __init__(self, network: Network) -> None:
        self._network = network

    @torch.inference_mode()
    def weigh(self, tables: Tables, rows: Int64, tokens: Int16, legal: Bool) -> tuple[Float32, Float32]:
        """What the network says."""
        del tables, rows
        padded = torch.zeros((len(tokens), NAIVE_TOKENS), dtype=torch.int64)
        padded[:, : tokens.shape[1]] = torch.from_numpy(tokens.astype(np.int64))
        weighed, worth = self._network(padded, torch.from_numpy(legal))
        return weighed.numpy(), worth.numpy()


class Remembering:
    """Passes on what another player is asked, and keeps the questions."""

    def __init__(self, player: NetworkPlayer) -> None:
        self.player = player
        self.asked: list[tuple[Int16, Bool]] = []

    def weigh(self, tables: Tables, rows: Int64, tokens: Int16, legal: Bool) -> tuple[Float32, Float32]:
        """What the other one says."""
        self.asked.append((tokens.copy(), legal.copy()))
        return self.player.weigh(tables, rows, tokens, legal)


def games_per_s(game: Game, player: Player, count: int, seconds: float) -> float:
    """Hands a second at so many tables."""
    tables = game.tables(count, 3)
    dealer = Dealer(tables, [player], np.zeros((count, game.players), np.int8), np.random.default_rng(3))
    dealer.step()
    begun_s, games = time.perf_counter(), 0
    while (spent_s := time.perf_counter() - begun_s) < seconds:
        dealer.step()
        games += int(tables.finished.sum())
    return games / spent_s


def of_forward(player: Remembering, spent_s: float) -> float:
    """The share of that time that the network alone takes for the same batches."""
    begun_s = time.perf_counter()
    for tokens, legal in player.asked:
        player.player.ask(tokens, legal)
    return (time.perf_counter() - begun_s) / spent_s


def network_of(preset: str, tokens_max: int = 0) -> tuple[Network, Game]:
    """A network at its beginning, and its game."""
    learner = begin(Settings(preset=preset), Path())
    shape = learner.network.shape
    if not tokens_max:
        return learner.network, learner.game
    return Network(msgspec.structs.replace(shape, tokens_max=tokens_max, lead=1)).eval(), learner.game


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--seconds", type=float, default=20, help="for each variant and round")
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--threads", type=int, default=2)
    told = asked.parse_args()
    torch.set_num_threads(told.threads)

    large, game = network_of("large")
    small, _ = network_of("small")
    variants: dict[str, tuple[Callable[[], Player], int]] = {
        "large, naive": (lambda: Naive(network_of("large", NAIVE_TOKENS)[0]), 1),
        **{f"large, {name}": (lambda name=name: NetworkPlayer(large, name), TABLES) for name in PRECISIONS},  # type: ignore[misc]
        **{f"small, {name}": (lambda name=name: NetworkPlayer(small, name), TABLES) for name in PRECISIONS},  # type: ignore[misc]
    }
    rates: dict[str, list[float]] = {name: [] for name in variants}
    shares: dict[str, list[float]] = {name: [] for name in variants}
    dice = np.random.default_rng(1)
    for _ in range(told.rounds):
        for name in dice.permutation(list(variants)):
            make, tables = variants[name]
            player = make()
            rate, share = measured(game, player, tables, told.seconds)
            rates[name].append(rate)
            shares[name].append(share)

    machine = {"platform": platform.platform(), "cores": os.cpu_count(), "threads": told.threads}
    RESULTS.write_text(json.dumps({**machine, "games a second": rates, "share in the network": shares}, indent=1))
    naive = statistics.median(rates["large, naive"])
    print("| network and way | games/s (median, least and most) | against the naive way | share of it in the network |")
    print("| --- | --- | --- | --- |")
    for name, found in rates.items():
        within = f"{100 * statistics.median(shares[name]):.0f} %" if name != "large, naive" else ""
        spread = f"{statistics.median(found):.1f} ({min(found):.1f} to {max(found):.1f})"
        against = f"{statistics.median(found) / naive:.1f} x" if name.startswith("large") else ""
        print(f"| {name} | {spread} | {against} | {within} |", flush=True)


def measured(game: Game, player: Player, tables: int, seconds: float) -> tuple[float, float]:
    """Games a second, and the share of the time that the network alone takes for the same batches."""
    if not isinstance(player, NetworkPlayer):
        return games_per_s(game, player, tables, seconds), 1.0
    listening = Remembering(player)
    rate = games_per_s(game, listening, tables, seconds)
    del listening.asked[:1]  # the one that warmed up
    return rate, of_forward(listening, seconds)


if __name__ == "__main__":
    main()
