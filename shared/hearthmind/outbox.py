"""The client's outbox: outcomes are written down, sent, and sent again until the platform says that it has stored them.

The law: an outcome that was written down is confirmed some day, or still in the journal.
"""

from __future__ import annotations

import asyncio
import logging
import time
from functools import partial
from typing import Any

from hearthmind import ids
from hearthmind.bus.connect import Connection, Msg
from hearthmind.bus.publish import Publisher
from hearthmind.bus.wire import decode
from hearthmind.contracts.outcome import OutcomesStored
from hearthmind.errors import HearthmindError, Unavailable
from hearthmind.journal import Journal
from hearthmind.telemetry import names, trace
from hearthmind.unconfirmed import Unconfirmed

log = logging.getLogger("hearthmind.client")

RESEND_AFTER_S = 5.0
GIVE_UP_AFTER_S = 30.0
"""So long one try goes on, under one id, until the stream has it: a broker that is busy has it in its line."""
RESEND_AT_ONCE_MAX = 500
LOOK_EVERY_S = 1.0
ROOM_WITHIN_S = 1.0
"""How long an outcome waits for observations to go first, before it is left to the journal."""


class Outbox:
    """Sends what the journal holds; bounded by it."""

    def __init__(self, nc: Connection, publisher: Publisher, game: str, journal: Journal) -> None:
        self.journal = journal
        self.reported = 0
        self.stored = 0
        self.resent = 0
        self._nc = nc
        self._publisher = publisher
        self._game = game
        self._unconfirmed = Unconfirmed(game, journal)
        self._all_stored = asyncio.Event()
        self._resending: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to listen for confirmations and to send again."""
        await self._nc.subscribe(ids.stored_subject(self._game), cb=self._on_stored)
        self._resending = asyncio.create_task(self._resend())

    def stop(self) -> None:
        """Sends no more; what is not confirmed stays in the journal."""
        if self._resending:
            self._resending.cancel()

    def write_down(self, decision: str, subject: str, data: bytes) -> None:
        """From here on, nothing is lost."""
        self.journal.add(decision, subject, data)
        self.reported += 1

    async def send(self, decision: str, after: trace.Span | None = None) -> None:
        """Sends an outcome of the journal, for the first time or again."""
        if not await self._publisher.room(ROOM_WITHIN_S if self._nc.is_connected else 0):
            log.info("the outcome of %s waits in the journal: too many publishes are under way", decision)
            return
        sending = self._unconfirmed.begin(decision, time.monotonic(), time.time())
        if sending is None:
            return
        span = None
        if after is not None:
            attributes = {names.DECISION_ID: decision, names.MESSAGING_SYSTEM: "nats"}
            span = trace.start(names.SPAN_REPORT, trace.PRODUCER, after.get_span_context(), attributes)
        try:
            stored = await self._publisher.send(*sending, trace.headers(span), GIVE_UP_AFTER_S)
            stored.add_done_callback(partial(self._on_ended, decision))
        except Unavailable as error:
            self._unconfirmed.ended(decision, is_on_stream=False)
            log.info("the outcome of %s waits in the journal: %s", decision, error)
        trace.end(span)

    async def wait_empty(self, within_s: float) -> bool:
        """Waits until everything is confirmed; False where something is not."""
        try:
            async with asyncio.timeout(within_s):
                while len(self.journal):
                    self._all_stored.clear()
                    await self._all_stored.wait()
        except TimeoutError:
            return False
        return True

    def _on_ended(self, decision: str, stored: asyncio.Future[Any]) -> None:
        """The journal decides what is sent again; an error here only has to be taken note of."""
        self._unconfirmed.ended(decision, is_on_stream=not stored.cancelled() and stored.exception() is None)

    async def _on_stored(self, msg: Msg) -> None:
        try:
            stored = decode(msg.data, OutcomesStored)
        except HearthmindError as error:
            log.warning("a confirmation is passed over: %s", error)
            return
        self.stored += self._unconfirmed.stored(stored.decisions)
        if not len(self.journal):
            self._all_stored.set()

    async def _resend(self) -> None:
        """Sends again what is due."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._nc.is_connected:
                for decision in self._unconfirmed.due(time.monotonic(), RESEND_AFTER_S, RESEND_AT_ONCE_MAX):
                    await self.send(decision)
                    self.resent += 1
