"""What becomes of a delivery: one pure function from (error, delivery) to acknowledge, retry or dead letter.

Every consumer of every service settles by it, so the rules stand here once and are tested as a table.
"""

from __future__ import annotations

from dataclasses import dataclass

from hearthmind.errors import HearthmindError, Refused, Unavailable, UnknownVersion


class OutOfDeliveries(Refused):
    """It was delivered {delivered} times and never settled: whoever took it ended each time, or never came to an end."""


@dataclass(frozen=True)
class Acknowledge:
    """It is done."""


@dataclass(frozen=True)
class Retry:
    """It is delivered again after this time."""

    after_s: float


@dataclass(frozen=True)
class Dead:
    """It becomes a dead letter with this reason."""

    reason: str


Settlement = Acknowledge | Retry | Dead


@dataclass(frozen=True)
class Attempt:
    """How often a message has been delivered, and how often it may be; what was handed back unhandled does not count."""

    delivered: int
    deliveries_max: int
    handed_back: int = 0

    @property
    def counted(self) -> int:
        """The deliveries after which somebody handled it, or ended."""
        return self.delivered - self.handed_back


class HandedBack:
    """What this process handed back because it is no longer the one to handle it: nobody ended of such a delivery.

    Kept for the newest only. Another process does not know of it, and counts those deliveries like all others.
    """

    def __init__(self, kept_max: int = 100_000) -> None:
        self._times: dict[tuple[str, int], int] = {}
        self._kept_max = kept_max

    def add(self, stream: str, sequence: int) -> None:
        """It was handed back once more."""
        key = stream, sequence
        self._times[key] = self._times.pop(key, 0) + 1
        if len(self._times) > self._kept_max:
            del self._times[next(iter(self._times))]

    def times(self, stream: str, sequence: int) -> int:
        """How often it was handed back."""
        return self._times.get((stream, sequence), 0)


def settle(error: BaseException | None, attempt: Attempt) -> Settlement:
    """Decides by the kind of error: what can't get better is dead at once, what can is tried again, within limits."""
    if error is None:
        return Acknowledge()
    if isinstance(error, Refused):
        return Dead(reason_of(error))
    if isinstance(error, Unavailable):
        return Retry(_backoff(attempt.counted, first_s=0.5, most_s=10))
    if attempt.counted >= attempt.deliveries_max:
        return Dead(f"after {attempt.delivered} deliveries: {reason_of(error)}")
    if isinstance(error, UnknownVersion):
        return Retry(_backoff(attempt.counted, first_s=5, most_s=600))
    return Retry(_backoff(attempt.counted, first_s=0.2, most_s=30))


def before_handling(attempt: Attempt) -> BaseException | None:
    """The error of a message that has run out of deliveries, to be asked before it is handled once more.

    The broker itself has no limit: its own would leave the message in the work queue, without a body or a reason.
    """
    if attempt.counted > attempt.deliveries_max:
        return OutOfDeliveries(delivered=attempt.counted - 1)
    return None


def reason_of(error: BaseException) -> str:
    """The reason as people will read it; an unexpected error says its kind."""
    return str(error) if isinstance(error, HearthmindError) else f"{type(error).__name__}: {error}"


def _backoff(counted: int, first_s: float, most_s: float) -> float:
    return float(min(most_s, first_s * 2 ** min(counted - 1, 20)))
