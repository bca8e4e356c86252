"""From the bus into Postgres and back to the bus. Thin: what a message comes to is decided in `batch.py`.

The law: a message is acknowledged after the commit of what it came to, or after its dead letter is stored. While Postgres
is away a batch is held, and the broker is told so.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from hearthmind import ids
from hearthmind.bus.consume import Delivery, settle_delivery
from hearthmind.bus.publish import Publisher
from hearthmind.bus.settle import Retry, reason_of, settle
from hearthmind.bus.wire import encode
from hearthmind.errors import HearthmindError, Unavailable
from hearthmind.flow import Consumer
from hearthmind.store.engine import Connection, Engine, transaction
from hearthmind.store.ingest import add_letters
from hearthmind.store.keep import prune_inbox
from hearthmind.store.rows import OutcomeRow
from hearthmind.telemetry import metrics, names, trace
from services.reward.letters import letter_row
from services.reward.reading import Incoming, readable_of
from services.reward.settings import Reward
from services.reward.transaction import confirmations, store, sweep

log = logging.getLogger("hearthmind.reward")

BACKOFF_S = (0.1, 2.0)
"""The first and the longest pause before Postgres is tried again; what waits is stored within 5 s of its return."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a message: an error where it could not be stored, a reward where it completed an experience."""

    incoming: Incoming
    error: Exception | None = None
    reward: float | None = None


class Handlers:
    """What is done with batches of messages, and what is done from time to time."""

    def __init__(self, nc: Nats, publisher: Publisher, engine: Engine, settings: Reward) -> None:
        self._nc = nc
        self._publisher = publisher
        self._engine = engine
        self._settings = settings
        self._in_hand: set[asyncio.Task[None]] = set()
        self._storing = asyncio.Lock()

    async def on_experience(self, messages: Sequence[Msg], consumer: Consumer) -> None:
        """Begins with a batch; returns when the one before it is done, so that while one is stored the next is fetched."""
        self._in_hand.add(asyncio.create_task(self._work_on(messages, consumer)))
        while len(self._in_hand) > 1:
            ended, self._in_hand = await asyncio.wait(self._in_hand, return_when=asyncio.FIRST_COMPLETED)
            for error in filter(None, (batch.exception() for batch in ended)):
                log.error("a batch is left to the broker", exc_info=error)

    async def finish(self, within_s: float) -> None:
        """Waits for the batches in hand."""
        if self._in_hand:
            await asyncio.wait(self._in_hand, timeout=within_s)

    async def _work_on(self, messages: Sequence[Msg], consumer: Consumer) -> None:
        """Stores a batch, tells the games which outcomes are stored, and settles every message."""
        deliveries = [Delivery(self._nc, message, consumer.deliveries_max) for message in messages]
        async with _held(deliveries, consumer.ack_wait_s / 3):
            readable, settled = readable_of(deliveries)
            spans = [_span(incoming) for incoming in readable]
            async with self._storing:
                done = await self._store(readable) if readable else []
            await self._confirm(each.incoming for each in done if each.error is None)
            for each, span in zip(done, spans, strict=True):
                _end(span, each)
                settled.append((_delivery(each.incoming), each.error))
            await self._settle(settled)

    async def on_dead(self, messages: Sequence[Msg], consumer: Consumer) -> None:
        """Files dead letters. One that can't be filed stays in its stream, and never becomes another."""
        deliveries = [Delivery(self._nc, message, consumer.deliveries_max) for message in messages]
        async with _held(deliveries, consumer.ack_wait_s / 3):
            for delivery in deliveries:
                try:
                    row = letter_row(delivery)
                    await self._patiently(partial(add_letters, rows=[row]))
                except Exception as error:
                    log.exception("the dead letter %d can't be filed", delivery.sequence)
                    await _give_up_or_retry(delivery, error)
                else:
                    await delivery.acknowledge()

    async def keep_sweeping(self) -> None:
        """Looks for outcomes that were left behind, again and again."""
        while True:
            swept = await self._attempt("sweep", partial(sweep, settings=self._settings))
            if swept is None or swept < self._settings.sweep_max:
                await asyncio.sleep(self._settings.sweep_every_s)

    async def keep_pruning(self) -> None:
        """Shortens the inbox, again and again."""
        while True:
            await self._attempt("prune", partial(prune_inbox, age_s=self._settings.inbox_kept_s))
            await asyncio.sleep(self._settings.prune_every_s)

    # ---- storing ---------------------------------------------------------------------------------------------------

    async def _store(self, batch: Sequence[Incoming]) -> list[Done]:
        """Stores a batch; where that fails, its halves, down to the one message that is the reason."""
        try:
            rewarded = await self._patiently(partial(store, batch=batch))
        except Exception as error:
            if len(batch) == 1:
                return [Done(batch[0], error)]
            log.warning("a batch of %d could not be stored, trying its halves: %s", len(batch), reason_of(error))
            middle = len(batch) // 2
            return await self._store(batch[:middle]) + await self._store(batch[middle:])
        rewards = {(row.game, row.decision): row.reward for row in rewarded}
        for game, experiences in Counter(row.game for row in rewarded).items():
            metrics.count(names.EXPERIENCES, experiences, {names.GAME: game})
        return [Done(incoming, None, rewards.get(incoming.key)) for incoming in batch]

    async def _patiently(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Does it in a transaction, waiting for as long as Postgres is away."""
        pause_s, longest_s = BACKOFF_S
        while True:
            try:
                async with transaction(self._engine) as connection:
                    return await work(connection)
            except Unavailable as error:
                log.warning("%s", error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, longest_s)

    async def _attempt(self, what: str, work: Callable[[Connection], Awaitable[T]]) -> T | None:
        """Does it in a transaction where Postgres is there; where not, another time will do."""
        try:
            async with transaction(self._engine) as connection:
                return await work(connection)
        except Unavailable as error:
            log.warning("%s: %s", what, error)
            return None

    # ---- answering -------------------------------------------------------------------------------------------------

    async def _confirm(self, stored: Iterable[Incoming]) -> None:
        for message in confirmations(stored):
            try:
                await self._nc.publish(ids.stored_subject(message.game), encode(message))
            except NatsError as error:
                log.warning("%s was not told of %d outcomes: %s", message.game, len(message.decisions), error)

    async def _settle(self, settled: Iterable[tuple[Delivery, BaseException | None]]) -> None:
        refused = []
        for delivery, error in settled:
            if error is None:
                await delivery.acknowledge()
            else:
                refused.append(self._refuse(delivery, error))
        await asyncio.gather(*refused)

    async def _refuse(self, delivery: Delivery, error: BaseException) -> None:
        try:
            await settle_delivery(delivery, error, self._publisher)
        except HearthmindError as cause:
            log.warning("%s is left to the broker: %s", delivery.subject, cause)


def _delivery(incoming: Incoming) -> Delivery:
    assert isinstance(incoming.arrived, Delivery)
    return incoming.arrived


@asynccontextmanager
async def _held(deliveries: Sequence[Delivery], extend_every_s: float) -> AsyncIterator[None]:
    """Tells the broker, for as long as it takes, that these are being worked on."""

    async def extend() -> None:
        while True:
            await asyncio.sleep(extend_every_s)
            for delivery in deliveries:
                with suppress(NatsError):
                    await delivery.extend()

    task = asyncio.create_task(extend())
    try:
        yield
    finally:
        task.cancel()


async def _give_up_or_retry(delivery: Delivery, error: Exception) -> None:
    settlement = settle(error, delivery.attempt)
    if isinstance(settlement, Retry):
        await delivery.retry(settlement.after_s)
    else:
        await delivery.acknowledge()


def _span(incoming: Incoming) -> trace.Span | None:
    """A span for an outcome whose trace is sampled; the others cost one look at their headers."""
    row, arrived = incoming.row, incoming.arrived
    if row.trace_id is None or not isinstance(row, OutcomeRow):
        return None
    attributes = {
        names.MESSAGING_SYSTEM: "nats",
        names.MESSAGING_DESTINATION_NAME: arrived.stream,
        names.MESSAGING_OPERATION_TYPE: "process",
        names.DECISION_ID: row.decision,
        names.GAME: row.game,
        names.NPC: row.npc,
        names.KIND: row.kind,
    }
    return trace.start(names.SPAN_STORE, trace.CONSUMER, trace.parent_of(arrived.headers), attributes)


def _end(span: trace.Span | None, done: Done) -> None:
    reward = {names.REWARD: done.reward} if done.reward is not None else None
    trace.end(span, error=reason_of(done.error) if done.error else "", attributes=reward)
