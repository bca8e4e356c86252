"""Wires the decision service: settings, broker, clock, leases, handlers."""

from __future__ import annotations

import asyncio
import os
import secrets

from hearthmind import flow
from hearthmind.bus.clock import BrokerClock, keep_time, learn
from hearthmind.bus.connect import close, connect
from hearthmind.bus.consume import Consuming
from hearthmind.bus.leases import Lease, Leases
from hearthmind.bus.publish import Publisher
from hearthmind.flow import Consumer
from hearthmind.process import connected, run, until
from hearthmind.settings import Broker, Flow, load
from services.decision.handlers import Handlers
from services.decision.settings import Decision

SERVICE = "decision"


async def serve(stop: asyncio.Event) -> None:
    """Runs until `stop` is set; what is in flight then goes back to the broker for another owner."""
    settings, broker, flow_settings = load(SERVICE, Decision), load("broker", Broker), load("flow", Flow)
    me = f"{SERVICE}-{os.getpid()}-{secrets.token_hex(4)}"
    clock = BrokerClock()
    nc = await connect(broker, me)
    publisher = await Publisher(nc).start()
    consuming = Consuming(nc, publisher)
    handlers = Handlers(nc, publisher, consuming, clock, settings)

    def consumers_of(partition: int) -> list[Consumer]:
        return [
            consumer
            for consumer in flow.consumers_of(SERVICE, flow_settings.partitions, flow_settings.pools)
            if consumer.name == f"{SERVICE}_{partition}"
        ]

    async def taken(lease: Lease) -> None:
        await handlers.take(lease, consumers_of(lease.partition))

    async def lost(partition: int) -> None:
        await handlers.lose(partition, consumers_of(partition))

    await learn(clock, nc, "OBSERVATION", f"{SERVICE}_0", broker.start_within_s)
    leases = Leases(nc, publisher, me, flow_settings.partitions, taken, lost)
    work = (keep_time(clock, nc, "OBSERVATION", f"{SERVICE}_0"), handlers.keep_alive(), consuming.run(), leases.run())
    await until(stop, *work, needs=[connected(nc)])
    await leases.stop()
    await handlers.finish()
    await consuming.stop()
    await publisher.stop()
    await close(nc)


def main() -> None:
    """Runs the service."""
    run(SERVICE, serve)
