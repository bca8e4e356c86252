"""Adapters on a real broker: published by the command, fetched with a worker's rights, held within limits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from hearthmind import adapters
from hearthmind.adapters import BadAdapter, base_hash, describe, manifest_key
from hearthmind.bus.accounts import PROVISION, authorization, new_passwords
from hearthmind.bus.connect import Connection, Denied, close, connect
from hearthmind.bus.objects import ObjectMissing, fetch, store
from hearthmind.bus.provision import provision
from hearthmind.bus.registry import Registry, Taken
from hearthmind.contracts.inference import Infer
from hearthmind.embedded.nats import NatsConfig
from hearthmind.flow import ADAPTERS
from hearthmind.settings import Broker
from hearthmind.testing.servers import nats_server
from hearthmind.testing.waiting import until
from services.command import adapters as command
from services.command.platform import CONNECTION
from services.command.platform import Connection as Running
from services.inference_worker.adapters import Adapters, UnknownAdapter
from services.inference_worker.engines import Adapter, Generated
from tests.unit.test_adapters import pair, safetensors


@dataclass
class Shelf:
    """An engine that holds adapters and says which it holds; it breaks where it is asked for more than it may."""

    adapters_max: int = 2
    model: str = "shelf"
    slots_max: int = 64
    progress: int = 0
    ailment: str = ""
    held: dict[str, Adapter] = field(default_factory=dict)
    loads: list[str] = field(default_factory=list)

    async def start(self) -> None:
        """It is ready."""

    async def answer(self, infer: Infer, adapter: Adapter | None = None) -> Generated:
        """What it would have answered with."""
        assert adapter is None or self.held[adapter.version] is adapter
        return Generated(infer.adapter)

    async def load(self, adapter: Adapter) -> None:
        await asyncio.sleep(0)
        assert adapter.version not in self.held
        assert (adapter.folder / adapters.WEIGHTS).is_file()
        self.held[adapter.version] = adapter
        self.loads.append(adapter.version)
        assert len(self.held) <= self.adapters_max

    async def unload(self, version: str) -> None:
        await asyncio.sleep(0)
        del self.held[version]

    async def close(self) -> None:
        self.held.clear()


@dataclass
class Rig:
    """A broker with its users, a base model and a way to publish adapters."""

    folder: Path
    base: Path
    operator: Connection
    worker: Connection
    registry: Registry

    async def publish(self, name: str = "raider", *, rank: int = 4, promoted: bool = False) -> str:
        made = self.folder / f"{name}-{rank}-{random.getrandbits(32)}"
        made.mkdir()
        (made / adapters.WEIGHTS).write_bytes(safetensors(pair(rank)))
        (made / adapters.CONFIG).write_text('{"peft_type": "LORA", "r": 4, "base_model_name_or_path": "tiny"}')
        manifest = await command.publish_at(self.folder, made, name, self.base, 0.5, "a test", promoted=promoted)
        await until(lambda: self.registry.get(manifest_key(name, manifest.version)) is not None)
        return manifest.full_name

    def adapters(self, engine: Shelf) -> Adapters:
        async def fetched(sha256: str) -> bytes:
            return await fetch(self.worker, ADAPTERS, sha256)

        return Adapters(engine, self.base, self.folder / "fetched", self.registry.get, fetched)


@pytest.fixture
async def rig(folder: Path) -> AsyncIterator[Rig]:
    passwords = new_passwords(("realm",))
    async with AsyncExitStack() as stack:
        config = NatsConfig(authorization=authorization(("realm",), passwords))
        server = await stack.enter_async_context(nats_server(folder / "nats", config))

        async def as_user(user: str) -> Connection:
            nc = await connect(Broker(url=server.url, user=user, password=passwords[user]), user)
            stack.push_async_callback(close, nc)
            return nc

        operator = await as_user(PROVISION)
        await provision(operator, partitions=1)
        running = Running(server.url, "", passwords)
        (folder / CONNECTION).write_bytes(msgspec.json.encode(running))
        base = folder / "base"
        base.mkdir()
        (base / "model.safetensors").write_bytes(b"weights")
        worker = await as_user("inference_worker")
        yield Rig(folder, base, operator, worker, await Registry(worker).start())


async def test_what_is_published_is_answered_with_by_its_version_and_by_its_name(rig: Rig) -> None:
    engine = Shelf()
    held = rig.adapters(engine)
    first = await rig.publish(promoted=True)
    assert first == "raider@1"
    await until(lambda: rig.registry.get(adapters.in_force_key("raider")) is not None)
    assert held.named("raider") == first
    async with held.use("raider@1") as adapter:
        assert adapter is not None
        weights = (adapter.folder / adapters.WEIGHTS).read_bytes()
        assert (adapter.sha256, weights) == (describe(adapter.folder, "x", 1, "")[0].sha256, safetensors(pair(4)))
    second = await rig.publish(rank=8)
    assert held.named("raider") == first
    await command.promote_at(rig.folder, second)
    await until(lambda: held.named("raider") == second)
    await command.roll_back_at(rig.folder, "raider")
    await until(lambda: held.named("raider") == first)
    console = Console(record=True, width=200)
    await command.show_at(rig.folder, console)
    shown = console.export_text().splitlines()
    assert [line.split()[:2] for line in shown[1:3]] == [["raider@2", "0.5"], ["raider@1", "yes"]]


async def test_many_requests_share_a_load_and_the_engine_never_holds_more_than_it_may(rig: Rig) -> None:
    engine = Shelf(adapters_max=2)
    held = rig.adapters(engine)
    versions = [await rig.publish(rank=rank) for rank in (1, 2, 3, 4)]
    chance = random.Random(3)

    async def ask(version: str) -> None:
        async with held.use(version) as adapter:
            assert adapter is not None
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
                assert engine.held[version] is adapter

    await asyncio.gather(*(ask(chance.choice(versions)) for _ in range(400)))
    assert sorted(set(engine.loads)) == versions
    await asyncio.gather(*(ask(versions[0]) for _ in range(100)))
    before = engine.loads.count(versions[0])
    await asyncio.gather(*(ask(versions[0]) for _ in range(100)))
    assert engine.loads.count(versions[0]) == before


async def test_what_is_wrong_with_one_harms_only_those_who_ask_for_it(rig: Rig) -> None:
    held = rig.adapters(Shelf())
    good = await rig.publish()
    data = safetensors(pair(8))
    sha256 = await store(rig.operator, ADAPTERS, data)
    said = msgspec.json.decode(rig.registry.get(manifest_key("raider", 1)) or b"", type=adapters.Manifest)
    liar = msgspec.structs.replace(said, version=2, sha256=sha256)
    gone = msgspec.structs.replace(said, version=3, sha256="0" * 64)
    stranger = msgspec.structs.replace(said, version=4, base_sha256="f" * 64)
    writing = await Registry(rig.operator).start()
    for manifest in (liar, gone, stranger):
        await writing.put(manifest_key("raider", manifest.version), msgspec.json.encode(manifest))
    await until(lambda: rig.registry.get(manifest_key("raider", 4)) is not None)
    for wanted, why in (
        ("raider@2", "not what its manifest says"),
        ("raider@4", "another base"),
        ("raider@9", "published"),
    ):
        with pytest.raises(UnknownAdapter, match=why):
            async with held.use(wanted):
                pass
    with pytest.raises(ObjectMissing, match="0000"):
        async with held.use("raider@3"):
            pass
    with pytest.raises(UnknownAdapter, match="no version of it is in force"):
        held.named("raider")
    async with held.use(good) as adapter:
        assert adapter is not None


async def test_who_looked_too_early_does_not_overwrite(rig: Rig) -> None:
    first, second = Registry(rig.operator), Registry(rig.operator)
    await first.put("adapter.raider.1", b"{}")
    with pytest.raises(Taken):
        await second.put("adapter.raider.1", b"other")
    await second.refresh()
    assert second.get("adapter.raider.1") == b"{}"


async def test_a_worker_may_read_and_not_write(rig: Rig) -> None:
    await rig.publish()
    with pytest.raises(Denied):
        await rig.registry.put("adapter.raider.1", b"{}")
    with pytest.raises(BadAdapter, match=r"no adapter_model\.safetensors"):
        await command.publish_at(rig.folder, rig.folder, "raider", rig.base, None, "", promoted=False)
    with pytest.raises(command.NoSuchAdapter, match="write <name>@<version>"):
        await command.promote_at(rig.folder, "raider")
    assert base_hash(rig.base)


async def test_who_missed_every_announcement_reads_all_at_once(rig: Rig) -> None:
    versions = [await rig.publish(rank=rank) for rank in (1, 2)]
    late = Registry(rig.worker)
    await late.refresh()
    assert [f"raider@{key.rpartition('.')[2]}" for key in late.under("adapter.")] == versions
