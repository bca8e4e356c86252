"""Pulls in big batches, for whoever stores many messages at once; at a message, what is done is as little as can be.

The law: never more is asked for than a batch, and a fetch ends when the batch is full or when the broker says that the pull's
time is up. By its own clock it would ask again while the batch before is still on its way: what the broker may have out
would come to lie here, grow old, and be delivered a second time.

nats-py takes some 15 us for a message, most of it between its parser and whoever waits. `Ear` reads the messages of one
subscription off what came from the socket, and leaves everything else to nats-py's own parser.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError, OutboundBufferLimitError
from nats.errors import Error as NatsError
from nats.protocol.parser import AWAITING_CONTROL_LINE, Parser

from hearthmind.bus.consume import AT_ONCE_S, Delivery
from hearthmind.flow import Consumer

log = logging.getLogger("hearthmind.bus")

HEARTBEAT, TIME_IS_UP = "100", "408"
UNHEARD_S = 1.0
"""So long after a pull's time the broker is waited for to say so. It does late where it has much to store: what it sends and
what it stores wait in one line."""

_LINE, _VERSION = b"\r\n", b"NATS/1.0"
_PARTIAL_MAX = 64 * 1024
"""A message of which more than this is missing is left to nats-py, which does not read it from its beginning each time."""

Headers = dict[str, str]
Hear = Callable[[str, str, Headers, bytes], None]
"""Told the subject, where to answer, the headers and the body."""


class Batches:
    """The batches of one durable consumer."""

    def __init__(self, nc: Nats, consumer: Consumer) -> None:
        self._nc = nc
        self._consumer = consumer
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{consumer.stream}.{consumer.name}"
        self._inbox = f"{nc._inbox_prefix.decode()}.bulk{secrets.token_hex(6)}"
        self._bound: Subscription
        self._came: deque[Delivery] = deque()
        self._status = ""
        self._told = asyncio.Event()

    async def start(self) -> Batches:
        """Begins to listen."""
        bound = self._bound = await self._nc.subscribe(self._inbox, cb=_nobody)
        ear = self._nc._ps = Ear(self._nc)
        ear.hears[str(bound._id).encode()] = self._hear
        return self

    async def fetch(self, most: int, wait_s: float) -> list[Delivery]:
        """What there is within the time, and no more than so many; nothing where there is nothing."""
        request = {"batch": most - len(self._came), "expires": int(wait_s * 1e9)}
        self._status = ""
        try:
            if len(self._came) < most:
                await self._nc.publish(self._subject, msgspec.json.encode(request), self._inbox)
            async with asyncio.timeout(wait_s + UNHEARD_S):
                while len(self._came) < most and not self._status:
                    self._told.clear()
                    await self._told.wait()
        except TimeoutError:
            log.debug("the broker did not say that a pull's time was up: it is behind, or was away meanwhile")
        except (OutboundBufferLimitError, ConnectionClosedError):
            await asyncio.sleep(wait_s)
        if self._status not in {"", TIME_IS_UP} and not self._came:
            await asyncio.sleep(wait_s)  # it refuses at once, and will again
        return [self._came.popleft() for _ in range(min(most, len(self._came)))]

    async def stop(self) -> None:
        """Listens no more, and hands back what came and was not fetched."""
        with contextlib.suppress(NatsError):
            await self._bound.unsubscribe()
        for delivery in self._came:
            await delivery.retry(AT_ONCE_S)
        self._came.clear()

    def _hear(self, subject: str, reply: str, headers: Headers, data: bytes) -> None:
        if reply.startswith("$JS.ACK."):
            self._came.append(Delivery(self._nc, subject, reply, headers, data, self._consumer.deliveries_max))
        elif (status := headers.get("Status", HEARTBEAT)) != HEARTBEAT:
            self._status = status
        self._told.set()


async def acknowledge_all(nc: Nats, deliveries: Iterable[Delivery]) -> None:
    """Acknowledges what is not settled yet, all of it in one write; where the broker is away for long, they come again."""
    done = [delivery for delivery in deliveries if not delivery.settled]
    for delivery in done:
        delivery.settled = True
    said = "".join([f"PUB {delivery.reply} 0\r\n\r\n" for delivery in done]).encode()
    if said and (nc.is_connected or nc._pending_data_size + len(said) <= nc._max_pending_size):
        await nc._send_command(said)
        await nc._flush_pending()


class Ear(Parser):
    """nats-py's parser, which hands over the messages of some subscriptions as they stand in what came."""

    def __init__(self, nc: Nats) -> None:
        vars(self).update(vars(nc._ps))  # it may be in the middle of a message
        self.hears: dict[bytes, Hear] = {}
        self.nc = _Rest(nc, self.hears)

    async def parse(self, data: bytes = b"") -> None:
        """Reads what came."""
        if self.state == AWAITING_CONTROL_LINE:
            if self.buf:
                data = bytes(self.buf) + data
            read, missing = self._take(data)
            self.buf = bytearray(data[read:])
            if 0 < missing <= _PARTIAL_MAX:
                return
            data = b""
        await super().parse(data)

    def _take(self, data: bytes) -> tuple[int, int]:
        """Hands over the whole messages of ours at the beginning; says where they end, and how much of the next is missing."""
        at = 0
        while (has_headers := data.startswith(b"HMSG ", at)) or data.startswith(b"MSG ", at):
            line_end = data.find(_LINE, at)
            words = data[at:line_end].split(b" ") if line_end > 0 else []
            hear = self.hears.get(words[2]) if len(words) > 3 else None
            if hear is None:
                break
            begin = line_end + 2
            end = begin + int(words[-1])
            if end + 2 > len(data):
                return at, end + 2 - len(data)
            body = begin + int(words[-2]) if has_headers else begin
            reply = words[3].decode() if len(words) == 5 + has_headers else ""
            headers = headers_of(data[begin:body]) if has_headers else {}
            hear(_subject(words[1]), reply, headers, data[body:end])
            at = end + 2
        return at, 0


class _Rest:
    """Where nats-py's parser brings what it reads: messages of ours too, where they stand behind something else."""

    def __init__(self, nc: Nats, hears: Mapping[bytes, Hear]) -> None:
        self._nc = nc
        self._hears = hears

    def __getattr__(self, name: str) -> Any:
        return getattr(self._nc, name)

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes) -> None:
        if hear := self._hears.get(str(sid).encode()):
            hear(_subject(subject), reply.decode(), headers_of(headers) if headers else {}, data)
        else:
            await self._nc._process_msg(sid, subject, reply, data, headers)


def _subject(said: bytes) -> str:
    """It may be any bytes, as in `hearthmind.bus.subjects`."""
    return said.decode(errors="backslashreplace")


async def _nobody(_: Msg) -> None:
    """`Ear` hears it all."""


def headers_of(raw: bytes) -> dict[str, str]:
    """The headers of a message, with its status where it has one."""
    first, *lines = raw.split(_LINE)
    headers = {}
    if status := first[len(_VERSION) :].split():
        headers["Status"] = status[0].decode()
    for line in lines:
        name, colon, value = line.partition(b":")
        if colon:
            headers[name.strip().decode(errors="replace")] = value.strip().decode(errors="replace")
    return headers
