"""Setting up telemetry: a real receiver of OTLP, one that is away, files, and logs."""

import gzip
import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from hearthmind.settings import BadSetting, Telemetry
from hearthmind.telemetry import metrics, names, trace
from hearthmind.telemetry.files import spans_of_decision
from hearthmind.telemetry.logs import start_logs
from hearthmind.telemetry.setup import END_WITHIN_S, start_telemetry

UNSAMPLED = f"00-{1:032x}-{1:016x}-00"


@dataclass
class Receiver:
    """A collector: it keeps what was sent to it."""

    url: str
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    logs: list[ExportLogsServiceRequest] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def spans(self) -> list[Span]:
        return [
            span
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            kept.headers.append(dict(self.headers.items()))
            if self.path == "/v1/traces":
                kept.traces.append(ExportTraceServiceRequest.FromString(body))
            elif self.path == "/v1/metrics":
                kept.metrics.append(ExportMetricsServiceRequest.FromString(body))
            elif self.path == "/v1/logs":
                kept.logs.append(ExportLogsServiceRequest.FromString(body))
            self.send_response(200 if self.path in {"/v1/traces", "/v1/metrics", "/v1/logs"} else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    kept = Receiver(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _without_otel_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def a_decision(decision: str = "d1") -> None:
    root = trace.start(names.SPAN_OBSERVE, trace.PRODUCER, None, {names.DECISION_ID: decision, names.ATTEMPT: 1})
    child = trace.start(names.SPAN_DECIDE, trace.CONSUMER, trace.parent_of(trace.headers(root)), {})
    trace.end(child, error="it failed")
    trace.end(root)


def test_spans_and_metrics_arrive_by_otlp(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=t1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
    end = start_telemetry("decision", Telemetry(sample_ratio=1, otlp_endpoint=f"{receiver.url}/"))
    a_decision()
    metrics.count(names.LOST, 3, {names.GAME: "realm"})
    end()
    spans = {span.name: span for span in receiver.spans()}
    assert set(spans) == {"observe", "decide"}
    assert spans["decide"].parent_span_id == spans["observe"].span_id
    assert spans["decide"].trace_id == spans["observe"].trace_id
    assert spans["observe"].kind == Span.SPAN_KIND_PRODUCER
    assert spans["decide"].status.message == "it failed"
    assert {each.key for each in spans["observe"].attributes} == {names.DECISION_ID, names.ATTEMPT}
    resource = {each.key: each.value.string_value for each in receiver.traces[0].resource_spans[0].resource.attributes}
    assert resource["service.name"] == "hearthmind.decision"
    assert resource["service.instance.id"]
    assert resource["deployment.environment.name"] == "test"
    assert receiver.headers[0]["x-tenant"] == "t1"
    sent = {metric.name: metric for metric in receiver.metrics[-1].resource_metrics[0].scope_metrics[0].metrics}
    assert {3} <= {point.as_int for point in sent[names.LOST].sum.data_points}
    assert sent[names.STARTED].gauge.data_points[0].as_double > 1_700_000_000


def test_log_records_arrive_by_otlp_with_their_trace_but_for_those_of_sending(receiver: Receiver) -> None:
    end = start_telemetry("decision", Telemetry(sample_ratio=1, otlp_endpoint=receiver.url))
    span = trace.start("decide", trace.CONSUMER, None, {})
    with trace.within(span):
        logging.getLogger("hearthmind.decision").warning("it took %d s", 3)
    logging.getLogger("opentelemetry.exporter").error("the collector is away")
    trace.end(span)
    end()
    (record,) = (
        record
        for request in receiver.logs
        for resource in request.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    )
    assert (record.body.string_value, record.severity_text) == ("it took 3 s", "WARNING")
    assert record.trace_id.hex() == trace.trace_id(span)


def test_the_standard_variable_for_traces_alone_counts(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{receiver.url}/v1/traces")
    end = start_telemetry("decision", Telemetry(sample_ratio=1, otlp_endpoint="http://127.0.0.1:9"))
    a_decision()
    end()
    assert len(receiver.spans()) == 2


def test_nothing_is_sent_of_what_is_not_sampled(receiver: Receiver) -> None:
    end = start_telemetry("decision", Telemetry(sample_ratio=0, otlp_endpoint=receiver.url))
    a_decision()
    end()
    assert receiver.spans() == []


def test_an_endpoint_that_never_answers_holds_nothing_up() -> None:
    """It takes the connection and says nothing: the process ends all the same, though the exporter would wait on."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        program = f"""
import threading
from hearthmind.settings import Telemetry
from hearthmind.telemetry import metrics, names, trace
from hearthmind.telemetry.setup import start_telemetry
end = start_telemetry("decision", Telemetry(sample_ratio=1, otlp_endpoint={url!r}))
for _ in range(5_000):
    trace.end(trace.start("decide", trace.CONSUMER, None, {{}}))
    metrics.count(names.LOST)
end()
print("ended", flush=True)
"""
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_TIMEOUT": "600"}
        done = subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            timeout=END_WITHIN_S + 20,  # the SDK by itself would take 30
            env=environment,
            capture_output=True,
            text=True,
        )
    assert done.stdout == "ended\n"
    assert "Traceback" not in done.stderr


def test_an_endpoint_that_is_away_is_said_once_and_ends_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}"
    end = start_telemetry("decision", Telemetry(sample_ratio=1, otlp_endpoint=url))
    for _ in range(3_000):
        a_decision()
    end()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == len({line.split(" ", 1)[1][:60] for line in lines})
    assert not any("Traceback" in line for line in lines)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        (Telemetry(otlp_endpoint="127.0.0.1:4318"), "OTLP_ENDPOINT"),
        (Telemetry(otlp_endpoint="grpc://127.0.0.1:4317"), "OTLP_ENDPOINT"),
        (Telemetry(log_level="loud"), "LOG_LEVEL"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused_by_name(settings: Telemetry, key: str) -> None:
    with pytest.raises(BadSetting, match=f"HEARTHMIND_TELEMETRY__{key}"):
        start_telemetry("decision", settings)


def test_without_an_endpoint_spans_go_to_a_file_and_the_end_writes_what_is_left(tmp_path: Path) -> None:
    end = start_telemetry("decision", Telemetry(sample_ratio=1, folder=str(tmp_path)))
    a_decision("d1")
    end()
    assert [(span.service, span.name) for span in spans_of_decision([tmp_path], "d1")] == [
        ("decision", "observe"),
        ("decision", "decide"),
    ]


def test_spans_come_into_the_file_by_themselves(tmp_path: Path) -> None:
    end = start_telemetry("decision", Telemetry(sample_ratio=1, folder=str(tmp_path)))
    a_decision("d1")
    turn = threading.Event()
    while len(spans_of_decision([tmp_path], "d1")) < 2:
        turn.wait(0.01)
    end()


def test_it_can_be_started_again_in_the_same_process(tmp_path: Path) -> None:
    for name in ("one", "two"):
        end = start_telemetry("game", Telemetry(sample_ratio=1, folder=str(tmp_path / name)))
        a_decision(name)
        end()
        assert len(spans_of_decision([tmp_path / name], name)) == 2
        a_decision("after the end")
        assert not spans_of_decision([tmp_path / name], "after the end")


def test_nothing_is_kept_where_there_is_no_place_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    end = start_telemetry("decision", Telemetry(sample_ratio=1))
    a_decision()
    end()
    assert not list(tmp_path.iterdir())


def test_a_long_attribute_is_cut(tmp_path: Path) -> None:
    end = start_telemetry("decision", Telemetry(sample_ratio=1, folder=str(tmp_path)))
    trace.end(trace.start("decide", trace.CONSUMER, None, {names.DECISION_ID: "d1", names.WHY: "x" * 100_000}))
    end()
    (span,) = spans_of_decision([tmp_path], "d1")
    assert span.attributes[names.WHY] == "x" * 2_000


def broken() -> None:
    raise ValueError("two\nlines")


def test_a_log_record_is_a_line_with_the_trace_id_that_nobody_can_forge(capfd: pytest.CaptureFixture[str]) -> None:
    end = start_telemetry("decision", Telemetry(sample_ratio=1, log_level="info"))
    log = logging.getLogger("hearthmind.test")
    span = trace.start("decide", trace.CONSUMER, None, {})
    log.info("plain %d", 1)
    log.debug("too fine")
    with trace.within(span):
        log.warning("a player said: %s", "hi\n2031-01-01 ERROR root: \x1b[31mforged")
        try:
            broken()
        except ValueError:
            log.exception("it broke")
    logging.getLogger("elsewhere").info("not ours")
    end()
    log.warning("after the end")
    lines = capfd.readouterr().err.splitlines()
    assert "INFO hearthmind.test: plain 1" in lines[0]
    assert "trace" not in lines[0]
    assert f"\\n2031-01-01 ERROR root: \\x1b[31mforged [trace {trace.trace_id(span)}]" in lines[1]
    assert "ERROR hearthmind.test: it broke" in lines[2]
    assert all(line.startswith("    ") for line in lines[3:])
    assert lines[-1] == "    lines"


def test_a_log_record_as_json_is_a_line_that_leads_to_its_trace(capfd: pytest.CaptureFixture[str]) -> None:
    end = start_telemetry("decision", Telemetry(sample_ratio=1))
    undo = start_logs("info", "json", "hearthmind.decision")
    log = logging.getLogger("hearthmind.decision")
    span, unsampled = trace.start("decide", trace.CONSUMER, None, {}), trace.parent_of({"traceparent": UNSAMPLED})
    with trace.within(span):
        log.info('it is "two\nlines" \x1b[2J')
    with trace.within(trace.start("decide", trace.CONSUMER, unsampled, {})):
        log.info("nobody keeps its trace")
    try:
        broken()
    except ValueError:
        log.exception("it broke")
    undo()
    end()
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines() if line.startswith("{")]
    assert lines[0]["message"] == 'it is "two\nlines" \x1b[2J'
    assert lines[0]["trace_id"] == trace.trace_id(span)
    assert len(lines[0]["span_id"]) == 16
    assert lines[0]["time"].endswith("Z")
    assert (lines[0]["level"], lines[0]["service"]) == ("INFO", "hearthmind.decision")
    assert "trace_id" not in lines[1]
    assert "ValueError: two" in lines[2]["error"]


def test_a_form_of_logs_that_nobody_knows_is_refused_by_name() -> None:
    with pytest.raises(BadSetting, match="HEARTHMIND_TELEMETRY__LOG_FORMAT"):
        start_logs("info", "xml")
