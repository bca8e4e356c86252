"""The one consume loop of the hot path: pulls from durable consumers and hands deliveries to plain functions.

The law: every delivery ends in exactly one settlement by `settle`, or is left to the broker, which delivers it again;
and a consumer never holds more than it asked for. A pull is open all the time, so that nothing waits for a poll; one that
asks for more than there is room for by now is closed within `WATCH_EVERY_S`, so that another process gets those messages.
Everything else in the process gets its turn after `TURN_S`: a burst must not keep timers and answers waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import lru_cache

import msgspec
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError, OutboundBufferLimitError
from nats.errors import Error as NatsError

from hearthmind.bus.dead import Letter, bury
from hearthmind.bus.publish import Publisher
from hearthmind.bus.settle import Acknowledge, Attempt, Dead, HandedBack, Retry, before_handling, settle
from hearthmind.errors import HearthmindError
from hearthmind.telemetry import metrics, names

log = logging.getLogger("hearthmind.bus")

PULL_EXPIRES_S = 30.0
HEARTBEAT_S = 2.0
ASK_WITHIN_S = 1
SILENT_MAX_S = 3 * HEARTBEAT_S
"""Who hears nothing on an open pull for so long is no longer heard either."""
WATCH_EVERY_S = 0.5
AT_ONCE_S = 0.001
"""After this a message comes again that is for somebody else to handle."""
TURN_S = 0.002
"""So long deliveries are handled one after the other. Shorter turns cost more: each one ends in a write to the broker."""
PAUSE_S = 0.25
"""How long to wait before asking again for a consumer that is not there, as after a restart of the broker."""


class Delivery:
    """One delivery of one message; `stored_s` is the broker's time of storing it, `behind` how many wait there after it."""

    __slots__ = (
        "_nc",
        "attempt",
        "behind",
        "consumer",
        "data",
        "headers",
        "reply",
        "sequence",
        "settled",
        "stored_s",
        "stream",
        "subject",
    )

    def __init__(  # of all these, none is left out
        self, nc: Nats, subject: str, reply: str, headers: dict[str, str], data: bytes, deliveries_max: int
    ) -> None:
        *_, stream, consumer, delivered, sequence, _, stored_ns, behind = reply.split(".")
        self._nc, self.subject, self.reply, self.headers, self.data = nc, subject, reply, headers, data
        self.stream, self.consumer = stream, consumer
        self.attempt = _attempt(delivered, deliveries_max)
        self.sequence, self.stored_s, self.behind = int(sequence), int(stored_ns) / 1e9, int(behind)
        self.settled = False

    @classmethod
    def of(cls, nc: Nats, msg: Msg, deliveries_max: int) -> Delivery:
        """A message as nats-py hands it over."""
        return cls(nc, msg.subject, msg.reply, msg.headers or {}, msg.data, deliveries_max)

    async def acknowledge(self) -> None:
        """It is done; the broker forgets it."""
        await self._answer(b"")

    async def retry(self, after_s: float) -> None:
        """It comes again after this time."""
        await self._answer(b'-NAK {"delay": %d}' % int(after_s * 1e9))

    async def extend(self) -> None:
        """It is still being worked on."""
        await self._nc.publish(self.reply, b"+WPI")

    async def _answer(self, word: bytes) -> None:
        if self.settled:
            return
        self.settled = True
        try:
            await self._nc.publish(self.reply, word)
        except (OutboundBufferLimitError, ConnectionClosedError):
            log.debug("not settled, since the broker is away; it will be delivered again")


@lru_cache
def _attempt(delivered: str, deliveries_max: int) -> Attempt:
    return Attempt(int(delivered), deliveries_max)


async def settle_delivery(delivery: Delivery, error: BaseException | None, publisher: Publisher) -> None:
    """Carries out what `settle` says. A dead letter is stored before its message is acknowledged."""
    settlement = settle(error, delivery.attempt)
    if isinstance(settlement, Retry):
        _tell(error, delivery, f"tried again after {settlement.after_s:g} s")
        await delivery.retry(settlement.after_s)
        return
    if isinstance(settlement, Dead):
        _tell(error, delivery, "a dead letter")
        letter = Letter(
            delivery.stream,
            delivery.sequence,
            delivery.subject,
            delivery.data,
            delivery.headers,
            delivery.attempt.delivered,
        )
        await bury(publisher, letter, settlement.reason)
        metrics.count(names.DEAD_LETTERS, 1, {names.STREAM: delivery.stream})
    assert isinstance(settlement, Acknowledge | Dead)
    await delivery.acknowledge()


def _tell(error: BaseException | None, delivery: Delivery, what: str) -> None:
    if isinstance(error, HearthmindError):
        log.warning("%s: %s: %s", delivery.subject, what, error)
    else:
        log.error("%s: %s", delivery.subject, what, exc_info=error)


@dataclass(slots=True)
class _Pull:
    stream: str
    consumer: str
    deliveries_max: int
    handle: Callable[[Delivery], None]
    room: Callable[[], int]
    number: int = 0
    inbox: Subscription | None = None
    open_for: int = 0
    again_at_s: float = 0.0
    heard_s: float = field(default_factory=time.monotonic)


class Consuming:
    """Keeps a pull open on each of its consumers, each over an inbox of its own."""

    def __init__(self, nc: Nats, publisher: Publisher) -> None:
        self._nc = nc
        self._publisher = publisher
        self._inbox = f"{nc._inbox_prefix.decode()}.pull{secrets.token_hex(6)}"
        self._pulls: dict[tuple[str, str], _Pull] = {}
        self._by_number: dict[str, _Pull] = {}
        self._numbers = 0
        self._settling: set[asyncio.Task[None]] = set()
        self._handed_back = HandedBack()
        self._heard_s = 0.0
        self._turn_ends_s = 0.0
        self._reconnects = nc.stats["reconnects"]

    async def stop(self) -> None:
        """Stops pulling and finishes settling; what was delivered and not settled comes again elsewhere."""
        for stream, consumer in list(self._pulls):
            self.remove(stream, consumer)
        if self._settling:
            await asyncio.wait(self._settling, timeout=2)

    async def add(
        self,
        stream: str,
        consumer: str,
        handle: Callable[[Delivery], None],
        deliveries_max: int,
        room: Callable[[], int] = lambda: 256,
    ) -> None:
        """Consumes from a durable consumer; `room` says how many messages may be asked for now."""
        if not self._pulls:
            self._heard_s = time.monotonic()
        pull = self._pulls[stream, consumer] = _Pull(stream, consumer, deliveries_max, handle, room)
        await self._open(pull)

    def remove(self, stream: str, consumer: str) -> None:
        """Consumes no more from it; what is still on its way goes back at once."""
        pull = self._pulls.pop((stream, consumer), None)
        if pull:
            self._by_number.pop(str(pull.number), None)
            self._in_background(_close(pull.inbox))

    async def hears(self) -> bool:
        """Whether the broker still talks to whoever pulls here; who pulls nothing asks it."""
        if self._pulls:
            return time.monotonic() - self._heard_s < SILENT_MAX_S
        try:
            await self._nc.flush(ASK_WITHIN_S)
        except (NatsError, TimeoutError):
            return False
        return self._nc.is_connected

    async def again(self) -> None:
        """Asks again wherever there was no room before."""
        for pull in list(self._pulls.values()):
            if pull.open_for == 0:
                await self._ask(pull)

    async def _open(self, pull: _Pull) -> None:
        self._numbers += 1
        number = pull.number = self._numbers
        self._by_number[str(number)] = pull

        async def on_message(msg: Msg) -> None:
            await self._on_message(msg, number)

        inbox = f"{self._inbox}.{number}"
        pull.inbox = await self._nc.subscribe(inbox, cb=on_message, pending_msgs_limit=200_000)
        await self._ask(pull)

    async def _narrow(self, pull: _Pull) -> None:
        """Takes back what was asked for when there was more room, by hearing the answers elsewhere from now on."""
        self._by_number.pop(str(pull.number), None)
        self._in_background(_close(pull.inbox))
        pull.open_for = 0
        await self._open(pull)

    async def _ask(self, pull: _Pull) -> None:
        batch = pull.room()
        if batch <= 0:
            return
        pull.open_for = batch
        pull.heard_s = time.monotonic()
        request = {"batch": batch, "expires": int(PULL_EXPIRES_S * 1e9), "idle_heartbeat": int(HEARTBEAT_S * 1e9)}
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{pull.stream}.{pull.consumer}"
        try:
            await self._nc.publish(subject, msgspec.json.encode(request), f"{self._inbox}.{pull.number}")
        except (OutboundBufferLimitError, ConnectionClosedError):
            self._pause(pull)

    def _pause(self, pull: _Pull) -> None:
        pull.open_for = 0
        pull.again_at_s = time.monotonic() + PAUSE_S

    async def _on_message(self, msg: Msg, number: int) -> None:
        self._heard_s = time.monotonic()
        if not msg.reply.startswith("$JS.ACK."):
            await self._on_status(msg)
            return
        tokens = msg.reply.split(".")
        pull = self._pulls.get((tokens[-7], tokens[-6]))
        if pull is None:
            await self.hand_back(Delivery.of(self._nc, msg, 0))
            return
        pull.heard_s = self._heard_s
        is_current = number == pull.number  # otherwise it was under way when its pull was taken back
        pull.open_for -= is_current
        self._deliver(pull, Delivery.of(self._nc, msg, pull.deliveries_max))
        if is_current and pull.open_for == 0:
            await self._ask(pull)
        if time.monotonic() >= self._turn_ends_s:
            await asyncio.sleep(0)
            self._turn_ends_s = time.monotonic() + TURN_S

    async def hand_back(self, delivery: Delivery) -> None:
        """It comes again at once, here or elsewhere: it is not, or no longer, for this process to handle."""
        self._handed_back.add(delivery.stream, delivery.sequence)
        await delivery.retry(AT_ONCE_S)

    def _deliver(self, pull: _Pull, delivery: Delivery) -> None:
        if times := self._handed_back.times(delivery.stream, delivery.sequence):
            delivery.attempt = replace(delivery.attempt, handed_back=times)
        error = before_handling(delivery.attempt)
        if error is None:
            try:
                pull.handle(delivery)
            except Exception as raised:
                error = raised
        if error is not None:
            self.settle(delivery, error)

    def settle(self, delivery: Delivery, error: BaseException | None) -> None:
        """Settles a delivery in the background, within the loop's own bounds."""
        self._in_background(self._settle(delivery, error))

    def _in_background(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _settle(self, delivery: Delivery, error: BaseException | None) -> None:
        try:
            await settle_delivery(delivery, error, self._publisher)
        except HearthmindError as cause:
            log.warning("%s is left to the broker: %s", delivery.subject, cause)

    async def _on_status(self, msg: Msg) -> None:
        pull = self._by_number.get(msg.subject.rpartition(".")[2])
        status = (msg.headers or {}).get("Status", "")
        if pull is None:
            return
        pull.heard_s = self._heard_s
        if status == "100":
            return
        if status in {"404", "408"}:
            pull.open_for = 0
            await self._ask(pull)
        else:
            self._pause(pull)

    async def run(self) -> None:
        """Opens pulls that were paused or had no room, and those that the broker no longer knows; closes those too wide."""
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            if not self._nc.is_connected:
                continue
            now_s = time.monotonic()
            forgotten = self._reconnects != self._nc.stats["reconnects"]
            self._reconnects = self._nc.stats["reconnects"]
            for pull in list(self._pulls.values()):
                lost = pull.open_for > 0 and now_s - pull.heard_s > SILENT_MAX_S
                if forgotten or lost or (pull.open_for == 0 and now_s >= pull.again_at_s):
                    await self._ask(pull)
                elif pull.open_for > max(0, pull.room()):
                    await self._narrow(pull)


async def _close(inbox: Subscription | None) -> None:
    """Ends the interest in a pull's inbox: otherwise the broker would go on delivering to it until the pull expires."""
    if inbox:
        with contextlib.suppress(NatsError, TimeoutError):
            await inbox.drain()  # type: ignore[no-untyped-call]


async def unread(nc: Nats, stream: str, consumer: str) -> int:
    """How many messages left a stream before its reader was done with them, and never can be; 0 where this user may not ask."""
    try:
        state = (await nc.jetstream().stream_info(stream)).state
        floor = (await nc.jetstream().consumer_info(stream, consumer)).ack_floor
    except (HearthmindError, NatsError, TimeoutError):
        return 0
    return max(0, state.first_seq - 1 - (floor.stream_seq if floor else 0))
