"""What the broker says of itself, as metrics: `python -m hearthmind.telemetry.broker` runs beside a deployment.

The broker knows best how much waits in its streams and since when. This reads its monitoring port from time to time, and
needs no permission on the bus. While the broker does not answer only that is told: no old figure looks like a new one.
"""

from __future__ import annotations

import asyncio
import http.client
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

import msgspec

from hearthmind.bus.clock import parse_stamp
from hearthmind.flow import QUEUES, STREAMS, Stream
from hearthmind.process import run, until
from hearthmind.settings import BadSetting, load
from hearthmind.telemetry import metrics, names

log = logging.getLogger("hearthmind.broker_watch")

T = TypeVar("T")

ANSWER_WITHIN_S = 2.0
ANSWER_BYTES_MAX = 16 * 1024 * 1024
REMEMBERED_MAX = 20_000
"""Readings that a backlog's age is found in: more than a day of them."""


class BrokerWatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`HEARTHMIND_BROKER_WATCH__…`"""

    url: str = "http://127.0.0.1:8222"
    """The broker's monitoring port."""
    every_s: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 5.0
    """How often it is read."""


class StreamState(msgspec.Struct, frozen=True):
    """How much is in a stream."""

    messages: int
    bytes: int
    first_seq: int
    first_ts: str
    last_seq: int


class Floor(msgspec.Struct, frozen=True):
    """Up to where everything is acknowledged."""

    stream_seq: int


class Reader(msgspec.Struct, frozen=True):
    """A consumer of a stream, and what it still has to process."""

    ack_floor: Floor
    num_pending: int
    num_ack_pending: int


class StreamDetail(msgspec.Struct, frozen=True):
    """A stream as the broker describes it."""

    name: str
    state: StreamState
    consumer_detail: list[Reader] = []

    @property
    def waiting(self) -> int:
        """How many messages the reader that is furthest behind still has to process."""
        return max((each.num_pending + each.num_ack_pending for each in self.consumer_detail), default=0)

    @property
    def done(self) -> int:
        """Up to which sequence all readers are through."""
        return min((each.ack_floor.stream_seq for each in self.consumer_detail), default=self.state.last_seq)


class Account(msgspec.Struct, frozen=True):
    """What an account has; without accounts there is one."""

    stream_detail: list[StreamDetail] = []


class Limits(msgspec.Struct, frozen=True):
    """What all streams together may take."""

    max_memory: int
    max_storage: int


class JetStreamSays(msgspec.Struct, frozen=True):
    """The answer to `/jsz`."""

    now: str
    memory: int
    storage: int
    config: Limits
    account_details: list[Account] = []


class ServerSays(msgspec.Struct, frozen=True):
    """The answer to `/varz`."""

    connections: int
    slow_consumers: int


class Reading(msgspec.Struct, frozen=True):
    """All that was read at one time."""

    jetstream: JetStreamSays
    server: ServerSays

    @property
    def now_s(self) -> float:
        """The broker's clock."""
        return parse_stamp(self.jetstream.now)

    def details(self) -> Iterator[tuple[Stream, StreamDetail]]:
        """The streams of the loop; others, such as those of buckets, are passed over."""
        known = {stream.name: stream for stream in STREAMS}
        for account in self.jetstream.account_details:
            for detail in account.stream_detail:
                if detail.name in known:
                    yield known[detail.name], detail

    def streams(self) -> Iterator[tuple[Stream, StreamState]]:
        """The same, with only how much is in each."""
        return ((stream, detail.state) for stream, detail in self.details())

    def age_s(self, state: StreamState) -> float:
        """How long the oldest message has been there, all by the broker's clock."""
        return max(0.0, self.now_s - parse_stamp(state.first_ts)) if state.messages else 0.0


class Backlog:
    """How long the oldest message has waited in a stream that keeps what was processed: seen from one reading to the next.

    It may be older by the time between two readings, or by all that was before the first.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque(maxlen=REMEMBERED_MAX)

    def age_s(self, now_s: float, last: int, done: int) -> float:
        """Takes note of how far the stream and its readers are now."""
        if last < (self._seen[-1][1] if self._seen else 0):
            self._seen.clear()  # made anew
        self._seen.append((now_s, last))
        while self._seen and self._seen[0][1] <= done:
            self._seen.popleft()
        return max(0.0, now_s - self._seen[0][0]) if self._seen else 0.0


class Unread:
    """How many messages left a stream before its readers had them: as many as lay there unread when they were gone.

    A reader that was told to pass over them is not seen to have missed them; so the time between two readings counts.
    """

    def __init__(self) -> None:
        self.total = 0
        self._gone = 0

    def take(self, gone: int, done: int) -> int:
        """Takes note of up to where the stream has let go, and its readers are through; returns how many there were so far."""
        if gone < self._gone:
            self._gone = 0  # made anew
        self.total += max(0, gone - max(done, self._gone))
        self._gone = gone
        return self.total


Values = list[tuple[float, dict[str, str]]]


def depths(reading: Reading) -> Values:
    """What still has to be processed, by queue."""
    return [
        (detail.waiting if _keeps(stream) else detail.state.messages, _in(stream))
        for stream, detail in reading.details()
        if stream.name in QUEUES
    ]


MEASURES: dict[str, Callable[[Reading], Values]] = {
    names.QUEUE_DEPTH: depths,
    names.STREAM_STORED: lambda said: [(state.last_seq, _in(stream)) for stream, state in said.streams()],
    names.STREAM_SIZE: lambda said: [(state.bytes, _in(stream)) for stream, state in said.streams()],
    names.STREAM_SIZE_MAX: lambda said: [(stream.bytes_max, _in(stream)) for stream, _ in said.streams()],
    names.BROKER_STORAGE: lambda said: _by_storage(said.jetstream.memory, said.jetstream.storage),
    names.BROKER_STORAGE_MAX: lambda said: _by_storage(
        said.jetstream.config.max_memory, said.jetstream.config.max_storage
    ),
    names.BROKER_CONNECTIONS: lambda said: [(said.server.connections, {})],
    names.BROKER_SLOW: lambda said: [(said.server.slow_consumers, {})],
}
"""What each metric is, in a reading."""


class Watch:
    """Reads the broker from time to time; what metrics say is its last answer."""

    def __init__(self, settings: BrokerWatch) -> None:
        parts = urlsplit(settings.url)
        if parts.scheme != "http" or not parts.hostname:
            why = f"{settings.url!r} has to look like http://127.0.0.1:8222"
            raise BadSetting(key="HEARTHMIND_BROKER_WATCH__URL", why=why)
        self._where = (parts.hostname, parts.port or 8222)
        self._every_s = settings.every_s
        self._reading: Reading | None = None
        self._ages: Values = []
        self._unread: Values = []
        self._missed: defaultdict[str, Unread] = defaultdict(Unread)
        self._backlogs: defaultdict[str, Backlog] = defaultdict(Backlog)

    def measure(self) -> None:
        """Registers the metrics."""
        metrics.watch(names.BROKER_UP, lambda: [(float(self._reading is not None), {})])
        metrics.watch(names.QUEUE_AGE, lambda: self._ages if self._reading else [])
        metrics.watch(names.STREAM_UNREAD, lambda: self._unread if self._reading else [])
        for name, values in MEASURES.items():
            metrics.watch(name, lambda values=values: values(self._reading) if self._reading else [])  # type: ignore[misc]

    async def keep_reading(self) -> None:
        """Reads for ever; an answer that stays away is said once."""
        while True:
            before = self._reading
            try:
                self._take(await asyncio.to_thread(self.read))
            except (OSError, http.client.HTTPException, msgspec.MsgspecError) as error:
                self._reading = None
                if before is not None:
                    log.warning("the broker's monitoring port at %s:%d does not answer: %s", *self._where, error)
            await asyncio.sleep(self._every_s)

    def _take(self, reading: Reading) -> None:
        self._ages = [
            (self._age_s(reading, stream, detail), _in(stream))
            for stream, detail in reading.details()
            if stream.name in QUEUES
        ]
        self._unread = [
            (self._missed[stream.name].take(detail.state.first_seq - 1, detail.done), _in(stream))
            for stream, detail in reading.details()
            if _keeps(stream)
        ]
        self._reading = reading

    def _age_s(self, reading: Reading, stream: Stream, detail: StreamDetail) -> float:
        if _keeps(stream):
            return self._backlogs[stream.name].age_s(reading.now_s, detail.state.last_seq, detail.done)
        return reading.age_s(detail.state)

    def read(self) -> Reading:
        """Asks the broker once."""
        return Reading(
            self._get("/jsz?streams=true&consumers=true&config=true", JetStreamSays), self._get("/varz", ServerSays)
        )

    def _get(self, path: str, kind: type[T]) -> T:
        connection = http.client.HTTPConnection(*self._where, timeout=ANSWER_WITHIN_S)
        try:
            connection.request("GET", path)
            return msgspec.json.decode(connection.getresponse().read(ANSWER_BYTES_MAX), type=kind)
        finally:
            connection.close()


async def serve(stop: asyncio.Event) -> None:
    """Runs until `stop` is set."""
    watch = Watch(load(names.BROKER_WATCH, BrokerWatch))
    watch.measure()
    await until(stop, watch.keep_reading())


def _keeps(stream: Stream) -> bool:
    """Whether it keeps what was processed."""
    return stream.retention == "limits"


def _in(stream: Stream) -> dict[str, str]:
    return {names.STREAM: stream.name}


def _by_storage(memory: int, file: int) -> Values:
    return [(memory, {names.STORAGE: "memory"}), (file, {names.STORAGE: "file"})]


if __name__ == "__main__":
    run(names.BROKER_WATCH, serve)
