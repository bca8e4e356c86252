"""The one registry of names: attributes, spans, metrics. A word that is not here is not used.

Where OpenTelemetry has a convention (messaging, gen_ai) its name is used; what is ours begins with `hearthmind.`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hearthmind.flow import QUEUES, SERVICES, STREAMS, TIERS

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
CACHED = "hearthmind.cached"
"""Whether the answer was generated for another request. Spans only."""
CACHE_RESULT = "hearthmind.cache.result"
"""Where the response cache had an answer; `missed` where it had none."""
GEN_AI_TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - tokens of a language
"""`input` or `output`."""

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
EVENT_CLASS = "hearthmind.event.class"
"""What is shed together: routine, social, strategic, event or critical."""
ATTEMPT = "hearthmind.attempt"
"""Which try at the decision. Spans only."""
PARTITION = "hearthmind.partition"
"""The NPC's partition. Spans only."""
REWARD = "hearthmind.reward"
"""The number made of the outcome. Spans only."""
STREAM = "hearthmind.stream"
"""A stream of flow.py, as a metric's label."""
STORAGE = "hearthmind.storage"
"""Where the broker keeps streams: `memory` or `file`."""

METRIC_LABELS = frozenset(
    {
        GAME,
        KIND,
        TIER,
        SOURCE,
        REASON,
        EVENT_CLASS,
        STREAM,
        STORAGE,
        CACHE_RESULT,
        GEN_AI_RESPONSE_MODEL,
        GEN_AI_TOKEN_TYPE,
    }
)
"""What a metric may be split by: closed or configured sets only. A million NPCs are one number, never a million series."""

# ---- metrics ----------------------------------------------------------------------------------------------------------

OTHER = "other"
"""Where a label's value is none of those that are told apart."""

FALLBACK_REASONS = (
    *("engine", "unreadable", "illegal", "refused", "late", "full", "silent"),
    *("budget", "policy", "frozen", "banned", "taken", OTHER),
)
DROP_REASONS = ("late", "newer", "twice", OTHER)
REFUSED_REASONS = ("late", "refused", "unknown", "engine", OTHER)
CACHE_RESULTS = ("here", "elsewhere", "shared", "missed")
INCOMPLETE_REASONS = ("detail", "decision")
EVENT_CLASSES = ("routine", "social", "strategic", "event", "critical")
MISSED_REASONS = ("observation", "action", "unstored")

BROKER_WATCH = "broker_watch"
"""Not a part of the loop: it reads what the broker says of itself."""

Kind = Literal["counter", "total", "histogram", "gauge"]
"""A `total` is a counter that somebody else keeps: it is read, not added to."""
Values = tuple[str, ...]


@dataclass(frozen=True)
class Metric:
    """What is counted or measured, in which unit, and by whom."""

    kind: Kind
    unit: str
    """As OpenTelemetry writes it: `s`, `By`, or in braces what is counted."""
    says: str
    told_by: tuple[str, ...]
    labels: Mapping[str, Values] = field(default_factory=dict)
    """What it is split by, with all values where they are a closed set."""


DECISIONS = "hearthmind.decisions"
FALLBACKS = "hearthmind.fallbacks"
MISSED = "hearthmind.deadlines.missed"
SHED = "hearthmind.shed"
STRANGERS = "hearthmind.personas.unknown"
DECISION_DURATION = "hearthmind.decision.duration"
DROPPED = "hearthmind.observations.dropped"
LOST = "hearthmind.experience.lost"
DEAD_LETTERS = "hearthmind.dead_letters"
EXPERIENCES = "hearthmind.experiences"
INGESTION_BACKLOG = "hearthmind.ingestion.backlog"
INGESTION_LAG = "hearthmind.ingestion.lag"
INCOMPLETE = "hearthmind.experiences.incomplete"
LOOKED_BACK = "hearthmind.experiences.looked_back"
REFUSED = "hearthmind.publishes.refused"
DENIALS = "hearthmind.denials"
TOKENS = "gen_ai.client.token.usage"
ENGINE_DURATION = "gen_ai.client.operation.duration"
CACHE_REQUESTS = "hearthmind.cache.requests"
CACHE_SAVED = "hearthmind.cache.tokens.saved"
UNANSWERED = "hearthmind.inference.failures"
STARTED = "hearthmind.started"
BROKER_UP = "hearthmind.broker.up"
QUEUE_DEPTH = "hearthmind.queue.depth"
QUEUE_AGE = "hearthmind.queue.age"
STREAM_STORED = "hearthmind.stream.stored"
STREAM_UNREAD = "hearthmind.stream.unread"
STREAM_SIZE = "hearthmind.stream.size"
STREAM_SIZE_MAX = "hearthmind.stream.size.max"
BROKER_STORAGE = "hearthmind.broker.storage"
BROKER_STORAGE_MAX = "hearthmind.broker.storage.max"
BROKER_CONNECTIONS = "hearthmind.broker.connections"
BROKER_SLOW = "hearthmind.broker.slow_consumers"

_BY_STREAM = {STREAM: tuple(stream.name for stream in STREAMS)}
_BY_QUEUE = {STREAM: QUEUES}
_BY_STORAGE = {STORAGE: ("memory", "file")}
_DECISION, _WORKER, _REWARD, _WATCH = ("decision",), ("inference_worker",), ("reward",), (BROKER_WATCH,)

METRICS = {
    DECISIONS: Metric(
        "counter", "{decision}", "actions that were stored", _DECISION, {GAME: (), KIND: (), TIER: TIERS, SOURCE: ()}
    ),
    DECISION_DURATION: Metric(
        "histogram",
        "s",
        "from the broker's storing an observation to its action; its exemplars lead to traces",
        _DECISION,
        {TIER: TIERS, SOURCE: ()},
    ),
    FALLBACKS: Metric(
        "counter",
        "{decision}",
        "actions that the fallback chose, and why",
        _DECISION,
        {TIER: TIERS, REASON: FALLBACK_REASONS},
    ),
    SHED: Metric(
        "counter",
        "{decision}",
        "decisions that were not put to a model, since too many waited for one: what is worth least goes first",
        _DECISION,
        {EVENT_CLASS: EVENT_CLASSES},
    ),
    STRANGERS: Metric(
        "counter",
        "{observation}",
        "observations that name a persona which is not there: they are answered as nobody's",
        _DECISION,
    ),
    MISSED: Metric(
        "counter",
        "{deadline}",
        "observations that came after their deadline, actions stored after it, and actions that were not stored at all",
        _DECISION,
        {REASON: MISSED_REASONS},
    ),
    DROPPED: Metric(
        "counter",
        "{observation}",
        "observations without an action: too late, replaced by a newer one, or said twice",
        _DECISION,
        {GAME: (), REASON: DROP_REASONS},
    ),
    TOKENS: Metric(
        "histogram",
        "{token}",
        "what answers cost: the tokens that the engine read and wrote for each, late ones included",
        _WORKER,
        {GEN_AI_RESPONSE_MODEL: (), GEN_AI_TOKEN_TYPE: ("input", "output"), TIER: TIERS},
    ),
    ENGINE_DURATION: Metric(
        "histogram", "s", "how long the engine worked on an answer", _WORKER, {GEN_AI_RESPONSE_MODEL: (), TIER: TIERS}
    ),
    CACHE_REQUESTS: Metric(
        "counter",
        "{request}",
        "requests that could be answered from the response cache: by this worker's own (`here`), by the shared one "
        "(`elsewhere`), by the answer to an equal one that was just being generated (`shared`), or not (`missed`)",
        _WORKER,
        {CACHE_RESULT: CACHE_RESULTS},
    ),
    CACHE_SAVED: Metric(
        "counter",
        "{token}",
        "tokens that the engine need not read or write, since the response cache had the answer",
        _WORKER,
        {GEN_AI_RESPONSE_MODEL: (), GEN_AI_TOKEN_TYPE: ("input", "output")},
    ),
    UNANSWERED: Metric(
        "counter",
        "{request}",
        "requests that got no answer: no time for it, it can't be served, no such model or adapter, the engine broke",
        _WORKER,
        {TIER: TIERS, REASON: REFUSED_REASONS},
    ),
    EXPERIENCES: Metric("counter", "{experience}", "outcomes that became experiences", _REWARD, {GAME: ()}),
    INGESTION_BACKLOG: Metric(
        "gauge", "{message}", "messages that waited for the reward service when it last took some", _REWARD
    ),
    INGESTION_LAG: Metric("histogram", "s", "from the broker's storing a message to its being in Postgres", _REWARD),
    INCOMPLETE: Metric(
        "total",
        "{experience}",
        "experiences that something is lost of for good, as Postgres has counted them: the `detail` of their decision, "
        "or the whole `decision`",
        _REWARD,
        {REASON: INCOMPLETE_REASONS},
    ),
    LOOKED_BACK: Metric(
        "counter",
        "{experience}",
        "experiences of which it was seen what they led to, again perhaps",
        _REWARD,
    ),
    LOST: Metric("counter", "{message}", "details of decisions that the broker had no room for", _DECISION),
    DEAD_LETTERS: Metric("counter", "{message}", "messages that could not be processed", SERVICES, _BY_STREAM),
    REFUSED: Metric("counter", "{message}", "publishes that a full stream refused", SERVICES, _BY_STREAM),
    DENIALS: Metric("counter", "{operation}", "what the broker refused for lack of a permission", SERVICES),
    STARTED: Metric("gauge", "s", "when the process started, in seconds since 1970", (*SERVICES, BROKER_WATCH, "game")),
    BROKER_UP: Metric("gauge", "{broker}", "1 while the broker answers, else 0", _WATCH),
    QUEUE_DEPTH: Metric("gauge", "{message}", "messages that somebody still has to process", _WATCH, _BY_QUEUE),
    QUEUE_AGE: Metric("gauge", "s", "how long the oldest of them has waited", _WATCH, _BY_QUEUE),
    STREAM_STORED: Metric("total", "{message}", "messages that a stream has taken", _WATCH, _BY_STREAM),
    STREAM_UNREAD: Metric(
        "total", "{message}", "messages that left a stream before its reader had them, at most", _WATCH, _BY_STREAM
    ),
    STREAM_SIZE: Metric("gauge", "By", "what a stream holds", _WATCH, _BY_STREAM),
    STREAM_SIZE_MAX: Metric("gauge", "By", "what it may hold", _WATCH, _BY_STREAM),
    BROKER_STORAGE: Metric("gauge", "By", "what all streams hold together", _WATCH, _BY_STORAGE),
    BROKER_STORAGE_MAX: Metric("gauge", "By", "what they may hold together", _WATCH, _BY_STORAGE),
    BROKER_CONNECTIONS: Metric("gauge", "{connection}", "clients that are connected to the broker", _WATCH),
    BROKER_SLOW: Metric("total", "{connection}", "clients that the broker cut off for reading too slowly", _WATCH),
}
