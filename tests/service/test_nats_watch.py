"""A broker that only a new start will mend gets one, from the supervisor and in a container; one that is well never does."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import urllib.request
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client as Nats
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig

from hearthmind.embedded import nats_watch
from hearthmind.embedded.nats import EmbeddedNats
from hearthmind.embedded.processes import Supervisor
from hearthmind.testing.waiting import until

from ..chaos.disk import Disk, why_no_disk
from ..chaos.havoc import empty

SCRIPT = Path(__file__).parents[2] / "infra/images/nats/watch.sh"
WAYS = ("supervisor", "script")
WITH_DISK = pytest.mark.skipif(bool(why_no_disk()), reason=why_no_disk() or "it can")
PIECE = bytes(60_000)


@dataclass
class Watched:
    """A broker that is watched, and what was said of it."""

    broker: EmbeddedNats
    supervisor: Supervisor
    said: list[str]
    script: asyncio.subprocess.Process | None = None

    async def why(self) -> str:
        """Why it was ended; returns when it runs again."""
        await until(lambda: self.supervisor.restarts("nats") > 0)
        await self.supervisor.wait_ready("nats")
        if self.script:
            assert self.script.stderr
            self.said.append((await self.script.stderr.read()).decode())
        return "\n".join(self.said)


@asynccontextmanager
async def watched(folder: Path, way: str) -> AsyncIterator[Watched]:
    """A broker that is watched in one of the two ways."""
    broker, said = EmbeddedNats(folder / "nats"), list[str]()
    command = broker.command() if way == "supervisor" else replace(broker.command(), until_unwell=None)
    async with Supervisor([command], folder / "supervisor", say=said.append) as supervisor:
        found = Watched(broker, supervisor, said)
        if way == "script":
            if not shutil.which("wget"):
                pytest.skip("the script asks with wget, which is not there")
            argv = ("sh", SCRIPT, str(supervisor.pid("nats")), broker.folder, f"{broker._monitoring()}/healthz")
            found.script = await asyncio.create_subprocess_exec(*argv, stderr=PIPE)
        yield found
    if found.script:
        assert await asyncio.wait_for(found.script.wait(), 30) == 0


@asynccontextmanager
async def kept(broker: EmbeddedNats) -> AsyncIterator[Nats]:
    """A connection to a broker with a stream on disk."""
    nc = await nats.connect(broker.url, reconnect_time_wait=0.05, max_reconnect_attempts=-1, error_cb=quiet)
    await nc.jetstream().add_stream(StreamConfig(name="KEPT", subjects=["kept"]))
    yield nc
    await nc.close()


async def quiet(_error: Exception) -> None:
    """What it says is shown by what comes of it."""


async def is_stored(nc: Nats) -> bool:
    with suppress(NatsError):
        return bool(await nc.jetstream(timeout=1).publish("kept", PIECE))
    return False


@pytest.mark.parametrize("way", WAYS)
async def test_a_broker_whose_folder_was_deleted_is_started_again(folder: Path, way: str) -> None:
    async with watched(folder, way) as found, kept(found.broker) as nc:
        assert await is_stored(nc)
        empty(found.broker.folder)
        assert "its folder was deleted while it ran" in await found.why()
    assert found.supervisor.restarts("nats") == 1


@WITH_DISK
@pytest.mark.parametrize("way", WAYS)
async def test_a_broker_whose_disk_was_full_is_started_again_when_there_is_room(folder: Path, way: str) -> None:
    with Disk(folder / "image", folder / "nats", size_mib=64).mounted() as disk:
        async with watched(folder, way) as found, kept(found.broker) as nc:
            before = (await nc.jetstream().publish("kept", PIECE)).seq
            await looked(found.broker, 2)  # while a stream is made, a broker may say that it is not well
            with disk.full():
                await until(lambda: is_not_stored(nc))
                await looked(found.broker, 2 * nats_watch.UNWELL_LOOKS)
                assert found.supervisor.restarts("nats") == 0
            assert "it takes nothing more, although there is room" in await found.why()
            await until(lambda: is_stored(nc))
            assert (await nc.jetstream().get_msg("KEPT", before)).data == PIECE
            assert found.supervisor.restarts("nats") == 1


async def is_not_stored(nc: Nats) -> bool:
    return not await is_stored(nc)


def looks(broker: EmbeddedNats) -> int:
    """How often the broker was asked how it is, by its own count."""
    with urllib.request.urlopen(f"{broker._monitoring()}/varz", timeout=10) as answer:
        return int(json.load(answer)["http_req_stats"].get("/healthz", 0))


async def looked(broker: EmbeddedNats, times: int) -> None:
    """Returns when it was asked so often from now on."""
    enough = looks(broker) + times
    await until(lambda: looks(broker) >= enough)


@pytest.mark.parametrize("way", WAYS)
async def test_a_broker_that_is_busy_or_stands_still_is_left_alone(
    folder: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_watch, "ANSWER_WITHIN_S", 0.1)
    async with watched(folder, way) as found, kept(found.broker) as nc:
        enough = looks(found.broker) + 2 * nats_watch.UNWELL_LOOKS
        while looks(found.broker) < enough:
            await asyncio.gather(*(nc.jetstream(timeout=60).publish("kept", PIECE) for _ in range(50)))
        pid = found.supervisor.pid("nats")
        assert pid
        os.kill(pid, signal.SIGSTOP)
        resumed = asyncio.get_running_loop().call_later(2 * nats_watch.UNWELL_LOOKS, os.kill, pid, signal.SIGCONT)
        await until(lambda: is_stored(nc))
        resumed.cancel()
        assert found.supervisor.pid("nats") == pid
        assert found.supervisor.restarts("nats") == 0
