"""Who waits: for an engine, or to hear who may have what only one can have. Pure; each waits until its own time is up."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from hearthmind.contracts.observation import Event, Observation
from services.decision.case import Case
from services.decision.effects import Key

Place = tuple[str, str, str]
"""Game, NPC, kind."""


class Waiting:
    """Of one partition. An NPC waits for one observation of each kind, and for all its events."""

    def __init__(self) -> None:
        self._cases: dict[Key, Case] = {}
        self._newest: dict[Place, Key] = {}
        self._ends: list[tuple[float, Key, int]] = []

    def __len__(self) -> int:
        return len(self._cases)

    def __iter__(self) -> Iterator[Case]:
        return iter(self._cases.values())

    @property
    def wakes_s(self) -> float | None:
        """When somebody's time is up."""
        return self._ends[0][0] if self._ends else None

    def add(self, case: Case) -> None:
        """It waits from now on; what it waited for before is nothing to it any more."""
        case.waits += 1
        key = case.seen.key
        self._cases[key] = case
        heapq.heappush(self._ends, (case.give_up_s, key, case.waits))
        if not isinstance(case.seen.observation, Event):
            self._newest[_place(case.seen.observation)] = key

    def of(self, key: Key) -> Case | None:
        """The case of this decision."""
        return self._cases.get(key)

    def older_than(self, observation: Observation) -> Case | None:
        """The case that an observation of the same NPC and kind replaces; an event replaces nothing."""
        key = None if isinstance(observation, Event) else self._newest.get(_place(observation))
        return self._cases.get(key) if key else None

    def forget(self, case: Case) -> None:
        """It waits no longer."""
        key, place = case.seen.key, _place(case.seen.observation)
        self._cases.pop(key, None)
        if self._newest.get(place) == key:
            del self._newest[place]
        if len(self._ends) > 64 and len(self._ends) > 4 * len(self._cases):
            self._ends = [end for end in self._ends if end[1] in self._cases]
            heapq.heapify(self._ends)

    def due(self, now_s: float) -> Iterator[Case]:
        """Those whose time is up; they wait no longer."""
        while self._ends and self._ends[0][0] <= now_s:
            _, key, waits = heapq.heappop(self._ends)
            case = self._cases.get(key)
            if case and case.waits == waits:
                self.forget(case)
                yield case


def _place(observation: Observation) -> Place:
    return (observation.game, observation.npc, observation.kind)
