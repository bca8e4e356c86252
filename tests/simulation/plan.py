"""What a life is made of: who lives in it, what the game asks, and what goes wrong. All of it is data."""

from __future__ import annotations

from typing import Literal

import msgspec

FAMILIES = ("lose", "double", "delay", "crash", "freeze", "cut", "engine", "twist", "database", "refuse")
"""The kinds of faults."""

CHANNELS = (
    "observation",
    "observation ack",
    "delivery",
    "settlement",
    "request",
    "request ack",
    "request delivery",
    "request settlement",
    "reply",
    "heard reply",
    "action",
    "action ack",
    "heard action",
    "detail",
    "detail ack",
    "outcome",
    "outcome ack",
    "experience",
    "experience settlement",
    "stored",
    "heard stored",
    "lease",
    "lease answer",
    "alive",
)
"""The ways a message can take, by what it carries."""

STEPS = (
    "observation",
    "request",
    "reply",
    "action",
    "detail",
    "outcome",
    "settlement",
    "experience settlement",
    "stored",
)
"""The channels whose senders are in the midst of something."""

How = Literal["slow", "illegal", "unknown", "garbled", "late", "missing", "failed"]


class Asked(msgspec.Struct, frozen=True):
    """The game asks what an NPC does, and reports what came of it some time after the action."""

    at_s: float
    npc: str
    kind: str
    is_event: bool
    answer_within_ms: int
    priority: int
    report_after_s: float


class Lost(msgspec.Struct, frozen=True):
    """The nth message of a channel never arrives."""

    channel: str
    nth: int


class Doubled(msgspec.Struct, frozen=True):
    """The nth message of a channel arrives twice."""

    channel: str
    nth: int
    after_s: float


class Delayed(msgspec.Struct, frozen=True):
    """The nth message of a channel arrives late, and so after others that were sent later."""

    channel: str
    nth: int
    by_s: float


class Crashed(msgspec.Struct, frozen=True):
    """A process is killed and starts again; of the game the journal stays, of the broker what it keeps in files."""

    who: str
    at_s: float
    for_s: float


class Killed(msgspec.Struct, frozen=True):
    """Whoever sends the nth message of a channel is killed as soon as it is sent, in the midst of what it does."""

    channel: str
    nth: int
    for_s: float


class Frozen(msgspec.Struct, frozen=True):
    """A process stands still and then goes on as if nothing had happened, as in a virtual machine that was paused."""

    who: str
    at_s: float
    for_s: float


class CutOff(msgspec.Struct, frozen=True):
    """Nothing that a process sends arrives, and nothing arrives there."""

    who: str
    at_s: float
    for_s: float


class Answered(msgspec.Struct, frozen=True):
    """The engine's nth answer is no good, or not in time."""

    nth: int
    how: How
    after_s: float


class Twisted(msgspec.Struct, frozen=True):
    """The nth action that the game hears is not what the platform has said."""

    nth: int
    how: Literal["unknown", "too many", "another snapshot"]


class NoDatabase(msgspec.Struct, frozen=True):
    """Postgres is away; what was not committed is undone."""

    at_s: float
    for_s: float


class Unsure(msgspec.Struct, frozen=True):
    """The nth commit is done, but the connection breaks before anybody is told."""

    nth: int


class Refused(msgspec.Struct, frozen=True):
    """A stream takes no more messages for a while."""

    stream: str
    at_s: float
    for_s: float


OnTheWay = Lost | Doubled | Delayed | Killed
InTime = Crashed | Frozen | CutOff | NoDatabase | Refused
Fault = OnTheWay | InTime | Answered | Twisted | Unsure


class Plan(msgspec.Struct, frozen=True):
    """One life."""

    seed: int
    partitions: int
    joins_s: tuple[float, ...]
    """When each decision service starts: one that joins takes partitions over."""
    workers: int
    rewards: int
    slots: int
    pending_max: int
    batch_max: int
    engine_s: float
    latencies_s: tuple[float, ...]
    """How long messages take, again and again in this order."""
    asks: tuple[Asked, ...]
    faults: tuple[Fault, ...]

    @property
    def processes(self) -> list[str]:
        """Who lives in it."""
        services = (("decision", len(self.joins_s)), ("worker", self.workers), ("reward", self.rewards))
        return ["game", "broker", *(f"{service}-{number}" for service, count in services for number in range(count))]

    @property
    def calm_s(self) -> float:
        """From here on nothing is asked and nothing goes wrong by the clock."""
        ends = [fault.at_s + fault.for_s for fault in self.faults if isinstance(fault, InTime)]
        return max([0.0, *self.joins_s, *(asked.at_s for asked in self.asks), *ends])
