"""Notices an engine that hangs or is past help, so that the process ends and is started again; the broker hands its work on.

The law: it barks only where something runs and nothing has moved for `still_after_s`, or where the engine says itself that it
can't go on. A process that was stopped and goes on has not hung.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LOOK_EVERY_S = 0.5


@dataclass
class Watchdog:
    """Compares what it sees with what it saw."""

    still_after_s: float
    _seen: tuple[int, int] = (-1, -1)
    _still_s: float = field(default=0.0)

    def looked(self, progress: int, ended: int, *, running: int, ailment: str, after_s: float = LOOK_EVERY_S) -> str:
        """Why the process has to end; empty where all is well."""
        if ailment:
            return f"the engine says: {ailment}"
        seen = (progress, ended)
        self._still_s = self._still_s + after_s if running and seen == self._seen else 0.0
        self._seen = seen
        if 0 < self.still_after_s <= self._still_s:
            return f"the engine has {running} requests and has not got on for {self._still_s:.0f} s"
        return ""
