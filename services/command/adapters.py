"""`hearthmind adapters`: which adapters there are, and which version of each is in force."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from hearthmind.adapters import InForce, Manifest, base_hash, describe, in_force_key, manifest_key, split_version
from hearthmind.bus.accounts import PROVISION
from hearthmind.bus.connect import Connection, close, connect
from hearthmind.bus.objects import store
from hearthmind.bus.registry import Registry
from hearthmind.errors import Refused
from hearthmind.flow import ADAPTERS
from hearthmind.ids import check_id
from hearthmind.settings import Broker, load
from services.command.platform import read_connection

commands = typer.Typer(no_args_is_help=True, help=__doc__)
Folder = Annotated[
    Path, typer.Option(help="Where the platform keeps its data; without one there, the settings say where.")
]
UP = Path(".hearthmind/up")


class NoSuchAdapter(Refused):
    """There is no adapter {wanted}{why}. `hearthmind adapters list` shows those that there are."""


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[tuple[Connection, Registry]]:
    """The registry of the platform that runs in a folder, or of the broker of the settings."""
    running = read_connection(folder)
    nc = await connect(running.broker(PROVISION) if running else load("broker", Broker), "adapters", lambda: None)
    try:
        yield nc, await Registry(nc).start()
    finally:
        await close(nc)


def manifests(registry: Registry, name: str = "") -> list[Manifest]:
    """Every version that was published, of all adapters or of one, the newest first."""
    found = [
        msgspec.json.decode(value, type=Manifest)
        for key, value in registry.under("adapter.").items()
        if key.rpartition(".")[2].isdigit() and name in ("", key.split(".")[1])
    ]
    return sorted(found, key=lambda manifest: (manifest.name, -manifest.version))


def in_force(registry: Registry, name: str) -> InForce | None:
    """Which version answers to the bare name."""
    said = registry.get(in_force_key(name))
    return msgspec.json.decode(said, type=InForce) if said else None


async def publish_at(
    folder: Path, adapter: Path, name: str, base: Path, score: float | None, origin: str, *, promoted: bool
) -> Manifest:
    """Verifies an adapter, stores its weights under their hash, and gives it the next version of its name."""
    check_id("adapter", name)
    async with opened(folder) as (nc, registry):
        known = manifests(registry, name)
        number = known[0].version + 1 if known else 1
        manifest, data = describe(adapter, name, number, base_hash(base), score, origin)
        await store(nc, ADAPTERS, data)
        await registry.put(manifest_key(name, number), msgspec.json.encode(manifest))
        if promoted:
            await _put_in_force(registry, name, number)
    return manifest


async def promote_at(folder: Path, wanted: str, share: float = 1.0) -> InForce:
    """Puts a version in force, or on trial for a share of the characters; workers take it with their next request."""
    name, number = split_version(wanted)
    async with opened(folder) as (_, registry):
        if number is None or registry.get(manifest_key(name, number)) is None:
            raise NoSuchAdapter(wanted=wanted, why="; write <name>@<version>" if number is None else "")
        if share >= 1:
            return await _put_in_force(registry, name, number)
        now = in_force(registry, name)
        if now is None or now.version == number:
            raise NoSuchAdapter(wanted=name, why=f" in force beside which {wanted} could be tried")
        tried = now.tried(number, share)
        await registry.put(in_force_key(name), msgspec.json.encode(tried))
        return tried


async def roll_back_at(folder: Path, name: str) -> InForce:
    """Ends a trial, or puts the version in force again that was before."""
    async with opened(folder) as (_, registry):
        now = in_force(registry, name)
        if now is None or (before := now.rolled_back()) is None:
            raise NoSuchAdapter(wanted=name, why=" with an earlier version to go back to")
        await registry.put(in_force_key(name), msgspec.json.encode(before))
        return before


async def _put_in_force(registry: Registry, name: str, number: int) -> InForce:
    now = in_force(registry, name)
    then = now.promoted(number) if now else InForce(number)
    await registry.put(in_force_key(name), msgspec.json.encode(then))
    return then


async def show_at(folder: Path, console: Console) -> None:
    """Prints all versions."""
    async with opened(folder) as (_, registry):
        table = Table("adapter", "in force", "score", "rank", "base", "size", "hash", "origin", box=None)
        for manifest in manifests(registry):
            now = in_force(registry, manifest.name)
            table.add_row(
                manifest.full_name,
                _standing(now, manifest.version),
                "" if manifest.score is None else f"{manifest.score:g}",
                str(manifest.rank),
                manifest.base,
                f"{manifest.size_bytes / 1e6:.1f} MB",
                manifest.sha256[:12],
                manifest.origin,
            )
    console.print(
        table if table.row_count else "no adapter was published yet: hearthmind adapters publish FOLDER --name …"
    )


def _standing(now: InForce | None, version: int) -> str:
    if now is None or version not in (now.version, now.trial):
        return ""
    if version == now.trial:
        return f"on trial, {now.share:.0%}"
    return f"yes, {1 - now.share:.0%}" if now.trial else "yes"


@commands.command("list")
def show(folder: Folder = UP) -> None:
    """Show every version, and which is in force."""
    asyncio.run(show_at(folder, Console()))


@commands.command()
def publish(
    adapter: Annotated[Path, typer.Argument(help="A folder with adapter_model.safetensors and adapter_config.json.")],
    name: Annotated[str, typer.Option(help="What it is called; it gets the next version of that name.")],
    base: Annotated[Path, typer.Option(help="The folder of the base model that it was made for.")],
    score: Annotated[float | None, typer.Option(help="How well it did where it was tried.")] = None,
    origin: Annotated[str, typer.Option(help="Where it comes from.")] = "",
    promoted: Annotated[bool, typer.Option("--promote", help="Put it in force at once.")] = False,
    folder: Folder = UP,
) -> None:
    """Verify an adapter and store it as the next version of its name."""
    manifest = asyncio.run(publish_at(folder, adapter, name, base, score, origin, promoted=promoted))
    state = "in force" if promoted else f"not in force yet: hearthmind adapters promote {manifest.full_name}"
    print(f"{manifest.full_name}  {manifest.sha256}  rank {manifest.rank}, {manifest.size_bytes} bytes; {state}")


@commands.command()
def promote(
    version: Annotated[str, typer.Argument(help="<name>@<version>")],
    share: Annotated[
        float,
        typer.Option(min=0.001, max=1.0, help="Of the characters; below 1 it is on trial, beside the one in force."),
    ] = 1.0,
    folder: Folder = UP,
) -> None:
    """Put a version in force, or on trial for a share of the characters; workers take it with their next request."""
    now = asyncio.run(promote_at(folder, version, share))
    print(_told(split_version(version)[0], now))


@commands.command()
def rollback(name: Annotated[str, typer.Argument(help="The adapter's name.")], folder: Folder = UP) -> None:
    """End a trial, or put the version in force again that was before."""
    now = asyncio.run(roll_back_at(folder, name))
    print(_told(name, now))


def _told(name: str, now: InForce) -> str:
    trial = f"; on trial with {now.share:.1%} of the characters: {name}@{now.trial}" if now.trial else ""
    return f"in force: {name}@{now.version}; before: {', '.join(map(str, now.before)) or 'none'}{trial}"
