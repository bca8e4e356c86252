"""How one observation is decided, step by step; the machine beside it keeps the books. Pure, and shared by all partitions.

Before anybody is asked, the answer is ready that is given where nobody says anything of use: the fallback. What a mind says is
read, repaired, checked against what is legal and against the policy, and made fit to be said aloud. Whatever goes wrong on the
way has a reason in words, and the decision keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from hearthmind import legal, scripted
from hearthmind.contracts.inference import UNKNOWN, Answer, Infer, Inferred, Sampling
from hearthmind.errors import Refused
from hearthmind.flow import tier_of
from hearthmind.minds import Freeze
from hearthmind.persona import genes_of
from hearthmind.personas import Personas
from hearthmind.prompting import Mind, Templates, answer_schema, prompt_of, template_of, templates_in
from services.decision.breaker import Breakers
from services.decision.budgets import Budgets
from services.decision.case import Case
from services.decision.effects import Key, Seen
from services.decision.habits import Habit, Place
from services.decision.lives import Lives
from services.decision.policy import Policy, Violation, read_policy
from services.decision.progress import notes, without
from services.decision.reading import Unreadable, read
from services.decision.scenes import Company, Turn
from services.decision.shedding import sheds
from services.decision.standing import Standing
from services.decision.triage import Triage
from services.decision.utterance import clean

GREEDY = Sampling(temperature=0)
CRITICAL_MAX = 2
"""The lowest priority of the critical tier."""
RECALLED_MAX = 6
"""More memories than that would push the situation out of a small model's sight."""


class OfNoUse(Refused):
    """{why}"""


def _as_it_is(now_s: float) -> float:
    return now_s


@dataclass
class House:
    """What holds for every NPC: rules, personas, budgets, and how the pools are."""

    triage: Triage
    personas: Personas = field(default_factory=Personas)
    policy: Policy = field(default_factory=read_policy)
    templates: Templates = field(default_factory=lambda: templates_in(""))
    standing: Standing = field(default_factory=Standing)
    budgets: Budgets = field(default_factory=Budgets)
    breakers: Breakers = field(default_factory=Breakers)
    company: Company = field(default_factory=Company)
    units_s: Mapping[str, float] = field(default_factory=dict)
    """How many seconds of an NPC's life a unit of its game's clock is."""
    sampling: Sampling = GREEDY
    answer_early_s: float = 0.04
    pending_max: int = 10_000
    broker_s: Callable[[float], float] = _as_it_is
    """The broker's time at a moment of the machine's own."""

    # ---- what is known of it ---------------------------------------------------------------------------------------

    def case(self, seen: Seen, lives: Lives, now_s: float) -> Case:
        """Where it goes, who it is, what may be done, and the fallback."""
        observation = seen.observation
        persona = self.personas.of(observation)
        stuck = lives.progress.stuck(observation)
        history = lives.histories.of(observation.game, observation.npc)
        view = self.policy.permitted(observation, history, now_s)
        fallback = scripted.choose(without(view, stuck), persona.behaviour)
        mind = Mind(persona, notes=notes(stuck))
        give_up_s = seen.deadline_s - min(self.answer_early_s, observation.answer_within_ms / 2000)
        route = self.triage.route(observation)
        return Case(seen, route, persona, view, fallback, mind, stuck, give_up_s=give_up_s)

    def still(self, case: Case, now_s: float) -> str:
        """Why the NPC does nothing but wait; empty where it is free."""
        observation = case.seen.observation
        return self.standing.why_still(observation.game, observation.npc, self.broker_s(now_s))

    def turn(self, case: Case) -> Turn:
        """Whether it may answer what was said, in a scene with others."""
        observation, called = case.seen.observation, case.persona.called
        self.company.seen(observation, called)
        return self.company.turn(observation, called, self.broker_s(case.seen.stored_s))

    def remember(self, case: Case, lives: Lives) -> None:
        """What the mind is to be reminded of."""
        observation = case.seen.observation
        if not case.route.reads_text:
            return
        memory = lives.memories.of(observation)
        found = memory.relevant(observation, self.broker_s(case.seen.stored_s), RECALLED_MAX)
        if found:
            case.mind = Mind(case.persona, tuple(one.line for one in found), case.mind.notes)
            case.related = tuple(dict.fromkeys(one.decision for one in found if one.decision))

    def habits_of(self, case: Case) -> Place:
        """Whose habits are its own."""
        observation, route = case.seen.observation, case.route
        return (observation.game, observation.kind, route.model, _adapter(case), case.persona.ref)

    def habit(self, case: Case, lives: Lives) -> Habit | None:
        """What came off before in a situation like this, where the triage lets it be done again without asking."""
        if not case.route.reuse:
            return None
        habit = lives.habits.fits(self.habits_of(case), case.view, case.route.reuse)
        return None if habit and habit.answer.action in case.stuck else habit

    # ---- is a model asked? -----------------------------------------------------------------------------------------

    def hesitates(self, case: Case, waiting: int, now_s: float) -> str:
        """Why the model is not asked, although the triage wants it; empty where it is."""
        observation = case.seen.observation
        if why := sheds(observation, waiting, self.pending_max, case.route.tier):
            return why
        if why := self.budgets.allows(observation.game, observation.npc, now_s):
            return f"over budget: {why}"
        return self.breakers.of(case.route.pool).refuses(now_s)

    def question(self, case: Case, partition: int, now_s: float) -> Infer:
        """What an engine is asked; the case keeps by which number."""
        observation, route = case.seen.observation, case.route
        case.asked, case.asked_s = 2 * case.seen.attempt - (not case.is_second), now_s
        texts = route.reads_text
        if texts:
            case.prompt = prompt_of(case.view, case.mind, templates=self.templates, template=route.template)
            case.template = template_of(case.view, templates=self.templates, template=route.template)
        is_raised = route.tier == "critical" and tier_of(observation.priority) != "critical"
        return Infer(
            game=observation.game,
            npc=observation.npc,
            decision=observation.id,
            attempt=case.asked,
            partition=partition,
            tier=route.tier,
            priority=CRITICAL_MAX if is_raised else observation.priority,
            pool=route.pool,
            model=route.model,
            observation=None if texts else without(case.view, case.stuck),
            behaviour={} if texts else genes_of(case.persona.behaviour),
            prompt=case.prompt,
            answer_schema=answer_schema(case.view) if texts else "",
            sampling=self.sampling,
            adapter=_adapter(case) if texts and not _lacks_adapter(case.earlier) else "",
        )

    # ---- what came of it -------------------------------------------------------------------------------------------

    def heard(self, reply: Inferred, now_s: float) -> None:
        """An answer came, and cost something."""
        self.budgets.spent(reply.game, reply.npc, reply.tokens_in + reply.tokens_out, reply.cost_usd, now_s)

    def read(self, case: Case, reply: Inferred) -> Answer:
        """The legal answer that a reply holds; raises `OfNoUse` with the reason."""
        observation = case.seen.observation
        if reply.failed:
            raise OfNoUse(why=f"the engine failed: {reply.failed}")
        try:
            answer = read(reply.text, observation)
        except Unreadable as error:
            raise OfNoUse(why=f"the answer can't be read: {error}") from error
        if problem := legal.problem(observation, answer.action, answer.arguments):
            raise OfNoUse(why=f"the answer is not legal: {problem}")
        return answer

    def asks_again(self, case: Case, reply: Inferred, now_s: float) -> bool:
        """Whether there is sense and time to ask once more: as long again as the first answer took, with something to spare."""
        if case.is_second or not case.route.reads_text or (reply.failed and not _lacks_adapter(reply)):
            return False
        return now_s + 1.5 * (now_s - case.asked_s) < case.give_up_s

    def second(self, case: Case, reply: Inferred) -> None:
        """Prepares the second question: it says that the first answer was of no use, in words of our own."""
        case.is_second, case.earlier = True, reply
        if not reply.failed:
            note = "Your last answer could not be used. Choose one of the legal actions, in the form that is asked for."
            case.mind = msgspec.structs.replace(case.mind, notes=(*case.mind.notes, note))

    def judges(self, key: Key, asked: int, reply: Inferred | None, now_s: float) -> None:
        """The answer to a probe, where this is one, or None where it could not be asked: the pool is judged by it."""
        for breaker in self.breakers.probed:
            case = breaker.probe
            if not isinstance(case, Case) or (case.seen.key, case.asked) != (key, asked):
                continue
            try:
                self.read(case, reply or _NOT_ASKED)
            except OfNoUse:
                breaker.probe_failed(now_s)
            else:
                breaker.answered(now_s - case.asked_s)

    # ---- may it be done? -------------------------------------------------------------------------------------------

    def violation(self, case: Case, answer: Answer, lives: Lives, now_s: float) -> Violation | None:
        """The rule of the policy that an answer breaks."""
        observation = case.seen.observation
        history = lives.histories.of(observation.game, observation.npc)
        return self.policy.check(observation, answer, history, now_s)

    def harmless(self, case: Case, lives: Lives, now_s: float) -> Answer:
        """What is done by an NPC that is frozen, and where nothing else passes."""
        observation = case.seen.observation
        return self.policy.harmless(observation, lives.histories.of(observation.game, observation.npc), now_s)

    def freeze(self, case: Case, violation: Violation, now_s: float) -> tuple[str, bytes]:
        """The NPC does nothing but wait for a while; returns what the bucket is to be told."""
        game, npc, decision = case.seen.key
        until_s = self.broker_s(now_s) + self.policy.freeze_s
        return self.standing.freeze(game, npc, Freeze(until_s=until_s, rule=violation.rule, decision=decision))

    def lacked(self, case: Case) -> str:
        """What a mind had to do without; empty where nothing was missing."""
        if case.earlier and _lacks_adapter(case.earlier):
            return f"the model answered without its adapter: {case.earlier.failed}"
        return ""

    def spoken(self, answer: Answer) -> Answer:
        """The answer with its words fit for others to hear."""
        if not answer.speech:
            return answer
        return msgspec.structs.replace(answer, speech=clean(answer.speech, self.policy.speech).text)


_NOT_ASKED = Inferred(game="-", npc="-", decision="-", attempt=0, failed="it could not be asked")


def _adapter(case: Case) -> str:
    """The persona's own, or else the one that the triage names."""
    return case.persona.adapter or case.route.adapter


def _lacks_adapter(reply: Inferred | None) -> bool:
    """Whether the persona's adapter is not there: the model answers as it is."""
    return reply is not None and reply.failure == UNKNOWN
