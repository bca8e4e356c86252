"""Wires the reward service: settings, broker, Postgres, handlers."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

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
    """Binds pull subscriptions whose time is up in one way only."""

    async def pull_subscribe(self, *arguments: Any, **named: Any) -> JetStreamContext.PullSubscription:
        """Binds one; patient from its first fetch on."""
        return Patient(await super().pull_subscribe(*arguments, **named))


class Patient(JetStreamContext.PullSubscription):
    """A pull subscription whose time is up in one way only.

    nats-py knows two kinds of time-out here and FastStream one of them: at the other it would drop the messages that it has
    of a batch so far, and they would come again after the whole time for acknowledging.
    """

    def __init__(self, bound: JetStreamContext.PullSubscription) -> None:
        vars(self).update(vars(bound))

    async def fetch(self, batch: int = 1, timeout: float | None = 5, heartbeat: float | None = None) -> list[Msg]:
        """Fetches what there is within the time."""
        try:
            return list(await super().fetch(batch, timeout, heartbeat))
        except TimeoutError as error:
            raise NatsTimeout from error


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
