"""Traces in files, where no collector is: a span is a line of JSON in `<folder>/<service>-<pid>.jsonl`.

The law: a process keeps at most its cap, in two generations, and what dead processes of a service left is capped
likewise. Whatever was written stays readable: a line cut off by a kill or a full disk is passed over.
"""

from __future__ import annotations

import heapq
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from hearthmind.telemetry import names

log = logging.getLogger("hearthmind.telemetry")

MIB = 1024 * 1024
DEAD_FILES_MAX = 16
"""How many files of dead processes a service leaves lying: one that dies at every start fills no folder."""

CHUNK_BYTES = 8 * MIB
TRACES_MAX = 16
"""Traces of one decision: one, and another for each delivery that came without its parent."""

SPANS_MAX = 2_000

_NAME = re.compile(r"(?P<service>.+)-(?P<pid>\d{1,10})\.jsonl(\.old)?")


Value = str | int | float | bool | None
"""None stands for a number that was not finite."""


class SpanRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A span as it stands in a file."""

    trace: str
    span: str
    service: str
    name: str
    start_ns: int
    end_ns: int
    parent: str = ""
    attributes: dict[str, Value] = {}
    error: str = ""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(SpanRecord)


class FileExporter(SpanExporter):
    """Appends spans to this process's file. It is opened for each batch, so that it may be moved or deleted any time."""

    def __init__(self, folder: Path, service: str, file_mib_max: float) -> None:
        self._folder = folder
        self._service = service
        self._path = folder / f"{service}-{os.getpid()}.jsonl"
        self._bytes_max = int(file_mib_max * MIB)
        self._is_ready = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Writes a batch; where that fails it is lost, and the log says so."""
        try:
            if not self._is_ready:
                self._folder.mkdir(parents=True, exist_ok=True)
                _prune(self._folder, self._service, self._bytes_max)
                self._is_ready = True
            self._write(_encoder.encode(_record(span, self._service)) + b"\n" for span in spans)
        except OSError as error:
            self._is_ready = False
            log.warning("%d spans are lost, since %s can't be written: %s", len(spans), self._path, error)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def _write(self, lines: Iterable[bytes]) -> None:
        generation_bytes = self._bytes_max // 2
        room_bytes = generation_bytes - self._size_bytes() - 1
        block = bytearray()
        for line in lines:
            if len(line) >= generation_bytes:
                continue
            if len(block) + len(line) > room_bytes:
                self._append(block)
                self._rotate()
                block.clear()
                room_bytes = generation_bytes - 1
            block += line
        self._append(block)

    def _size_bytes(self) -> int:
        with suppress(FileNotFoundError):
            return self._path.stat().st_size
        return 0

    def _append(self, block: bytearray) -> None:
        if not block:
            return
        with self._path.open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    file.write(b"\n")  # whoever had this pid before was killed in the middle of a line
            file.write(block)

    def _rotate(self) -> None:
        with suppress(FileNotFoundError):
            self._path.replace(self._path.with_name(f"{self._path.name}.old"))
        _prune(self._folder, self._service, self._bytes_max)


def _record(span: ReadableSpan, service: str) -> SpanRecord:
    context, start_ns = span.get_span_context(), span.start_time or 0
    assert context is not None
    attributes: dict[str, Value] = {
        key: value for key, value in (span.attributes or {}).items() if isinstance(value, str | int | float)
    }
    return SpanRecord(
        trace=f"{context.trace_id:032x}",
        span=f"{context.span_id:016x}",
        service=service,
        name=span.name,
        start_ns=start_ns,
        end_ns=max(start_ns, span.end_time or 0),
        parent=f"{span.parent.span_id:016x}" if span.parent else "",
        attributes=attributes,
        error="" if span.status.is_ok else span.status.description or "error",
    )


def _prune(folder: Path, service: str, bytes_max: int) -> None:
    """Deletes the oldest of what dead processes of a service left, down to its cap."""
    dead = []
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match and match["service"] == service and not _is_alive(int(match["pid"])):
            with suppress(FileNotFoundError):
                dead.append((path.stat().st_mtime, path.stat().st_size, path))
    kept_bytes = 0
    for number, (_, size_bytes, path) in enumerate(sorted(dead, reverse=True)):
        kept_bytes += size_bytes
        if number >= DEAD_FILES_MAX or kept_bytes > bytes_max:
            path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    if pid == os.getpid():
        return True
    if os.name != "posix":
        return False  # elsewhere, signal 0 is not a question
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


# ---- reading ----------------------------------------------------------------------------------------------------------


def spans_of_decision(folders: Sequence[Path], decision: str) -> list[SpanRecord]:
    """All spans of the traces that a decision is part of, by the time they began."""
    key = b'"%s":%s' % (names.DECISION_ID.encode(), _encoder.encode(decision))
    traces: dict[str, None] = {}
    for record in _records(folders, [key]):
        traces[record.trace] = None
        if len(traces) >= TRACES_MAX:
            break
    found: dict[tuple[str, str], SpanRecord] = {}
    for record in _records(folders, [b'"trace":"%s"' % trace.encode() for trace in traces]):
        found[record.trace, record.span] = record
        if len(found) >= SPANS_MAX:
            break
    return sorted(found.values(), key=lambda record: (record.start_ns, record.span))


def newest_decisions(folders: Sequence[Path], most: int) -> list[SpanRecord]:
    """A span each of the decisions that were traced last, the newest first."""
    found: dict[object, SpanRecord] = {}
    for record in _records(folders, [b'"%s":' % names.DECISION_ID.encode()]):
        decision = record.attributes[names.DECISION_ID]
        before = found.get(decision)
        if before is None or record.start_ns < before.start_ns:
            found[decision] = record
    return heapq.nlargest(most, found.values(), key=lambda record: record.start_ns)


def _records(folders: Sequence[Path], keys: list[bytes]) -> Iterator[SpanRecord]:
    for path in (path for folder in folders for path in sorted(folder.glob("*.jsonl*"))):
        if not _NAME.fullmatch(path.name):
            continue
        with suppress(FileNotFoundError):
            for block in _blocks(path):
                for line in _lines_with(block, keys):
                    with suppress(msgspec.MsgspecError, UnicodeError):
                        yield _decoder.decode(line)


def _blocks(path: Path) -> Iterator[bytes]:
    """A file in pieces of whole lines, so that even the largest takes little memory."""
    rest = b""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            whole, newline, end = chunk.rpartition(b"\n")
            if newline:
                yield rest + whole + newline
                rest = end
            elif len(rest) < CHUNK_BYTES:
                rest += chunk


def _lines_with(block: bytes, keys: list[bytes]) -> Iterator[bytes]:
    """The lines that hold one of the keys. To look for bytes is much quicker than to decode, or even to split, lines."""
    for key in keys:
        at = block.find(key)
        while at >= 0:
            end = block.index(b"\n", at)
            yield block[block.rfind(b"\n", 0, at) + 1 : end]
            at = block.find(key, end)
