"""Spans over the hops, on the OpenTelemetry API alone. What is not sampled costs next to nothing.

A span's context travels in the `traceparent` header. The root decides whether a trace is kept, and everybody else obeys.
"""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry import trace as api
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags

__all__ = ["CONSUMER", "PRODUCER", "Span", "end", "headers", "is_sampled", "parent_of", "start", "trace_id"]

CONSUMER, PRODUCER = SpanKind.CONSUMER, SpanKind.PRODUCER
TRACEPARENT = "traceparent"

Attributes = Mapping[str, str | int | float | bool]

_tracer = api.get_tracer("hearthmind")
_LENGTH = 55


def parent_of(headers: Mapping[str, str]) -> SpanContext | None:
    """The context that a message carries; None where it carries none that can be read."""
    text = headers.get(TRACEPARENT, "")
    if len(text) != _LENGTH or text[2] != "-" or text[35] != "-" or text[52] != "-":
        return None
    try:
        trace, span, flags = int(text[3:35], 16), int(text[36:52], 16), int(text[53:55], 16)
    except ValueError:
        return None
    context = SpanContext(trace, span, is_remote=True, trace_flags=TraceFlags(flags))
    return context if context.is_valid else None


def start(name: str, kind: SpanKind, parent: SpanContext | None, attributes: Attributes) -> Span | None:
    """Begins a span; None below a parent that is not sampled. Without a parent it is a root, and the sampler decides."""
    if parent is None:
        return _tracer.start_span(name, kind=kind, attributes=attributes)
    if not parent.trace_flags.sampled:
        return None
    context = api.set_span_in_context(NonRecordingSpan(parent))
    return _tracer.start_span(name, context=context, kind=kind, attributes=attributes)


def headers(span: Span | None, incoming: str | None = None) -> dict[str, str]:
    """What a message has to carry: the span's context, or the unsampled one that came in, passed on."""
    if span is None:
        return {TRACEPARENT: incoming} if incoming else {}
    context = span.get_span_context()
    if not context.is_valid:
        return {TRACEPARENT: incoming} if incoming else {}
    return {TRACEPARENT: f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"}


def is_sampled(span: Span | None) -> bool:
    """Whether the span is kept."""
    return span is not None and span.is_recording()


def end(span: Span | None, *, error: str = "", attributes: Attributes | None = None) -> None:
    """Ends a span, with an error where there is one; attributes without a value are left out."""
    if span is None or not span.is_recording():
        return
    if attributes:
        span.set_attributes({key: value for key, value in attributes.items() if value != ""})
    if error:
        span.set_status(Status(StatusCode.ERROR, error[:300]))
    span.end()


def trace_id(span: SpanContext | None) -> str:
    """The id of a trace as people write it; empty where there is none."""
    return f"{span.trace_id:032x}" if span else ""
