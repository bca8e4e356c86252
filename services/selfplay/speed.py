"""How many games a second this machine plays and learns from."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from services.selfplay.players import NetworkPlayer
from services.selfplay.ppo import begin, learn
from services.selfplay.rollout import Rollout, collect
from services.selfplay.settings import Settings

STEPS = 16


class Rate(msgspec.Struct, frozen=True):
    """What was done in a time."""

    games: int
    decisions: int
    seconds: float

    @property
    def games_per_s(self) -> float:
        """Hands that came to their end."""
        return self.games / self.seconds


def playing(settings: Settings, precision: str, steps: int = STEPS) -> tuple[Rate, Rollout]:
    """A rollout of the network at its beginning, after one that warms it up."""
    learner = begin(settings, Path())
    player = NetworkPlayer(learner.network, precision)
    seating = np.zeros((settings.tables, settings.players), np.int8)
    dice = np.random.default_rng(settings.seed)
    collect(learner.game.tables(settings.tables, 0), [player], seating, 2, dice)
    tables = learner.game.tables(settings.tables, 1)
    begun_s = time.perf_counter()
    rollout = collect(tables, [player], seating, steps, dice)
    return Rate(rollout.games, rollout.row.size, time.perf_counter() - begun_s), rollout


def learning(settings: Settings, rollout: Rollout) -> Rate:
    """One iteration's learning from a rollout."""
    learner = begin(settings, Path())
    begun_s = time.perf_counter()
    learn(learner, rollout, np.random.default_rng(settings.seed))
    return Rate(rollout.games, rollout.row.size, time.perf_counter() - begun_s)


def show(preset: str, players: int, tables: int, device: str, console: Console) -> None:
    """Measures and prints."""
    settings = Settings(preset=preset, players=players, tables=tables, device=device)
    table = Table("what", "games/s", "decisions/s")
    for precision in ("fp32", "bf16"):
        with console.status(f"playing in {precision}"):
            rate, rollout = playing(settings, precision)
        table.add_row(f"playing, {precision}", f"{rate.games_per_s:,.0f}", f"{rate.decisions / rate.seconds:,.0f}")
    for mixed in (False, True):
        told = msgspec.structs.replace(settings, mixed_precision=mixed)
        with console.status("learning"):
            rate = learning(told, rollout)
        name = "learning, bf16 with fp32 weights" if mixed else "learning, fp32"
        table.add_row(name, f"{rate.games_per_s:,.0f}", f"{rate.decisions / rate.seconds:,.0f}")
    console.print(f"{preset}, {players} players, {tables} tables, {torch.get_num_threads()} threads")
    console.print(table)
