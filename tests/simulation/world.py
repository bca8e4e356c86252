"""Time, processes and the network between them, all of them simulated.

The law: what happens depends on the plan alone. There is one heap of things to come; of those at the same time the one
that was planned first happens first.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from .laws import Laws
from .plan import Delayed, Killed, Lost, OnTheWay, Plan
from .story import Story

Action = Callable[..., object]

EPOCH_S = 1_924_992_000.0
"""The broker's time of day when a life begins."""
LATE_S = 1e-6
"""A timer rings a little late, as everywhere."""


class Died(Exception):
    """A process is killed in the midst of what it does."""

    def __init__(self, process: Process, for_s: float) -> None:
        super().__init__()
        self.process = process
        self.for_s = for_s


class World:
    """What is shared by all who live in it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.now_s = 0.0
        self.is_over = False
        self.story = Story()
        self.laws = Laws(self.story)
        self.network = Network(self)
        self._heap: list[tuple[float, int, Process | None, int, Action, tuple[Any, ...]]] = []
        self._planned = 0

    @property
    def time_of_day_s(self) -> float:
        """What the broker's clock says."""
        return EPOCH_S + self.now_s

    def at(self, when_s: float, process: Process | None, action: Action, *arguments: Any) -> None:
        """Plans something for a process in its present life; it never happens where that life is over by then."""
        self._planned += 1
        life = process.life if process else 0
        heapq.heappush(self._heap, (when_s, self._planned, process, life, action, arguments))

    def run(self, until_s: float) -> None:
        """Lets things happen until it is over, or until this time."""
        heap = self._heap
        while heap and not self.is_over:
            when_s, _, process, life, action, arguments = heapq.heappop(heap)
            if when_s > until_s:
                return
            self.now_s = when_s
            self.story.now_s = when_s
            if process is None or (process.is_up and process.life == life):
                self._do(process, action, arguments)

    def _do(self, process: Process | None, action: Action, arguments: tuple[Any, ...]) -> None:
        if process and process.frozen_until_s > self.now_s:
            self.at(process.frozen_until_s, process, action, *arguments)
            return
        try:
            action(*arguments)
        except Died as died:
            died.process.crash(died.for_s)


class Process:
    """Something that can be killed, frozen and cut off. Its clock has nothing to do with anybody else's."""

    def __init__(self, world: World, name: str, clock_s: float) -> None:
        self.world = world
        self.name = name
        self.life = 0
        self.is_up = False
        self.frozen_s = 0.0
        self.frozen_until_s = 0.0
        self.cut_until_s = 0.0
        self._clock_s = clock_s

    @property
    def clock_s(self) -> float:
        """Its monotonic clock."""
        return self.world.now_s + self._clock_s

    def after(self, delay_s: float, action: Action, *arguments: Any) -> None:
        """Does something later, if it still lives then."""
        self.world.at(self.world.now_s + max(0.0, delay_s) + LATE_S, self, action, *arguments)

    def tell(self, words: str, *facts: object) -> None:
        """Adds a line to the story."""
        self.world.story.add(self.name, words, facts)

    def start(self) -> None:
        """Begins a life."""
        if not self.is_up:
            self.is_up = True
            self.life += 1
            self.tell("starts")
            self.began()

    def crash(self, for_s: float) -> None:
        """Ends at once, and starts again some time later."""
        if self.is_up:
            self.tell("is killed")
            self.is_up = False
            self.ended()
            self.world.at(self.world.now_s + for_s, None, self.start)

    def freeze(self, for_s: float) -> None:
        """Stands still for a while."""
        if self.is_up:
            self.tell("stands still for {} s", for_s)
            if self.frozen_until_s <= self.world.now_s:
                self.frozen_s = self.world.now_s
            self.frozen_until_s = max(self.frozen_until_s, self.world.now_s + for_s)

    def cut_off(self, for_s: float) -> None:
        """Can't be reached for a while, and reaches nobody."""
        self.tell("is cut off for {} s", for_s)
        self.cut_until_s = max(self.cut_until_s, self.world.now_s + for_s)
        self.world.at(self.world.now_s + for_s, None, self._reachable)

    def _reachable(self) -> None:
        if self.is_up:
            self.world.at(self.world.now_s, self, self.reconnected)

    def on_delivery(self, delivery: Any) -> None:
        """A consumer delivers something."""

    def reconnected(self) -> None:
        """The broker can be reached again, and may have forgotten who was there."""

    def began(self) -> None:
        """A life begins."""

    def ended(self) -> None:
        """A life has ended; what was only in memory is gone."""


class Alarm:
    """Rings at the soonest of many deadlines, by its process's clock, as `hearthmind.alarm` does."""

    def __init__(self, process: Process, ring: Callable[[], None]) -> None:
        self._process = process
        self._ring = ring
        self._when_s: float | None = None

    def set(self, when_s: float | None) -> None:
        """Rings at this time; a time later than the one already set changes nothing."""
        if when_s is not None and (self._when_s is None or when_s < self._when_s):
            self._when_s = when_s
            self._process.after(when_s - self._process.clock_s, self._on_time, when_s)

    def _on_time(self, when_s: float) -> None:
        if when_s == self._when_s:
            self._when_s = None
            self._ring()


class Network:
    """Carries messages, each some time after it was sent; what the plan says happens to them on their way."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._sent: Counter[str] = Counter()
        self._faults: defaultdict[tuple[str, int], list[OnTheWay]] = defaultdict(list)
        for fault in world.plan.faults:
            if isinstance(fault, OnTheWay):
                self._faults[fault.channel, fault.nth].append(fault)

    def send(self, channel: str, sender: Process, receiver: Process, action: Action, *arguments: Any) -> None:
        """Sends a message to a process as it lives now: a later life of it gets nothing."""
        world = self._world
        nth = self._sent[channel]
        self._sent[channel] += 1
        if not receiver.is_up or max(sender.cut_until_s, receiver.cut_until_s) > world.now_s:
            return
        latencies_s = world.plan.latencies_s
        killed = None
        arrives_s = [world.now_s + latencies_s[(7 * nth + len(channel)) % len(latencies_s)]]
        for fault in self._faults.get((channel, nth), ()):
            if isinstance(fault, Lost):
                world.story.add("network", "loses {} {}", (channel, nth))
                arrives_s = []
            elif isinstance(fault, Killed):
                killed = fault
            elif isinstance(fault, Delayed):
                world.story.add("network", "holds up {} {} for {} s", (channel, nth, fault.by_s))
                arrives_s = [arrive_s + fault.by_s for arrive_s in arrives_s]
            else:
                world.story.add("network", "doubles {} {}", (channel, nth))
                arrives_s += [arrive_s + fault.after_s for arrive_s in arrives_s[:1]]
        for arrive_s in arrives_s:
            world.at(arrive_s, receiver, action, *arguments)
        if killed:
            world.story.add("fault", "kills {} after it has sent {} {}", (sender.name, channel, nth))
            raise Died(sender, killed.for_s)
