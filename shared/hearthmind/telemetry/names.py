"""The one registry of names: attributes, spans, metrics. A word that is not here is not used.

Where OpenTelemetry has a convention (messaging, gen_ai) its name is used; what is ours begins with `hearthmind.`.
"""

from __future__ import annotations

# ---- spans ------------------------------------------------------------------------------------------------------------

SPAN_OBSERVE = "observe"
"""Client: from asking to executing an action; the root of a trace, a producer."""
SPAN_DECIDE = "decide"
"""Decision: from taking an observation in to its action being stored; a consumer."""
SPAN_INFER = "infer"
"""Inference worker: from taking a request in to its reply; a consumer with the gen_ai attributes."""
SPAN_ACT = "act"
"""Client: the action reached the game; a consumer."""
SPAN_REPORT = "report"
"""Client: the game tells what came of it; a producer."""
SPAN_STORE = "store"
"""Reward: the outcome became a rewarded experience; a consumer."""

# ---- attributes -------------------------------------------------------------------------------------------------------

MESSAGING_SYSTEM = "messaging.system"
"""`nats`."""
MESSAGING_DESTINATION_NAME = "messaging.destination.name"
"""The stream, or the subject where there is no stream."""
MESSAGING_OPERATION_TYPE = "messaging.operation.type"
"""`send` or `process`."""
MESSAGING_OPERATION_NAME = "messaging.operation.name"
"""What the broker's client calls it: `publish`, `fetch`."""
MESSAGING_MESSAGE_ID = "messaging.message.id"
"""What JetStream de-duplicates by."""
MESSAGING_MESSAGE_BODY_SIZE = "messaging.message.body.size"
"""In bytes, headers not counted."""

GEN_AI_OPERATION_NAME = "gen_ai.operation.name"
"""`chat`."""
GEN_AI_REQUEST_MODEL = "gen_ai.request.model"
"""The model that was asked for."""
GEN_AI_RESPONSE_MODEL = "gen_ai.response.model"
"""The model that answered."""
GEN_AI_USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
"""Tokens read."""
GEN_AI_USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
"""Tokens written."""

DECISION_ID = "hearthmind.decision.id"
"""By this a trace is found. Spans only."""
GAME = "hearthmind.game"
"""The game; games are configured, so there are few."""
NPC = "hearthmind.npc"
"""Whose decision. Spans only: there may be a million."""
KIND = "hearthmind.kind"
"""What sort of decision is wanted."""
TIER = "hearthmind.tier"
"""critical, strategic, social or routine."""
SOURCE = "hearthmind.source"
"""Who decided: rules, model, fallback or client."""
ACTION = "hearthmind.action"
"""The action's name. Spans only: games make them up."""
WHY = "hearthmind.why"
"""Why the fallback answered, in words. Spans only."""
REASON = "hearthmind.reason"
"""The same as one of a few classes."""
ATTEMPT = "hearthmind.attempt"
"""Which try at the decision. Spans only."""
PARTITION = "hearthmind.partition"
"""The NPC's partition. Spans only."""
REWARD = "hearthmind.reward"
"""The number made of the outcome. Spans only."""
STREAM = "hearthmind.stream"
"""A stream of flow.py, as a metric's label."""

METRIC_LABELS = frozenset({GAME, KIND, TIER, SOURCE, REASON, STREAM, GEN_AI_RESPONSE_MODEL})
"""What a metric may be split by: closed or configured sets only. A million NPCs are one number, never a million series."""

# ---- metrics ----------------------------------------------------------------------------------------------------------

DECISIONS = "hearthmind.decisions"
FALLBACKS = "hearthmind.fallbacks"
DECISION_DURATION = "hearthmind.decision.duration"
DROPPED = "hearthmind.observations.dropped"
LOST = "hearthmind.experience.lost"
DEAD_LETTERS = "hearthmind.dead_letters"
EXPERIENCES = "hearthmind.experiences"
REFUSED = "hearthmind.publishes.refused"
DENIALS = "hearthmind.denials"

METRICS = {
    DECISIONS: "actions chosen, by game, kind, source and tier",
    FALLBACKS: "actions that the fallback chose, by class of reason and tier",
    DECISION_DURATION: "from the broker's storing an observation to its action, by source and tier",
    DROPPED: "observations that were replaced or came after their deadline",
    LOST: "details that a full EXPERIENCE stream refused",
    DEAD_LETTERS: "messages that could not be processed, by stream",
    EXPERIENCES: "outcomes that became experiences",
    REFUSED: "publishes that a full stream refused, by stream",
    DENIALS: "what the broker refused for lack of a permission",
}
