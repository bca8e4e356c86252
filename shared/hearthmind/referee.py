"""The last referee, without I/O: which action a game executes for an observation.

The law: every observation ends in exactly one verdict; the action of a verdict is legal; the first action counts; what
has no action at its deadline gets the legal fallback; and an observation replaced by a newer one gets none.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from dataclasses import dataclass, field

import msgspec

from hearthmind import legal, scripted
from hearthmind.acting import action_of
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.observation import Event, Observation
from hearthmind.contracts.outcome import CLIENT

DECIDED_MAX = 100_000
"""How many ended decisions are remembered, to recognise a second or late action for them."""


class Execute(msgspec.Struct, frozen=True):
    """The game executes this."""

    observation: Observation
    chosen: ActionChosen
    now_s: float


class Replaced(msgspec.Struct, frozen=True):
    """A newer observation of its kind came before an action did."""

    observation: Observation


Verdict = Execute | Replaced


@dataclass
class Tally:
    """What a client has seen, as the demo prints it."""

    observations: int = 0
    actions: int = 0
    replaced: int = 0
    by_source: dict[str, int] = field(default_factory=dict)
    illegal: int = 0
    """Actions of the platform that were not legal; none of them was executed."""
    late: int = 0
    """Actions of the platform after the deadline; none of them was executed."""
    doubled: int = 0
    """Second actions of the platform for a decision; none of them was executed."""


@dataclass(slots=True)
class _Waiting:
    observation: Observation
    deadline_s: float


class Referee:
    """Keeps what waits for an action; bounded by what the game has under way."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._waiting: dict[str, _Waiting] = {}
        self._newest: dict[tuple[str, str], str] = {}
        self._ends: list[tuple[float, str]] = []
        self._decided: OrderedDict[str, str] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many observations wait for their action."""
        return len(self._waiting)

    @property
    def wakes_s(self) -> float | None:
        """When `ticked` has something to do next."""
        return self._ends[0][0] if self._ends else None

    def observed(self, observation: Observation, now_s: float) -> list[Verdict]:
        """The game asks."""
        self.tally.observations += 1
        verdicts: list[Verdict] = []
        if not isinstance(observation, Event):
            place = (observation.npc, observation.kind)
            older = self._waiting.pop(self._newest.get(place, ""), None)
            if older:
                self.tally.replaced += 1
                self._remember(older.observation.id, "replaced")
                verdicts.append(Replaced(older.observation))
            self._newest[place] = observation.id
        deadline_s = now_s + observation.answer_within_ms / 1000
        self._waiting[observation.id] = _Waiting(observation, deadline_s)
        heapq.heappush(self._ends, (deadline_s, observation.id))
        return verdicts

    def chosen(self, action: ActionChosen, now_s: float) -> list[Verdict]:
        """An action came from the platform."""
        waiting = self._waiting.get(action.decision)
        if waiting is None:
            self._count_unexpected(action.decision)
            return []
        observation = waiting.observation
        if now_s >= waiting.deadline_s:
            self.tally.late += 1
            return [self._fall_back(observation, "the platform answered too late", now_s)]
        wrong = legal.problem(observation, action.action, action.arguments)
        if wrong is None and action.snapshot != observation.snapshot:
            wrong = f"it answers snapshot {action.snapshot}, not {observation.snapshot}"
        if wrong:
            self.tally.illegal += 1
            return [self._fall_back(observation, f"the platform's action is not legal: {wrong}", now_s)]
        return [self._execute(observation, action, now_s)]

    def refused(self, decision: str, why: str, now_s: float) -> list[Verdict]:
        """The observation did not get on to the bus."""
        waiting = self._waiting.get(decision)
        return [self._fall_back(waiting.observation, why, now_s)] if waiting else []

    def ticked(self, now_s: float) -> list[Verdict]:
        """Time passed: what waits no longer gets the fallback."""
        verdicts: list[Verdict] = []
        while self._ends and self._ends[0][0] <= now_s:
            _, decision = heapq.heappop(self._ends)
            if waiting := self._waiting.get(decision):
                verdicts.append(self._fall_back(waiting.observation, "the platform did not answer in time", now_s))
        return verdicts

    def _fall_back(self, observation: Observation, why: str, now_s: float) -> Execute:
        chosen = action_of(observation, scripted.choose(observation), CLIENT, why=why)
        return self._execute(observation, chosen, now_s)

    def _execute(self, observation: Observation, chosen: ActionChosen, now_s: float) -> Execute:
        del self._waiting[observation.id]
        place = (observation.npc, observation.kind)
        if self._newest.get(place) == observation.id:
            del self._newest[place]
        self._remember(observation.id, chosen.source)
        self.tally.actions += 1
        self.tally.by_source[chosen.source] = self.tally.by_source.get(chosen.source, 0) + 1
        return Execute(observation, chosen, now_s)

    def _remember(self, decision: str, source: str) -> None:
        self._decided[decision] = source
        if len(self._decided) > DECIDED_MAX:
            self._decided.popitem(last=False)

    def _count_unexpected(self, decision: str) -> None:
        source = self._decided.get(decision)
        if source == CLIENT:
            self.tally.late += 1
        elif source not in {None, "replaced"}:
            self.tally.doubled += 1
