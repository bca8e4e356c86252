"""The last referee, without I/O: which action a game executes for an observation.

The law: every observation ends in exactly one verdict; the action of a verdict is legal; the first action counts; what
has no action at its deadline gets the legal fallback; and an observation replaced by a newer one gets none. What only one can
have (`LegalAction.contends`) goes to the first action that takes it; whoever was asked before that, and so cannot know, takes
something else, as far as there is anything else.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from hearthmind import claims, legal, scripted
from hearthmind.acting import action_of
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Event, Observation
from hearthmind.contracts.outcome import CLIENT
from hearthmind.contracts.wire import Fact
from hearthmind.persona import NOBODY, Behaviour, Persona

DECIDED_MAX = 100_000
"""How many ended decisions are remembered, to recognise a second or late action for them."""
TAKEN_MAX = 10_000
"""Of how many things it is remembered who took them; longer than anybody waits for an action."""


PersonaOf = Callable[[Observation], Persona]


def nobody(_: Observation) -> Persona:
    """Who an NPC is, where the game has no personas at hand."""
    return NOBODY


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
    taken: int = 0
    """Actions of the platform for something that another NPC had taken meanwhile; none of them was executed."""


@dataclass(slots=True)
class _Waiting:
    observation: Observation
    asked_s: float
    deadline_s: float


@dataclass(frozen=True, slots=True)
class _Taken:
    """Who took a thing, and when."""

    npc: str
    at_s: float


class Referee:
    """Keeps what waits for an action; bounded by what the game has under way."""

    def __init__(self, persona_of: PersonaOf = nobody) -> None:
        self.tally = Tally()
        self._persona_of = persona_of
        self._waiting: dict[str, _Waiting] = {}
        self._newest: dict[tuple[str, str], str] = {}
        self._ends: list[tuple[float, str, str]] = []  # deadline, NPC, decision: of equals the first by its id
        self._taken: dict[tuple[str, str], _Taken] = {}  # by episode and thing, in the order in which they were taken
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
        self._waiting[observation.id] = _Waiting(observation, now_s, deadline_s)
        heapq.heappush(self._ends, (deadline_s, observation.npc, observation.id))
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
        if other := self._taker(waiting, action.action, action.arguments):
            self.tally.taken += 1
            return [self._fall_back(observation, f"{other} took it first", now_s)]
        return [self._execute(observation, action, now_s)]

    def refused(self, decision: str, why: str, now_s: float) -> list[Verdict]:
        """The observation did not get on to the bus."""
        waiting = self._waiting.get(decision)
        return [self._fall_back(waiting.observation, why, now_s)] if waiting else []

    def ticked(self, now_s: float) -> list[Verdict]:
        """Time passed: what waits no longer gets the fallback."""
        verdicts: list[Verdict] = []
        while self._ends and self._ends[0][0] <= now_s:
            *_, decision = heapq.heappop(self._ends)
            if waiting := self._waiting.get(decision):
                verdicts.append(self._fall_back(waiting.observation, "the platform did not answer in time", now_s))
        return verdicts

    def _fall_back(self, observation: Observation, why: str, now_s: float) -> Execute:
        persona = self._persona_of(observation)
        answer = self._free(self._waiting[observation.id], persona.behaviour)
        chosen = action_of(observation, answer, CLIENT, why=why, persona=persona.ref)
        return self._execute(observation, chosen, now_s)

    def _free(self, waiting: _Waiting, behaviour: Behaviour) -> Answer:
        """The scripted mind's choice among what nobody else has taken."""
        left = waiting.observation
        answer = scripted.choose(left, behaviour)
        while self._taker(waiting, answer.action, answer.arguments):
            narrower = claims.without(left, str(claims.thing(left, answer.action, answer.arguments)))
            if narrower is left:
                break
            left = narrower
            answer = scripted.choose(left, behaviour)
        return answer

    def _taker(self, waiting: _Waiting, action: str, arguments: Mapping[str, Fact]) -> str:
        """Which other NPC took this after it was asked about; empty where none did."""
        thing = claims.thing(waiting.observation, action, arguments)
        taken = self._taken.get((waiting.observation.episode, thing)) if thing is not None else None
        return taken.npc if taken and taken.npc != waiting.observation.npc and taken.at_s >= waiting.asked_s else ""

    def _take(self, observation: Observation, chosen: ActionChosen, now_s: float) -> None:
        thing = claims.thing(observation, chosen.action, chosen.arguments)
        if thing is None:
            return
        self._taken.pop((observation.episode, thing), None)
        self._taken[observation.episode, thing] = _Taken(observation.npc, now_s)
        if len(self._taken) > TAKEN_MAX:
            del self._taken[next(iter(self._taken))]

    def _execute(self, observation: Observation, chosen: ActionChosen, now_s: float) -> Execute:
        del self._waiting[observation.id]
        self._take(observation, chosen, now_s)
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
