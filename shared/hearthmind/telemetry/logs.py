"""Logs: one line per record on standard error, with level, logger and the trace id where there is one; as text or JSON.

What a game or a model made up can't forge a line: control characters are written out, and a traceback is indented; in
JSON both are part of a string.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from opentelemetry.trace import SpanContext, get_current_span

from hearthmind.settings import BadSetting

TEXT, JSON = FORMS = ("text", "json")

AGAIN_AFTER_S = 60.0
"""How long a complaint of OpenTelemetry's own is kept back: an endpoint that is away is one line a minute."""


class OneLine(logging.Formatter):
    """`2031-05-01T12:00:00.123 WARNING hearthmind.bus: the text [trace 4bf9...]`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as its line, and below it, indented, its traceback."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.created))
        line = f"{when}.{int(record.msecs):03d} {record.levelname} {record.name}: {_in_one_line(record.getMessage())}"
        if context := sampled_span():
            line += f" [trace {context.trace_id:032x}]"
        if record.exc_info:
            below = self.formatException(record.exc_info).splitlines()
            line += "".join(f"\n    {_in_one_line(each)}" for each in below)
        return line


class Line(msgspec.Struct, omit_defaults=True):
    """A record as JSON. The names of the ids are those by which logs and traces are joined everywhere."""

    time: str
    level: str
    service: str
    logger: str
    message: str
    trace_id: str = ""
    span_id: str = ""
    error: str = ""


class JsonLine(logging.Formatter):
    """`{"time":"2031-05-01T12:00:00.123Z","level":"WARNING",...,"trace_id":"4bf9...","span_id":"00f0..."}`."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The record as its line, its traceback in it."""
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = Line(when, record.levelname, self._service, record.name, record.getMessage())
        if context := sampled_span():
            line.trace_id, line.span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
        if record.exc_info:
            line.error = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


class Rarely(logging.Filter):
    """Lets each complaint of OpenTelemetry's own pass once a minute; everything else always."""

    def __init__(self) -> None:
        super().__init__()
        self._said_s: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if not record.name.startswith("opentelemetry"):
            return True
        place, now_s = (record.pathname, record.lineno), time.monotonic()
        if now_s - self._said_s.get(place, -AGAIN_AFTER_S) < AGAIN_AFTER_S:
            return False
        self._said_s[place] = now_s
        return True


def start_logs(
    level_name: str, form: str = TEXT, service: str = "", collector: logging.Handler | None = None
) -> Callable[[], None]:
    """Writes our records from this level on, and other libraries' from warnings on; returns what undoes it.

    A collector gets the same records, but for OpenTelemetry's own: its failures would feed on themselves.
    """
    level = logging.getLevelNamesMapping().get(level_name.upper())
    if level is None:
        why = f"{level_name!r} is not one of debug, info, warning, error, critical"
        raise BadSetting(key="HEARTHMIND_TELEMETRY__LOG_LEVEL", why=why)
    if form not in FORMS:
        raise BadSetting(key="HEARTHMIND_TELEMETRY__LOG_FORMAT", why=f"{form!r} is not one of {', '.join(FORMS)}")
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(JsonLine(service) if form == JSON else OneLine())
    lines.addFilter(Rarely())
    handlers = [lines, collector] if collector else [lines]
    root, ours = logging.getLogger(), logging.getLogger("hearthmind")
    before = root.level, ours.level
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING))
    ours.setLevel(level)

    def undo() -> None:
        for handler in handlers:
            root.removeHandler(handler)
        root.setLevel(before[0])
        ours.setLevel(before[1])

    return undo


def sampled_span() -> SpanContext | None:
    """The span that is being worked on, where it is kept: a trace id without a trace leads nowhere."""
    context = get_current_span().get_span_context()
    return context if context.is_valid and context.trace_flags.sampled else None


def _in_one_line(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == "\t" else character.encode("unicode_escape").decode()
        for character in text
    )
