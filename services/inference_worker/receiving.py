"""What a delivery says beside its message: until when an answer counts, and to which trace it belongs."""

from __future__ import annotations

import math

from hearthmind.bus.clock import BrokerClock
from hearthmind.bus.consume import Delivery
from hearthmind.bus.publish import DEADLINE
from hearthmind.contracts.inference import Infer
from hearthmind.errors import Malformed
from hearthmind.telemetry import names, trace

WITHIN_S = 30.0
"""Where nothing is said."""


def deadline_of(delivery: Delivery, clock: BrokerClock, received_s: float) -> float:
    """Until when an answer counts, as local monotonic time."""
    said = delivery.headers.get(DEADLINE)
    if said is None:
        return received_s + WITHIN_S
    try:
        deadline_s = float(said)
    except ValueError:
        deadline_s = math.nan
    if not math.isfinite(deadline_s):
        raise Malformed(message="deadline", why=f"the header {DEADLINE} is {said!r}")
    return clock.monotonic_s(deadline_s)


def span_of(infer: Infer, delivery: Delivery) -> trace.Span | None:
    """The worker's part of the trace, where there is one."""
    parent = trace.parent_of(delivery.headers)
    if parent is None or not parent.trace_flags.sampled:
        return None
    attributes: trace.Attributes = {
        names.MESSAGING_SYSTEM: "nats",
        names.MESSAGING_DESTINATION_NAME: delivery.stream,
        names.MESSAGING_OPERATION_TYPE: "process",
        names.GEN_AI_OPERATION_NAME: "chat",
        names.GEN_AI_REQUEST_MODEL: infer.model,
        names.TIER: infer.tier,
        names.ATTEMPT: infer.attempt,
        names.DECISION_ID: infer.decision,
    }
    return trace.start(names.SPAN_INFER, trace.CONSUMER, parent, attributes)
