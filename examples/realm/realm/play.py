"""A world played by minds: ask everyone, step when all have answered, tell what came of it.

The law: every decision gets exactly one outcome. What an economic decision or staying at home led to is told in the same
turn, what a raid led to when it has been fought; at the end the world goes on without new orders until the last one has.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from hearthmind.client import Client, Decision
from hearthmind.contracts.wire import Fact

from .aftermath import Aftermath
from .log import Log
from .orders import Order, Raid
from .raids import Battle
from .sight import ECONOMIC, Sight, as_order, look, names
from .world import World

_TOP = 5


@dataclasses.dataclass(frozen=True)
class Turn:
    """One turn, for those who watch."""

    turn: int  # also the game hour
    actions: Counter[str]
    battles: list[Battle]
    raids_under_way: int
    top: list[tuple[str, int]]  # the first players and their population


async def play(
    mind: Client,
    *,
    npcs: int,
    seed: int,
    until: Callable[[], bool],
    on_turn: Callable[[Turn], None] | None = None,
    turn_s: float = 1.0,
    answer_within_s: float = 1.0,
    log: Path | None = None,
    episode: str | None = None,
) -> World:
    """Play until told to stop (asked between turns); a turn takes at least `turn_s`, with 0 as long as the answers do."""
    world = World.found(npcs, seed)
    with ExitStack() as open_files:
        written = Log(open_files.enter_context(log.open("w", encoding="utf-8")), world) if log else None
        table = _Table(mind, world, written, answer_within_s, episode or f"seed-{seed}")
        while not until():
            begun_s = time.monotonic()
            turn = await table.turn()
            if on_turn:
                on_turn(turn)
            await asyncio.sleep(max(0.0, begun_s + turn_s - time.monotonic()))
        await table.finish()
    return world


class _Table:
    """Where the players sit: the world, and the raids of which nobody knows yet what will come."""

    def __init__(self, mind: Client, world: World, log: Log | None, answer_within_s: float, episode: str) -> None:
        self._mind = mind
        self._world = world
        self._log = log
        self._answer_within_s = answer_within_s
        self._episode = episode
        self._names = names(world)
        self._raids: dict[tuple[int, int], Decision] = {}

    async def turn(self) -> Turn:
        """Everyone answers, an hour passes, everyone hears what came of it."""
        sights = look(self._world)
        decisions = await asyncio.gather(*map(self._ask, sights))
        answers = list(zip(sights, decisions, map(_meant, sights, decisions), strict=True))
        orders = [order for _, _, order in answers if order]
        refused = {orders[place] for place in self._world.problems(orders)}
        at_once = [answer for answer in answers if not isinstance(answer[2], Raid) or answer[2] in refused]
        self._raids |= {
            (sight.player, self._world.turn): decision
            for sight, decision, order in answers
            if isinstance(order, Raid) and order not in refused
        }
        battles, after = self._step([order for order in orders if order not in refused])
        await asyncio.gather(
            *(self._tell(sight, decision, order not in refused, after) for sight, decision, order in at_once),
            *self._tell_fought(battles, after),
        )
        return self._seen(Counter(decision.action for decision in decisions), battles)

    async def finish(self) -> None:
        """Let the raids under way be fought."""
        while self._raids:
            await asyncio.gather(*self._tell_fought(*self._step([])))

    def _ask(self, sight: Sight) -> Awaitable[Decision]:
        return self._mind.observe(
            npc=self._names[sight.player],
            kind=sight.kind,
            legal_actions=sight.legal_actions,
            state=sight.state,
            snapshot=self._world.turn,
            answer_within_s=self._answer_within_s,
            priority=sight.priority,
            game_time=float(self._world.turn),
            episode=self._episode,
        )

    def _step(self, orders: Sequence[Order]) -> tuple[list[Battle], Aftermath]:
        if self._log:
            self._log.turn(orders)
        produced_before = self._world.planned_production().sum(axis=1)
        hour = self._world.step(orders)
        return hour.battles, Aftermath.of(self._world, hour, produced_before)

    def _tell(self, sight: Sight, decision: Decision, carried_out: bool, after: Aftermath) -> Awaitable[None]:
        facts = after.economic(sight.player) if sight.kind == ECONOMIC else after.standing(sight.player)
        return self._report(decision, sight.player, carried_out, facts, after)

    def _tell_fought(self, battles: Sequence[Battle], after: Aftermath) -> Iterator[Awaitable[None]]:
        for battle in battles:
            decision = self._raids.pop((battle.player, battle.sent))
            facts = after.raid(battle, decision.arguments)
            yield self._report(decision, battle.player, battle.victory, facts, after)

    async def _report(
        self, decision: Decision, player: int, success: bool, facts: dict[str, Fact], after: Aftermath
    ) -> None:
        state = after.state(player)
        await self._mind.report(
            decision, success=success, facts=facts, state_after=state, game_time=float(self._world.turn)
        )

    def _seen(self, actions: Counter[str], battles: list[Battle]) -> Turn:
        population = self._world.population()[: self._world.players]
        first = np.argsort(-population, kind="stable")[:_TOP].tolist()
        return Turn(
            turn=self._world.turn,
            actions=actions,
            battles=battles,
            raids_under_way=len(self._raids),
            top=[(self._names[player], int(population[player])) for player in first],
        )


def _meant(sight: Sight, decision: Decision) -> Order | None:
    return as_order(sight.player, decision.action, decision.arguments)
