"""The core of the worker, without I/O: which request is next.

The law: of what waits here, the highest tier starts first, one tier higher for every `ageing_s` of waiting; nothing
starts after its deadline; never more than `slots` run; and every request that comes in starts or expires exactly once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import msgspec

from hearthmind.contracts.inference import Infer
from hearthmind.flow import TIERS

_RANK = {tier: rank for rank, tier in enumerate(TIERS)}


class Job(msgspec.Struct, frozen=True):
    """A request as it came in; the ticket is whatever the handlers need to answer it."""

    infer: Infer
    deadline_s: float
    received_s: float
    ticket: object


class Start(msgspec.Struct, frozen=True):
    """Give it to the engine; when it has ended, tell `finished`."""

    job: Job


class Expire(msgspec.Struct, frozen=True):
    """Nobody waits for it any more."""

    job: Job


Effect = Start | Expire


@dataclass
class Line:
    """The state: what waits, by tier, and how much runs."""

    slots: int
    prefetch: int
    ageing_s: float
    running: int = 0
    _waiting: dict[str, deque[Job]] = field(default_factory=lambda: {tier: deque() for tier in TIERS})

    def arrived(self, job: Job, now_s: float) -> list[Effect]:
        """A request came from the bus."""
        self._waiting[job.infer.tier].append(job)
        return self._next(now_s)

    def finished(self, now_s: float) -> list[Effect]:
        """A request that was started has ended, however."""
        self.running -= 1
        return self._next(now_s)

    def room(self, tier: str) -> int:
        """How many more requests of a tier may be fetched."""
        return self.prefetch - len(self._waiting[tier])

    def hand_back(self) -> list[Job]:
        """Takes out everything that has not been started."""
        jobs = [job for line in self._waiting.values() for job in line]
        for line in self._waiting.values():
            line.clear()
        return jobs

    def _next(self, now_s: float) -> list[Effect]:
        effects: list[Effect] = []
        while self.running < self.slots and (line := self._first(now_s)):
            job = line.popleft()
            if now_s >= job.deadline_s:
                effects.append(Expire(job))
            else:
                self.running += 1
                effects.append(Start(job))
        return effects

    def _first(self, now_s: float) -> deque[Job] | None:
        lines = [(self._rank(line[0], now_s), rank, line) for rank, line in enumerate(self._waiting.values()) if line]
        return min(lines)[2] if lines else None

    def _rank(self, job: Job, now_s: float) -> float:
        return _RANK[job.infer.tier] - (now_s - job.received_s) / self.ageing_s
