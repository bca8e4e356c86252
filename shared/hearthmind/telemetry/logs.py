"""Logs: one line per record on standard error, with level, logger and the trace id where there is one.

What a game or a model made up can't forge a line: control characters are written out, and a traceback is indented.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

from opentelemetry.trace import get_current_span

from hearthmind.settings import BadSetting

AGAIN_AFTER_S = 60.0
"""How long a complaint of OpenTelemetry's own is kept back: an endpoint that is away is one line a minute."""


class OneLine(logging.Formatter):
    """`2031-05-01T12:00:00.123 WARNING hearthmind.bus: the text [trace 4bf9...]`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as its line, and below it, indented, its traceback."""
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.created))
        line = f"{when}.{int(record.msecs):03d} {record.levelname} {record.name}: {_in_one_line(record.getMessage())}"
        context = get_current_span().get_span_context()
        if context.is_valid and context.trace_flags.sampled:
            line += f" [trace {context.trace_id:032x}]"
        if record.exc_info:
            below = self.formatException(record.exc_info).splitlines()
            line += "".join(f"\n    {_in_one_line(each)}" for each in below)
        return line


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


def start_logs(level_name: str) -> Callable[[], None]:
    """Writes our records from this level on, and other libraries' from warnings on; returns what undoes it."""
    level = logging.getLevelNamesMapping().get(level_name.upper())
    if level is None:
        why = f"{level_name!r} is not one of debug, info, warning, error, critical"
        raise BadSetting(key="HEARTHMIND_TELEMETRY__LOG_LEVEL", why=why)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLine())
    handler.addFilter(Rarely())
    root, ours = logging.getLogger(), logging.getLogger("hearthmind")
    before = root.level, ours.level
    root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING))
    ours.setLevel(level)

    def undo() -> None:
        root.removeHandler(handler)
        root.setLevel(before[0])
        ours.setLevel(before[1])

    return undo


def _in_one_line(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character == "\t" else character.encode("unicode_escape").decode()
        for character in text
    )
