"""What the worker says to whoever asked, and that each request is settled with it."""

from __future__ import annotations

import msgspec

from hearthmind.bus.connect import Connection
from hearthmind.bus.consume import AT_ONCE_S, Delivery
from hearthmind.bus.wire import MESSAGE_BYTES_MAX, encode
from hearthmind.contracts.inference import ENGINE, Infer, Inferred
from hearthmind.ids import answer_subject, reply_subject
from hearthmind.telemetry import metrics, names, trace


class Ticket(msgspec.Struct, eq=False):
    """What is needed to answer a request."""

    delivery: Delivery
    span: trace.Span | None
    stored_s: float
    """When the broker got it, as local monotonic time."""
    adapter: str = ""
    """The version of the adapter to answer with."""
    is_unwanted: bool = False
    """It was withdrawn while the engine had it."""


class Replies:
    """The worker's voice."""

    def __init__(self, nc: Connection, model: str, me: str) -> None:
        self._nc = nc
        self._model = model
        self._me = me

    async def say(self, infer: Infer, ticket: Ticket, began_s: float, ended_s: float, **said: object) -> None:
        """Replies, then acknowledges the request."""
        reply = Inferred(
            game=infer.game,
            npc=infer.npc,
            decision=infer.decision,
            attempt=infer.attempt,
            model=self._model,
            worker=self._me,
            queue_ms=max(0.0, began_s - ticket.stored_s) * 1000,
            engine_ms=(ended_s - began_s) * 1000,
            **said,  # type: ignore[arg-type]
        )
        data = encode(reply)
        if len(data) > MESSAGE_BYTES_MAX:
            failed = f"the engine's answer of {len(data)} bytes is over the limit of {MESSAGE_BYTES_MAX}"
            reply = msgspec.structs.replace(reply, text="", failed=failed, failure=ENGINE)
            data = encode(reply)
        subject = answer_subject(infer.asker) if infer.asker else reply_subject(infer.partition)
        await self._nc.publish(subject, data, headers=trace.headers(ticket.span) or None)
        metrics.answered(reply, infer.tier)
        await ticket.delivery.acknowledge()
        usage: trace.Attributes = {
            names.GEN_AI_RESPONSE_MODEL: reply.model,
            names.GEN_AI_USAGE_INPUT_TOKENS: reply.tokens_in,
            names.GEN_AI_USAGE_OUTPUT_TOKENS: reply.tokens_out,
            names.CACHED: reply.cached,
        }
        trace.end(ticket.span, error=reply.failed, attributes=usage)


async def let_go(ticket: Ticket, why: str) -> None:
    """Nobody waits for it: it is acknowledged without a word."""
    await ticket.delivery.acknowledge()
    trace.end(ticket.span, error=why)


async def give_back(
    ticket: Ticket, why: str = "it went back to the broker, since this worker stops", after_s: float = AT_ONCE_S
) -> None:
    """Another worker may have it, at once or after a time."""
    await ticket.delivery.retry(after_s)
    trace.end(ticket.span, error=why)
