"""One life: the world of a plan from its beginning until everything has come to rest, or a law is broken."""

from __future__ import annotations

from dataclasses import dataclass

from hearthmind.referee import Referee
from services.decision.machine import Partition

from .broker import Broker
from .database import Database
from .decider import Decider
from .game import Game
from .laws import Broken
from .plan import Crashed, CutOff, Frozen, InTime, NoDatabase, Plan, Refused
from .rewarder import Commits, Rewarder
from .story import Story
from .worker import Worker
from .world import Process, World

REST_WITHIN_S = 300.0
"""Longer than all the waiting for acknowledgements that the faults of one plan can cause one after the other."""
LOOK_EVERY_S = 0.25


@dataclass(frozen=True)
class Parts:
    """What a life is built from: the real machines, or broken ones."""

    referee: type[Referee] = Referee
    partition: type[Partition] = Partition
    decider: type[Decider] = Decider
    database: type[Database] = Database
    rewarder: type[Rewarder] = Rewarder


REAL = Parts()


@dataclass(frozen=True)
class Ended:
    """How a life went."""

    plan: Plan
    story: Story
    broken: Broken | None


def live(plan: Plan, parts: Parts = REAL) -> Ended:
    """Lives the whole life."""
    world = World(plan)
    life = Life(world, parts)
    broken = None
    try:
        world.run(plan.calm_s + REST_WITHIN_S)
        world.laws.rests(life.still())
    except Broken as error:
        world.story.add("LAW", "{}", (error,))
        broken = error
    return Ended(plan, world.story, broken)


class Life:
    """Everybody who takes part, and what happens to them by the clock."""

    def __init__(self, world: World, parts: Parts) -> None:
        plan = world.plan
        self._world = world
        self.broker = Broker(world)
        self.game = Game(world, self.broker, parts.referee)
        self.deciders = [
            parts.decider(world, self.broker, number, parts.partition) for number in range(len(plan.joins_s))
        ]
        workers = [Worker(world, self.broker, number) for number in range(plan.workers)]
        self.database = parts.database(lambda: world.now_s, takes_turns=plan.rewards > 1)
        commits = Commits(world, self.database)
        rewarders = [parts.rewarder(world, self.broker, number, commits) for number in range(plan.rewards)]
        processes: list[Process] = [self.broker, self.game, *workers, *rewarders]
        for process in processes:
            world.at(0.0, None, process.start)
        for decider, joins_s in zip(self.deciders, plan.joins_s, strict=True):
            world.at(joins_s, None, decider.start)
        for number, asked in enumerate(plan.asks):
            world.at(asked.at_s, None, self._ask, number)
        by_name = {process.name: process for process in (*processes, *self.deciders)}
        for fault in plan.faults:
            if isinstance(fault, InTime):
                self._plan(fault, by_name)
        world.at(plan.calm_s + LOOK_EVERY_S, None, self._look)

    def _ask(self, number: int) -> None:
        """A game that is down asks nothing; one that stands still asks when it goes on."""
        self._world.at(self._world.now_s, self.game, self.game.ask, number, self._world.plan.asks[number])

    def _plan(self, fault: InTime, by_name: dict[str, Process]) -> None:
        if isinstance(fault, NoDatabase | Refused):
            words = (
                "postgres is away for {} s" if isinstance(fault, NoDatabase) else f"{fault.stream} is full for {{}} s"
            )
            self._world.at(fault.at_s, None, self._world.story.add, "fault", words, (fault.for_s,))
        elif process := by_name.get(fault.who):
            happens = {Crashed: process.crash, Frozen: process.freeze, CutOff: process.cut_off}[type(fault)]
            self._world.at(fault.at_s, None, happens, fault.for_s)

    def _look(self) -> None:
        """Now and then after all faults: has everything come to rest?"""
        world = self._world
        world.is_over = not self.still()
        world.at(world.now_s + LOOK_EVERY_S, None, self._look)

    def still(self) -> list[str]:
        """What has not come to rest yet."""
        still = [
            f"{stream} holds {len(self.broker.streams[stream].messages)} messages"
            for stream in ("OBSERVATION", "EVENT", "EXPERIENCE")
            if self.broker.streams[stream].messages
        ]
        if not self.game.is_at_rest:
            still.append(
                f"the game waits for {self.game.referee.waiting} actions and {len(self.game.journal)} confirmations"
            )
        if parked := sum(not kept.is_settled for kept in self.database.outcomes.committed.values()):
            still.append(f"{parked} outcomes wait for their decisions")
        return still + [f"{each.name} waits for {each.waiting} answers" for each in self.deciders if each.waiting]
