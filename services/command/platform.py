"""The whole platform on this machine: embedded NATS and Postgres, and the services as processes, supervised."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from hearthmind.bus.accounts import PROVISION, authorization, new_passwords
from hearthmind.bus.connect import close, connect
from hearthmind.bus.provision import provision
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.embedded.postgres import EmbeddedPostgres
from hearthmind.embedded.processes import Command, Supervisor
from hearthmind.models import pools
from hearthmind.process import READY_FILE
from hearthmind.settings import Broker, Flow, Store, Telemetry, as_environment, load
from hearthmind.store.migrate import upgrade
from services.decision.settings import Decision
from services.decision.triage import Triage, triage_of
from services.inference_worker.settings import InferenceWorker

CONNECTION = "connection.json"
TRACES = "traces"
MODEL_WITHIN_S = 900.0
"""A large model is read from a slow disk, and vLLM prepares for minutes."""


class Connection(msgspec.Struct, frozen=True):
    """Where a running platform is, and the password of each broker user; kept in a file that only its owner may read."""

    nats_url: str
    database_url: str
    passwords: dict[str, str]

    def broker(self, user: str) -> Broker:
        """The settings of a user's connection."""
        return Broker(url=self.nats_url, user=user, password=self.passwords[user])

    def url_of(self, user: str) -> str:
        """The address with a user's name and password in it."""
        return self.nats_url.replace("nats://", f"nats://{user}:{self.passwords[user]}@")


@dataclass(frozen=True)
class Options:
    """What can be chosen."""

    folder: Path
    flow: Flow = field(default_factory=Flow)
    sync_interval: str = "always"
    """When the broker's files are on disk; `always` survives a power cut, `1s` is quicker and survives a crash."""
    durable: bool = True
    """Whether Postgres waits for the disk."""
    sample_ratio: float | None = None
    """The share of decisions that is traced; the setting says, where nobody chose."""
    workers: int = 1
    """Of each model that is asked."""
    decisions: int = 1
    triage: tuple[str, ...] = ()
    """Which model is asked for what, where the settings are not to say."""
    personas: str = ""
    """The folder of personas, where the settings name none."""


class Platform:
    """Everything that runs, and where."""

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self.options = options
        self.folder = options.folder.resolve()
        self.traces = self.folder / TRACES
        known = read_connection(self.folder)
        games = options.flow.games
        passwords = new_passwords(games, known.passwords if known else None)
        config = NatsConfig(sync_interval=options.sync_interval, authorization=authorization(games, passwords))
        self.nats = EmbeddedNats(self.folder / "nats", config)
        self.postgres = EmbeddedPostgres(self.folder / "postgres", durable=options.durable)
        self.connection = Connection(self.nats.url, self.postgres.dsn, passwords)
        if self.nats.port_before:
            say(
                f"port {self.nats.port_before} is taken: the broker listens at {self.nats.port}, games need the new address"
            )
        self.supervisor = Supervisor(self._commands(), self.folder, say=say, ready_within_s=60)

    async def __aenter__(self) -> Platform:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        await self.supervisor.start()
        _write_privately(self.folder / CONNECTION, msgspec.json.encode(self.connection))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.supervisor.stop()

    def _commands(self) -> list[Command]:
        return [
            replace(self.nats.command(), after_start=self._provision),
            replace(self.postgres.command(), after_start=self._migrate),
            self._service("reward", "reward"),
            *self._workers(),
            *self._deciders(),
        ]

    def _workers(self) -> Iterator[Command]:
        """Workers for each model that decisions are asked of."""
        models = sorted(self._triage().models)
        for model in models:
            name = f"inference_worker-{model}" if len(models) > 1 else "inference_worker"
            settings = msgspec.structs.replace(load("inference_worker", InferenceWorker), model=model, pool="")
            for number in range(self.options.workers):
                yield self._service("inference_worker", _numbered(name, number), settings)

    def _deciders(self) -> Iterator[Command]:
        for number in range(self.options.decisions):
            yield self._service("decision", _numbered("decision", number), self._decision())

    def _decision(self) -> Decision:
        settings, options = load("decision", Decision), self.options
        return msgspec.structs.replace(
            settings, triage=options.triage or settings.triage, personas=settings.personas or options.personas
        )

    def _triage(self) -> Triage:
        settings = self._decision()
        return triage_of(settings.triage_rules, settings.triage, pools())

    def _service(self, service: str, name: str, settings: msgspec.Struct | None = None) -> Command:
        ready = self.folder / "run" / f"{name}.ready"

        async def before_start() -> None:
            ready.parent.mkdir(exist_ok=True)
            ready.unlink(missing_ok=True)

        async def is_ready() -> bool:
            return ready.exists()

        start_within_s = load("broker", Broker).start_within_s
        broker = msgspec.structs.replace(self.connection.broker(service), start_within_s=start_within_s)
        telemetry = load("telemetry", Telemetry)
        if self.options.sample_ratio is not None:
            telemetry = msgspec.structs.replace(telemetry, sample_ratio=self.options.sample_ratio)
        if not telemetry.folder:
            telemetry = msgspec.structs.replace(telemetry, folder=str(self.traces))
        return Command(
            name=name,
            argv=(sys.executable, "-m", f"services.{service}"),
            env={
                **as_environment("broker", broker),
                **(as_environment("store", Store(url=self.connection.database_url)) if service == "reward" else {}),
                **as_environment("flow", self.options.flow),
                **as_environment("telemetry", telemetry),
                **(as_environment(service, settings) if settings else {}),
                READY_FILE: str(ready),
            },
            before_start=before_start,
            ready=is_ready,
            ready_within_s=MODEL_WITHIN_S if service == "inference_worker" else None,
        )

    async def _provision(self) -> None:
        """After each start of the broker: its memory streams are made again."""
        await provision_at(self.connection.broker(PROVISION), self.options.flow)

    async def _migrate(self) -> None:
        await asyncio.to_thread(upgrade, self.connection.database_url)


async def provision_at(broker: Broker, flow: Flow) -> None:
    """Runs the provisioning job at a broker."""
    nc = await connect(broker, "provision", on_closed=_nothing)
    try:
        await provision(nc, partitions=flow.partitions, pools=flow.pools)
    finally:
        await close(nc)


def read_connection(folder: Path) -> Connection | None:
    """The connection that a platform of this folder left, if any did."""
    path = folder / CONNECTION
    return msgspec.json.decode(path.read_bytes(), type=Connection) if path.exists() else None


def _numbered(name: str, number: int) -> str:
    return name if number == 0 else f"{name}-{number + 1}"


def _write_privately(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)


def _nothing() -> None:
    """The job's connection may close: the job ends with an error of its own."""
