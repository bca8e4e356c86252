"""What a deployment is prepared with, as its command does it: on a real NATS with its users and a real Postgres."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from hearthmind import flow
from hearthmind.bus.accounts import PROVISION, authorization
from hearthmind.bus.connect import Connection, close, connect
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.embedded.processes import Command, Supervisor
from hearthmind.errors import EXIT_CONFIG
from hearthmind.health import READY, ask
from hearthmind.settings import Broker
from hearthmind.store.engine import driver_url
from hearthmind.store.tables import metadata
from hearthmind.testing.servers import postgres_server
from hearthmind.testing.waiting import until
from services.command.secret_files import make_secrets

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "services.command")


def broker_and_settings(folder: Path) -> tuple[EmbeddedNats, dict[str, str]]:
    """A broker with the users of a secrets folder, and the environment of whoever provisions it."""
    make_secrets(folder / "secrets", ["castle"])
    passwords = {
        path.name.removeprefix("broker_"): path.read_text().strip() for path in folder.glob("secrets/broker_*")
    }
    nats = EmbeddedNats(
        folder / "nats", NatsConfig(sync_interval="1m", authorization=authorization(("castle",), passwords))
    )
    return nats, {
        "NATS_URL": nats.url,
        "HEARTHMIND_BROKER__USER": PROVISION,
        "HEARTHMIND_BROKER__PASSWORD_FILE": str(folder / "secrets" / f"broker_{PROVISION}"),
        "HEARTHMIND_FLOW__PARTITIONS": "2",
        "HEARTHMIND_FLOW__POOLS": "rules",
    }


async def as_provisioner(nats: EmbeddedNats, folder: Path) -> Connection:
    password = (folder / "secrets" / f"broker_{PROVISION}").read_text().strip()
    return await connect(Broker(nats.url, PROVISION, password), "test", on_closed=lambda: None)


async def streams(nats: EmbeddedNats, folder: Path) -> dict[str, int]:
    """What there is, with the number of consumers."""
    nc = await as_provisioner(nats, folder)
    try:
        return {str(info.config.name): info.state.consumer_count for info in await nc.jetstream().streams_info()}
    finally:
        await close(nc)


async def test_a_deployment_is_prepared_by_one_command_that_can_be_run_again(folder: Path) -> None:
    nats, settings = broker_and_settings(folder)
    async with postgres_server(folder / "postgres") as postgres, Supervisor([nats.command()], folder / "supervisor"):
        environment = {**os.environ, **settings, "DATABASE_URL": postgres.dsn}
        for _ in range(2):
            command = (*COMMAND, "prepare", "--folder", str(folder / "secrets"))
            process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment)
            assert await asyncio.wait_for(process.wait(), 60) == 0
        assert await streams(nats, folder) == {
            "OBSERVATION": 2,
            "EVENT": 2,
            **dict.fromkeys(flow.BUCKETS, 0),
            **counts(rest=1),
        }
        address = driver_url(postgres.dsn).set(drivername="postgresql", username="reader")
        with psycopg.connect(address.render_as_string(hide_password=False)) as reader:
            for table in metadata.tables:
                assert reader.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))


def counts(rest: int) -> dict[str, int]:
    names = {stream.name for stream in flow.STREAMS} - {"OBSERVATION", "EVENT"}
    return {name: 0 if name == "ACTION" else rest for name in names}


async def test_without_the_secrets_it_says_what_is_missing(folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "prepare", "--folder", str(folder), cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == EXIT_CONFIG
    assert "store_reward" in errors.decode()


@pytest.mark.parametrize("fault", ["killed", "deleted"])
async def test_what_is_gone_is_made_again(folder: Path, fault: str, unused_tcp_port: int) -> None:
    nats, settings = broker_and_settings(folder)
    health = f"127.0.0.1:{unused_tcp_port}"

    async def is_ready() -> bool:
        return (await asyncio.to_thread(ask, health, READY))[0]

    environment = {**settings, "HEARTHMIND_HEALTH__ADDRESS": health, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    keeper = Command("provisioner", (*COMMAND, "provision", "--keep"), env=environment, cwd=ROOT, ready=is_ready)
    async with Supervisor([nats.command(), keeper], folder / "supervisor", ready_within_s=60) as supervisor:
        before = await streams(nats, folder)
        assert len(before) == len(flow.STREAMS) + len(flow.BUCKETS)
        if fault == "killed":
            pid = supervisor.pid("nats")
            assert pid
            os.kill(pid, signal.SIGKILL)
            await supervisor.wait_ready("nats", other_than=pid)
        else:
            await delete(nats, folder, "OBSERVATION")

        async def is_whole() -> bool:
            return await streams(nats, folder) == before

        await until(is_whole)


async def test_a_stream_that_cannot_be_made_again_ends_the_keeper_with_its_name(folder: Path) -> None:
    nats, settings = broker_and_settings(folder)
    async with Supervisor([nats.command()], folder / "supervisor"):
        environment = {**os.environ, **settings}
        keeper = await asyncio.create_subprocess_exec(
            *COMMAND, "provision", "--keep", cwd=ROOT, env=environment, stderr=asyncio.subprocess.PIPE
        )

        async def is_whole() -> bool:
            return len(await streams(nats, folder)) == len(flow.STREAMS) + len(flow.BUCKETS)

        await until(is_whole)
        nc = await as_provisioner(nats, folder)
        await nc.jetstream().delete_stream("DEAD")
        await nc.jetstream().add_stream(name="DEAD", subjects=["dead.*"], storage="memory", max_bytes=1024)
        await close(nc)
        _, errors = await asyncio.wait_for(keeper.communicate(), 60)
    assert keeper.returncode == EXIT_CONFIG
    said = errors.decode().splitlines()
    assert said[-1].startswith("provisioner: Cannot start: the stream DEAD is there but can't be changed")
    assert "Traceback" not in errors.decode()


async def delete(nats: EmbeddedNats, folder: Path, stream: str) -> None:
    nc = await as_provisioner(nats, folder)
    await nc.jetstream().delete_stream(stream)
    await close(nc)
