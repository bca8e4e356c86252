"""The core of the worker, without I/O: which request is next, and which need not be started at all.

The law: every request that comes in ends exactly once: it starts, shares the answer of one that wanted the same, is refused as
too late, expires, is withdrawn or goes back. Of what waits here, the highest tier starts first, one tier higher for every
`ageing_s` of waiting, so that nothing starves. Never more than `slots` run, of each tier and those below it never more than its
share, so that the top tiers find room at once; and nothing starts that can't be finished before its deadline, as far as the
engine's speed is known. What is not needed soon is left on the bus, for whoever has room.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from hearthmind.contracts.inference import Infer
from hearthmind.flow import TIERS
from services.inference_worker.speed import Speed

_RANK = {tier: rank for rank, tier in enumerate(TIERS)}

AT_ONCE_MAX = 32
"""So many requests of a tier are asked for in one pull: all tiers are pulled at a time, and may all come."""
WITHDRAWN_MAX = 4_096
"""So many withdrawn requests are remembered for when they come; of more, some are answered in vain."""


class Job(msgspec.Struct, frozen=True, eq=False):
    """A request as it came in; the ticket is whatever the handlers need to answer it."""

    infer: Infer
    deadline_s: float
    received_s: float
    """Since when it waits here: if the bus counted too, an old backlog would go before everything that is urgent."""
    ticket: object
    key: bytes = b""
    """Requests of one key have one answer; empty where each is to have its own."""


class Start(msgspec.Struct, frozen=True):
    """Give it to the engine; when it has ended, tell `finished`, `found` or `failed`."""

    job: Job


class Share(msgspec.Struct, frozen=True):
    """Answer it with what has just been answered: it wanted the same."""

    job: Job


class Late(msgspec.Struct, frozen=True):
    """Say at once that there is no time for it, so that somebody else decides."""

    job: Job
    needs_s: float


class Expire(msgspec.Struct, frozen=True):
    """Nobody waits for it any more: its deadline passed, or it was withdrawn."""

    job: Job


class Leave(msgspec.Struct, frozen=True):
    """Take it out of the engine, then tell `failed`: nobody waits for it any more."""

    job: Job


Effect = Start | Share | Late | Expire | Leave


@dataclass(slots=True)
class _Run:
    job: Job
    began_s: float
    beside: int
    """How many ran with it when it began, itself counted."""
    same: list[Job] = field(default_factory=list)
    """Those that wait for its answer."""


@dataclass
class Line:
    """The state: what waits, by tier, and what runs."""

    slots: int
    prefetch: int
    ageing_s: float
    held_back: float = 0.0
    """The share of the slots that the critical tier has to itself, and again that it has with the strategic one."""
    ahead_s: float = 0.25
    """So much of the engine's work waits here, where more waits on the bus."""
    speed: Speed = field(default_factory=Speed)
    ended: int = 0
    """How many requests the engine is done with."""
    _limits: list[int] = field(init=False)
    _waiting: dict[str, deque[Job]] = field(default_factory=lambda: {tier: deque() for tier in TIERS})
    _runs: dict[int, _Run] = field(default_factory=dict)
    _by_key: dict[bytes, _Run] = field(default_factory=dict)
    _running_of: list[int] = field(default_factory=lambda: [0] * len(TIERS))
    _behind: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TIERS, 0))
    _withdrawn: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        step = int(self.slots * self.held_back)
        self._limits = [max(1, self.slots - min(rank, 2) * step) for rank in range(len(TIERS))]

    @property
    def running(self) -> int:
        """How many the engine works on."""
        return len(self._runs)

    @property
    def waiting(self) -> int:
        """How many wait here."""
        return sum(map(len, self._waiting.values()))

    def is_running(self, job: Job) -> bool:
        """Whether it was started and has not ended."""
        return id(job) in self._runs

    def limit(self, tier: str) -> int:
        """How many of a tier and those below it may run."""
        return self._limits[_RANK[tier]]

    def room(self, tier: str) -> int:
        """How many more requests of a tier may be asked for.

        Where something waits, here or on the bus, no worker has room, and the next one of each tier has to be at hand to
        choose from. Where nothing does, another worker may have room.
        """
        ahead = self._ahead() if self.waiting or any(self._behind.values()) else 0
        wanted = max(0, self._free(tier)) + ahead - len(self._waiting[tier])
        return min(wanted, AT_ONCE_MAX, self.prefetch - len(self._waiting[tier]))

    # ---- what happens ----------------------------------------------------------------------------------------------

    def arrived(self, job: Job, now_s: float, behind: int = 0) -> list[Effect]:
        """A request came from the bus, where so many of its tier wait behind it."""
        tier = job.infer.tier
        self._behind[tier] = behind
        if job.infer.attempt <= self._withdrawn.get(_name(job), -1):
            return [Expire(job)]
        settled = self._without_engine(job, now_s)
        if settled is not None:
            return settled
        self._waiting[tier].append(job)
        return self._next(now_s)

    def finished(self, job: Job, now_s: float, tokens_in: int = 0, tokens_out: int = 0) -> list[Effect]:
        """The engine answered it."""
        run = self._end(job)
        self.speed.finished(run.beside, now_s, now_s - run.began_s, tokens_in, tokens_out)
        return self._shared(run, now_s) + self._next(now_s)

    def found(self, job: Job, now_s: float) -> list[Effect]:
        """Its answer was there already; the engine had nothing to do."""
        return self._shared(self._end(job), now_s) + self._next(now_s)

    def failed(self, job: Job, now_s: float) -> list[Effect]:
        """It has ended without an answer; who waited for the same one waits for an engine again, and first."""
        run = self._end(job)
        self.speed.broke_off(job.infer, run.beside, now_s, now_s - run.began_s)
        for same in reversed(run.same):
            self._waiting[same.infer.tier].appendleft(same)
        return self._next(now_s)

    def withdrawn(self, name: tuple[str, str, str], attempt: int, now_s: float) -> list[Effect]:
        """Nobody waits for these attempts at a decision any more, those included that are still to come."""
        self._withdrawn[name] = max(attempt, self._withdrawn.pop(name, -1))
        if len(self._withdrawn) > WITHDRAWN_MAX:
            del self._withdrawn[next(iter(self._withdrawn))]
        effects: list[Effect] = list(map(Expire, self._take_out(lambda job: _is_of(job, name, attempt))))
        alone = (run.job for run in self._runs.values() if not run.same)
        effects += [Leave(job) for job in alone if _is_of(job, name, attempt)]
        return effects + self._next(now_s)

    def ticked(self, now_s: float) -> list[Effect]:
        """Time passed: what waits in vain goes."""
        effects: list[Effect] = list(map(Expire, self._take_out(lambda job: now_s >= job.deadline_s)))
        return effects + self._next(now_s)

    def hand_back(self) -> list[Job]:
        """Takes out everything that has not been started."""
        return self._take_out(lambda _: True)

    # ---- what is next ----------------------------------------------------------------------------------------------

    def _next(self, now_s: float) -> list[Effect]:
        effects: list[Effect] = []
        while line := self._first(now_s):
            job = line.popleft()
            settled = self._without_engine(job, now_s)
            effects += [self._start(job, now_s)] if settled is None else settled
        return effects

    def _without_engine(self, job: Job, now_s: float) -> list[Effect] | None:
        """What is done about a request that need not be started; None where it has to be."""
        if now_s >= job.deadline_s:
            return [Expire(job)]
        if job.key and (run := self._by_key.get(job.key)):
            run.same.append(job)
            return []
        if not self._runs:
            return None  # an idle engine tries anything: so no guess is wrong for long
        needs_s = self.speed.guess_s(job.infer, self.running + 1, now_s)
        return [Late(job, needs_s)] if now_s + needs_s > job.deadline_s else None

    def _start(self, job: Job, now_s: float) -> Start:
        run = self._runs[id(job)] = _Run(job, now_s, self.running + 1)
        self._running_of[_RANK[job.infer.tier]] += 1
        if job.key:
            self._by_key[job.key] = run
        return Start(job)

    def _end(self, job: Job) -> _Run:
        run = self._runs.pop(id(job))
        self._running_of[_RANK[job.infer.tier]] -= 1
        self._by_key.pop(job.key, None)
        self.ended += 1
        return run

    def _shared(self, run: _Run, now_s: float) -> list[Effect]:
        return [Share(same) if now_s < same.deadline_s else Expire(same) for same in run.same]

    def _first(self, now_s: float) -> deque[Job] | None:
        """The line whose first one is next, of those that have room."""
        lines = [
            (self._rank(line[0], now_s), _RANK[tier], line)
            for tier, line in self._waiting.items()
            if line and self._free(tier) > 0
        ]
        return min(lines)[2] if lines else None

    def _free(self, tier: str) -> int:
        """How many more of a tier may start: every tier above counts it as one of those below."""
        ranks = range(_RANK[tier] + 1)
        return min(self._limits[rank] - sum(self._running_of[rank:]) for rank in ranks)

    def _rank(self, job: Job, now_s: float) -> float:
        return _RANK[job.infer.tier] - (now_s - job.received_s) / self.ageing_s

    def _ahead(self) -> int:
        """What the engine does in `ahead_s`; at least one, so that there is something to choose from."""
        usual_s = self.speed.usual_s
        return min(self.prefetch, math.ceil(self.slots * self.ahead_s / usual_s)) if usual_s else 1

    def _take_out(self, wanted: Callable[[Job], bool]) -> list[Job]:
        """Takes out of all that waits, here or for another's answer, what is wanted."""
        taken: list[Job] = []
        for line in (*self._waiting.values(), *(run.same for run in self._runs.values())):
            jobs = [job for job in line if wanted(job)]
            if jobs:
                taken += jobs
                kept = [job for job in line if not wanted(job)]
                line.clear()
                line.extend(kept)
        return taken


def _name(job: Job) -> tuple[str, str, str]:
    return job.infer.game, job.infer.npc, job.infer.decision


def _is_of(job: Job, name: tuple[str, str, str], attempt: int) -> bool:
    return _name(job) == name and job.infer.attempt <= attempt
