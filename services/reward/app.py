"""Wires the reward service: settings, broker, Postgres, handlers."""

from __future__ import annotations

import asyncio
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

from hearthmind import flow
from hearthmind.bus.connect import close, connect
from hearthmind.bus.publish import Publisher
from hearthmind.flow import Consumer
from hearthmind.health import Need
from hearthmind.process import connected, run, until
from hearthmind.settings import Broker, Store, load
from hearthmind.store.engine import create_engine
from hearthmind.store.reach import Reach
from services.reward.handlers import Handlers
from services.reward.settings import Reward

SERVICE = "reward"

log = logging.getLogger("hearthmind.reward")

HEARTBEAT, TIME_IS_UP = "100", "408"
UNHEARD_S = 1.0
"""So long after a pull's time the broker is waited for to say so. It does late where it has much to store: what it sends and
what it stores wait in one line."""

FINISH_WITHIN_S = 5.0
"""How long a stop waits for the batches in hand. What is not finished then was not acknowledged and is delivered again."""


async def serve(stop: asyncio.Event) -> None:
    """Runs until `stop` is set; the batches in hand are finished, the rest is left to the broker."""
    settings, broker, store = load(SERVICE, Reward), load("broker", Broker), load("store", Store)
    reach = Reach(store.url)
    nc = await connect(broker, f"{SERVICE}-{os.getpid()}-{secrets.token_hex(4)}")
    await reach.wait()
    publisher = await Publisher(nc).start()
    engine = create_engine(store.url)
    handlers = Handlers(nc, publisher, engine, settings)
    consuming = OverOurs(nc)
    subscribers = [
        subscribe(
            consuming, consumer, handlers.on_dead if consumer.stream == flow.DEAD else handlers.on_experience, settings
        )
        for consumer in flow.consumers_of(SERVICE, 1, ())
    ]
    await consuming.start()
    needs = [connected(nc), Need(away=lambda: reach.why_not)]
    await until(stop, handlers.keep_sweeping(), handlers.keep_pruning(), reach.keep_asking(), needs=needs)
    for subscriber in subscribers:
        await subscriber.stop()
    await handlers.finish(FINISH_WITHIN_S)
    await publisher.stop()
    await close(nc)
    await engine.dispose()
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

    nats-py ends a fetch by its own clock, and asks for a whole batch again while the one before is still on its way. Where
    this process is held up, all that the broker may have out comes to lie here, grows old, and is delivered a second time.
    So a fetch ends when the batch is full, or when the broker says that the pull's time is up.
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
                    message = self._next() or await self._sub.next_msg(timeout=None)
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

    def _next(self) -> Msg | None:
        """What has arrived already; to wait for it costs nats-py a task for each message."""
        if self._sub._pending_queue.empty():
            return None
        message = self._sub._pending_queue.get_nowait()
        self._sub._pending_size -= len(message.data)
        self._sub._pending_queue.task_done()
        return message


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


def main() -> None:
    """Runs the service."""
    run(SERVICE, serve)
