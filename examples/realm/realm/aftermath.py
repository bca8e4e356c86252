"""What came of a turn, as the facts that rewards and fitness are made of.

Production is counted with everything in the building queue, which is paid for: so an order to build shows in its own
outcome and not in one hours later.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Self

from hearthmind.contracts.wire import Fact

from .events import DRAW, WIN, Answered, Battle, Hour, Looked, Settled
from .rows import ERRANDS
from .rules import ATTACK, DAY_H, RESOURCES, TREATIES, TROOPS, Ints
from .situation import Json, player_name, village_name
from .world import World

Facts = dict[str, Fact]
HIGH, MEDIUM, LOW = "high", "medium", "low"
NOBODY = "nobody"
"""Whose the hamlets are."""


@dataclasses.dataclass(frozen=True)
class Aftermath:
    """The figures of all players and villages after an hour."""

    day: int
    ranks: list[int]
    population: list[int]
    villages: list[int]
    won: list[int]
    beaten: list[int]
    power: list[int]
    tribe: list[int]
    produced_before: list[int]
    produced: list[int]
    wasted: list[int]
    uptime: list[float]
    stocks: list[list[int]]
    troops: list[list[int]]

    @classmethod
    def of(cls, world: World, hour: Hour, produced_before: Ints) -> Self:
        """Read it off the world that has just stepped."""
        power = world.by_player((world.soldiers() * ATTACK[world.tribes()]).sum(axis=1))
        produced = world.planned_production().sum(axis=1).tolist()
        founded = len(produced) - len(produced_before)
        return cls(
            day=world.turn // DAY_H,
            ranks=world.ranks().tolist(),
            population=world.population().tolist(),
            villages=world.villages_owned().tolist(),
            won=world.players.won.tolist(),
            beaten=world.players.beaten.tolist(),
            power=power.tolist(),
            tribe=world.players.tribe.tolist(),
            produced_before=[*produced_before.tolist(), *[0] * founded],
            produced=produced,
            wasted=hour.wasted.tolist(),
            uptime=world.queue_uptime().tolist(),
            stocks=world.villages.stocks.tolist(),
            troops=world.villages.troops.tolist(),
        )

    def standing(self, player: int) -> Facts:
        """Where a player stands: what every outcome tells."""
        return {
            "day": self.day,
            "rank": self.ranks[player],
            "population": self.population[player],
            "villages": self.villages[player],
            "battles_won": self.won[player],
            "battles_lost": self.beaten[player],
        }

    def economic(self, player: int, village: int) -> Facts:
        """How the economy of a village fared."""
        return self.standing(player) | {
            "village": village_name(village),
            "production_before": self.produced_before[village],
            "production_after": self.produced[village],
            "wasted": self.wasted[village],
            "queue_uptime": self.uptime[village],
        }

    def battle(self, battle: Battle, arguments: Mapping[str, Fact]) -> Facts:
        """How a raid or an attack went; a draw is neither victory nor defeat."""
        facts = self.standing(battle.player) | {
            "errand": ERRANDS[battle.errand],
            "target": village_name(battle.target),
            "opponent": player_name(battle.owner) if battle.owner >= 0 else NOBODY,
            "own_losses": battle.own_losses,
            "enemy_losses": battle.enemy_losses,
            "resources_gained": battle.loot,
            "razed": battle.razed,
            "breach": battle.breach,
            "predicted": arguments.get("predicted", ""),
            "result": battle.result,
        }
        return facts if battle.result == DRAW else facts | {"victory": battle.result == WIN}

    def looked(self, looked: Looked) -> Facts:
        """What the scouts brought home."""
        target = village_name(looked.target)
        return self.standing(looked.player) | {"target": target, "found": looked.found, "own_losses": looked.own_losses}

    def settled(self, settled: Settled, village: int) -> Facts:
        """Whether the settlers founded a village."""
        founded = settled.village >= 0
        named: Facts = {"founded_village": village_name(settled.village)} if founded else {}
        return self.economic(settled.player, village) | {"founded": founded} | named

    def answered(self, answered: Answered, player: int) -> Facts:
        """What came of an offer, for its maker or for the one who answered."""
        made = player == answered.maker
        other = answered.to if made else answered.maker
        return self.standing(player) | {
            "treaty": TREATIES[answered.treaty],
            "opponent": player_name(other),
            "accepted": answered.accepted,
            "answered": not answered.expired,
            "trust_change": answered.trust_change if made else answered.maker_trust_change,
            "strategic_value": self.value_of(other, player),
        }

    def value_of(self, other: int, player: int) -> str:
        """How much it matters to be on good terms with another: much, if it is as strong; little, if half as strong."""
        if self.power[other] >= self.power[player]:
            return HIGH
        return LOW if 2 * self.power[other] < self.power[player] else MEDIUM

    def day_over(self, player: int, priority: str, before: Mapping[str, Fact]) -> Facts:
        """What a day with this priority has led to."""
        then = {f"{name}_before": before[name] for name in ("rank", "population", "villages")}
        return self.standing(player) | then | {"priority": priority}

    def state(self, player: int, village: int) -> dict[str, Json]:
        """What it is left with."""
        return {
            "village": village_name(village),
            "resources": dict(zip(RESOURCES, self.stocks[village], strict=True)),
            "troops": dict(zip(TROOPS[self.tribe[player]], self.troops[village], strict=True)),
        }
