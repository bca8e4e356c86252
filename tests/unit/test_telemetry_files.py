"""Traces in files: the cap, kills, what others left, and finding a decision."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from hearthmind.telemetry import names, trace
from hearthmind.telemetry.files import DEAD_FILES_MAX, MIB, FileExporter, SpanRecord, spans_of_decision

DEAD_PID = 2**31 - 1


def made(decision: str, count: int = 1, padding: str = "") -> list[ReadableSpan]:
    """The finished spans of one trace: a root that carries the decision, and its children, that do not."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    trace.use(provider)
    try:
        root = trace.start("observe", trace.PRODUCER, None, {names.DECISION_ID: decision, names.WHY: padding})
        assert root is not None
        for _ in range(count - 1):
            child = trace.start("decide", trace.CONSUMER, root.get_span_context(), {names.TIER: "critical"})
            trace.end(child, error="it failed")
        trace.end(root)
    finally:
        trace.use(None)
    return list(kept.get_finished_spans())


def record(decision: str, number: int = 0) -> bytes:
    attributes: dict[str, str | int | float | bool | None] = {names.DECISION_ID: decision}
    span = SpanRecord(f"{number:032x}", f"{number:016x}", "decision", "decide", number, number + 1, "", attributes)
    return msgspec.json.encode(span) + b"\n"


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def test_a_decision_is_found_with_the_whole_of_its_trace(tmp_path: Path) -> None:
    exporter = FileExporter(tmp_path / "deep" / "traces", "decision", 1)
    assert exporter.export(made("other")) is SpanExportResult.SUCCESS
    assert exporter.export(made("wanted", count=3)) is SpanExportResult.SUCCESS
    found = spans_of_decision([tmp_path / "deep" / "traces"], "wanted")
    root, first, second = found
    assert (root.name, root.parent, root.service) == ("observe", "", "decision")
    assert root.attributes[names.DECISION_ID] == "wanted"
    assert (first.parent, second.parent) == (root.span, root.span)
    assert first.attributes == {names.TIER: "critical"}
    assert first.error == "it failed"
    assert root.start_ns <= first.start_ns <= first.end_ns <= root.end_ns


def test_nothing_is_found_where_there_is_nothing(tmp_path: Path) -> None:
    assert spans_of_decision([], "d") == []
    assert spans_of_decision([tmp_path / "nowhere"], "d") == []
    (tmp_path / "notes.jsonl").write_bytes(record("d"))
    assert spans_of_decision([tmp_path], "d") == []


def test_a_decision_is_not_found_by_a_part_of_its_id_or_in_what_somebody_said(tmp_path: Path) -> None:
    said = f'"{names.DECISION_ID}":"forged"'
    FileExporter(tmp_path, "decision", 1).export(made("abc", padding=said))
    for wrong in ("ab", "bc", "abcd", "forged", 'abc"', "", "a\\b"):
        assert spans_of_decision([tmp_path], wrong) == []


def test_folders_of_several_services_are_read_together(tmp_path: Path) -> None:
    spans = made("wanted", count=2)
    FileExporter(tmp_path / "a", "game", 1).export(spans[:1])
    FileExporter(tmp_path / "b", "decision", 1).export(spans[1:])
    found = spans_of_decision([tmp_path / "a", tmp_path / "b"], "wanted")
    assert {span.service for span in found} == {"game", "decision"}


@settings(max_examples=30, deadline=None)
@given(cap_kib=st.integers(4, 64), batches=st.lists(st.tuples(st.integers(1, 12), st.integers(0, 3_000)), max_size=12))
def test_a_file_keeps_its_cap_and_every_line_of_it_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, cap_kib: int, batches: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("traces")
    exporter = FileExporter(folder, "decision", cap_kib / 1024)
    for number, (count, padding) in enumerate(batches):
        exporter.export(made(f"d{number}", count, "x" * padding))
        assert bytes_in(folder) <= cap_kib * 1024
    for path in folder.iterdir():
        for line in path.read_bytes().splitlines(keepends=True):
            assert line.endswith(b"\n")
            msgspec.json.decode(line, type=SpanRecord)


def test_the_newest_is_kept_when_a_file_is_full(tmp_path: Path) -> None:
    exporter = FileExporter(tmp_path, "decision", 16 / 1024)
    for number in range(200):
        exporter.export(made(f"d{number}"))
    assert not spans_of_decision([tmp_path], "d0")
    assert spans_of_decision([tmp_path], "d199")
    assert {path.name for path in tmp_path.iterdir()} == {
        f"decision-{os.getpid()}.jsonl",
        f"decision-{os.getpid()}.jsonl.old",
    }


def test_lines_that_were_cut_off_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / f"decision-{os.getpid()}.jsonl"
    path.write_bytes(record("whole", 1) + b"\xff\x00not json " + record("odd", 2) + record("cut", 3)[:-20])
    assert len(spans_of_decision([tmp_path], "whole")) == 1
    assert spans_of_decision([tmp_path], "odd") == []
    assert spans_of_decision([tmp_path], "cut") == []
    FileExporter(tmp_path, "decision", 1).export(made("next"))
    assert len(spans_of_decision([tmp_path], "next")) == 1
    assert len(spans_of_decision([tmp_path], "whole")) == 1


def test_lines_are_found_across_the_pieces_in_which_a_file_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hearthmind.telemetry.files.CHUNK_BYTES", 300)
    lines = b"".join(record(f"d{number}", number + 1) for number in range(50))
    (tmp_path / "decision-1.jsonl").write_bytes(lines + b"x" * 1_000 + b"\n" + record("last", 99))
    for number in range(50):
        assert [span.start_ns for span in spans_of_decision([tmp_path], f"d{number}")] == [number + 1]
    assert spans_of_decision([tmp_path], "last")


def test_a_deleted_folder_is_made_again(tmp_path: Path) -> None:
    exporter = FileExporter(tmp_path / "traces", "decision", 1)
    exporter.export(made("first"))
    for path in (tmp_path / "traces").iterdir():
        path.unlink()
    (tmp_path / "traces").rmdir()
    assert exporter.export(made("lost")) is SpanExportResult.FAILURE
    assert exporter.export(made("again")) is SpanExportResult.SUCCESS
    assert spans_of_decision([tmp_path / "traces"], "again")


def test_a_folder_that_cannot_be_made_costs_spans_and_a_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    exporter = FileExporter(tmp_path / "file" / "traces", "decision", 1)
    assert exporter.export(made("lost")) is SpanExportResult.FAILURE
    assert "1 spans are lost" in caplog.text


def test_what_dead_processes_left_is_bounded_by_number_and_size(tmp_path: Path) -> None:
    for number in range(40):
        path = tmp_path / f"decision-{DEAD_PID - number}.jsonl"
        path.write_bytes(record(f"d{number}"))
        os.utime(path, (number, number))
    others = {tmp_path / "decision-x.jsonl", tmp_path / f"reward-{DEAD_PID}.jsonl", tmp_path / "decision-1.jsonl"}
    for path in others:
        path.write_bytes(record("other"))
    FileExporter(tmp_path, "decision", 1).export(made("new"))
    left = [number for number in range(40) if (tmp_path / f"decision-{DEAD_PID - number}.jsonl").exists()]
    assert left == list(range(40 - DEAD_FILES_MAX, 40))
    assert spans_of_decision([tmp_path], "d39")
    assert not spans_of_decision([tmp_path], "d0")
    assert others <= set(tmp_path.iterdir())


def test_what_dead_processes_left_is_no_more_than_one_cap(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"decision-{DEAD_PID - number}.jsonl.old").write_bytes(b"x" * (MIB // 4))
    FileExporter(tmp_path, "decision", 1).export(made("new"))
    assert MIB // 2 < bytes_in(tmp_path) <= 1.1 * MIB


def test_a_killed_process_leaves_what_it_had_written(tmp_path: Path) -> None:
    """Spans are in the file soon, and nobody has to end well for it."""
    program = """
import sys
from pathlib import Path
from hearthmind.settings import Telemetry
from hearthmind.telemetry import names, trace
from hearthmind.telemetry.setup import start_telemetry
start_telemetry("decision", Telemetry(folder=sys.argv[1], sample_ratio=1))
number = 0
while True:
    trace.end(trace.start("decide", trace.CONSUMER, None, {names.DECISION_ID: f"d{number}"}))
    number += 1
"""
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    try:
        path = tmp_path / f"decision-{process.pid}.jsonl"
        while not path.exists() or path.stat().st_size < 100_000:
            assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(spans_of_decision([tmp_path], "d0")) == 1
    *whole, _last = path.read_bytes().splitlines()
    assert whole
    for line in whole:
        msgspec.json.decode(line, type=SpanRecord)
