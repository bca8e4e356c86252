"""The one registry of names: spans, attributes, metrics. A word that is not here is not used."""

from __future__ import annotations

SPAN_OBSERVE = "observe"
"""Client: the game asks; the root of a trace."""
SPAN_DECIDE = "decide"
"""Decision: from taking an observation in to its action being stored."""
SPAN_INFER = "infer"
"""Inference worker: from taking a request in to its reply."""
SPAN_ACT = "act"
"""Client: the action reached the game."""
SPAN_REPORT = "report"
"""Client: the game tells what came of it."""
SPAN_STORE = "store"
"""Reward: the outcome became a rewarded experience."""

MESSAGING_SYSTEM = "messaging.system"
MESSAGING_DESTINATION_NAME = "messaging.destination.name"
MESSAGING_OPERATION_TYPE = "messaging.operation.type"
MESSAGING_MESSAGE_ID = "messaging.message.id"

GEN_AI_OPERATION_NAME = "gen_ai.operation.name"
GEN_AI_REQUEST_MODEL = "gen_ai.request.model"
GEN_AI_RESPONSE_MODEL = "gen_ai.response.model"
GEN_AI_USAGE_INPUT_TOKENS = "gen_ai.usage.input_tokens"
GEN_AI_USAGE_OUTPUT_TOKENS = "gen_ai.usage.output_tokens"

DECISION_ID = "hearthmind.decision.id"
GAME = "hearthmind.game"
NPC = "hearthmind.npc"
KIND = "hearthmind.kind"
TIER = "hearthmind.tier"
SOURCE = "hearthmind.source"
WHY = "hearthmind.why"
ACTION = "hearthmind.action"
ATTEMPT = "hearthmind.attempt"
REWARD = "hearthmind.reward"
STREAM = "hearthmind.stream"

METRIC_LABELS = frozenset({GAME, KIND, TIER, SOURCE, WHY, STREAM, GEN_AI_RESPONSE_MODEL})
"""What a metric may be split by: closed or configured sets only. A million NPCs are one number, never a million series."""

DECISIONS = "hearthmind.decisions"
DECISION_DURATION = "hearthmind.decision.duration"
DROPPED = "hearthmind.observations.dropped"
LOST = "hearthmind.experience.lost"
DEAD_LETTERS = "hearthmind.dead_letters"
EXPERIENCES = "hearthmind.experiences"

METRICS = {
    DECISIONS: "actions chosen",
    DECISION_DURATION: "from the broker's storing an observation to its action, in milliseconds",
    DROPPED: "observations that were replaced or came after their deadline",
    LOST: "details that a full EXPERIENCE stream refused",
    DEAD_LETTERS: "messages that could not be processed",
    EXPERIENCES: "outcomes that became experiences",
}
