"""What came of a turn, as the facts that rewards are made of.

Production is counted with everything in the building queue, which is paid for: so an order to build shows in its own
outcome and not in one hours later.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Self

from hearthmind.contracts.wire import Fact

from .raids import Battle
from .rules import RESOURCES, TROOPS, Ints
from .sight import LOSS, WIN, Json
from .world import Hour, World


@dataclasses.dataclass(frozen=True)
class Aftermath:
    """The figures of all villages after an hour."""

    produced_before: list[int]
    produced: list[int]
    wasted: list[int]
    uptime: list[float]
    ranks: list[int]
    population: list[int]
    stocks: list[list[int]]
    troops: list[list[int]]

    @classmethod
    def of(cls, world: World, hour: Hour, produced_before: Ints) -> Self:
        """Read it off the world that has just stepped."""
        return cls(
            produced_before=produced_before.tolist(),
            produced=world.planned_production().sum(axis=1).tolist(),
            wasted=hour.wasted.tolist(),
            uptime=world.queue_uptime().tolist(),
            ranks=world.ranks().tolist(),
            population=world.population().tolist(),
            stocks=world.stocks.tolist(),
            troops=world.troops.tolist(),
        )

    def standing(self, player: int) -> dict[str, Fact]:
        """Where a player stands: what every outcome tells."""
        return {"rank": self.ranks[player], "population": self.population[player], "villages": 1}

    def economic(self, player: int) -> dict[str, Fact]:
        """How its economy fared."""
        return self.standing(player) | {
            "production_before": self.produced_before[player],
            "production_after": self.produced[player],
            "wasted": self.wasted[player],
            "queue_uptime": self.uptime[player],
        }

    def raid(self, battle: Battle, arguments: Mapping[str, Fact]) -> dict[str, Fact]:
        """How its raid went."""
        return self.standing(battle.player) | {
            "victory": battle.victory,
            "own_losses": battle.own_losses,
            "enemy_losses": battle.enemy_losses,
            "resources_gained": battle.loot,
            "predicted": arguments["predicted"],
            "result": WIN if battle.victory else LOSS,
        }

    def state(self, player: int) -> dict[str, Json]:
        """What it is left with."""
        return {
            "resources": dict(zip(RESOURCES, self.stocks[player], strict=True)),
            "troops": dict(zip(TROOPS, self.troops[player], strict=True)),
        }
