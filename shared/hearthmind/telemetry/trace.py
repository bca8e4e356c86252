"""Spans over the hops, on the OpenTelemetry API alone: what a game or a service calls for each message.

The law: whether a decision is traced is said once, where its trace begins, and travels with every message in the
`traceparent` header; what is not sampled costs its later hops the reading of that header. A span is handed from hand to
hand, never found in the surroundings.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    TracerProvider,
    get_tracer,
    set_span_in_context,
    use_span,
)

__all__ = ["CONSUMER", "PRODUCER", "Link", "Span", "SpanContext"]

TRACEPARENT = "traceparent"
"""The header, as W3C Trace Context has it."""

CONSUMER, PRODUCER = SpanKind.CONSUMER, SpanKind.PRODUCER

Attributes = Mapping[str, str | int | float | bool]

_SAMPLED = TraceFlags.SAMPLED
_NOTHING_AROUND = Context()
_SHAPE = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.{0,400})?", re.ASCII)

_tracer = get_tracer("hearthmind")


def use(provider: TracerProvider | None) -> None:
    """Spans come from this provider; where it is None from the global one, a game's own perhaps."""
    global _tracer
    _tracer = get_tracer("hearthmind", tracer_provider=provider)


def parent_of(headers: Mapping[str, str]) -> SpanContext | None:
    """The span that a message comes from; None where it says none, or nothing that can be read."""
    said = headers.get(TRACEPARENT)
    match = _SHAPE.fullmatch(said) if said is not None else None
    if match is None:
        return None
    version, trace, span, flags, more = match.groups()
    if version == "ff" or (version == "00" and more):
        return None
    context = SpanContext(int(trace, 16), int(span, 16), True, TraceFlags(int(flags, 16)))
    return context if context.is_valid else None


def start(
    name: str,
    kind: SpanKind,
    parent: SpanContext | None,
    attributes: Attributes,
    links: Sequence[Link] = (),
    start_s: float | None = None,
) -> Span | None:
    """Begins a span; None below a parent that is not sampled. Without a parent it is a root, and the sampler decides.

    A root that is not sampled is a span all the same: its headers tell the later hops not to sample again.
    """
    if parent is None:
        around = _NOTHING_AROUND
    elif parent.trace_flags & _SAMPLED:
        around = set_span_in_context(NonRecordingSpan(parent), _NOTHING_AROUND)
    else:
        return None
    start_ns = None if start_s is None else int(start_s * 1e9)
    return _tracer.start_span(name, around, kind, attributes, links, start_ns)


def headers(span: Span | None, incoming: str | None = None) -> dict[str, str]:
    """What a message has to carry: the span's context; without a span what came in, passed on."""
    if span is not None:
        context = span.get_span_context()
        if context.is_valid:
            sampled = context.trace_flags & _SAMPLED
            return {TRACEPARENT: f"00-{context.trace_id:032x}-{context.span_id:016x}-{sampled:02x}"}
    if incoming is not None and _SHAPE.fullmatch(incoming):
        return {TRACEPARENT: incoming}
    return {}


def is_sampled(span: Span | None) -> bool:
    """Whether the span is kept."""
    return span is not None and span.is_recording()


def end(span: Span | None, *, error: str = "", attributes: Attributes | None = None) -> None:
    """Ends a span, with an error where there is one; attributes without a value are left out."""
    if span is None or not span.is_recording():
        return
    if attributes:
        span.set_attributes({name: value for name, value in attributes.items() if value != ""})
    if error:
        span.set_status(StatusCode.ERROR, error[:300])
    span.end()


def trace_id(of: Span | SpanContext | None) -> str:
    """The id of a trace as people write it; empty where there is none."""
    if of is None:
        return ""
    context = of.get_span_context() if isinstance(of, Span) else of
    return f"{context.trace_id:032x}" if context.is_valid else ""


def within(span: Span | None) -> AbstractContextManager[object]:
    """While it lasts, log lines carry the span's trace id."""
    if span is None:
        return nullcontext()
    return use_span(span, record_exception=False, set_status_on_exception=False)
