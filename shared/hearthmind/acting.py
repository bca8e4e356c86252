"""An answer becomes the action of an observation: in the decision service, and in the client when it falls back."""

from __future__ import annotations

from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.inference import Answer
from hearthmind.contracts.observation import Observation


def action_of(
    observation: Observation,
    answer: Answer,
    source: str,
    *,
    why: str = "",
    model: str = "",
    adapter: str = "",
    template: str = "",
    persona: str = "",
    attempt: int = 1,
    stages_ms: dict[str, float] | None = None,
) -> ActionChosen:
    """The action that answers this observation and no other: its decision and its snapshot are the observation's."""
    return ActionChosen(
        decision=observation.id,
        game=observation.game,
        npc=observation.npc,
        kind=observation.kind,
        snapshot=observation.snapshot,
        action=answer.action,
        arguments=answer.arguments,
        steps=answer.steps,
        speech=answer.speech,
        reasoning=answer.reasoning,
        confidence=answer.confidence,
        source=source,
        why=why,
        model=model,
        adapter=adapter,
        template=template,
        persona=persona,
        episode=observation.episode,
        attempt=attempt,
        stages_ms=stages_ms or {},
    )
