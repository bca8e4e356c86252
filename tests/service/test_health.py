"""Health that means it, on real processes and real servers: what is away is named, what comes back is used again, and what
a wrong setting causes ends a start with its name."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit

import psycopg
import pytest

from hearthmind import flow
from hearthmind.bus.accounts import PROVISION, authorization, new_passwords
from hearthmind.client import Client, LegalAction, connect
from hearthmind.contracts.outcome import CLIENT
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.embedded.postgres import EmbeddedPostgres, remove
from hearthmind.embedded.processes import Command, Supervisor, spawn
from hearthmind.errors import EXIT_AGAIN, EXIT_CONFIG
from hearthmind.health import LIVE, READY, ask
from hearthmind.settings import Broker, Flow
from hearthmind.store.migrate import upgrade
from hearthmind.testing.serving import process
from hearthmind.testing.waiting import until
from services.command.platform import provision_at

GAME = "realm"
SERVICES = ("decision", "inference_worker", "reward")
LEGAL = [LegalAction(name="wait"), LegalAction(name="walk", appeal=0.8)]
OK = (True, "ok")


@dataclass
class Rig:
    """A broker with its users and a database with its schema, each under a supervisor of its own."""

    broker: EmbeddedNats
    database: EmbeddedPostgres
    passwords: dict[str, str]
    brokers: Supervisor
    databases: Supervisor
    folder: Path

    def environment(self, service: str, **changed: str) -> dict[str, str]:
        return {
            "NATS_URL": self.broker.url,
            "HEARTHMIND_BROKER__USER": service,
            "HEARTHMIND_BROKER__PASSWORD": self.passwords[service],
            "DATABASE_URL": self.database.dsn,
            "HEARTHMIND_FLOW__PARTITIONS": "2",
            "HEARTHMIND_HEALTH__ADDRESS": "127.0.0.1:0",
            "HEARTHMIND_HEALTH__STUCK_AFTER_S": "1",
            "HEARTHMIND_HEALTH__EXIT_AFTER_S": "2",
            **changed,
        }

    @asynccontextmanager
    async def running(self, service: str, folder: Path, **changed: str) -> AsyncIterator[Running]:
        """A service from when it is ready, or has ended before it was."""
        async with process(f"services.{service}", folder, **self.environment(service, **changed)) as started:
            yield Running(folder / f"services.{service}.log", started)

    async def refused(self, service: str, folder: Path, status: int = EXIT_CONFIG, **changed: str) -> str:
        """What a service said that gave up at its start, by the exit status that says whether time may help."""
        async with self.running(service, folder, **changed) as service_:
            assert service_.process.returncode == status, service_.said
            assert "Traceback" not in service_.said
            return service_.said.splitlines()[-1]

    async def kill(self, servers: Supervisor, name: str) -> None:
        """Ends a server as a crash would; it stays away until its supervisor is started again."""
        pid = servers.pid(name)
        assert pid
        os.kill(pid, signal.SIGKILL)
        await servers.stop()


@dataclass
class Telling:
    """A service that tells how it is, found by its log."""

    log: Path

    @property
    def said(self) -> str:
        return self.log.read_text()

    @property
    def address(self) -> str:
        found = re.search(r"health: http://(\S+)/livez", self.said)
        return found[1] if found else ""

    async def says(self, what: str) -> tuple[bool, str]:
        return await asyncio.to_thread(ask, self.address, what)

    async def until_ready(self) -> None:
        async def ready() -> bool:
            return await self.says(READY) == OK

        await until(ready)

    async def until_not_ready(self, why: str) -> None:
        async def named() -> bool:
            is_well, says = await self.says(READY)
            return not is_well and why in says

        await until(named)


@dataclass
class Running(Telling):
    """The same with its process."""

    process: Process


@pytest.fixture(scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp("health")
    passwords = new_passwords((GAME,))
    config = NatsConfig(sync_interval="1m", authorization=authorization((GAME,), passwords))
    broker, database = EmbeddedNats(folder / "nats", config), EmbeddedPostgres(folder / "postgres", durable=False)

    async def provision() -> None:
        provisioner = Broker(url=broker.url, user=PROVISION, password=passwords[PROVISION])
        await provision_at(provisioner, Flow(partitions=2))

    async with AsyncExitStack() as stack:
        stack.callback(remove, folder / "postgres")
        brokers = Supervisor([replace(broker.command(), after_start=provision)], folder / "brokers")
        databases = Supervisor([database.command()], folder / "databases", ready_within_s=60)
        await stack.enter_async_context(brokers)
        await stack.enter_async_context(databases)
        upgrade(database.dsn)
        yield Rig(broker, database, passwords, brokers, databases, folder)


async def decided(mind: Client) -> None:
    """Waits until the platform decides, and has stored what came of it."""

    async def by_platform() -> bool:
        decision = await mind.observe(npc="guard", kind="combat", legal_actions=LEGAL)
        await mind.report(decision, success=True)
        return decision.source != CLIENT

    await until(by_platform)
    assert await mind.wait_stored(within_s=60)


# ---- away and back -----------------------------------------------------------------------------------------------------


async def test_after_the_broker_or_postgres_come_back_everything_works_again(rig: Rig, folder: Path) -> None:
    async with AsyncExitStack() as stack:
        services = [
            await stack.enter_async_context(
                rig.running(service, folder, HEARTHMIND_DECISION__TRIAGE="*=rules_scripted")
            )
            for service in SERVICES
        ]
        user = flow.game_user(GAME)
        mind = await stack.enter_async_context(
            connect(rig.broker.url, game=GAME, user=user, password=rig.passwords[user])
        )
        await decided(mind)
        assert [await service.says(READY) for service in services] == [OK] * 3

        await rig.kill(rig.brokers, "nats")
        for service in services:
            await service.until_not_ready("the broker is away")
        assert [await service.says(LIVE) for service in services] == [OK] * 3
        await rig.brokers.start()
        for service in services:
            await service.until_ready()
        await decided(mind)

        await rig.kill(rig.databases, "postgres")
        reward = services[SERVICES.index("reward")]
        await reward.until_not_ready("Postgres is not available")
        meanwhile = await mind.observe(npc="guard", kind="combat", legal_actions=LEGAL)
        await mind.report(meanwhile, success=True)
        assert await reward.says(LIVE) == OK
        await rig.databases.start()
        await reward.until_ready()
        await decided(mind)
        assert [service.process.returncode for service in services] == [None] * 3


async def test_a_start_waits_for_postgres_and_says_so(rig: Rig, folder: Path) -> None:
    await rig.kill(rig.databases, "postgres")
    waiting = asyncio.create_task(_ready_once(rig, folder))
    log = folder / "services.reward.log"
    await until(lambda: log.exists() and "the start waits: Postgres is not available" in log.read_text())
    await Telling(log).until_not_ready("it is starting")
    await rig.databases.start()
    await waiting


async def _ready_once(rig: Rig, folder: Path) -> None:
    async with rig.running("reward", folder) as reward:
        await reward.until_ready()


@pytest.mark.parametrize("service", SERVICES)
async def test_a_start_without_a_broker_ends_so_that_it_is_tried_again(rig: Rig, folder: Path, service: str) -> None:
    nowhere = {"NATS_URL": "nats://127.0.0.1:1", "HEARTHMIND_BROKER__START_WITHIN_S": "0.2"}
    said = await rig.refused(service, folder, EXIT_AGAIN, **nowhere)
    assert said.startswith(f"{service}: Cannot start: the broker at nats://127.0.0.1:1 did not answer within 0.2 s")


async def test_whoever_supervises_starts_it_until_the_broker_is_back(rig: Rig, folder: Path) -> None:
    ready = folder / "ready"

    async def before_start() -> None:
        ready.unlink(missing_ok=True)

    async def is_ready() -> bool:
        return ready.exists()

    environment = rig.environment("decision", HEARTHMIND_BROKER__START_WITHIN_S="0.2", HEARTHMIND_READY_FILE=str(ready))
    argv = (sys.executable, "-m", "services.decision")
    decision = Command("decision", argv, environment, before_start=before_start, ready=is_ready)
    async with Supervisor([decision], folder) as services:
        await rig.kill(rig.brokers, "nats")
        pid = services.pid("decision")
        assert pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda: services.restarts("decision") >= 3)
        log = (folder / "logs" / "decision.log").read_text()
        assert "did not answer within 0.2 s" in log
        await rig.brokers.start()
        await services.wait_ready("decision", other_than=pid)


@pytest.mark.parametrize("away", ["nats", "postgres"])
async def test_told_to_stop_while_it_waits_at_its_start_it_ends_at_once(rig: Rig, folder: Path, away: str) -> None:
    for_ever = {"HEARTHMIND_BROKER__START_WITHIN_S": "100000"}
    nowhere = {"nats": {"NATS_URL": "nats://127.0.0.1:1"}, "postgres": {"DATABASE_URL": "postgresql://127.0.0.1:1/x"}}
    log = folder / "log"
    with log.open("wb") as output:
        command = Command("reward", (sys.executable, "-m", "services.reward"))
        environment = rig.environment("reward", **for_ever, **nowhere[away])
        reward = await spawn(replace(command, env=environment), output.fileno())
    await until(lambda: bool(Telling(log).address))
    await Telling(log).until_not_ready("it is starting")
    if away == "postgres":
        await until(lambda: "the start waits" in log.read_text())
    reward.send_signal(signal.SIGTERM)
    assert await reward.wait() == 0
    assert "Traceback" not in log.read_text()


# ---- stopped, and told to stop -----------------------------------------------------------------------------------------


async def probe(running: Running, what: str) -> int:
    """What a container's health check comes to."""
    environment = {**os.environ, "HEARTHMIND_HEALTH__ADDRESS": running.address}
    asked = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hearthmind.health", what, env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    return await asked.wait()


async def test_a_process_that_stands_still_does_not_pass_for_live_and_goes_on_when_it_may(
    rig: Rig, folder: Path
) -> None:
    async with rig.running("decision", folder) as decision:
        assert await probe(decision, LIVE) == await probe(decision, READY) == 0
        decision.process.send_signal(signal.SIGSTOP)
        assert await probe(decision, LIVE) == 1  # it waits longer than `STUCK_AFTER_S`
        decision.process.send_signal(signal.SIGCONT)
        await decision.until_ready()
        assert decision.process.returncode is None


async def test_told_to_stop_it_is_not_ready_and_finishes_what_it_has(rig: Rig, folder: Path) -> None:
    async with AsyncExitStack() as stack:
        reward = await stack.enter_async_context(rig.running("reward", folder))
        await stack.enter_async_context(rig.running("decision", folder))
        user = flow.game_user(GAME)
        mind = await stack.enter_async_context(
            connect(rig.broker.url, game=GAME, user=user, password=rig.passwords[user])
        )
        decision = await mind.observe(npc="guard", kind="combat", legal_actions=LEGAL, answer_within_s=60)
        whole = "SELECT FROM decisions WHERE decision = %s AND action IS NOT NULL AND tier IS NOT NULL"
        await until(lambda: _is_there(rig, whole, decision.id))  # so that nothing but the outcome is at hand
        holder = await psycopg.AsyncConnection.connect(rig.database.dsn)
        stack.push_async_callback(holder.close)
        await holder.execute("LOCK TABLE outcomes IN EXCLUSIVE MODE")
        await mind.report(decision, success=True)
        await until(lambda: _is_there(rig, "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))

        reward.process.send_signal(signal.SIGTERM)
        await reward.until_not_ready("it is stopping")
        assert await reward.says(LIVE) == OK
        assert reward.process.returncode is None
        await holder.rollback()
        assert await reward.process.wait() == 0
        assert await mind.wait_stored(within_s=60)  # by the batch that was at hand: nobody else is there to store it


async def _is_there(rig: Rig, query: LiteralString, *values: str) -> bool:
    async with await psycopg.AsyncConnection.connect(rig.database.dsn) as connection:
        return bool((await connection.execute(query, values)).rowcount)


class Relay:
    """Between a service and the broker, so that the broker can be made to say something."""

    def __init__(self, broker: str) -> None:
        self._broker = urlsplit(broker)
        self._clients: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Relay:
        self._server = await asyncio.start_server(self._on_client, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    def say(self, line: bytes) -> None:
        for client in self._clients:
            client.write(line)

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        broker_reader, broker_writer = await asyncio.open_connection(self._broker.hostname, self._broker.port)
        self._clients.add(writer)
        await asyncio.gather(_pass_on(reader, broker_writer), _pass_on(broker_reader, writer))
        self._clients.discard(writer)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            writer.write(data)
    writer.close()


async def test_a_connection_that_is_closed_for_good_ends_the_process(rig: Rig, folder: Path) -> None:
    async with Relay(rig.broker.url) as relay, rig.running("decision", folder, NATS_URL=relay.url) as decision:
        await decision.until_ready()
        relay.say(b"-ERR 'maximum account active connections exceeded'\r\n")
        assert await decision.process.wait() == EXIT_AGAIN
        assert "exiting to be started again" in decision.said


# ---- wrong settings ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", SERVICES)
async def test_a_wrong_password_of_the_broker_ends_a_start(rig: Rig, folder: Path, service: str) -> None:
    said = await rig.refused(service, folder, HEARTHMIND_BROKER__PASSWORD="hush")
    assert said.startswith(f"{service}: The broker at {rig.broker.url} refused the credentials of '{service}'.")
    assert "hush" not in said


@pytest.fixture(scope="module")
async def guarded(rig: Rig) -> str:
    """The database as it is when passwords count: the address of a role that may do nothing with our tables."""
    with psycopg.connect(rig.database.dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE stranger LOGIN PASSWORD 'knock'")
        connection.execute("CREATE ROLE ghost PASSWORD 'boo'")
        rules = rig.database.data / "pg_hba.conf"
        rules.write_text("local all hearthmind trust\nlocal all all scram-sha-256\n")
        connection.execute("SELECT pg_reload_conf()")
    address = rig.database.dsn.replace("hearthmind@", "stranger:knock@")

    async def counts() -> bool:
        try:
            (await psycopg.AsyncConnection.connect(address.replace("knock", "hush"))).pgconn.finish()
        except psycopg.OperationalError:
            return True
        return False

    await until(counts)
    return address


@pytest.mark.parametrize(
    ("written", "instead", "named"),
    [
        ("knock", "hush", "refused the credentials of 'stranger'"),
        ("stranger:knock", "nobody:hush", "refused the credentials of 'nobody'"),
        ("stranger:knock", "ghost:boo", "refused the credentials of 'ghost'"),
        ("/hearthmind?", "/elsewhere?", "no database 'elsewhere'"),
        ("", "", "not to our tables (permission denied for table inbox)"),
    ],
)
async def test_a_wrong_address_of_postgres_ends_a_start(
    rig: Rig, guarded: str, folder: Path, written: str, instead: str, named: str
) -> None:
    said = await rig.refused("reward", folder, DATABASE_URL=guarded.replace(written, instead))
    assert named in said
    assert "DATABASE_URL" in said or "Check the user and password" in said
    assert not re.search("knock|hush|boo", said)


@pytest.mark.parametrize(
    ("address", "named"),
    [
        ("postgresql://reward:hush@db:port/hearthmind", "The database's address can't be read"),
        ("postgresql://reward:hush@[::1/hearthmind", "The database's address can't be read"),
        ("mysql://reward:hush@db/hearthmind", "The database's address can't be read"),
        ("postgresql://reward:hush@db/hearthmind?sslmod=off", 'DATABASE_URL .*: invalid connection option "sslmod"'),
        ("postgresql://reward:hush@127.0.0.1:1/hearthmind?sslmode=no", 'DATABASE_URL .*: invalid sslmode value: "no"'),
    ],
)
async def test_what_cant_be_an_address_of_postgres_ends_a_start(
    rig: Rig, folder: Path, address: str, named: str
) -> None:
    said = await rig.refused("reward", folder, DATABASE_URL=address, HEARTHMIND_STORE__PASSWORD="boo")
    assert re.search(named, said)
    assert not re.search("hush|boo", said)


async def test_a_place_for_health_that_is_taken_ends_a_start(rig: Rig, folder: Path) -> None:
    address = rig.broker.url.removeprefix("nats://")
    said = await rig.refused("decision", folder, HEARTHMIND_HEALTH__ADDRESS=address)
    assert f"health can't be told at {address}" in said
