"""Whether a provider may be asked: its breaker, its rate limits, and how long it said to wait. No I/O; the time is passed in.

The law: after `failures_max` failures in a row nobody asks for `rest_s`; then a single request does, and its end decides; in no
minute are more requests or tokens sent than allowed.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

MINUTE_S = 60.0


@dataclass
class Window:
    """What was used in the last minute; at most `limit`, where 0 is no limit."""

    limit: int
    _used: deque[tuple[float, int]] = field(default_factory=deque)

    def use(self, amount: int, now_s: float) -> None:
        """So much was used."""
        if self.limit:
            self._used.append((now_s, amount))

    def wait_s(self, now_s: float) -> float:
        """How long until something may be used again; 0 where it may now."""
        while self._used and self._used[0][0] <= now_s - MINUTE_S:
            self._used.popleft()
        over = sum(amount for _, amount in self._used) - self.limit
        if not self.limit or over < 0:
            return 0.0
        for at_s, amount in self._used:
            over -= amount
            if over < 0:
                return at_s + MINUTE_S - now_s
        return MINUTE_S


@dataclass
class Breaker:
    """A provider's state."""

    failures_max: int
    rest_s: float
    requests: Window
    tokens: Window
    failures: int = 0
    probing: bool = False
    _rests_until_s: float = 0.0
    _told_until_s: float = 0.0

    def wait_s(self, now_s: float) -> float:
        """How long the provider is not to be asked; 0 where it may be now."""
        if self.probing:
            return self.rest_s
        told = max(0.0, self._told_until_s - now_s, self.requests.wait_s(now_s), self.tokens.wait_s(now_s))
        return max(told, self._rests_until_s - now_s if self.broken else 0.0)

    @property
    def broken(self) -> bool:
        """Whether it failed too often of late."""
        return self.failures >= self.failures_max

    def asks(self, now_s: float) -> None:
        """A request goes out."""
        self.requests.use(1, now_s)
        self.probing = self.broken

    def answered(self, tokens: int, now_s: float) -> None:
        """It did well."""
        self.tokens.use(tokens, now_s)
        self.failures = 0
        self.probing = False

    def failed(self, now_s: float) -> None:
        """It did not."""
        self.failures += 1
        self.probing = False
        if self.broken:
            self._rests_until_s = now_s + self.rest_s

    def left(self) -> None:
        """Whoever asked did not wait for the end: nothing is known."""
        self.probing = False

    def told_to_wait(self, wait_s: float, now_s: float) -> None:
        """It is busy, and says for how long; that is no failure."""
        self._told_until_s = max(self._told_until_s, now_s + wait_s)
        self.probing = False
