"""From the bus into Postgres and back to the bus. Thin: what a message comes to is decided in `batch.py`.

The law: a message is acknowledged after the commit of what it came to, or after its dead letter is stored. While Postgres
is away a batch is held, and the broker is told so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from hearthmind import ids
from hearthmind.bus.bulk import Batches, acknowledge_all
from hearthmind.bus.consume import Delivery, settle_delivery
from hearthmind.bus.publish import Publisher
from hearthmind.bus.settle import Retry, reason_of, settle
from hearthmind.bus.wire import encode
from hearthmind.errors import HearthmindError, Unavailable
from hearthmind.flow import Consumer
from hearthmind.store.engine import Connection, Engine, transaction
from hearthmind.store.ingest import add_letters
from hearthmind.store.read import lost
from hearthmind.store.rows import Key, OutcomeRow, RewardRow
from hearthmind.telemetry import metrics, names, trace
from services.reward.letters import letter_row
from services.reward.reading import Incoming, readable_of
from services.reward.registry import Registry
from services.reward.settings import Reward
from services.reward.transaction import confirmations, store, sweep

log = logging.getLogger("hearthmind.reward")

BACKOFF_S = (0.1, 2.0)
"""The first and the longest pause before Postgres is tried again; what waits is stored within 5 s of its return."""

READ_AT_ONCE = 8
"""So many messages take less than half a millisecond: what Postgres says meanwhile is not left waiting for longer."""

IN_HAND_MAX = 2
"""Batches: one is stored and the next is read, while a third is fetched."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a message: an error where it could not be stored, a reward where it completed an experience."""

    incoming: Incoming
    error: Exception | None = None
    reward: float | None = None


class Handlers:
    """What is done with batches of messages, and what is done from time to time."""

    def __init__(self, nc: Nats, publisher: Publisher, engine: Engine, settings: Reward, registry: Registry) -> None:
        self._nc = nc
        self._publisher = publisher
        self._engine = engine
        self._settings = settings
        self._registry = registry
        self._in_hand: set[asyncio.Task[None]] = set()
        self._reading, self._storing = asyncio.Lock(), asyncio.Lock()
        self._behind = 0
        self._lost = (0, 0)
        metrics.watch(names.INGESTION_BACKLOG, lambda: [(self._behind, {})])
        metrics.watch(names.INCOMPLETE, self._incomplete)

    def _incomplete(self) -> list[tuple[float, dict[str, str]]]:
        """What Postgres said last of what is lost for good."""
        return [
            (number, {names.REASON: what}) for what, number in zip(names.INCOMPLETE_REASONS, self._lost, strict=True)
        ]

    async def keep_storing(self, batches: Batches, consumer: Consumer) -> None:
        """Stores batch by batch; while one is stored, the next is fetched and read."""
        while True:
            if deliveries := await batches.fetch(self._settings.batch_max, self._settings.batch_wait_s):
                await self.on_experience(deliveries, consumer)

    async def on_experience(self, deliveries: Sequence[Delivery], consumer: Consumer) -> None:
        """Begins with a batch; returns when there is room for another."""
        self._in_hand.add(asyncio.create_task(self._work_on(deliveries, consumer)))
        while len(self._in_hand) > IN_HAND_MAX:
            ended, self._in_hand = await asyncio.wait(self._in_hand, return_when=asyncio.FIRST_COMPLETED)
            for error in filter(None, (batch.exception() for batch in ended)):
                log.error("a batch is left to the broker", exc_info=error)

    async def finish(self, within_s: float) -> None:
        """Waits for the batches in hand."""
        if self._in_hand:
            await asyncio.wait(self._in_hand, timeout=within_s)

    async def _work_on(self, deliveries: Sequence[Delivery], consumer: Consumer) -> None:
        """Stores a batch, tells the games which outcomes are stored, and settles every message."""
        async with _held(deliveries, consumer.ack_wait_s / 3):
            self._behind = len(deliveries) + deliveries[-1].behind
            async with self._reading:
                readable, settled = await _read(deliveries)
            spans = [_span(incoming) for incoming in readable]
            async with self._storing:
                done = await self._store(readable) if readable else []
            self._behind -= len(deliveries)
            metrics.observe(names.INGESTION_LAG, max(0.0, time.time() - deliveries[0].stored_s))
            await self._confirm([each for each in done if each.error is None])
            for each, span in zip(done, spans, strict=True):
                _end(span, each)
                settled.append((_delivery(each.incoming), each.error))
            await self._settle(settled)

    async def on_dead(self, messages: Sequence[Msg], consumer: Consumer) -> None:
        """Files dead letters. One that can't be filed stays in its stream, and never becomes another."""
        deliveries = [Delivery.of(self._nc, message, consumer.deliveries_max) for message in messages]
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
            swept = await self._attempt("sweep", partial(sweep, settings=self._settings, registry=self._registry))
            if swept:
                await self._tell((), _counted(swept))
            self._lost = await self._attempt("count", lost) or self._lost
            if swept is None or len(swept) < self._settings.sweep_max:
                await asyncio.sleep(self._settings.sweep_every_s)

    # ---- storing ---------------------------------------------------------------------------------------------------

    async def _store(self, batch: Sequence[Incoming]) -> list[Done]:
        """Stores a batch; where that fails, its halves, down to the one message that is the reason."""
        try:
            rewarded = await self._patiently(partial(store, batch=batch, registry=self._registry))
        except Exception as error:
            if len(batch) == 1:
                return [Done(batch[0], error)]
            log.warning("a batch of %d could not be stored, trying its halves: %s", len(batch), reason_of(error))
            middle = len(batch) // 2
            return await self._store(batch[:middle]) + await self._store(batch[middle:])
        rewards = _counted(rewarded)
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

    async def _confirm(self, stored: Sequence[Done]) -> None:
        rewards = {each.incoming.key: each.reward for each in stored if each.reward is not None}
        await self._tell((each.incoming for each in stored), rewards)

    async def _tell(self, stored: Iterable[Incoming], rewards: Mapping[Key, float]) -> None:
        for message in confirmations(stored, rewards):
            try:
                await self._nc.publish(ids.stored_subject(message.game), encode(message))
            except NatsError as error:
                log.warning("%s was not told of %d outcomes: %s", message.game, len(message.decisions), error)

    async def _settle(self, settled: Iterable[tuple[Delivery, BaseException | None]]) -> None:
        both = list(settled)
        await acknowledge_all(self._nc, (delivery for delivery, error in both if error is None))
        await asyncio.gather(*(self._refuse(delivery, error) for delivery, error in both if error is not None))

    async def _refuse(self, delivery: Delivery, error: BaseException) -> None:
        try:
            await settle_delivery(delivery, error, self._publisher)
        except HearthmindError as cause:
            log.warning("%s is left to the broker: %s", delivery.subject, cause)


def _counted(rewarded: Sequence[RewardRow]) -> dict[Key, float]:
    """What each of these new experiences is worth."""
    for game, experiences in Counter(row.game for row in rewarded).items():
        metrics.count(names.EXPERIENCES, experiences, {names.GAME: game})
    return {(row.game, row.decision): row.reward for row in rewarded}


async def _read(
    deliveries: Sequence[Delivery],
) -> tuple[list[Incoming], list[tuple[Delivery, BaseException | None]]]:
    """Reads a batch, a few messages at a time: otherwise Postgres would wait meanwhile for more of the batch before."""
    readable: list[Incoming] = []
    settled: list[tuple[Delivery, BaseException | None]] = []
    for start in range(0, len(deliveries), READ_AT_ONCE):
        some, others = readable_of(deliveries[start : start + READ_AT_ONCE])
        readable += some
        settled += others
        await asyncio.sleep(0)
    return readable, settled


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
    if not isinstance(row, OutcomeRow) or row.trace_id is None:
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
