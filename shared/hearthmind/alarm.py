"""One alarm for many deadlines: it rings at the soonest of them, by monotonic time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class Alarm:
    """Rings once at the time that was set last, or sooner where it was set for sooner before."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None
        self._when_s = 0.0

    def set(self, when_s: float | None) -> None:
        """Rings at this time; a time later than the one already set changes nothing."""
        if when_s is None or (self._handle and self._when_s <= when_s):
            return
        self.cancel()
        self._when_s = when_s
        delay_s = max(0.0, when_s - time.monotonic())
        self._handle = asyncio.get_running_loop().call_later(delay_s, self._on_time)

    def cancel(self) -> None:
        """Does not ring any more."""
        if self._handle:
            self._handle.cancel()
            self._handle = None

    def _on_time(self) -> None:
        self._handle = None
        self._ring()
