"""What a broker keeps: streams, consumers, pulls, subscriptions, leases."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from typing import NamedTuple

from hearthmind import flow
from hearthmind.bus.settle import Attempt

from .world import Action, Process


class Ack(NamedTuple):
    """The broker's word on a publish; of a duplicate, the sequence is the winner's."""

    sequence: int
    duplicate: bool = False
    refused: str = ""


class Stored(NamedTuple):
    """A message of a stream."""

    sequence: int
    subject: str
    data: bytes
    stored_s: float
    ends_s: float
    deadline_s: float


class Delivered:
    """One delivery of one message, as the services see it."""

    __slots__ = ("attempt", "consumer", "data", "deadline_s", "headers", "sequence", "stored_s", "stream", "subject")

    def __init__(self, message: Stored, consumer: Waiting, delivered: int) -> None:
        self.subject = message.subject
        self.data = message.data
        self.headers: dict[str, str] = {}
        self.deadline_s = message.deadline_s
        self.stream = consumer.stream.name
        self.consumer = consumer.has.name
        self.sequence = message.sequence
        self.stored_s = message.stored_s
        self.attempt = Attempt(delivered, consumer.has.deliveries_max)


@dataclass
class Stream:
    """What a stream holds."""

    name: str
    has: flow.Stream
    messages: dict[int, Stored] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    ids: dict[str, tuple[float, int]] = field(default_factory=dict)
    sequence: int = 0

    def clear(self) -> None:
        """It begins anew."""
        self.messages.clear()
        self.newest.clear()
        self.ids.clear()
        self.sequence = 0


@dataclass
class Waiting:
    """What a consumer has to deliver, and what it waits for."""

    stream: Stream
    has: flow.Consumer
    channel: str
    ready: deque[int] = field(default_factory=deque)
    pending: dict[int, float] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    pulls: deque[Pull] = field(default_factory=deque)

    def clear(self) -> None:
        """It begins anew."""
        self.ready.clear()
        self.pending.clear()
        self.counts.clear()


class Pull(NamedTuple):
    """A pull that a process has open in one life; a partition that it takes again is pulled from anew."""

    process: Process
    life: int
    number: int


class Subscription(NamedTuple):
    """Who listens, and with what."""

    process: Process
    life: int
    number: int
    channel: str
    hear: Action


class Lease(NamedTuple):
    """Who holds a partition, since which write, until when."""

    owner: str
    revision: int
    ends_s: float
