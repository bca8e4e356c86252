"""A service for tests: in the test's own loop, or as a process that a test may kill."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from hearthmind.embedded.processes import Command, spawn
from hearthmind.process import READY_FILE, Serve
from hearthmind.testing.waiting import until

STARTS_WITHIN_S = 600.0
"""A model is loaded for minutes where much else runs; a process that ends is noticed at once."""


@asynccontextmanager
async def serving(serve: Serve, folder: Path, **environment: str) -> AsyncIterator[None]:
    """Runs a service in this loop until the block ends; an error of the service is raised here."""
    stop, ready = asyncio.Event(), _ready_file(folder)
    with _changed({**environment, READY_FILE: str(ready)}):
        task = asyncio.ensure_future(serve(stop))
        await until(lambda: ready.exists() or task.done(), within_s=60)
    try:
        if not task.done():
            yield
    finally:
        stop.set()
        await task


@asynccontextmanager
async def process(module: str, folder: Path, **environment: str) -> AsyncIterator[Process]:
    """Runs a service as a process until the block ends, from when it is ready; nobody starts it again after a kill."""
    ready = _ready_file(folder)
    with (folder / f"{module}.log").open("ab") as log:
        command = Command(module, (sys.executable, "-m", module), {**environment, READY_FILE: str(ready)})
        started = await spawn(command, log.fileno())
    try:
        await until(lambda: ready.exists() or started.returncode is not None, STARTS_WITHIN_S)
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()


def _ready_file(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{secrets.token_hex(8)}.ready"


@contextmanager
def _changed(environment: Mapping[str, str]) -> Iterator[None]:
    before = {key: os.environ.get(key) for key in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value
