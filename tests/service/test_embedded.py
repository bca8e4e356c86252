"""The embedded NATS and Postgres, on the real programs: killed, restarted, moved, misled, and gone without a trace.

Run as a program with a folder, this file keeps both alive there until it is killed, and first prints where they are.
"""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import nats
import psycopg
import pytest
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from hearthmind.embedded import postgres
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig, NoNatsServer
from hearthmind.embedded.postgres import EmbeddedPostgres, InUse, NotOurs
from hearthmind.embedded.processes import EndedInVain, Supervisor
from hearthmind.testing.waiting import until
from tests.service.family import family, is_gone

STRANGER = pwd.getpwnam("daemon").pw_uid
"""An ordinary user, in the eyes of the system, who owns nothing on this machine."""
NAMELESS = 12345


@dataclass(frozen=True)
class Servers:
    nats: EmbeddedNats
    postgres: EmbeddedPostgres
    supervisor: Supervisor

    async def kill(self, name: str) -> None:
        pid = self.supervisor.pid(name)
        assert pid
        os.kill(pid, signal.SIGKILL)
        await self.supervisor.wait_ready(name, other_than=pid)


def servers_in(folder: Path) -> Servers:
    broker = EmbeddedNats(folder / "nats", NatsConfig(payload_max_bytes=64 * 1024))
    database = EmbeddedPostgres(folder / "postgres", durable=False)
    return Servers(broker, database, Supervisor([broker.command(), database.command()], folder))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    postgres.remove(tmp_path / "postgres")


@pytest.fixture(scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    found = servers_in(tmp_path_factory.mktemp("servers"))
    async with found.supervisor:
        yield found
    postgres.remove(found.postgres.folder)
    assert not found.postgres.data.exists() or os.geteuid() != 0


def owner(pid: int) -> int:
    return Path(f"/proc/{pid}").stat().st_uid


def mapped(pid: int) -> str:
    """Nothing where it has just ended, as Postgres' process for a connection does."""
    try:
        return Path(f"/proc/{pid}/maps").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


async def put(servers: Servers) -> None:
    client = await nats.connect(servers.nats.url)
    await client.jetstream().add_stream(StreamConfig(name="KEPT", subjects=["kept"], max_bytes=1024 * 1024))
    await client.jetstream().publish("kept", b"embers")
    await client.close()
    async with await psycopg.AsyncConnection.connect(servers.postgres.dsn) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 'embers' AS what")


async def assert_kept(servers: Servers) -> None:
    client = await nats.connect(servers.nats.url)
    assert (await client.jetstream().get_msg("KEPT", 1)).data == b"embers"
    await client.close()
    async with await psycopg.AsyncConnection.connect(servers.postgres.dsn) as connection:
        assert await (await connection.execute("SELECT what FROM kept")).fetchall() == [("embers",)]


async def test_killed_servers_are_back_with_their_data_at_the_same_place(servers: Servers) -> None:
    await put(servers)
    client = await nats.connect(servers.nats.url, reconnect_time_wait=0.05, max_reconnect_attempts=-1, error_cb=quiet)
    try:
        for name in ("nats", "postgres"):
            await servers.kill(name)
            assert servers.supervisor.restarts(name) == 1
            await assert_kept(servers)
        await until(lambda: client.is_connected)
        assert (await client.jetstream().get_msg("KEPT", 1)).data == b"embers"
    finally:
        await client.close()


async def test_a_backend_that_is_busy_when_postgres_is_killed_does_not_stop_the_restart(servers: Servers) -> None:
    async with await psycopg.AsyncConnection.connect(servers.postgres.dsn) as connection:
        backend = connection.info.backend_pid
        busy = asyncio.create_task(connection.execute("SELECT count(*) FROM generate_series(1, 100000000000)"))
        before = family(servers.supervisor.pid("postgres"))
        assert backend in before
        await servers.kill("postgres")
        with pytest.raises(psycopg.OperationalError):
            await asyncio.wait_for(busy, 30)
    await until(lambda: all(is_gone(pid) for pid in before))


async def test_postgres_is_as_we_want_it(servers: Servers) -> None:
    engine = create_async_engine(servers.postgres.sqlalchemy_url)
    async with engine.connect() as connection:
        assert (await connection.execute(text("SHOW listen_addresses"))).scalar() == ""
        assert (await connection.execute(text("SHOW fsync"))).scalar() == "off"
        facts = "server_version_num::int / 10000, pg_encoding_to_char(encoding), datlocale FROM pg_database"
        facts = facts.replace("server_version_num", "current_setting('server_version_num')")
        row = (await connection.execute(text(f"SELECT {facts} WHERE datname = 'hearthmind'"))).one()
        assert tuple(row) == (18, "UTF8", "C.UTF-8")
        await connection.execute(text("CREATE EXTENSION vector"))
        assert (await connection.execute(text("SELECT '[0,3]'::vector <-> '[4,0]'::vector"))).scalar() == 5
    await engine.dispose()
    for pid in family(servers.supervisor.pid("postgres")):
        assert "/dev/shm/" not in mapped(pid)  # what a kill would leave there
    assert servers.postgres.sockets.stat().st_mode & 0o077 == 0
    assert servers.postgres.data.stat().st_mode & 0o077 == 0


async def test_nats_is_as_we_want_it(servers: Servers) -> None:
    client = await nats.connect(servers.nats.url)
    assert client.max_payload == 64 * 1024
    account = await client.jetstream().account_info()
    assert account.limits.max_storage == -1
    await client.close()
    assert (servers.nats.folder / "nats.conf").stat().st_mode & 0o077 == 0


async def test_nats_with_users_and_monitoring(folder: Path) -> None:
    users = 'authorization { users: [ { user: "reward", password: "p\\"w" } ] }'
    monitoring_port = EmbeddedNats(folder / "other").port
    broker = EmbeddedNats(
        folder / "nats", NatsConfig(authorization=users, monitoring_port=monitoring_port, sync_interval="2m")
    )
    async with Supervisor([broker.command()], folder):
        client = await nats.connect(broker.url, user="reward", password='p"w')
        await client.close()
        with pytest.raises(NatsError, match="Authorization"):
            await nats.connect(broker.url, allow_reconnect=False, error_cb=quiet)
        reader, writer = await asyncio.open_connection("127.0.0.1", monitoring_port)
        writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b'{"status":"ok"}' in await reader.read()
        writer.close()


async def quiet(_error: Exception) -> None:
    """The error is raised as well."""


async def test_nats_says_what_is_wrong_with_its_configuration(folder: Path) -> None:
    broker = EmbeddedNats(folder / "nats", NatsConfig(authorization="authorization { users: nobody }"))
    with pytest.raises(EndedInVain, match=r"nats\.conf:\d+"):
        await Supervisor([broker.command()], folder).start()


def test_without_the_program_of_nats(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(NoNatsServer, match="pip install"):
        EmbeddedNats(folder / "nats").command()


async def test_nothing_runs_after_the_stop_and_the_next_start_finds_everything(folder: Path) -> None:
    first = servers_in(folder)
    async with first.supervisor:
        await put(first)
        processes = family(first.supervisor.pid("nats")) | family(first.supervisor.pid("postgres"))
    assert len(processes) > 5
    assert all(is_gone(pid) for pid in processes)
    second = servers_in(folder)
    assert (second.nats.url, second.postgres.dsn) == (first.nats.url, first.postgres.dsn)
    async with second.supervisor:
        await assert_kept(second)


async def test_a_stranger_in_a_lock_file_does_not_stop_the_start(folder: Path) -> None:
    servers = servers_in(folder)
    async with servers.supervisor:
        pass
    # Postgres looks only whether its user has a process of this number, and after a boot somebody else's may have it.
    uid, _ = servers.postgres.user or (None, None)
    other = await asyncio.create_subprocess_exec("sleep", "1000", user=uid)
    lock = f"{other.pid}\n{servers.postgres.data}\n1\n5432\n{servers.postgres.sockets}\n\n0 0\nready   \n"
    (servers.postgres.data / "postmaster.pid").write_text(lock)
    (servers.postgres.sockets / ".s.PGSQL.5432.lock").write_text(lock)
    async with servers.supervisor:
        assert servers.supervisor.restarts("postgres") == 0
    other.kill()
    await other.wait()


async def test_a_running_server_of_somebody_else_is_left_alone(
    servers: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "ORPHANS_ENDED_WITHIN_S", 0.1)
    pid = servers.supervisor.pid("postgres")
    with pytest.raises(InUse, match=f"process {pid}"):
        await Supervisor([servers.postgres.command()], tmp_path).start()
    assert servers.supervisor.pid("postgres") == pid
    assert not is_gone(pid or 0)


async def test_a_folder_that_somebody_else_prepared_is_not_used(tmp_path: Path) -> None:
    postgres.elsewhere(tmp_path).mkdir()
    postgres.elsewhere(tmp_path).chmod(0o777)
    deep = tmp_path if os.geteuid() == 0 else tmp_path / ("x" * 100)
    with pytest.raises(NotOurs, match="hearthmind-"):
        await Supervisor([EmbeddedPostgres(deep).command()], tmp_path).start()
    with pytest.raises(NotOurs, match="hearthmind-"):
        postgres.remove(tmp_path)
    postgres.elsewhere(tmp_path).rmdir()


def program(folder: Path, *prefix: str) -> list[str]:
    return [*prefix, sys.executable, "-B", __file__, str(folder)]


async def test_kill_of_the_supervisor_ends_everything(folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(*program(folder), stdout=subprocess.PIPE)
    facts = await said_by(process)
    processes = family(process.pid)
    assert len(processes) > 6
    process.kill()
    await process.wait()
    await until(lambda: all(is_gone(pid) for pid in processes))
    servers = servers_in(folder)
    assert [servers.nats.url, servers.postgres.dsn] == [facts["nats"], facts["postgres"]]
    async with servers.supervisor:
        await assert_kept(servers)


def as_user(uid: int) -> list[str]:
    """Where the interpreter is in root's home, the user may still read it; in all else it is an ordinary one."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else; the other tests show it")
    if not shutil.which("setpriv"):
        pytest.skip("setpriv of util-linux is not there")
    may_read = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *may_read]


@pytest.fixture
def home() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(dir="/var/tmp", prefix="home-"))
    os.chown(home, STRANGER, STRANGER)
    yield home
    shutil.rmtree(home)


def readable_programs(home: Path) -> Path:
    """The wheel's programs where anybody may run them: this checkout may be in a private folder, as CI's is."""
    site = home / "site"
    postgres._make_readable_copy(postgres._wheel(), site)
    (site / postgres.PACKAGE / "__init__.py").touch()
    return site


def put_elsewhere(uid: int) -> set[Path]:
    return set(Path("/var/tmp").glob(f"hearthmind-{uid}-*"))


@pytest.mark.parametrize("below", ["data", "a" * 60 + "/" + "b" * 60], ids=["short", "long"])
async def test_as_an_ordinary_user(home: Path, below: str) -> None:
    env = {**os.environ, "HOME": str(home), "TMPDIR": str(home), "PYTHONPATH": str(readable_programs(home))}
    before = put_elsewhere(STRANGER)
    words = program(home / below, *as_user(STRANGER))
    process = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE, env=env, cwd="/")
    try:
        facts = await said_by(process)
        processes = family(process.pid)
        assert {owner(pid) for pid in processes} == {STRANGER}
        assert facts["data"] == str(home / below / "postgres" / "data")
        assert len(put_elsewhere(STRANGER) - before) == (below != "data")
    finally:
        process.terminate()
        status = await process.wait()
    assert status == 0
    await until(lambda: all(is_gone(pid) for pid in processes))
    assert put_elsewhere(STRANGER) == before


def test_as_a_user_without_a_name(home: Path) -> None:
    os.chown(home, NAMELESS, NAMELESS)
    words = program(home / "data", *as_user(NAMELESS))
    ended = subprocess.run(words, capture_output=True, text=True, cwd="/", timeout=60)
    assert f"Nameless: Postgres can't make a database as the user {NAMELESS}" in ended.stderr


async def said_by(process: asyncio.subprocess.Process) -> dict[str, object]:
    assert process.stdout
    async with asyncio.timeout(60):
        line = await process.stdout.readline()
    assert line, "it ended before it said anything"
    facts: dict[str, object] = json.loads(line)
    return facts


async def main(folder: Path) -> None:
    """Keeps both alive, after it has tried whether they are; ends on SIGTERM."""
    servers = servers_in(folder)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with servers.supervisor:
        await put(servers)
        await servers.kill("nats")
        await servers.kill("postgres")
        await assert_kept(servers)
        broker, database = servers.nats, servers.postgres
        facts = {"nats": broker.url, "postgres": database.dsn, "data": str(database.data)}
        sys.stdout.write(json.dumps(facts) + "\n")
        sys.stdout.flush()
        await stop.wait()
    if os.geteuid() == STRANGER:
        postgres.remove(folder / "postgres")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
