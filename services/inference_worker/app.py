"""Wires an inference worker: settings, engine, broker, clock, handlers."""

from __future__ import annotations

import asyncio
import os
import secrets

from hearthmind import flow
from hearthmind.bus.clock import BrokerClock, keep_time, learn
from hearthmind.bus.connect import close, connect
from hearthmind.bus.consume import Consuming
from hearthmind.bus.publish import Publisher
from hearthmind.errors import CannotStart
from hearthmind.process import connected, run, until
from hearthmind.settings import Broker, load
from services.inference_worker.engines.choose import engine_for
from services.inference_worker.handlers import Handlers
from services.inference_worker.machine import Line
from services.inference_worker.settings import InferenceWorker

SERVICE = "inference_worker"


async def serve(stop: asyncio.Event) -> None:
    """Runs until `stop` is set; what the engine has begun is finished, the rest goes back to the broker."""
    settings, broker = load(SERVICE, InferenceWorker), load("broker", Broker)
    unknown = set(settings.tiers) - set(flow.TIERS)
    if unknown:
        raise CannotStart(why=f"no tier is called {', '.join(sorted(unknown))}; there are {', '.join(flow.TIERS)}")
    me = f"{SERVICE}-{os.getpid()}-{secrets.token_hex(4)}"
    engine = engine_for(settings.model)
    clock = BrokerClock()
    nc = await connect(broker, me)
    publisher = await Publisher(nc).start()
    consuming = Consuming(nc, publisher)
    line = Line(settings.slots, settings.prefetch, settings.ageing_s)
    handlers = Handlers(nc, consuming, clock, engine, line, me)
    own = (f"INFERENCE_{settings.tiers[0].upper()}", settings.pool)
    await learn(clock, nc, *own, broker.start_within_s)
    for consumer in flow.consumers_of(SERVICE, 1, (settings.pool,)):
        tier = consumer.stream.removeprefix("INFERENCE_").lower()
        if tier in settings.tiers:
            await handlers.pull(consumer, tier)
    await until(stop, keep_time(clock, nc, *own), handlers.keep_alive(), consuming.run(), needs=[connected(nc)])
    await consuming.stop()
    await handlers.finish()
    await publisher.stop()
    await engine.close()
    await close(nc)


def main() -> None:
    """Runs the service."""
    run(SERVICE, serve)
