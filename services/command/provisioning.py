"""Prepares a deployment: the schema with its roles, the streams and consumers, and these again whenever they are gone.

The law: within `LOOK_EVERY_S` of the broker's return every stream and consumer of `flow.py` is there. A broker that was
started again has lost those in memory, and no other user may make them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from pathlib import Path
from typing import Any

from hearthmind import flow
from hearthmind.bus.connect import close, connect
from hearthmind.bus.provision import provision
from hearthmind.errors import CannotStart
from hearthmind.process import connected, until
from hearthmind.settings import Broker, Flow, Store, load
from hearthmind.store.grants import GRANTS, grant
from hearthmind.store.migrate import upgrade
from services.command.platform import provision_at
from services.command.secret_files import STORE, store_passwords

SERVICE = "provisioner"
LOOK_EVERY_S = 1.0

log = logging.getLogger("hearthmind.provisioner")


async def prepare(secrets: Path) -> None:
    """All that has to be there before the services start; can be run again at any time."""
    try:
        passwords = store_passwords(secrets)
    except OSError as error:
        names = ", ".join(f"{STORE}{role}" for role in GRANTS)
        why = f"the passwords of the database's roles are not to be had ({error}); {secrets} should have {names}"
        raise CannotStart(why=why) from error
    url = load("store", Store).url
    await asyncio.to_thread(upgrade, url)
    await asyncio.to_thread(grant, url, passwords)
    await provision_at(load("broker", Broker), load("flow", Flow))


async def keep_provisioned(stop: asyncio.Event) -> None:
    """Makes the streams, and makes them again where some are missing, until `stop` is set."""
    settings = load("flow", Flow)
    nc = await connect(load("broker", Broker), SERVICE)
    await provision(nc, partitions=settings.partitions, pools=settings.pools)
    await until(stop, _look_after(nc, settings), needs=[connected(nc)])
    await close(nc)


async def _look_after(nc: Any, settings: Flow) -> None:
    js = nc.jetstream(timeout=5)
    wanted = consumers_by_stream(settings)
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        if not nc.is_connected:
            continue
        try:
            there = {info.config.name: info.state.consumer_count for info in await js.streams_info()}
            if any(there.get(stream, -1) < count for stream, count in wanted.items()):
                log.warning("streams or consumers are missing; they are made again")
                await provision(nc, partitions=settings.partitions, pools=settings.pools)
        except CannotStart:
            raise
        except Exception as error:  # the broker is away or still reading its files: it is asked again
            log.info("the broker can't say what it has: %s", error)


def consumers_by_stream(settings: Flow) -> dict[str, int]:
    """Every stream of the flow, those of the buckets included, with how many consumers it has at least."""
    wanted = Counter({stream.name: 0 for stream in flow.STREAMS} | dict.fromkeys(flow.BUCKETS, 0))
    for service in flow.SERVICES:
        wanted.update(each.stream for each in flow.consumers_of(service, settings.partitions, settings.pools))
    return dict(wanted)
