"""The adapters that this worker holds: fetched, verified and loaded when first asked for, unloaded when others need the room.

The law: a request is answered with exactly the version that it named, or not at all; no adapter goes while somebody uses it;
the engine never holds more than it may, and the disk what is loaded or about to be; whatever is wrong with one adapter harms
only those who ask for it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from hearthmind import adapters
from hearthmind.adapters import InForce, Manifest
from hearthmind.errors import HearthmindError
from services.inference_worker.engines import Adapter, Engine

log = logging.getLogger("hearthmind.inference_worker")

FAILED_KEPT_MAX = 1_000


class UnknownAdapter(HearthmindError):
    """This worker has no adapter {wanted}: {why}. `hearthmind adapters list` shows those that there are."""


Look = Callable[[str], bytes | None]
"""What the registry says of a key."""
Fetch = Callable[[str], Awaitable[bytes]]
"""The bytes stored under a hash."""
Tell = Callable[[str], Awaitable[None]]
"""Says that a version was loaded, or is unloaded."""


async def _nobody(_: str) -> None:
    """Nobody is told."""


@dataclass(slots=True)
class _Held:
    adapter: Adapter
    users: int = 0


@dataclass
class Adapters:
    """Hands adapters out to requests, and back to nobody when the last one is done."""

    engine: Engine
    base: Path | None
    """The folder of the engine's model; None where it takes no adapters."""
    folder: Path
    """Where the weights lie of what is loaded, each version's in a folder of its own."""
    look: Look
    fetch: Fetch
    on_loaded: Tell = _nobody
    on_unloaded: Tell = _nobody
    _held: dict[str, _Held] = field(default_factory=dict)
    _loading: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _broken: dict[str, str] = field(default_factory=dict)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _freed: asyncio.Event = field(default_factory=asyncio.Event)
    _base_sha256: str = ""

    def holds(self, version: str) -> bool:
        """Whether the engine can answer with it at once."""
        return version in self._held

    def named(self, wanted: str, game: str = "", npc: str = "") -> str:
        """The version that a name stands for now, for this character; a full name stands for itself, where there is such."""
        if not wanted:
            return ""
        name, version = adapters.split_version(wanted)
        if version is not None:
            self._manifest(name, version)
            return wanted
        said = self.look(adapters.in_force_key(name))
        if said is None:
            raise UnknownAdapter(wanted=wanted, why="no version of it is in force")
        return f"{name}@{msgspec.json.decode(said, type=InForce).of(game, npc)}"

    @asynccontextmanager
    async def use(self, version: str) -> AsyncIterator[Adapter | None]:
        """The adapter for the time of one request; none for an empty name."""
        if not version:
            yield None
            return
        while version not in self._held:  # it may have gone again before it is this request's turn
            await self._load(version)
        held = self._held[version] = self._held.pop(version)  # the latest used is the last to go
        held.users += 1
        try:
            yield held.adapter
        finally:
            held.users -= 1
            if not held.users:
                self._freed.set()

    async def _load(self, version: str) -> None:
        """Loads a version once, however many ask for it at the same time."""
        if why := self._broken.get(version):
            raise UnknownAdapter(wanted=version, why=why)
        task = self._loading.get(version)
        if task is None:
            task = self._loading[version] = asyncio.create_task(self._make_ready(version))
            task.add_done_callback(lambda done: self._loaded(version, done))
        await asyncio.shield(task)

    def _loaded(self, version: str, done: asyncio.Task[None]) -> None:
        del self._loading[version]
        if not done.cancelled() and (error := done.exception()):
            log.warning("%s was not loaded: %s", version, error)

    async def _make_ready(self, version: str) -> None:
        if self.base is None or not self.engine.adapters_max:
            raise UnknownAdapter(wanted=version, why=f"{self.engine.model} takes no adapters")
        name, number = adapters.split_version(version)
        manifest = self._manifest(name, number or 0)
        try:
            adapter = await self._on_disk(manifest)
        except adapters.BadAdapter as error:
            self._remember(version, str(error))
            raise UnknownAdapter(wanted=version, why=str(error)) from error
        async with self._turn:
            await self._make_room()
            try:
                await self.engine.load(adapter)
            except BaseException:
                await asyncio.to_thread(shutil.rmtree, adapter.folder, ignore_errors=True)
                raise
            self._held[version] = _Held(adapter)
        await self.on_loaded(version)
        log.info("%s is loaded (%s)", version, manifest.sha256[:12])

    def _manifest(self, name: str, version: int) -> Manifest:
        said = self.look(adapters.manifest_key(name, version))
        if said is None:
            raise UnknownAdapter(wanted=f"{name}@{version}", why="no such version was published")
        return msgspec.json.decode(said, type=Manifest)

    async def _on_disk(self, manifest: Manifest) -> Adapter:
        """The files of an adapter, fetched and verified."""
        data = await self.fetch(manifest.sha256)
        assert self.base is not None
        if not self._base_sha256:
            self._base_sha256 = await asyncio.to_thread(adapters.base_hash, self.base)
        await asyncio.to_thread(adapters.check, manifest, data, self._base_sha256)
        place = self.folder / manifest.full_name
        await asyncio.to_thread(_write, place, data, manifest.config)
        return Adapter(manifest.full_name, manifest.sha256, place)

    async def _make_room(self) -> None:
        """Unloads the one that nobody has used for the longest, or waits until one is free."""
        while len(self._held) >= self.engine.adapters_max:
            idle = next((version for version, held in self._held.items() if not held.users), None)
            if idle is None:
                self._freed.clear()
                await self._freed.wait()
                continue
            # Out of the way at once: who asks for it again meanwhile begins anew, and never finds half of it.
            gone = self._held.pop(idle).adapter.folder.rename(self.folder / f"gone-{secrets.token_hex(8)}")
            await self.on_unloaded(idle)
            await self.engine.unload(idle)
            await asyncio.to_thread(shutil.rmtree, gone, ignore_errors=True)
            log.info("%s is unloaded", idle)

    def _remember(self, version: str, why: str) -> None:
        """A version never changes: one that was refused is not fetched again."""
        if len(self._broken) < FAILED_KEPT_MAX:
            self._broken[version] = why
        log.error("%s", why)


def _write(place: Path, data: bytes, config: str) -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / adapters.WEIGHTS).write_bytes(data)
    (place / adapters.CONFIG).write_text(config)
