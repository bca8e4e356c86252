"""The core of the decision service, without I/O: (partition, what happened, now) → effects.

The law: every observation that is taken in leads to exactly one `Act` or one `Drop`, an `Act` comes before its
deadline, and what it says is legal. An answer counts only for the question that it answers, and an observation asks two at most.
Of an NPC and kind nothing older is acted on after something newer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hearthmind.contracts.inference import Inferred
from hearthmind.contracts.observation import Observation
from services.decision.acting import spared
from services.decision.case import Case, withdrawal
from services.decision.effects import Drop, Effect, Key, Seen
from services.decision.way import Way


@dataclass
class Partition(Way):
    """The state: what the owner of a partition knows. What waits is bounded by `House.pending_max`, the rest by `Lives`."""

    _silences: dict[str, int] = field(default_factory=dict)

    @property
    def waiting(self) -> int:
        """How many decisions wait, mostly for an engine."""
        return len(self._waiting)

    @property
    def tickets(self) -> list[object]:
        """Of what waits: to be kept for longer, or to be given back when the partition goes."""
        return [case.seen.ticket for case in self._waiting]

    @property
    def wakes_s(self) -> float | None:
        """When `ticked` has something to do next."""
        whens_s = (self._waiting.wakes_s, self.house.breakers.wakes_s, self.lives.wakes_s)
        return min((when_s for when_s in whens_s if when_s is not None), default=None)

    # ---- what happens ----------------------------------------------------------------------------------------------

    def observed(self, seen: Seen, now_s: float) -> list[Effect]:
        """An observation or event came."""
        if before := self._waiting.of(seen.key):
            if before.seen.attempt >= seen.attempt:
                return [Drop(seen.ticket, "the game said it twice, and it is being decided")]
            self._forget(before)  # delivered again: this attempt takes the place of the one before
        if now_s >= seen.deadline_s:
            return [Drop(seen.ticket, "it came after its deadline")]
        if why := self.lives.outdated(seen, now_s):
            return [Drop(seen.ticket, why)]
        if seen.attempt == 1:
            self.house.breakers.behind(seen.bus_ms / 1000, now_s)
        replaced = self._replaced_by(seen.observation)
        return [*replaced, *self._surely(seen, now_s, self.decide, seen, now_s)]

    def replied(self, reply: Inferred, now_s: float) -> list[Effect]:
        """An engine answered; what belongs to no question that is waited for only tells how the pool is."""
        key = (reply.game, reply.npc, reply.decision)
        case = self._waiting.of(key)
        if case is None or case.asked != reply.attempt:
            self.house.judges(key, reply.attempt, reply, now_s)
            return []
        self._forget(case)
        return self._surely(case.seen, now_s, self.answered, case, reply, now_s)

    def refused(self, key: Key, asked: int, why: str, now_s: float) -> list[Effect]:
        """A question did not get on to the bus."""
        case = self._waiting.of(key)
        if case is None or case.asked != asked:
            self.house.judges(key, asked, None, now_s)
            return []
        self._forget(case)
        return self._surely(case.seen, now_s, self.fall_back, case, f"no engine could be asked: {why}", now_s)

    def claimed(self, key: Key, number: int, has_it: bool, now_s: float) -> list[Effect]:
        """It is known who has what only one can have: the word in a scene, or a thing."""
        case = self._waiting.of(key)
        if case is None or case.waits != number:
            return []
        self._waiting.forget(case)
        if case.deed:
            work = self.done if has_it else self.take_other
        elif has_it:
            work = self.choose
        else:
            work = self.listen
        return self._surely(case.seen, now_s, work, case, now_s)

    def ticked(self, now_s: float) -> list[Effect]:
        """Time passed: who waits no longer, or waits for a pool that has fallen silent, falls back."""
        effects: list[Effect] = [*self.lives.ticked(self.number, now_s)]
        for case in self._waiting.due(now_s):
            was_asked = self._forget(case)
            effects += self._surely(case.seen, now_s, self.give_up, case, was_asked, now_s)
        for breaker in self.house.breakers.ticked(now_s):
            if self._silences.get(breaker.pool) != breaker.silences:
                self._silences[breaker.pool] = breaker.silences
                for case in [case for case in self._waiting if case.asked and case.route.pool == breaker.pool]:
                    self._forget(case)
                    why = breaker.refuses(now_s)
                    effects += self._surely(case.seen, now_s, self.fall_back, case, why, now_s)
        return effects

    def outdated(self, observation: Observation) -> bool:
        """Whether something newer has been seen since; asked just before an action is published."""
        return self.lives.is_outdated(observation)

    # ---- who waits -------------------------------------------------------------------------------------------------

    def _replaced_by(self, observation: Observation) -> list[Effect]:
        """An older one of its kind that waits is dropped."""
        case = self._waiting.older_than(observation)
        if case is None:
            return []
        withdraw = withdrawal(case)
        self._forget(case, withdrawn=True)
        return [Drop(case.seen.ticket, "a newer observation replaced it", withdraw)]

    def _surely(self, seen: Seen, now_s: float, work: Callable[..., list[Effect]], *arguments: object) -> list[Effect]:
        """Whatever breaks on the way, the NPC has its action; the handlers tell people of it."""
        try:
            return work(*arguments)
        except Exception as error:
            if case := self._waiting.of(seen.key):
                self._forget(case)
            return [spared(seen, error, self, now_s)]

    def _forget(self, case: Case, *, withdrawn: bool = False) -> bool:
        """It waits no longer; whether it waited for an answer."""
        self._waiting.forget(case)
        if not case.asked:
            return False
        self.house.breakers.of(case.route.pool).over(withdrawn=withdrawn)
        case.asked = 0
        return True
