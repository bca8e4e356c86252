"""Plans: the further steps of a decision go on without a model call, as long as the world is as the plan expected it.

How to call it:

    if planned := plans.next(observation):      # before the triage: the next step, legal here and now
        ...act on planned.answer with the source `plan`, and related=(planned.decision,)
    plans.made(observation, answer)             # after each action that is published, whoever chose it
    plans.heard(outcome)                        # for each outcome: what failed ends the plan

`made` with an answer without steps ends whatever plan there was for that NPC and kind; with the answer of `next` it goes on.

The law: a step is taken only where it is legal, in the episode and scene it was planned for, in a situation that is like the
one before, with the same foes, with nobody having spoken since, nothing more urgent, and no step before it failed. Whatever
else is the case, the plan is dropped, and never taken up again. Each step is taken once.
"""

from __future__ import annotations

from zlib import crc32

import msgspec

from hearthmind import legal
from hearthmind.contracts.inference import Answer, Step
from hearthmind.contracts.observation import Observation
from hearthmind.contracts.outcome import OutcomeObserved
from services.decision import situation
from services.decision.recent import Recent
from services.decision.situation import Situation, likeness

LIKE_ENOUGH = 0.5
"""Of what a situation is like, half stays the same from one step to the next: some of it changes, since that is the plan."""
PLANS_MAX = 20_000
"""So many NPCs and kinds of a partition may have a plan."""

Place = tuple[str, str, str]
"""Game, NPC, kind."""


class Planned(msgspec.Struct, frozen=True):
    """A step of an earlier decision, as an answer to this observation."""

    answer: Answer
    decision: str
    """The decision in which it was planned."""


class _Plan(msgspec.Struct, frozen=True):
    """What is still to come, and what the world was when the step before was decided."""

    steps: tuple[Step, ...]
    decision: str
    """Where it was planned."""
    step: str
    """The decision that the newest step was an answer to."""
    episode: str
    scene: str | None
    priority: int
    texts: int
    like: Situation


class Plans:
    """Of all NPCs of a partition."""

    def __init__(self, plans_max: int = PLANS_MAX) -> None:
        self._plans: Recent[Place, _Plan] = Recent(plans_max)
        self.dropped: dict[str, int] = {}
        """How many plans ended before their last step, by reason."""

    def next(self, observation: Observation) -> Planned | None:
        """The next step, where there is one and the world is as expected; otherwise there is no plan any more."""
        place = _place(observation)
        plan = self._plans.known(place)
        if plan is None:
            return None
        if wrong := _unexpected(plan, observation):
            self._drop(place, wrong)
            return None
        step, *rest = plan.steps
        why = f"step of the plan of {plan.decision}"
        return Planned(
            Answer(action=step.action, arguments=step.arguments, steps=tuple(rest), reasoning=why), plan.decision
        )

    def made(self, observation: Observation, answer: Answer) -> None:
        """This is done now; what is to follow is remembered."""
        place = _place(observation)
        before = self._plans.known(place)
        self._plans.forget(place)
        if not answer.steps:
            return
        goes_on = before is not None and before.steps[1:] == answer.steps and before.steps[0].action == answer.action
        plan = _Plan(
            steps=answer.steps,
            decision=before.decision if before and goes_on else observation.id,
            step=observation.id,
            episode=observation.episode,
            scene=observation.scene,
            priority=observation.priority,
            texts=_words_of(observation),
            like=situation.of(observation),
        )
        self._plans.put(place, plan)

    def heard(self, outcome: OutcomeObserved) -> None:
        """What came of a step; one that failed is the end of its plan."""
        place = (outcome.game, outcome.npc, outcome.kind)
        plan = self._plans.known(place)
        if plan and plan.step == outcome.decision and not outcome.success:
            self._drop(place, "failed")

    def __len__(self) -> int:
        return len(self._plans)

    def _drop(self, place: Place, why: str) -> None:
        self._plans.forget(place)
        self.dropped[why] = self.dropped.get(why, 0) + 1


def _unexpected(plan: _Plan, observation: Observation) -> str:
    """Why the world isn't as the plan expected it, in a word; empty where it is."""
    step = plan.steps[0]
    if observation.episode != plan.episode or observation.scene != plan.scene:
        return "elsewhere"
    if observation.priority < plan.priority:
        return "urgent"
    if observation.texts and _words_of(observation) != plan.texts:
        return "spoken to"
    if legal.problem(observation, step.action, step.arguments):
        return "illegal"
    now = situation.of(observation)
    if now.foes != plan.like.foes:
        return "foes"
    return "" if likeness(plan.like.signature, now.signature) >= LIKE_ENOUGH else "changed"


def _words_of(observation: Observation) -> int:
    """The same for the same words of the same speakers."""
    return crc32(msgspec.json.encode(observation.texts)) if observation.texts else 0


def _place(observation: Observation) -> Place:
    return (observation.game, observation.npc, observation.kind)
