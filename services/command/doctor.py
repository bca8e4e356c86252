"""`hearthmind doctor`: the settings with their source, and whether broker, database, ports, disk, models, GPUs, `.env` and the
service of these settings are as they should be."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from rich.console import Console
from rich.table import Table

from hearthmind.bus.connect import close, connect, without_secrets
from hearthmind.bus.consume import unread
from hearthmind.embedded.nats import EmbeddedNats
from hearthmind.errors import CannotStart, HearthmindError
from hearthmind.health import READY, Health, ask
from hearthmind.settings import Broker, Flow, Sourced, Store, Telemetry, load, sourced
from hearthmind.store.engine import create_engine, transaction
from hearthmind.store.read import totals
from hearthmind.telemetry.broker import BrokerWatch
from hearthmind.telemetry.names import BROKER_WATCH
from services.command.doctor_models import look_at_models
from services.command.env_file import mistakes_in, names_in
from services.command.finding import OK, WARNING, WRONG, Finding
from services.command.platform import read_connection
from services.decision.settings import Decision
from services.inference_worker.settings import InferenceWorker
from services.reward.settings import Reward

SECTIONS: Mapping[str, type[msgspec.Struct]] = {
    "broker": Broker,
    "store": Store,
    "flow": Flow,
    "telemetry": Telemetry,
    "health": Health,
    "decision": Decision,
    "inference_worker": InferenceWorker,
    "reward": Reward,
    BROKER_WATCH: BrokerWatch,
}
DISK_FREE_GIB_MIN = 2.0


def doctor(folder: Path, console: Console) -> int:
    """Prints everything; the exit status is 1 where something is wrong."""
    try:
        settings = [each for section, kind in SECTIONS.items() for each in sourced(section, kind)]
    except CannotStart as error:
        console.print(f"[red]wrong[/red]  {error}", highlight=False)
        return 1
    console.print(_settings_table(settings))
    findings = [
        *_machine(folder, load("broker", Broker)),
        *asyncio.run(_servers(folder)),
        *_service(load("health", Health)),
        *_env(Path(".env")),
    ]
    with console.status("looks at models and GPUs"):
        findings += _models(load("inference_worker", InferenceWorker), load("decision", Decision))
    colours = {OK: "green", WARNING: "yellow", WRONG: "red"}
    for finding in findings:
        colour = colours[finding.state]
        line = f"[{colour}]{finding.state:<8}[/{colour}] {finding.what}: {finding.says}"
        console.print(line, highlight=False, soft_wrap=True)
    return 1 if any(finding.state == WRONG for finding in findings) else 0


def _settings_table(settings: list[Sourced]) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in ("setting", "value", "source"):
        table.add_column(name, overflow="fold")
    for each in settings:
        value = ",".join(each.value) if isinstance(each.value, tuple) else str(each.value)
        value = without_secrets(value) if "://" in value and "@" in value and each.section == "broker" else value
        table.add_row(f"{each.section}.{each.name}", value or '""', each.source)
    return table


def _machine(folder: Path, broker: Broker) -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", OK if sys.version_info >= (3, 11) else WRONG, f"{version}; 3.11 or newer is needed")
    place = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    free_gib = shutil.disk_usage(place).free / 2**30
    enough = free_gib >= DISK_FREE_GIB_MIN
    advice = "" if enough else f"; the broker and Postgres want {DISK_FREE_GIB_MIN:g}: make room, or set --folder"
    yield Finding("disk", OK if enough else WRONG, f"{free_gib:.1f} GiB free at {place}{advice}")
    if broker == Broker():  # who names a broker needs none of this machine
        try:
            EmbeddedNats(folder / "nats").command()
            yield Finding("nats-server", OK, "the embedded program is there")
        except HearthmindError as error:
            yield Finding("nats-server", WARNING, str(error))


async def _servers(folder: Path) -> list[Finding]:
    broker, store = load("broker", Broker), load("store", Store)
    running = read_connection(folder)
    if running and broker == Broker():
        broker, store = running.broker("provision"), Store(url=running.database_url)
    return [_port(broker), await _broker(broker), await _database(store)]


def _service(health: Health) -> Iterator[Finding]:
    """What the service says that tells its health where these settings say, if any does."""
    if health.address:
        try:
            is_well, says = ask(health.address, READY)
        except CannotStart as error:
            is_well, says = False, str(error)
        says = "ready" if is_well else f"not ready: {says}"
        yield Finding(f"service at {health.address}", OK if is_well else WARNING, says)


def _models(worker: InferenceWorker, decision: Decision) -> list[Finding]:
    """The models that are declared, and those that settings name."""
    named = [entry.partition("=")[2].partition(":")[0] for entry in decision.triage]
    used = dict.fromkeys(named, "HEARTHMIND_DECISION__TRIAGE") | {worker.model: "HEARTHMIND_INFERENCE_WORKER__MODEL"}
    try:
        return list(look_at_models(used))
    except CannotStart as error:
        return [Finding("models", WRONG, str(error))]


def _env(file: Path) -> Iterator[Finding]:
    """What compose would make of the settings that lie here, where there are some."""
    if file.exists():
        found = [f"line {line}: {what}" for line, what in mistakes_in(file, names_in(Path("compose.yaml")), SECTIONS)]
        yield from (Finding(str(file), WRONG, each) for each in found)
        if not found:
            yield Finding(str(file), OK, "every line is a setting that somebody reads")


def _port(broker: Broker) -> Finding:
    parts = urlsplit(broker.url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 4222
    with socket.socket() as probe:
        probe.settimeout(2)
        taken = probe.connect_ex((host, port)) == 0
    says = "something listens" if taken else "nothing listens: start the platform with `./just up`, or set NATS_URL"
    return Finding(f"port {host}:{port}", OK if taken else WARNING, says)


async def _broker(broker: Broker) -> Finding:
    where = without_secrets(broker.url)
    try:
        nc = await connect(msgspec.structs.replace(broker, start_within_s=2), "doctor", on_closed=_nothing)
        found = nc.connected_server_version
        version = f"{found.major}.{found.minor}.{found.patch}"
        missed = await unread(nc, "EXPERIENCE", "reward")
        await close(nc)
    except HearthmindError as error:
        return Finding("broker", WARNING, str(error))
    if missed:
        says = (
            f"{missed:,} messages at most left EXPERIENCE before the reward service had them: it was away for too long"
        )
        return Finding("broker", WARNING, says)
    return Finding("broker", OK, f"NATS {version} at {where} accepts {broker.user or 'a connection without a user'}")


async def _database(store: Store) -> Finding:
    try:
        engine = create_engine(store.url, connections_max=1)
    except CannotStart as error:
        return Finding("database", WRONG, str(error))
    try:
        async with transaction(engine) as connection:
            found = await totals(connection)
    except HearthmindError as error:
        return Finding("database", WARNING, f"{error} Set DATABASE_URL, or start the platform with `./just up`.")
    finally:
        await engine.dispose()
    state = WRONG if found.doubled else WARNING if found.dead_letters else OK
    dead = f"; {found.dead_letters} dead letters: see `hearthmind dead-letters`" if found.dead_letters else ""
    return Finding("database", state, f"{found.experiences:,} experiences of {found.npcs:,} NPCs{dead}")


def _nothing() -> None:
    """The check says what it found itself."""
