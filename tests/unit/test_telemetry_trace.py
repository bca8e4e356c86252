"""Spans over hops: what travels, what is sampled, and what a process without the SDK does."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import get_current_span

from hearthmind.telemetry import names, trace

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"


@contextmanager
def tracing(ratio: float) -> Iterator[InMemorySpanExporter]:
    """A process that samples this share of the roots."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(ParentBased(TraceIdRatioBased(ratio)), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    trace.use(provider)
    try:
        yield kept
    finally:
        trace.use(None)


def hop(name: str, incoming: dict[str, str]) -> dict[str, str]:
    """What every service does with a message: the headers that its own messages carry."""
    span = trace.start(name, trace.CONSUMER, trace.parent_of(incoming), {names.GAME: "realm"})
    sent = trace.headers(span, incoming.get("traceparent"))
    trace.end(span)
    return sent


def by_name(kept: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in kept.get_finished_spans()}


def test_a_trace_goes_from_hop_to_hop() -> None:
    with tracing(1) as kept:
        first = hop("observe", {})
        third = hop("infer", hop("decide", first))
    spans = by_name(kept)
    assert spans["observe"].parent is None
    assert spans["decide"].parent is not None
    assert spans["decide"].parent.span_id == spans["observe"].context.span_id
    assert len({span.context.trace_id for span in spans.values()}) == 1
    assert third["traceparent"].endswith("-01")


def test_what_the_root_does_not_sample_no_later_hop_samples() -> None:
    with tracing(0) as kept:
        first = hop("observe", {})
        assert first["traceparent"].endswith("-00")
    with tracing(1) as also_kept:
        second = hop("decide", first)
        third = hop("infer", second)
    assert second == third == first
    assert not kept.get_finished_spans()
    assert not also_kept.get_finished_spans()


def test_what_the_root_samples_every_later_hop_samples() -> None:
    with tracing(1):
        first = hop("observe", {})
    with tracing(0) as kept:
        hop("decide", first)
    assert list(by_name(kept)) == ["decide"]


def test_a_share_of_the_roots_is_sampled() -> None:
    with tracing(0.25) as kept:
        sent = [hop("observe", {})["traceparent"] for _ in range(2_000)]
    assert 350 < len(kept.get_finished_spans()) < 650
    assert sum(header.endswith("-01") for header in sent) == len(kept.get_finished_spans())


def test_a_span_around_is_not_taken_for_a_parent() -> None:
    with tracing(1) as kept:
        outer = trace.start("outer", trace.PRODUCER, None, {})
        with trace.within(outer):
            hop("observe", {})
            assert get_current_span() is outer
        with trace.within(None):
            assert get_current_span() is not outer
        assert by_name(kept)["observe"].parent is None


def test_a_span_says_how_it_ended() -> None:
    with tracing(1) as kept:
        span = trace.start("decide", trace.CONSUMER, None, {}, start_s=1_000.5)
        assert trace.is_sampled(span)
        trace.end(span, error="x" * 1_000, attributes={names.WHY: "", names.ACTION: "raid"})
    ended = by_name(kept)["decide"]
    assert ended.start_time == 1_000_500_000_000
    assert dict(ended.attributes or {}) == {names.ACTION: "raid"}
    assert not ended.status.is_ok
    assert ended.status.description == "x" * 300


def test_nothing_is_ended_where_nothing_began() -> None:
    trace.end(None, error="x")
    assert not trace.is_sampled(None)
    assert trace.trace_id(None) == ""
    assert trace.headers(None) == {}


def test_the_id_of_a_trace() -> None:
    parent = trace.parent_of({"traceparent": SAMPLED})
    assert trace.trace_id(parent) == TRACE
    with tracing(1):
        assert trace.trace_id(trace.start("decide", trace.CONSUMER, parent, {})) == TRACE


@pytest.mark.parametrize(
    ("header", "flags"),
    [(SAMPLED, 1), (UNSAMPLED, 0), (f"00-{TRACE}-{SPAN}-03", 3), (f"00-{TRACE}-{SPAN}-02", 2)],
)
def test_a_parent_is_read(header: str, flags: int) -> None:
    parent = trace.parent_of({"traceparent": header})
    assert parent is not None
    assert (f"{parent.trace_id:032x}", f"{parent.span_id:016x}") == (TRACE, SPAN)
    assert parent.trace_flags == flags
    assert parent.is_remote


def test_a_later_version_may_say_more() -> None:
    assert trace.parent_of({"traceparent": f"cc-{TRACE}-{SPAN}-01-what-the-future-says"}) is not None


@pytest.mark.parametrize(
    "header",
    [
        "",
        "-",
        SAMPLED[:-1],
        f"{SAMPLED}-",
        f"{SAMPLED}-more",
        f" {SAMPLED}",
        f"{SAMPLED}\n",
        SAMPLED.upper(),
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-2]}_1-{SPAN}-01",
        f"00-+{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE[:-1]}٣-{SPAN}-01",
        f"cc-{TRACE}-{SPAN}-01-{'x' * 1_000}",
    ],
)
def test_what_is_not_a_parent_is_none(header: str) -> None:
    assert trace.parent_of({"traceparent": header}) is None


@given(st.text(max_size=80))
def test_any_header_is_read_or_passed_over(header: str) -> None:
    parent = trace.parent_of({"traceparent": header})
    assert parent is None or parent.is_valid
    assert trace.headers(None, header) in ({}, {"traceparent": header})


@given(st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.integers(0, 255))
def test_whatever_is_a_parent_is_read(trace_id: int, span_id: int, flags: int) -> None:
    parent = trace.parent_of({"traceparent": f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"})
    assert parent is not None
    assert (parent.trace_id, parent.span_id, parent.trace_flags) == (trace_id, span_id, flags)


def test_without_the_sdk_a_game_passes_on_what_came_and_imports_none_of_it() -> None:
    program = f"""
import sys
from hearthmind.telemetry import metrics, names, trace
root = trace.start(names.SPAN_OBSERVE, trace.PRODUCER, None, {{}})
assert trace.headers(root) == {{}}
assert not trace.is_sampled(root)
trace.end(root)
parent = trace.parent_of({{"traceparent": {SAMPLED!r}}})
act = trace.start(names.SPAN_ACT, trace.CONSUMER, parent, {{}})
assert trace.headers(act) == {{"traceparent": {SAMPLED!r}}}
metrics.count(names.LOST)
assert not [name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))]
"""
    subprocess.run([sys.executable, "-c", program], check=True)
