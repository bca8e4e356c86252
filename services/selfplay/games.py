"""The games that can be learned, each with its tables and its scripted opponents."""

from __future__ import annotations

from dataclasses import dataclass

from services.selfplay import opponents
from services.selfplay.holdem import Game as Rules
from services.selfplay.holdem import Holdem
from services.selfplay.players import Player
from services.selfplay.settings import Settings
from services.selfplay.small_games import GAMES, SmallTables
from services.selfplay.tables import Tables

CHIPS = 100
"""Of a big blind."""
SMALL_UNIT = 5.0


@dataclass(frozen=True)
class Game:
    """What is played."""

    name: str
    players: int
    stack: int
    unit: float
    """About the spread of a payoff."""
    opponents: dict[str, Player]

    @property
    def is_small(self) -> bool:
        """Whether play can be measured exactly."""
        return self.name in GAMES

    def tables(self, count: int, seed: int, *, duplicate: bool = False, equity: bool = True) -> Tables:
        """Tables dealt from a seed; with `equity` all-ins are paid what they are worth, so that luck teaches nothing."""
        if self.is_small:
            return SmallTables(self.name, count, seed)
        chips = self.stack * CHIPS
        rules = Rules(players=self.players, stack_min=chips, stack_max=chips, equity=equity, duplicate=duplicate)
        return Holdem(count, rules, seed=seed)


def game_of(settings: Settings) -> Game:
    """The game of a training run."""
    if settings.game in GAMES:
        return Game(settings.game, 2, 0, settings.value_unit or SMALL_UNIT, {"random": opponents.Random()})
    unit = settings.value_unit or settings.stack / 10
    return Game(settings.game, settings.players, settings.stack, unit, opponents.SCRIPTED)
