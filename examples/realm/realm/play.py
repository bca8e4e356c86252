"""A world played by minds: ask everyone, step when all have answered, tell what came of it.

The law: every decision gets exactly one outcome. What can be known at once is told in the same turn; what a party, an offer
or a priority led to is told when it has come to its end; at the end of the play the world goes on without new orders until
nothing is open any more, and days that are not over are told of as they stand.
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

from .aftermath import NOBODY, Aftermath, Facts
from .answers import as_order
from .events import WIN, Answered, Battle, Hour
from .grudges import Grudges
from .log import Log
from .orders import Answer, Buy, March, Order, Propose
from .rows import ERRANDS, EVADE, HELP
from .rules import DAY_H, is_night
from .sight import COMBAT, DIPLOMACY, ECONOMIC, STRATEGIC, Sight, look
from .situation import player_name, village_name
from .world import World

_TOP = 5
_TOLD = 5
ASKED_AT_ONCE = 5_000
"""Questions under way at once, so that those of a large world don't wait in the broker for most of their time."""
_BEFORE = ("rank", "population", "villages")


@dataclasses.dataclass(frozen=True)
class Turn:
    """One turn, for those who watch."""

    turn: int  # also the game hour
    actions: Counter[str]
    battles: list[Battle]
    under_way: int  # decisions of which nobody knows yet what came
    top: list[tuple[str, int]]  # the first players and their population
    villages: int
    allied: int  # players in alliances
    truces: int

    @property
    def lines(self) -> list[str]:
        """What there is to see, for the live view of a demo."""
        night = ", night" if is_night(self.turn) else ""
        first = "   ".join(f"{rank}. {name} ({people:,})" for rank, (name, people) in enumerate(self.top, 1))
        lines = [
            f"day {self.turn // DAY_H}, {self.turn % DAY_H:02}:00{night}",
            f"ranks    {first}",
            f"villages {self.villages:,}   allied {self.allied:,}   truces {self.truces:,}   under way {self.under_way:,}",
        ]
        return lines + [_told(battle) for battle in self.battles[:_TOLD]]


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


@dataclasses.dataclass
class _Answer:
    """What a player was asked, what it decided, and what that orders; None for waiting and holding."""

    sight: Sight
    decision: Decision
    order: Order | None
    before: Facts
    refused: bool = False

    def takes_time(self) -> bool:
        """Whether what comes of it is known later."""
        if self.refused or (isinstance(self.order, March) and self.order.errand in (HELP, EVADE)):
            return False
        return isinstance(self.order, March | Propose)


_Key = tuple[int, int, str]
"""Player, turn of the order, kind: a player gives one order of each kind in a turn."""


class _Table:
    """Where the players sit: the world, and what nobody knows yet what will come of."""

    def __init__(self, mind: Client, world: World, log: Log | None, answer_within_s: float, episode: str) -> None:
        self._mind = mind
        self._world = world
        self._log = log
        self._answer_within_s = answer_within_s
        self._episode = episode
        self._open: dict[_Key, _Answer] = {}
        self._days: dict[int, _Answer] = {}
        self._grudges = Grudges()
        self._asking = asyncio.Semaphore(ASKED_AT_ONCE)

    async def turn(self) -> Turn:
        """Everyone answers, an hour passes, everyone hears what came of it."""
        sights = look(self._world)
        decisions = await asyncio.gather(*map(self._ask, sights))
        answers = self._answers(sights, decisions)
        now = self._world.turn
        self._open |= {
            (answer.sight.player, now, answer.sight.kind): answer for answer in answers if answer.takes_time()
        }
        hour, after = self._step([answer.order for answer in answers if answer.order and not answer.refused])
        told = [*self._come_to_an_end(hour, after), *self._days_over(answers, after)]
        missed = {miss.player for miss in hour.missed}
        dealt = {answered.to: answered for answered in hour.answered if not answered.expired}
        for answer in answers:
            if isinstance(answer.order, Answer) and not answer.refused:
                told.append(self._tell_answered(answer, dealt[answer.sight.player], after))
            elif answer.sight.kind != STRATEGIC and not answer.takes_time():
                late = isinstance(answer.order, Buy) and answer.sight.player in missed
                told.append(self._report(answer, not answer.refused and not late, self._facts(answer, after), after))
        await asyncio.gather(*told)
        return self._seen(Counter(decision.action for decision in decisions), hour)

    async def finish(self) -> None:
        """Let what is under way come to its end."""
        after = None
        while self._open:
            hour, after = self._step([])
            await asyncio.gather(*self._come_to_an_end(hour, after))
        if self._days:
            _, after = self._step([])
            await asyncio.gather(*self._days_over(list(self._days.values()), after))

    async def _ask(self, sight: Sight) -> Decision:
        async with self._asking:
            return await self._mind.observe(
                npc=player_name(sight.player),
                kind=sight.kind,
                legal_actions=sight.legal_actions,
                state=sight.state,
                snapshot=self._world.turn,
                answer_within_s=self._answer_within_s,
                priority=sight.priority,
                game_time=float(self._world.turn),
                episode=self._episode,
            )

    def _answers(self, sights: Sequence[Sight], decisions: Sequence[Decision]) -> list[_Answer]:
        world = self._world
        columns = (world.ranks().tolist(), world.population().tolist(), world.villages_owned().tolist())
        standing = [dict(zip(_BEFORE, row, strict=True)) for row in zip(*columns, strict=True)]
        answers = [
            _Answer(
                sight,
                decision,
                as_order(world, sight, decision.action, decision.arguments),
                standing[sight.player],
            )
            for sight, decision in zip(sights, decisions, strict=True)
        ]
        given = [answer for answer in answers if answer.order]
        for place in world.problems([answer.order for answer in given if answer.order]):
            given[place].refused = True
        return answers

    def _step(self, orders: Sequence[Order]) -> tuple[Hour, Aftermath]:
        if self._log:
            self._log.turn(orders)
        produced_before = self._world.planned_production().sum(axis=1)
        hour = self._world.step(orders)
        return hour, Aftermath.of(self._world, hour, produced_before)

    def _facts(self, answer: _Answer, after: Aftermath) -> Facts:
        sight = answer.sight
        return after.economic(sight.player, sight.village) if sight.kind == ECONOMIC else after.standing(sight.player)

    def _come_to_an_end(self, hour: Hour, after: Aftermath) -> Iterator[Awaitable[None]]:
        """Battles, scouts, settlers and offers of which it is known now what came."""
        for battle in hour.battles:
            answer = self._open.pop((battle.player, battle.sent, COMBAT))
            facts = after.battle(battle, answer.decision.arguments)
            related = self._grudges.strike(battle, answer.decision.id, self._world.turn)
            yield self._report(answer, battle.result == WIN, facts, after, related)
        for looked in hour.looks:
            answer = self._open.pop((looked.player, looked.sent, COMBAT))
            yield self._report(answer, looked.found, after.looked(looked), after)
        for settled in hour.settled:
            answer = self._open.pop((settled.player, settled.sent, ECONOMIC))
            facts = after.settled(settled, answer.sight.village)
            yield self._report(answer, settled.village >= 0, facts, after)
        for answered in hour.answered:
            answer = self._open.pop((answered.maker, answered.sent, DIPLOMACY))
            if not answered.expired:
                self._grudges.offer(answered, answer.decision.id)
            yield self._tell_answered(answer, answered, after)

    def _tell_answered(self, answer: _Answer, answered: Answered, after: Aftermath) -> Awaitable[None]:
        player = answer.sight.player
        related = self._grudges.offered(answered) if player == answered.to else ()
        return self._report(answer, answered.accepted, after.answered(answered, player), after, related)

    def _days_over(self, answers: Sequence[_Answer], after: Aftermath) -> Iterator[Awaitable[None]]:
        """Whoever begins a new day hears what came of the one before."""
        for answer in answers:
            if answer.sight.kind != STRATEGIC:
                continue
            player = answer.sight.player
            if over := self._days.pop(player, None):
                facts = after.day_over(player, over.decision.action, over.before)
                yield self._report(over, after.ranks[player] <= int(over.before["rank"]), facts, after)
            if over is not answer:
                self._days[player] = answer

    async def _report(
        self,
        answer: _Answer,
        success: bool,
        facts: dict[str, Fact],
        after: Aftermath,
        related: Sequence[str] = (),
    ) -> None:
        sight, opponent = answer.sight, str(facts.get("opponent", NOBODY))
        await self._mind.report(
            answer.decision,
            success=success,
            facts=facts,
            state_after=after.state(sight.player, sight.village),
            game_time=float(self._world.turn),
            opponent=None if opponent == NOBODY else opponent,
            related=related,
        )

    def _seen(self, actions: Counter[str], hour: Hour) -> Turn:
        population = self._world.population()
        first = np.argsort(-population, kind="stable")[:_TOP].tolist()
        return Turn(
            turn=self._world.turn,
            actions=actions,
            battles=hour.battles,
            under_way=len(self._open),
            villages=len(self._world.villages),
            allied=int((self._world.players.alliance > 0).sum()),
            truces=len(self._world.truces),
            top=[(player_name(player), int(population[player])) for player in first],
        )


def _told(battle: Battle) -> str:
    against = f"{player_name(battle.owner)}'s" if battle.owner >= 0 else "nobody's"
    treason = ", breaking a treaty" if battle.breach else ""
    return (
        f"{player_name(battle.player)} {ERRANDS[battle.errand]}s {against} {village_name(battle.target)}: {battle.result}, "
        f"{battle.own_losses} lost, {battle.enemy_losses} killed, {battle.loot:,} taken{treason}"
    )
