"""Who plays the rollouts: this process, several on this machine, or many machines by Ray, behind one setting.

    workers: 4             # processes; 0 is this one
    workers_by: ray        # or processes

An iteration's tables are dealt out in parts, each with dice of its own made of seed, iteration and number. So what is played
depends on how many parts there are, and not on who plays them. Parts are told everything they need: the weights each time,
the members of the league by their files, in a folder that all machines see under the same path.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from hearthmind.errors import CannotStart, HearthmindError
from services.selfplay.games import Game, game_of
from services.selfplay.league import League
from services.selfplay.model import Network, Shape
from services.selfplay.players import NetworkPlayer
from services.selfplay.rollout import Rollout, collect
from services.selfplay.settings import Settings

Weights = dict[str, np.ndarray]


class WorkerFailed(HearthmindError):
    """A process could not play its part: {why}"""


class WorkerEnded(HearthmindError):
    """A process that plays has ended: {why}. Begin again with --resume."""


@dataclass(frozen=True)
class Part:
    """A share of an iteration's tables."""

    settings: Settings
    folder: Path
    shape: Shape
    iteration: int
    number: int
    of: int
    members: tuple[int, ...]
    """Of the league."""

    @property
    def tables(self) -> int:
        """How many tables it has; of what can't be divided the first parts have one more."""
        each, left = divmod(self.settings.tables, self.of)
        return each + (self.number < left)


class Workers(Protocol):
    """Whoever plays parts."""

    def play(self, parts: Sequence[Part], network: Network) -> list[Rollout]:
        """Their rollouts, in their order."""
        ...


def play(part: Part, network: Network, game: Game, league: League) -> Rollout:
    """Plays a part."""
    dice = np.random.default_rng([part.settings.seed, part.iteration, part.number + 1])
    learner = NetworkPlayer(network, part.settings.actor)
    tables = game.tables(part.tables, int(dice.integers(2**31)))
    players, seating = league.seat(learner, game, part.tables, dice)
    return collect(tables, players, seating, part.settings.steps, dice)


def play_elsewhere(part: Part, weights: Weights) -> Rollout:
    """Plays a part where nothing is known but what is told."""
    torch.set_num_threads(max(1, part.settings.threads))
    game, league = _game_and_league(part.settings, part.folder)
    league.steps = list(part.members)
    network = Network(part.shape)
    network.load_state_dict({name: torch.from_numpy(weight) for name, weight in weights.items()})
    return play(part, network.to(part.settings.device), game, league)


@lru_cache(maxsize=1)
def _game_and_league(settings: Settings, folder: Path) -> tuple[Game, League]:
    return game_of(settings), League(folder, settings)


class Here:
    """This process, one part after the other."""

    def __init__(self, game: Game, league: League) -> None:
        self._game, self._league = game, league

    def play(self, parts: Sequence[Part], network: Network) -> list[Rollout]:
        """Their rollouts."""
        return [play(part, network, self._game, self._league) for part in parts]


class Processes:
    """Processes of this machine, one for each part; they end with this one, however it ends."""

    def __init__(self, count: int) -> None:
        start = multiprocessing.get_context("spawn")
        self._lines: list[Connection] = []
        self.processes = []
        for _ in range(count):
            line, there = start.Pipe()
            process = start.Process(target=_serve, args=(there,), daemon=True)
            process.start()
            there.close()  # so that the line breaks when the process ends
            self._lines.append(line)
            self.processes.append(process)

    def play(self, parts: Sequence[Part], network: Network) -> list[Rollout]:
        """Their rollouts, played at the same time."""
        weights = weights_of(network)
        try:
            for line, part in zip(self._lines, parts, strict=True):
                line.send((part, weights))
            answers = [line.recv() for line in self._lines]
        except (EOFError, OSError) as error:
            raise WorkerEnded(why=error or "nothing is known of it") from error
        for answer in answers:
            if isinstance(answer, str):
                raise WorkerFailed(why=answer)
        return answers

    def close(self) -> None:
        """Ends them."""
        for line in self._lines:
            line.close()
        for process in self.processes:
            process.join()


def _serve(line: Connection) -> None:
    """A process that plays until nobody is at the other end; Ctrl-C is for the one that learns."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        try:
            part, weights = line.recv()
        except EOFError:
            return
        try:
            answer: object = play_elsewhere(part, weights)
        except Exception as error:  # it is told to who asked, in words, as not every error can travel
            answer = f"{type(error).__name__}: {error}"
        line.send(answer)


class Ray:
    """Machines that Ray knows: those of RAY_ADDRESS, or else this one."""

    def __init__(self, count: int) -> None:
        try:
            self._ray: Any = import_module("ray")
        except ModuleNotFoundError as error:
            why = "`workers_by: ray` needs the library ray, which nothing else here does; `pip install ray` installs it"
            raise CannotStart(why=why) from error
        local = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": count, "include_dashboard": False}
        self._ray.init(log_to_driver=False, **local)
        self._play = self._ray.remote(num_cpus=1)(play_elsewhere)

    def play(self, parts: Sequence[Part], network: Network) -> list[Rollout]:
        """Their rollouts, played at the same time; the weights travel once to each machine."""
        weights = self._ray.put(weights_of(network))
        rollouts: list[Rollout] = self._ray.get([self._play.remote(part, weights) for part in parts])
        return rollouts

    def close(self) -> None:
        """Leaves them, and ends what was started here."""
        self._ray.shutdown()


def weights_of(network: Network) -> Weights:
    """The weights as plain arrays, which travel anywhere."""
    return {name: weight.detach().cpu().numpy() for name, weight in network.state_dict().items()}


@contextmanager
def workers_of(settings: Settings, game: Game, league: League) -> Iterator[Workers]:
    """Those that the settings ask for."""
    if not settings.workers:
        yield Here(game, league)
        return
    workers = Processes(settings.workers) if settings.workers_by == "processes" else Ray(settings.workers)
    try:
        yield workers
    finally:
        workers.close()
