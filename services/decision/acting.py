"""What was decided becomes an action for the game and a detail for those who learn from it."""

from __future__ import annotations

from typing import Any, Protocol

from hearthmind import scripted
from hearthmind.acting import action_of
from hearthmind.contracts.action import CACHE, FALLBACK, MODEL
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.inference import Inferred
from hearthmind.contracts.policy import PolicyViolated
from hearthmind.flow import tier_of
from hearthmind.persona import NOBODY, genes_of
from hearthmind.prompting import Mind
from services.decision.case import Case, Deed
from services.decision.effects import Act, Seen
from services.decision.policy import Violation
from services.decision.triage import Route

WHY_LENGTH_MAX = 300
FAULT = "a fault of ours"
ANSWER_KEPT_MAX = 32_768
"""Of an engine's words so much is kept: with the largest observation it still fits into one message."""
PROMPT_KEPT_BYTES_MAX = 32_768
"""Twice what the usual limits let in; a longer prompt is not kept, and can be made again from the observation."""


class Owner(Protocol):
    """Who decides: a partition, under a lease."""

    number: int
    epoch: int


def act(case: Case, deed: Deed, owner: Owner, now_s: float) -> Act:
    """The effect that says what is done, with all that it came from."""
    seen, route, reply = case.seen, case.route, deed.reply
    observation, said = seen.observation, reply or case.earlier
    stages_ms = {"bus": round(seen.bus_ms, 3), "decide": round((now_s - seen.received_s) * 1000, 3)}
    if reply:
        stages_ms |= {"queue": round(reply.queue_ms, 3), "engine": round(reply.engine_ms, 3)}
    action = action_of(
        observation,
        deed.answer,
        deed.source,
        why=deed.why[:WHY_LENGTH_MAX],
        model=said.model if said else "",
        adapter=said.adapter if said else "",
        template=case.template if said else "",
        persona=case.persona.ref,
        attempt=seen.attempt,
        stages_ms=stages_ms,
    )
    detail = DecisionMade(
        decision=observation.id,
        game=observation.game,
        npc=observation.npc,
        kind=observation.kind,
        attempt=seen.attempt,
        epoch=owner.epoch,
        partition=owner.number,
        tier=route.tier,
        source=deed.source,
        observation=observation,
        prompt=case.prompt if said and _size(case) <= PROMPT_KEPT_BYTES_MAX else (),
        route=route.reason,
        behaviour=genes_of(case.persona.behaviour),
        related=deed.related or (case.related if said else ()),
        episode=observation.episode,
        **_costs(reply, case.earlier),
    )
    return Act(seen.ticket, action, detail, seen.deadline_s)


def spared(seen: Seen, error: Exception, owner: Owner, now_s: float) -> Act:
    """What an NPC does where something of ours broke: the scripted mind's choice, made from nothing but the observation."""
    observation = seen.observation
    route = Route("", "", tier_of(observation.priority), "", "something of ours broke")
    answer = scripted.choose(observation)
    case = Case(seen, route, NOBODY, observation, answer, Mind())
    return act(case, Deed(answer, FALLBACK, f"{FAULT}: {type(error).__name__}: {error}"), owner, now_s)


def source_of(reply: Inferred) -> str:
    """Who decided, where an engine did."""
    return CACHE if reply.cached else MODEL


def violated(case: Case, deed: Deed, violation: Violation, frozen_s: float) -> PolicyViolated:
    """What is kept of a deed that the policy forbids, until a person has looked at it."""
    observation, answer, reply = case.seen.observation, deed.answer, deed.reply
    return PolicyViolated(
        decision=observation.id,
        game=observation.game,
        npc=observation.npc,
        kind=observation.kind,
        rule=violation.rule,
        why=violation.why,
        action=answer.action,
        arguments=answer.arguments,
        speech=answer.speech,
        reasoning=answer.reasoning,
        source=deed.source,
        model=reply.model if reply else "",
        template=case.template if reply else "",
        frozen_s=frozen_s,
        observation=observation,
        answer=reply.text[:ANSWER_KEPT_MAX] if reply else "",
        episode=observation.episode,
    )


def _costs(reply: Inferred | None, earlier: Inferred | None) -> dict[str, Any]:
    """What the engine said, and what both questions cost."""
    said = reply or earlier
    if said is None:
        return {}
    both = [one for one in (earlier, reply) if one]
    return {
        "answer": said.text[:ANSWER_KEPT_MAX],
        "worker": said.worker,
        "adapter_sha256": said.adapter_sha256,
        "tokens_in": sum(one.tokens_in for one in both),
        "tokens_cached": sum(one.tokens_cached for one in both),
        "tokens_out": sum(one.tokens_out for one in both),
        "cost_usd": sum(one.cost_usd for one in both),
    }


def _size(case: Case) -> int:
    return sum(len(turn.text.encode()) for turn in case.prompt)
