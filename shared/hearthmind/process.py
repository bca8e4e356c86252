"""How every service runs: settings, telemetry, health, signals and exit statuses, the same for all."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hearthmind.bus.connect import Connection
from hearthmind.errors import alone, exit_status_of
from hearthmind.health import Health, Need, Vitals, Watch
from hearthmind.settings import Telemetry, load
from hearthmind.telemetry.setup import start_telemetry

READY_FILE = "HEARTHMIND_READY_FILE"
"""Names the file that a service makes when it is ready, for whoever started it; nothing where it is not set."""

vitals = Vitals()
"""How this process is."""

GARBAGE_LOOKS = (100_000, 50, 100)
"""How seldom Python looks for circular garbage where there is next to none."""

Serve = Callable[[asyncio.Event], Awaitable[None]]
"""A service: it runs until the event is set, then finishes or hands back what it has and returns."""


def look_less_for_garbage() -> None:
    """For a process that makes many things and next to no circles of them: each look goes through all that there is."""
    gc.freeze()
    gc.set_threshold(*GARBAGE_LOOKS)


def run(service: str, serve: Serve) -> None:
    """Runs a service until SIGTERM or SIGINT. An error of ours ends it with a message, and by its status it is started
    again or not."""
    try:
        with asyncio.Runner(loop_factory=_fast_loop()) as runner:
            runner.run(_serve(service, serve))
    except Exception as error:
        status = exit_status_of(cause := alone(error))
        if status is None:
            raise
        sys.stderr.write(f"{service}: {cause}\n")
        sys.exit(status)


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    with contextlib.suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop
    return None


async def _serve(service: str, serve: Serve) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    serving: asyncio.Task[None] | None = None

    def end() -> None:
        vitals.stopping()
        stop.set()
        if serving and not vitals.was_ready:
            serving.cancel()  # it has nothing to finish yet, and may wait for what is away

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    end_telemetry = start_telemetry(service, load("telemetry", Telemetry))
    log = logging.getLogger("hearthmind")
    log.info("%s starts", service)
    with _watched(load("health", Health)):
        serving = asyncio.ensure_future(serve(stop))
        try:
            await asyncio.wait({serving})
            if not serving.cancelled():
                serving.result()
        finally:
            log.info("%s stops", service)
            end_telemetry()


@contextmanager
def _watched(settings: Health) -> Iterator[None]:
    """Tells about the process where somebody is to know, from before it is ready to its very end."""
    if not settings.address:
        yield
        return
    beating = asyncio.create_task(vitals.keep_beating())
    watch = Watch(vitals, settings).start()
    try:
        yield
    finally:
        watch.stop()
        beating.cancel()


async def until(stop: asyncio.Event, *work: Coroutine[object, object, None], needs: Iterable[Need] = ()) -> None:
    """Says that the service is ready and runs endless work until the event is set; an error in it ends the process.

    It counts as ready for as long as nothing that it needs is away.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(each) for each in work]
        vitals.ready(tuple(needs))
        _tell_ready()
        await stop.wait()
        vitals.stopping()
        for task in tasks:
            task.cancel()


def connected(nc: Connection) -> Need:
    """The broker, as something that a service needs."""

    def away() -> str:
        if not nc.is_connected:
            return f"the broker is away ({nc.last_error or 'it did not say why'})"
        return f"the broker denies it to pull from {nc.denied_pull}" if nc.denied_pull else ""

    return Need(
        away=away,
        gone=lambda: "the connection to the broker closed for good" if nc.is_closed else "",
    )


def _tell_ready() -> None:
    if READY_FILE in os.environ:
        Path(os.environ[READY_FILE]).touch()
