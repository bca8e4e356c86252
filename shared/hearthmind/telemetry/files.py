"""Traces in files, where no collector is: one file per process, capped; and how to find a decision in them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from hearthmind.telemetry import names

MIB = 1024 * 1024
FILES_MAX = 64
"""How many files a folder keeps, those of processes long gone included."""


class SpanRecord(msgspec.Struct, frozen=True):
    """A span as it stands in a file."""

    trace: str
    span: str
    parent: str
    service: str
    name: str
    start_ns: int
    end_ns: int
    attributes: dict[str, str | int | float | bool] = {}
    error: str = ""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(SpanRecord)


class FileExporter(SpanExporter):
    """Appends spans to a file; when that is full it becomes the old one, and the one before is gone."""

    def __init__(self, folder: Path, service: str, file_mib_max: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        _prune(folder)
        self._path = folder / f"{service}-{os.getpid()}.jsonl"
        self._service = service
        self._bytes_max = int(file_mib_max * MIB / 2)
        self._file = self._path.open("ab", buffering=0)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Writes whole lines at once, so that a kill tears at most the last one."""
        lines = b"".join(_encoder.encode(_record(span, self._service)) + b"\n" for span in spans)
        if self._file.tell() + len(lines) > self._bytes_max:
            self._file.close()
            self._path.replace(self._path.with_suffix(".old"))
            self._file = self._path.open("ab", buffering=0)
        self._file.write(lines)
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Closes the file."""
        self._file.close()


def spans_of_decision(folders: Sequence[Path], decision: str) -> list[SpanRecord]:
    """All spans of the traces that a decision is part of."""
    wanted = decision.encode()
    traces = {
        record.trace for record in _records(folders, wanted) if record.attributes.get(names.DECISION_ID) == decision
    }
    found = {record.span: record for trace in traces for record in _records(folders, trace.encode())}
    return sorted(found.values(), key=lambda record: record.start_ns)


def _records(folders: Sequence[Path], containing: bytes) -> Iterator[SpanRecord]:
    for folder in folders:
        for path in [*folder.glob("*.jsonl"), *folder.glob("*.old")]:
            with path.open("rb") as file:
                for line in file:
                    if containing in line and line.endswith(b"\n"):
                        yield _decoder.decode(line)


def _record(span: ReadableSpan, service: str) -> SpanRecord:
    context = span.get_span_context()
    assert context is not None
    attributes = {key: value for key, value in (span.attributes or {}).items() if isinstance(value, str | int | float)}
    return SpanRecord(
        trace=f"{context.trace_id:032x}",
        span=f"{context.span_id:016x}",
        parent=f"{span.parent.span_id:016x}" if span.parent else "",
        service=service,
        name=span.name,
        start_ns=span.start_time or 0,
        end_ns=span.end_time or 0,
        attributes=attributes,
        error=span.status.description or "" if not span.status.is_ok else "",
    )


def _prune(folder: Path) -> None:
    files = sorted([*folder.glob("*.jsonl"), *folder.glob("*.old")], key=lambda path: path.stat().st_mtime)
    for path in files[:-FILES_MAX]:
        path.unlink(missing_ok=True)
