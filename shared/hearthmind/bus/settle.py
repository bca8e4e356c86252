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
    """How often a message has been delivered, and how often it may be."""

    delivered: int
    deliveries_max: int


def settle(error: BaseException | None, attempt: Attempt) -> Settlement:
    """Decides by the kind of error: what can't get better is dead at once, what can is tried again, within limits."""
    if error is None:
        return Acknowledge()
    if isinstance(error, Refused):
        return Dead(reason_of(error))
    if isinstance(error, Unavailable):
        return Retry(_backoff(attempt.delivered, first_s=0.5, most_s=10))
    if attempt.delivered >= attempt.deliveries_max:
        return Dead(f"after {attempt.delivered} deliveries: {reason_of(error)}")
    if isinstance(error, UnknownVersion):
        return Retry(_backoff(attempt.delivered, first_s=5, most_s=600))
    return Retry(_backoff(attempt.delivered, first_s=0.2, most_s=30))


def before_handling(attempt: Attempt) -> BaseException | None:
    """The error of a message that has run out of deliveries, to be asked before it is handled once more.

    The broker itself has no limit: its own would leave the message in the work queue, without a body or a reason.
    """
    if attempt.delivered > attempt.deliveries_max:
        return OutOfDeliveries(delivered=attempt.delivered - 1)
    return None


def reason_of(error: BaseException) -> str:
    """The reason as people will read it; an unexpected error says its kind."""
    return str(error) if isinstance(error, HearthmindError) else f"{type(error).__name__}: {error}"


def _backoff(delivered: int, first_s: float, most_s: float) -> float:
    return float(min(most_s, first_s * 2 ** min(delivered - 1, 20)))
