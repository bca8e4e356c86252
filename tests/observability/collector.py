"""Stands in for the OpenTelemetry collector: takes OTLP over HTTP, and gives metrics to Prometheus by the same names.

What the real one does with its `prometheus` exporter (`enable_open_metrics`, suffixes for units and counters, `job` and
`instance` from the resource, exemplars on buckets, what is silent for too long is gone) is done here for what we send.
Spans and log records are kept, to be looked at. As a program, `python collector.py --config=collector.yaml`, it listens
where the deployment's configuration says, and tells at `/received` what came.
"""

from __future__ import annotations

import gzip
import json
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar, HistogramDataPoint, Metric, NumberDataPoint

RECEIVED = "/received"
OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
EXPIRES_AFTER_S = 60.0
UNITS = {"s": "_seconds", "By": "_bytes"}


@dataclass(frozen=True)
class Span:
    """A span as it was sent."""

    service: str
    name: str
    trace: str
    span: str
    parent: str
    attributes: dict[str, str]


@dataclass(frozen=True)
class Line:
    """A log record as it was sent."""

    service: str
    logger: str
    level: str
    text: str
    trace: str
    span: str


@dataclass
class Collector:
    """What was sent so far."""

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    _metrics: dict[tuple[str, str], tuple[float, list[Metric]]] = field(default_factory=dict)

    def take(self, path: str, body: bytes) -> bool:
        """Takes a request of one of the three signals."""
        if path == "/v1/metrics":
            for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                of = _words(resource.resource.attributes)
                sent = [metric for scope in resource.scope_metrics for metric in scope.metrics]
                self._metrics[of["service.name"], of["service.instance.id"]] = (time.monotonic(), sent)
        elif path == "/v1/traces":
            self.spans += _spans(ExportTraceServiceRequest.FromString(body))
        elif path == "/v1/logs":
            self.lines += _lines(ExportLogsServiceRequest.FromString(body))
        else:
            return False
        return True

    def exposition(self) -> str:
        """All metrics, as Prometheus reads them."""
        families: dict[str, list[str]] = {}
        now_s = time.monotonic()
        for (job, instance), (sent_s, metrics) in list(self._metrics.items()):
            if now_s - sent_s < EXPIRES_AFTER_S:
                for metric in metrics:
                    labels = {"job": job, "instance": instance}
                    families.setdefault(_heading(metric), []).extend(_samples(metric, labels))
        lines = (line for heading, samples in families.items() for line in (heading, *samples))
        return "\n".join([*lines, "# EOF", ""])

    def received(self) -> str:
        """How much came, by service, and which traces."""
        spans, lines = (Counter(each.service for each in kept) for kept in (list(self.spans), list(self.lines)))
        return json.dumps({"spans": spans, "lines": lines, "traces": sorted({span.trace for span in list(self.spans)})})


def listening(kept: Collector, host: str, port: int) -> ThreadingHTTPServer:
    """A server that takes all that is sent to it, and tells what it has."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_packed = self.headers.get("Content-Encoding") == "gzip"
            self._answer(200 if kept.take(self.path, gzip.decompress(body) if is_packed else body) else 404)

        def do_GET(self) -> None:
            self._answer(200, (kept.received() if self.path == RECEIVED else kept.exposition()).encode())

        def _answer(self, status: int, body: bytes = b"") -> None:
            with suppress(ConnectionError):  # whoever asked may be gone: the run ends
                self.send_response(status)
                self.send_header("Content-Type", OPEN_METRICS)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    return ThreadingHTTPServer((host, port), Handler)


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port, until the block ends."""
    kept = Collector()
    with listening(kept, "127.0.0.1", 0) as server:
        kept.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join()


# ---- metrics ----------------------------------------------------------------------------------------------------------


def _name(metric: Metric) -> str:
    return metric.name.replace(".", "_") + UNITS.get(metric.unit, "")


def _heading(metric: Metric) -> str:
    kind = {"sum": "counter", "gauge": "gauge", "histogram": "histogram"}[str(metric.WhichOneof("data"))]
    return f"# TYPE {_name(metric)} {kind}"


def _samples(metric: Metric, labels: dict[str, str]) -> Iterator[str]:
    name = _name(metric)
    for point in metric.histogram.data_points:
        yield from _buckets(name, point, labels)
    for point in metric.sum.data_points:
        yield f"{name}_total{_written(labels, point.attributes)} {_value(point)}"
    for point in metric.gauge.data_points:
        yield f"{name}{_written(labels, point.attributes)} {_value(point)}"


def _buckets(name: str, point: HistogramDataPoint, labels: dict[str, str]) -> Iterator[str]:
    below, so_far = float("-inf"), 0
    for bound, count in zip((*point.explicit_bounds, float("inf")), point.bucket_counts, strict=True):
        so_far += count
        within = [each for each in point.exemplars if below < each.as_double <= bound]
        le = "+Inf" if bound == float("inf") else f"{bound:g}"
        yield f"{name}_bucket{_written({**labels, 'le': le}, point.attributes)} {so_far}{_exemplar(within)}"
        below = bound
    yield f"{name}_count{_written(labels, point.attributes)} {point.count}"
    yield f"{name}_sum{_written(labels, point.attributes)} {point.sum!r}"


def _exemplar(within: Sequence[Exemplar]) -> str:
    if not within:
        return ""
    last = max(within, key=lambda each: each.time_unix_nano)
    ids = f'trace_id="{last.trace_id.hex()}",span_id="{last.span_id.hex()}"'
    return f" # {{{ids}}} {last.as_double!r} {last.time_unix_nano / 1e9:.3f}"


def _value(point: NumberDataPoint) -> float:
    return point.as_double if point.WhichOneof("value") == "as_double" else point.as_int


def _written(labels: dict[str, str], attributes: Iterable[KeyValue]) -> str:
    pairs = {**labels, **{key.replace(".", "_"): value for key, value in _words(attributes).items()}}
    return "{" + ",".join(f'{key}="{value}"' for key, value in pairs.items()) + "}"


# ---- spans and log records ----------------------------------------------------------------------------------------------


def _spans(request: ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        service = _words(resource.resource.attributes)["service.name"]
        for span in (span for scope in resource.scope_spans for span in scope.spans):
            ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
            yield Span(service, span.name, *ids, _words(span.attributes))


def _lines(request: ExportLogsServiceRequest) -> Iterator[Line]:
    for resource in request.resource_logs:
        service = _words(resource.resource.attributes)["service.name"]
        for scope in resource.scope_logs:
            for record in scope.log_records:
                ids = record.trace_id.hex(), record.span_id.hex()
                yield Line(service, scope.scope.name, record.severity_text, record.body.string_value, *ids)


def _words(attributes: Iterable[KeyValue]) -> dict[str, str]:
    return {each.key: str(getattr(each.value, each.value.WhichOneof("value") or "string_value")) for each in attributes}


def main(argument: str) -> None:
    """Listens at each endpoint of the configuration, until it is ended."""
    kept = Collector()
    for host, port in re.findall(r"endpoint: (0\.0\.0\.0):(\d+)", Path(argument.removeprefix("--config=")).read_text()):
        threading.Thread(target=listening(kept, host, int(port)).serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1])
