"""Publishing to a stream: a message is sent again with its id until the stream has it, or until it is worth nothing.

The law: a publish that returned is stored; one that raised may be stored, and sending it again does no harm.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.errors import OutboundBufferLimitError

from hearthmind.bus.connect import Denied, hear_denials
from hearthmind.errors import HearthmindError, Unavailable
from hearthmind.telemetry import metrics, names

MSG_ID = "Nats-Msg-Id"
DEADLINE = "Hearthmind-Deadline"
TTL = "Nats-TTL"

RESEND_AFTER_S = 1.0
RESEND_AFTER_MAX_S = 4.0
"""Each try waits twice as long as the one before. A broker that is behind has them all in its line: sent every second, what
waits filled the line with its own copies until the broker dropped messages."""
SWEEP_EVERY_S = 0.25
_FULL = (10077, 10047, 10076)
_LATER = (429, 503)
"""The broker's line is full, or the stream is not there now: it is sent again."""


class StreamFull(HearthmindError):
    """The stream of {subject} takes no more: {why}. Publish less, or let its readers catch up."""


class NotStored(HearthmindError):
    """The broker did not store a message on {subject}: {why}"""


class _Fault(msgspec.Struct):
    code: int = 0
    err_code: int = 0
    description: str = ""


class PubAck(msgspec.Struct):
    """The broker's acknowledgement; of a duplicate, `seq` is the winner's."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: _Fault | None = None


_ack_decoder = msgspec.json.Decoder(PubAck)


@dataclass(slots=True)
class _Pending:
    subject: str
    data: bytes
    headers: dict[str, str]
    give_up_s: float
    sent_s: float
    stored: asyncio.Future[PubAck] = field(repr=False)
    again_after_s: float = RESEND_AFTER_S


class Publisher:
    """Publishes to streams over one connection, with many publishes under way at once."""

    def __init__(self, nc: Nats, pending_max: int = 20_000) -> None:
        self._nc = nc
        self._pending: dict[str, _Pending] = {}
        self._pending_max = pending_max
        self._patient: deque[asyncio.Future[None]] = deque()
        prefix = nc._inbox_prefix.decode()
        self._inbox = f"{prefix}.pub{secrets.token_hex(6)}"
        self._tokens = itertools.count()
        self._denied: set[str] = set()
        self._sweeper: asyncio.Task[None] | None = None
        self._reconnects = nc.stats["reconnects"]

    async def start(self) -> Publisher:
        """Begins to listen for acknowledgements."""
        await self._nc.subscribe(f"{self._inbox}.*", cb=self._on_ack)
        hear_denials(self._nc, self._on_denied)
        self._sweeper = asyncio.create_task(self._sweep())
        return self

    async def stop(self, within_s: float = 2.0) -> None:
        """Waits for what is under way, within limits."""
        waiting = [pending.stored for pending in self._pending.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=within_s)
        if self._sweeper:
            self._sweeper.cancel()

    @property
    def under_way(self) -> int:
        """How many publishes have not been acknowledged yet."""
        return len(self._pending)

    @property
    def payload_max(self) -> int:
        """The most bytes that the broker takes in one message, headers included."""
        return self._nc.max_payload

    async def room(self, within_s: float) -> bool:
        """Waits while half of what may be under way is, for messages that have time; whether there is room now."""
        if len(self._pending) < self._pending_max // 2:
            return True
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._patient.append(turn)
        try:
            async with asyncio.timeout(within_s):
                await turn
        except TimeoutError:
            return False
        return True

    async def send(
        self,
        subject: str,
        data: bytes,
        message_id: str,
        headers: Mapping[str, str] | None = None,
        give_up_after_s: float = 30.0,
    ) -> asyncio.Future[PubAck]:
        """Sends a message; the future tells when the stream has it."""
        if len(self._pending) >= self._pending_max:
            raise Unavailable(what="The broker", why=f"{self._pending_max} publishes wait for it")
        now_s = time.monotonic()
        stored: asyncio.Future[PubAck] = asyncio.get_running_loop().create_future()
        pending = _Pending(
            subject, data, {MSG_ID: message_id, **(headers or {})}, now_s + give_up_after_s, now_s, stored
        )
        token = str(next(self._tokens))
        self._pending[token] = pending
        await self._transmit(token, pending)
        return stored

    async def publish(
        self,
        subject: str,
        data: bytes,
        message_id: str,
        headers: Mapping[str, str] | None = None,
        give_up_after_s: float = 30.0,
    ) -> PubAck:
        """Sends a message and waits until the stream has it."""
        return await (await self.send(subject, data, message_id, headers, give_up_after_s))

    async def _transmit(self, token: str, pending: _Pending) -> None:
        if not self._nc.is_connected:
            return  # not into nats-py's buffer, where it would grow old: the sweep sends it when the broker is back
        try:
            await self._nc.publish(pending.subject, pending.data, f"{self._inbox}.{token}", pending.headers)
        except OutboundBufferLimitError:
            return  # the broker is away: the sweep sends it again
        except Exception as error:
            self._settle(token, error)

    async def _on_ack(self, msg: Msg) -> None:
        token = msg.subject.rpartition(".")[2]
        pending = self._pending.get(token)
        if pending is None or not msg.data:
            return  # no stream has the subject now: the sweep sends it again, until somebody gives up
        ack = _ack_decoder.decode(msg.data)
        if ack.error is None:
            self._settle(token, ack)
        elif ack.error.err_code in _FULL:
            metrics.count(names.REFUSED, 1, {names.STREAM: ack.stream})
            self._settle(token, StreamFull(subject=pending.subject, why=ack.error.description))
        elif ack.error.code not in _LATER:
            self._settle(token, NotStored(subject=pending.subject, why=ack.error.description))

    def _on_denied(self, subject: str) -> None:
        if not self._denied:
            asyncio.get_running_loop().call_soon(self._settle_denied)
        self._denied.add(subject)

    def _settle_denied(self) -> None:
        """Nobody waits for what will never be stored. The broker says no more than the subjects, in lower case."""
        user = self._nc.options["user"]
        for token, pending in list(self._pending.items()):
            if pending.subject.lower() in self._denied:
                self._settle(token, Denied(user=user, subject=pending.subject))
        self._denied.clear()

    def _settle(self, token: str, result: PubAck | Exception) -> None:
        pending = self._pending.pop(token, None)
        self._let_next()
        if pending is None or pending.stored.done():
            return
        if isinstance(result, PubAck):
            pending.stored.set_result(result)
        else:
            pending.stored.set_exception(result)

    def _let_next(self) -> None:
        """One goes, one comes: of those who wait for room, who came first."""
        while self._patient and len(self._pending) < self._pending_max // 2:
            turn = self._patient.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            now_s = time.monotonic()
            is_new = self._reconnects != self._nc.stats["reconnects"]
            self._reconnects = self._nc.stats["reconnects"]
            for token, pending in list(self._pending.items()):
                if now_s >= pending.give_up_s or pending.stored.done():
                    why = "no acknowledgement came in time"
                    self._settle(token, Unavailable(what=f"The stream of {pending.subject}", why=why))
                elif self._nc.is_connected and (is_new or now_s - pending.sent_s >= pending.again_after_s):
                    pending.sent_s = now_s
                    pending.again_after_s = (
                        RESEND_AFTER_S if is_new else min(2 * pending.again_after_s, RESEND_AFTER_MAX_S)
                    )
                    await self._transmit(token, pending)
