"""The way of one observation through a partition, from top to bottom: up to an action, or to what it waits for.

The fallback is ready before anybody is asked. Each step ends the way, hands it on, or makes it wait; `machine` wakes it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hearthmind import claims, scripted
from hearthmind.contracts.action import CACHE, FALLBACK, MODEL, PLAN, RULES
from hearthmind.contracts.inference import Answer, Inferred
from services.decision.acting import act, source_of, violated
from services.decision.case import Case, Deed
from services.decision.deciding import House, OfNoUse
from services.decision.effects import Act, Ask, Contend, Effect, Report, Seen
from services.decision.lives import Lives
from services.decision.scenes import hushed, quiet
from services.decision.waiting import Waiting

TAKEN_MAX = 3
"""So often something else is looked for where others were quicker; then something that nobody else can want."""


@dataclass
class Way:
    """Through one partition, under one lease."""

    number: int
    epoch: int
    house: House
    lives: Lives
    _waiting: Waiting = field(default_factory=Waiting)

    # ---- from top to bottom ----------------------------------------------------------------------------------------

    def decide(self, seen: Seen, now_s: float) -> list[Effect]:
        """What is known of it; whether the NPC is free to act, and may speak where others are."""
        self.lives.saw(seen, now_s)
        case = self.house.case(seen, self.lives, now_s)
        if why := self.house.still(case, now_s):
            return [self._act(case, Deed(self.house.harmless(case, self.lives, now_s), FALLBACK, why), now_s)]
        turn = self.house.turn(case)
        if turn.silent:
            return self.listen(case, now_s)
        if turn.claims:
            return [self._contend(case, turn.claims, turn.after_s)]
        return self.choose(case, now_s)

    def choose(self, case: Case, now_s: float) -> list[Effect]:
        """A plan that goes on, the rules, a habit, or a question to a model that may be asked and waited for."""
        if planned := self.lives.plans.next(case.view):
            return self.do(case, Deed(planned.answer, PLAN, related=(planned.decision,)), now_s)
        if not case.route.model:
            return self.take(case, Deed(self._passing(case, case.fallback, now_s), RULES), now_s)
        if habit := self.house.habit(case, self.lives):
            return self.do(case, Deed(habit.answer, CACHE, habit.why, related=(habit.decision,), habit=habit), now_s)
        if why := self.house.hesitates(case, len(self._waiting), now_s):
            return [*self.fall_back(case, why, now_s), *self._probe(case, now_s)]
        self.house.remember(case, self.lives)
        return [self.ask(case, now_s)]

    def answered(self, case: Case, reply: Inferred, now_s: float) -> list[Effect]:
        """What the engine said is done, or asked once more, or of no use."""
        self.house.heard(reply, now_s)
        try:
            answer = self.house.read(case, reply)
        except OfNoUse as error:
            if self.house.asks_again(case, reply, now_s):
                self.house.second(case, reply)
                return [self.ask(case, now_s)]
            return self.fall_back(case, str(error), now_s, reply)
        self.house.breakers.of(case.route.pool).answered(now_s - case.asked_s)
        deed = Deed(self.house.spoken(answer), source_of(reply), self.house.lacked(case), reply)
        return self.do(case, deed, now_s)

    def ask(self, case: Case, now_s: float) -> Ask:
        """The question, for whose answer it waits now."""
        infer = self.house.question(case, self.number, now_s)
        self._waiting.add(case)
        self.house.breakers.of(case.route.pool).asked(now_s)
        self.house.budgets.asked(infer.game, infer.npc, now_s)
        return Ask(case.seen.ticket, infer, case.seen.deadline_s)

    def do(self, case: Case, deed: Deed, now_s: float) -> list[Effect]:
        """What a mind wants, unless the policy forbids it."""
        violation = self.house.violation(case, deed.answer, self.lives, now_s)
        if violation is None:
            return self.take(case, deed, now_s)
        frozen_s = self.house.policy.freeze_s
        frozen = self.house.freeze(case, violation, now_s) if frozen_s else None
        report = Report(violated(case, deed, violation, frozen_s), frozen)
        why = f"the policy forbids it: {violation.rule}: {violation.why}"
        harmless = self.house.harmless(case, self.lives, now_s)
        return [report, *self.take(case, Deed(harmless, FALLBACK, why, deed.reply), now_s)]

    def take(self, case: Case, deed: Deed, now_s: float) -> list[Effect]:
        """Done, once nobody else has taken what only one can have."""
        observation = case.seen.observation
        claim = claims.to_have(observation, deed.answer, self.house.broker_s(case.seen.stored_s))
        if claim is None or now_s >= case.give_up_s:
            return [self._act(case, deed, now_s)]
        case.deed = deed
        return [self._contend(case, (claim,), 0.0)]

    def done(self, case: Case, now_s: float) -> list[Effect]:
        """Nobody else has it: what it was about to do."""
        assert case.deed
        return [self._act(case, case.deed, now_s)]

    # ---- otherwise -------------------------------------------------------------------------------------------------

    def give_up(self, case: Case, was_asked: bool, now_s: float) -> list[Effect]:
        """Its time is up: what it was about to do, or the fallback, or silence where nobody said that it may speak."""
        if case.deed:
            return self.done(case, now_s)
        return self.fall_back(case, "no engine answered in time", now_s) if was_asked else self.listen(case, now_s)

    def listen(self, case: Case, now_s: float) -> list[Effect]:
        """Somebody else answers: it does something else, and says nothing."""
        case.view = quiet(case.view)
        answer = hushed(scripted.choose(case.view, case.persona.behaviour))
        return self.take(
            case, Deed(self._passing(case, answer, now_s), RULES, "somebody else in the scene answers"), now_s
        )

    def take_other(self, case: Case, now_s: float) -> list[Effect]:
        """Others were quicker: something else, as far as there is anything."""
        deed = case.deed
        assert deed
        thing = claims.thing(case.seen.observation, deed.answer.action, deed.answer.arguments)
        case.taken += 1
        narrower = claims.without(case.view, str(thing)) if case.taken <= TAKEN_MAX else claims.uncontended(case.view)
        if narrower is case.view:
            return [self._act(case, deed, now_s)]
        case.view = narrower
        answer = self._passing(case, scripted.choose(narrower, case.persona.behaviour), now_s)
        return self.take(case, Deed(answer, FALLBACK, f"somebody else took it first: {thing}", deed.reply), now_s)

    def fall_back(self, case: Case, why: str, now_s: float, reply: Inferred | None = None) -> list[Effect]:
        """The answer that was ready, and why it is taken."""
        return self.take(case, Deed(self._passing(case, case.fallback, now_s), FALLBACK, why, reply), now_s)

    def _passing(self, case: Case, answer: Answer, now_s: float) -> Answer:
        """An answer of the scripted mind, unless the policy forbids it by now."""
        if self.house.violation(case, answer, self.lives, now_s) is None:
            return answer
        return self.house.harmless(case, self.lives, now_s)

    def _probe(self, case: Case, now_s: float) -> list[Effect]:
        """Where the pool is silent, now and then a question to see whether it still is; nobody waits for its answer."""
        if not self.house.breakers.of(case.route.pool).probes(case, case.seen.deadline_s, now_s):
            return []
        return [Ask(case.seen.ticket, self.house.question(case, self.number, now_s), case.seen.deadline_s)]

    def _contend(self, case: Case, wanted: tuple[claims.Claim, ...], after_s: float) -> Contend:
        self._waiting.add(case)
        seen = case.seen
        return Contend(seen.ticket, seen.key, case.waits, wanted, after_s, seen.attempt)

    def _act(self, case: Case, deed: Deed, now_s: float) -> Act:
        """Done: it is written down what was done."""
        seen = case.seen
        effect = act(case, deed, self, now_s)
        happened_s = self.house.broker_s(seen.stored_s)
        self.lives.did(seen.observation, deed.answer, effect.action, now_s, happened_s)
        if case.route.reuse and deed.source in (MODEL, CACHE):
            self.lives.habits.did(self.house.habits_of(case), case.view, deed.answer, deed.habit)
        return effect
