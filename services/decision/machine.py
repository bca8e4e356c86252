"""The core of the decision service, without I/O: (partition, what happened, now) → effects.

The law: every observation that is taken in leads to exactly one `Act` or one `Drop`, an `Act` comes before its
deadline, and what it says is legal. An answer counts only for the attempt that asked for it.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import msgspec

from hearthmind import legal, scripted
from hearthmind.acting import action_of
from hearthmind.contracts.action import CACHE, FALLBACK, MODEL, RULES, ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.inference import Answer, Infer, Inferred, Sampling, Withdraw
from hearthmind.contracts.observation import Event, Observation
from hearthmind.prompting import answer_schema, prompt_of, template_of
from services.decision.triage import Route, Triage, tier

Key = tuple[str, str, str]
"""Game, NPC, decision."""

WHY_LENGTH_MAX = 300
ANSWER_KEPT_MAX = 32_768
"""Of an engine's words so much is kept: with the largest observation it still fits into one message."""


class Seen(msgspec.Struct, frozen=True):
    """An observation or event as it came in; the ticket is whatever the handlers need to settle it."""

    observation: Observation
    attempt: int
    deadline_s: float
    received_s: float
    bus_ms: float
    ticket: object


class Act(msgspec.Struct, frozen=True):
    """Publish this action before the deadline, then its detail, then acknowledge.

    Where the action was stored before, the detail goes `without_answer`: the one that counts may be another attempt's.
    """

    ticket: object
    action: ActionChosen
    detail: DecisionMade
    deadline_s: float


class Ask(msgspec.Struct, frozen=True):
    """Ask an engine; where the request is refused, tell `refused`."""

    ticket: object
    infer: Infer
    deadline_s: float


class Drop(msgspec.Struct, frozen=True):
    """Acknowledge without an action: nobody waits for one any more."""

    ticket: object
    why: str
    withdraw: tuple[str, Withdraw] | None = None
    """What to tell the pool that was asked, so that it need not answer."""


Effect = Act | Ask | Drop


@dataclass(slots=True)
class _Waiting:
    seen: Seen
    give_up_s: float


GREEDY = Sampling(temperature=0)


@dataclass
class Partition:
    """The state: what the owner of a partition knows. Bounded by `pending_max`."""

    number: int
    epoch: int
    triage: Triage
    answer_early_s: float
    pending_max: int
    sampling: Sampling = GREEDY
    _waiting: dict[Key, _Waiting] = field(default_factory=dict)
    _newest: dict[tuple[str, str, str], Key] = field(default_factory=dict)
    _ends: list[tuple[float, Key, int]] = field(default_factory=list)

    @property
    def waiting(self) -> int:
        """How many decisions wait for an engine."""
        return len(self._waiting)

    @property
    def tickets(self) -> list[object]:
        """Of what waits for an engine: to be kept for longer, or to be given back when the partition goes."""
        return [waiting.seen.ticket for waiting in self._waiting.values()]

    @property
    def wakes_s(self) -> float | None:
        """When `ticked` has something to do next."""
        return self._ends[0][0] if self._ends else None

    def observed(self, seen: Seen, now_s: float) -> list[Effect]:
        """An observation or event came."""
        observation = seen.observation
        if before := self._waiting.get((observation.game, observation.npc, observation.id)):
            if before.seen.attempt >= seen.attempt:
                return [Drop(seen.ticket, "the game said it twice, and it is being decided")]
            self._forget(before.seen)  # delivered again: this attempt takes the place of the one before
        if now_s >= seen.deadline_s:
            return [Drop(seen.ticket, "it came after its deadline")]
        route = self.triage.route(observation)
        if route is None:
            return [self._act(seen, scripted.choose(observation), RULES, now_s)]
        effects: list[Effect] = []
        if not isinstance(observation, Event):
            older = self._newest.get((observation.game, observation.npc, observation.kind))
            if older:
                waiting = self._waiting[older].seen
                if waiting.observation.snapshot > observation.snapshot:
                    return [Drop(seen.ticket, "a newer observation is being decided")]
                self._forget(waiting)
                effects.append(Drop(waiting.ticket, "a newer observation replaced it", self._withdraw(waiting)))
        if len(self._waiting) >= self.pending_max:
            effects.append(self._fall_back(seen, f"{self.pending_max} decisions wait for an engine already", now_s))
            return effects
        self._wait(seen)
        effects.append(Ask(seen.ticket, self._infer(seen, route), seen.deadline_s))
        return effects

    def replied(self, reply: Inferred, now_s: float) -> list[Effect]:
        """An engine answered; what belongs to no waiting attempt is passed over."""
        waiting = self._waiting.get((reply.game, reply.npc, reply.decision))
        if waiting is None or waiting.seen.attempt != reply.attempt:
            return []
        seen = waiting.seen
        self._forget(seen)
        if reply.failed:
            return [self._fall_back(seen, f"the engine failed: {reply.failed}", now_s, reply)]
        try:
            answer = _answers.decode(reply.text)
        except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
            return [self._fall_back(seen, f"the answer can't be read: {error}", now_s, reply)]
        if problem := legal.problem(seen.observation, answer.action, answer.arguments):
            return [self._fall_back(seen, f"the answer is not legal: {problem}", now_s, reply)]
        return [self._act(seen, answer, CACHE if reply.cached else MODEL, now_s, reply=reply)]

    def refused(self, key: Key, attempt: int, why: str, now_s: float) -> list[Effect]:
        """The request of an attempt did not get on to the bus."""
        waiting = self._waiting.get(key)
        if waiting is None or waiting.seen.attempt != attempt:
            return []
        self._forget(waiting.seen)
        return [self._fall_back(waiting.seen, f"no engine could be asked: {why}", now_s)]

    def ticked(self, now_s: float) -> list[Effect]:
        """Time passed: who waits no longer falls back."""
        effects: list[Effect] = []
        while self._ends and self._ends[0][0] <= now_s:
            _, key, attempt = heapq.heappop(self._ends)
            waiting = self._waiting.get(key)
            if waiting and waiting.seen.attempt == attempt:
                self._forget(waiting.seen)
                effects.append(self._fall_back(waiting.seen, "no engine answered in time", now_s))
        return effects

    def _wait(self, seen: Seen) -> None:
        observation = seen.observation
        key = (observation.game, observation.npc, observation.id)
        early_s = min(self.answer_early_s, observation.answer_within_ms / 2000)
        waiting = _Waiting(seen, seen.deadline_s - early_s)
        self._waiting[key] = waiting
        if not isinstance(observation, Event):
            self._newest[observation.game, observation.npc, observation.kind] = key
        heapq.heappush(self._ends, (waiting.give_up_s, key, seen.attempt))

    def _forget(self, seen: Seen) -> None:
        observation = seen.observation
        key = (observation.game, observation.npc, observation.id)
        self._waiting.pop(key, None)
        place = (observation.game, observation.npc, observation.kind)
        if self._newest.get(place) == key:
            del self._newest[place]
        if len(self._ends) > 64 and len(self._ends) > 4 * len(self._waiting):
            self._ends = [end for end in self._ends if end[1] in self._waiting]
            heapq.heapify(self._ends)

    def _infer(self, seen: Seen, route: Route) -> Infer:
        observation = seen.observation
        texts = route.reads_text
        return Infer(
            game=observation.game,
            npc=observation.npc,
            decision=observation.id,
            attempt=seen.attempt,
            partition=self.number,
            tier=tier(observation),
            priority=observation.priority,
            pool=route.pool,
            model=route.model,
            observation=None if texts else observation,
            prompt=prompt_of(observation) if texts else (),
            answer_schema=answer_schema(observation) if texts else "",
            sampling=self.sampling,
        )

    def _template(self, observation: Observation) -> str:
        route = self.triage.route(observation)
        return template_of(observation.kind) if route and route.reads_text else ""

    def _withdraw(self, seen: Seen) -> tuple[str, Withdraw] | None:
        observation, route = seen.observation, self.triage.route(seen.observation)
        if route is None:
            return None
        said = Withdraw(game=observation.game, npc=observation.npc, decision=observation.id, attempt=seen.attempt)
        return route.pool, said

    def _fall_back(self, seen: Seen, why: str, now_s: float, reply: Inferred | None = None) -> Act:
        return self._act(seen, scripted.choose(seen.observation), FALLBACK, now_s, why[:WHY_LENGTH_MAX], reply)

    def _act(
        self, seen: Seen, answer: Answer, source: str, now_s: float, why: str = "", reply: Inferred | None = None
    ) -> Act:
        observation = seen.observation
        stages_ms = {"bus": round(seen.bus_ms, 3), "decide": round((now_s - seen.received_s) * 1000, 3)}
        if reply:
            stages_ms |= {"queue": round(reply.queue_ms, 3), "engine": round(reply.engine_ms, 3)}
        action = action_of(
            observation,
            answer,
            source,
            why=why,
            model=reply.model if reply else "",
            adapter=reply.adapter if reply else "",
            template=self._template(observation) if reply else "",
            attempt=seen.attempt,
            stages_ms=stages_ms,
        )
        detail = DecisionMade(
            decision=observation.id,
            game=observation.game,
            npc=observation.npc,
            kind=observation.kind,
            attempt=seen.attempt,
            epoch=self.epoch,
            partition=self.number,
            tier=tier(observation),
            source=source,
            observation=observation,
            answer=reply.text[:ANSWER_KEPT_MAX] if reply else "",
            worker=reply.worker if reply else "",
            adapter_sha256=reply.adapter_sha256 if reply else "",
            tokens_in=reply.tokens_in if reply else 0,
            tokens_cached=reply.tokens_cached if reply else 0,
            tokens_out=reply.tokens_out if reply else 0,
            cost_usd=reply.cost_usd if reply else 0.0,
            episode=observation.episode,
        )
        return Act(seen.ticket, action, detail, seen.deadline_s)


def without_answer(detail: DecisionMade) -> DecisionMade:
    """The detail of a decision whose action is, or may be, that of another attempt: without what only that one knows."""
    return msgspec.structs.replace(
        detail, answer="", worker="", adapter_sha256="", tokens_in=0, tokens_cached=0, tokens_out=0, cost_usd=0.0
    )


_answers = msgspec.json.Decoder(Answer)
