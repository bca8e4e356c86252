"""A real NATS and a real Postgres for tests, gone when the block ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
from nats.aio.client import Client as Nats

from hearthmind.bus.provision import provision
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.embedded.postgres import EmbeddedPostgres, remove
from hearthmind.embedded.processes import Supervisor


@asynccontextmanager
async def nats_server(folder: Path, config: NatsConfig | None = None) -> AsyncIterator[EmbeddedNats]:
    """A broker without users and with no delay for the disk, unless the configuration says otherwise."""
    server = EmbeddedNats(folder, config or NatsConfig(sync_interval="1m"))
    async with Supervisor([server.command()], folder / "supervisor"):
        yield server


@asynccontextmanager
async def postgres_server(folder: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A database that doesn't wait for the disk."""
    server = EmbeddedPostgres(folder, durable=False)
    try:
        async with Supervisor([server.command()], folder / "supervisor", ready_within_s=60):
            yield server
    finally:
        remove(folder)


@asynccontextmanager
async def provisioned(url: str, partitions: int = 4, pools: tuple[str, ...] = ("rules",)) -> AsyncIterator[Nats]:
    """A connection to a broker that has every stream of the flow."""
    nc = await nats.connect(url)
    try:
        await provision(nc, partitions=partitions, pools=pools)
        yield nc
    finally:
        await nc.close()
