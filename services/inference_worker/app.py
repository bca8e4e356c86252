"""Wires an inference worker: settings, engine, broker, clock, handlers."""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
from pathlib import Path

import msgspec

from hearthmind import flow
from hearthmind.bus import objects
from hearthmind.bus.bucket import Bucket
from hearthmind.bus.clock import BrokerClock, keep_time, learn
from hearthmind.bus.connect import close, connect
from hearthmind.bus.consume import Consuming
from hearthmind.bus.publish import Publisher
from hearthmind.bus.registry import Registry
from hearthmind.errors import CannotStart
from hearthmind.models import Model, model_named
from hearthmind.process import connected, run, until
from hearthmind.settings import Broker, load
from services.inference_worker.adapters import Adapters
from services.inference_worker.cache import Answers
from services.inference_worker.engines import Engine
from services.inference_worker.engines.choose import engine_for
from services.inference_worker.engines.files import path_of
from services.inference_worker.handlers import Handlers
from services.inference_worker.holders import Holders
from services.inference_worker.machine import Line
from services.inference_worker.settings import InferenceWorker
from services.inference_worker.watchdog import Watchdog

SERVICE = "inference_worker"


async def serve(stop: asyncio.Event) -> None:
    """Runs until `stop` is set; what the engine has begun is finished, the rest goes back to the broker."""
    settings = load(SERVICE, InferenceWorker)
    unknown = set(settings.tiers) - set(flow.TIERS)
    if unknown:
        raise CannotStart(why=f"no tier is called {', '.join(sorted(unknown))}; there are {', '.join(flow.TIERS)}")
    model = model_named(settings.model)
    settings = msgspec.structs.replace(settings, pool=settings.pool or model.pool)
    await serve_with(engine_for(model), settings, stop, _folder_of(model))


async def serve_with(engine: Engine, settings: InferenceWorker, stop: asyncio.Event, base: Path | None = None) -> None:
    """The same with this engine; `base` is the folder of the model that adapters are made for."""
    broker = load("broker", Broker)
    me = f"{SERVICE}-{os.getpid()}-{secrets.token_hex(4)}"
    clock = BrokerClock()
    nc = await connect(broker, me)
    own = (f"INFERENCE_{settings.tiers[0].upper()}", settings.pool)
    await learn(clock, nc, *own, broker.start_within_s)
    publisher = await Publisher(nc).start()
    try:
        await engine.start()  # minutes, perhaps: who is told to end meanwhile is cancelled here
        with tempfile.TemporaryDirectory(prefix="adapters-") as folder:
            registry = await Registry(nc).start()
            consuming = Consuming(nc, publisher)

            async def fetch(sha256: str) -> bytes:
                return await objects.fetch(nc, flow.ADAPTERS, sha256)

            holders = Holders(nc, settings.pool, settings.tiers)
            adapters = Adapters(engine, base, Path(folder), registry.get, fetch, holders.hold, holders.let_go)
            shared = Bucket(nc, flow.ANSWERS, settings.answers_within_ms / 1000)
            answers = Answers(shared, settings.answers_max)
            handlers = Handlers(nc, consuming, clock, engine, line_of(engine, settings), answers, adapters, holders, me)
            await _pull(handlers, settings)
            work = (keep_time(clock, nc, *own), handlers.keep_alive(), consuming.run(), registry.keep_fresh())
            watching = handlers.watch(Watchdog(settings.still_after_s))
            await until(stop, *work, watching, needs=[connected(nc)])
            await consuming.stop()
            await handlers.finish(settings.finish_within_s)
        await publisher.stop()
    finally:
        await engine.close()
    await close(nc)


def _folder_of(model: Model) -> Path | None:
    folder = Path(path_of(model)) if model.path else None
    return folder if folder and folder.is_dir() else None


def line_of(engine: Engine, settings: InferenceWorker) -> Line:
    """The machine, with as many slots as the engine has at most."""
    slots = min(settings.slots or engine.slots_max, engine.slots_max)
    return Line(slots, settings.prefetch, settings.ageing_s, settings.held_back, settings.ahead_s)


async def _pull(handlers: Handlers, settings: InferenceWorker) -> None:
    """Begins to take requests of this worker's tiers."""
    await handlers.hear_withdrawals(settings.pool)
    for consumer in flow.consumers_of(SERVICE, 1, (settings.pool,)):
        tier = consumer.stream.removeprefix("INFERENCE_").lower()
        if tier in settings.tiers:
            await handlers.pull(consumer, tier)


def main() -> None:
    """Runs the service."""
    run(SERVICE, serve)
