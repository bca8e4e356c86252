"""Wires the reward service: settings, broker, Postgres, handlers."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from faststream import AckPolicy
from faststream.message import StreamMessage
from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.subscriber.usecases import BatchPullStreamSubscriber
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NatsTimeout
from nats.js import JetStreamContext

from hearthmind import flow, ids
from hearthmind.bus.bulk import HEARTBEAT, TIME_IS_UP, UNHEARD_S, Batches
from hearthmind.bus.connect import close, connect
from hearthmind.bus.publish import Publisher
from hearthmind.flow import Consumer
from hearthmind.health import Need
from hearthmind.process import connected, look_less_for_garbage, run, until
from hearthmind.settings import Broker, Store, load
from hearthmind.store.engine import create_engine
from hearthmind.store.reach import Reach
from services.reward.handlers import Handlers
from services.reward.recalling import Recalling
from services.reward.recomputing import Recomputing
from services.reward.registry import registered
from services.reward.settings import Reward
from services.reward.upkeep import Upkeep

SERVICE = "reward"

log = logging.getLogger("hearthmind.reward")

KEPT_BYTES = 256 * 1024 * 1024
"""So much memory stays with the process from batch to batch. Otherwise the C library gives back what a batch took, and takes it
again for the next one, page by page."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3

FINISH_WITHIN_S = 5.0
"""How long a stop waits for the batches in hand. What is not finished then was not acknowledged and is delivered again."""


async def serve(stop: asyncio.Event) -> None:
    """Runs until `stop` is set; the batches in hand are finished, the rest is left to the broker."""
    settings, broker, store = load(SERVICE, Reward), load("broker", Broker), load("store", Store)
    registry = registered(settings.file)
    reach = Reach(store.url)
    nc = await connect(broker, f"{SERVICE}-{os.getpid()}-{secrets.token_hex(4)}")
    await reach.wait()
    publisher = await Publisher(nc).start()
    engine = create_engine(store.url)
    handlers = Handlers(nc, publisher, engine, settings, registry)
    beside = create_engine(store.url, connections_max=3)  # so that neither holds up what is stored
    upkeep, recalling = Upkeep(beside, settings), Recalling(beside, nc.publish)
    recomputing = Recomputing(beside, settings)

    async def on_recall(message: Msg) -> None:
        recalling.asked(message.data)

    await nc.subscribe(ids.recall_subject(), queue=SERVICE, cb=on_recall)
    experience, dead = flow.consumers_of(SERVICE, 1, ())
    batches = await Batches(nc, experience).start()
    consuming = OverOurs(nc)
    letters = subscribe(consuming, dead, handlers.on_dead, settings)
    await consuming.start()
    needs = [connected(nc), Need(away=lambda: reach.why_not)]
    keeping = (
        *(handlers.keep_storing(batches, experience), handlers.keep_sweeping(), upkeep.keep_going()),
        *(recalling.keep_answering(), recomputing.keep_going(), reach.keep_asking()),
    )
    await until(stop, *keeping, needs=needs)
    await batches.stop()
    await letters.stop()
    await handlers.finish(FINISH_WITHIN_S)
    await publisher.stop()
    await close(nc)
    await engine.dispose()
    await beside.dispose()
    await reach.close()


class OverOurs(NatsBroker):
    """FastStream over a connection of ours. Its own would stop reconnecting, without a word, after some errors."""

    def __init__(self, nc: Nats) -> None:
        log = logging.getLogger("hearthmind.faststream")
        log.setLevel(logging.WARNING)
        super().__init__(apply_types=False, logger=log, graceful_timeout=FINISH_WITHIN_S)
        self._ours = nc

    async def _connect(self) -> Nats:
        self.config.connect(self._ours)
        self.config.broker_config.connection_state.connect(self._ours, PatientStreams(self._ours))
        return self._ours


class PatientStreams(JetStreamContext):
    """Binds pull subscriptions that never ask for more than a batch."""

    async def pull_subscribe(self, *arguments: Any, **named: Any) -> JetStreamContext.PullSubscription:
        """Binds one; patient from its first fetch on."""
        return Patient(await super().pull_subscribe(*arguments, **named))


class Patient(JetStreamContext.PullSubscription):
    """A pull subscription that never has more under way than one batch.

    A fetch ends when the batch is full, or when the broker says that the pull's time is up: `hearthmind.bus.bulk` says why.
    """

    def __init__(self, bound: JetStreamContext.PullSubscription) -> None:
        vars(self).update(vars(bound))

    async def fetch(self, batch: int = 1, timeout: float | None = 5, heartbeat: float | None = None) -> list[Msg]:  # noqa: ARG002
        """Fetches what there is within the time; FastStream takes it for a time-out where there is nothing."""
        wait_s = timeout or 5.0
        await self._nc.publish(
            self._nms, msgspec.json.encode({"batch": batch, "expires": int(wait_s * 1e9)}), self._deliver
        )
        fetched: list[Msg] = []
        try:
            async with asyncio.timeout(wait_s + UNHEARD_S):
                while len(fetched) < batch:
                    message = await self._sub.next_msg(timeout=None)
                    status = (message.headers or {}).get("Status", "")
                    if not status:
                        fetched.append(message)
                    elif status != HEARTBEAT:
                        if status != TIME_IS_UP and not fetched:
                            await asyncio.sleep(wait_s)  # it refuses at once, and will again
                        break
        except TimeoutError:
            log.debug(
                "the broker did not say that a pull's time was up: it is behind, or the connection was lost meanwhile"
            )
        if not fetched:
            raise NatsTimeout
        return fetched


def subscribe(
    broker: NatsBroker,
    consumer: Consumer,
    handle: Callable[[Sequence[Msg], Consumer], Awaitable[None]],
    settings: Reward,
) -> BatchPullStreamSubscriber:
    """Binds a handler to a provisioned consumer, which it never makes or changes."""
    subscriber = broker.subscriber(
        ">",
        stream=JStream(consumer.stream, declare=False),
        durable=consumer.name,
        pull_sub=PullSub(settings.batch_max, timeout=settings.batch_wait_s, batch=True),
        inbox_prefix=f"{flow.inbox_prefix(SERVICE)}.".encode(),
        ack_policy=AckPolicy.MANUAL,
        no_reply=True,
        decoder=as_it_came,
    )

    @subscriber
    async def on_batch(messages: list[Msg]) -> None:
        await handle(messages, consumer)

    return subscriber


async def as_it_came(message: StreamMessage[list[Msg]]) -> list[Msg]:
    """The messages themselves: their bodies are read by our own decoder, and nobody else's."""
    return message.raw_message


def keep_memory() -> None:
    """Where there is glibc; elsewhere it is a little slower."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(_MMAP_THRESHOLD, KEPT_BYTES)


def main() -> None:
    """Runs the service."""
    keep_memory()
    look_less_for_garbage()
    run(SERVICE, serve)
