"""Whom the network plays: mostly itself, and at some tables earlier selves and scripted opponents.

So it doesn't run in circles, and learns what to do about play that is worse than its own. At half of those tables it sits at
every other seat, at the other half alone among guests of one kind, as when it is measured.

Members are kept as files, so that a run that is resumed meets the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from services.selfplay import checkpoint
from services.selfplay.games import Game
from services.selfplay.model import Network
from services.selfplay.players import NetworkPlayer, Player
from services.selfplay.rollout import LEARNER
from services.selfplay.settings import Settings
from services.selfplay.tables import Int8, Int64

FIXED = -1
MEMBER = "member_{step}.safetensors"


@dataclass
class League:
    """The earlier selves that are kept, and who sits down with whom."""

    folder: Path
    settings: Settings
    steps: list[int] = field(default_factory=list)
    """When the members joined, oldest first."""
    _players: dict[int, NetworkPlayer] = field(default_factory=dict)

    def admit(self, step: int, network: Network | None) -> None:
        """The network as it is now becomes a member; where there are too many, every other one of the older half stays.

        Without one, somebody else keeps it.
        """
        if network is not None:
            card = checkpoint.Card(network.shape, self.settings, iteration=step)
            checkpoint.save(self._path(step), network.state_dict(), card)
        self.steps.append(step)
        if len(self.steps) > self.settings.league.members_max:
            half = len(self.steps) // 2
            left = [old for place, old in enumerate(self.steps[:half]) if place % 2 == 0]
            self.steps[:half] = left

    def sweep(self) -> None:
        """Removes the files of those who have left; only when a checkpoint is kept, as the one before may know them still."""
        for path in self.folder.glob(MEMBER.format(step="*")):
            step = checkpoint.step_of(path)
            if step not in self.steps:
                path.unlink()

    def seat(self, learner: Player, game: Game, count: int, dice: np.random.Generator) -> tuple[list[Player], Int8]:
        """The players of an iteration, the learner first, and who of them sits where: [N, P]."""
        if self.settings.against:
            return [learner, self._fixed()], seated(game.players, np.ones(count, np.int8), np.full(count, 2))
        wanted = self.settings.league
        self._players = {step: member for step, member in self._players.items() if step in self.steps}
        selves = [self._player(step) for step in self._drawn(dice)]
        scripted = [game.opponents[name] for name in wanted.guests if name in game.opponents]
        seating = np.full((count, game.players), LEARNER, np.int8)
        first = 1
        begin = 0
        for share, guests in ((wanted.selves, selves), (wanted.scripted, scripted)):
            tables = round(share * count) if guests else 0
            here = seating[begin : begin + tables]
            drawn = dice.integers(first, first + max(len(guests), 1), tables)
            here[:] = seated(game.players, drawn.astype(np.int8), dice.choice((2, game.players), tables))
            first, begin = first + len(guests), begin + tables
        return [learner, *selves, *scripted], seating

    def _drawn(self, dice: np.random.Generator) -> list[int]:
        count = min(self.settings.league.playing_max, len(self.steps))
        return sorted(int(step) for step in dice.choice(self.steps, count, replace=False)) if count else []

    def _player(self, step: int) -> NetworkPlayer:
        if step not in self._players:
            network, _ = checkpoint.load(self._path(step), self.settings.device)
            self._players[step] = NetworkPlayer(network, self.settings.actor)
        return self._players[step]

    def _fixed(self) -> NetworkPlayer:
        if FIXED not in self._players:
            network, _ = checkpoint.load(Path(self.settings.against), self.settings.device)
            self._players[FIXED] = NetworkPlayer(network, self.settings.actor)
        return self._players[FIXED]

    def _path(self, step: int) -> Path:
        return self.folder / MEMBER.format(step=step)


def seated(seats: int, guest: Int8, gap: Int64) -> Int8:
    """Every so many seats (`gap`) one is the learner's, another one at each table; all others are the same guest's."""
    place = np.arange(seats)[None, :] + np.arange(len(guest))[:, None]
    return np.where(place % gap[:, None] == 0, np.int8(LEARNER), guest[:, None])
