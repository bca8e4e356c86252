"""Adapters on a real broker: published by the command, fetched with a worker's rights, held within limits."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from hearthmind import adapters, prompts
from hearthmind.adapters import BadAdapter, base_hash, describe, manifest_key
from hearthmind.bus.accounts import PROVISION, authorization, new_passwords
from hearthmind.bus.connect import Connection, Denied, close, connect
from hearthmind.bus.consume import Delivery
from hearthmind.bus.objects import ObjectMissing, fetch, store
from hearthmind.bus.provision import provision
from hearthmind.bus.registry import Registry, Taken
from hearthmind.bus.wire import encode
from hearthmind.contracts.inference import Infer
from hearthmind.embedded.nats import NatsConfig
from hearthmind.flow import ADAPTERS, PROMPTS
from hearthmind.process import READY_FILE
from hearthmind.settings import Broker
from hearthmind.testing.servers import nats_server
from hearthmind.testing.waiting import until
from services.command import adapters as command
from services.command.platform import CONNECTION
from services.command.platform import Connection as Running
from services.inference_worker import app, holders
from services.inference_worker.adapters import Adapters, UnknownAdapter
from services.inference_worker.engines import Adapter, CannotServe, Engine, Generated
from services.inference_worker.settings import InferenceWorker
from tests.service.test_inference_worker import an_infer
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
    refuses: str = ""

    async def start(self) -> None:
        """It is ready."""

    async def answer(self, infer: Infer, adapter: Adapter | None = None) -> Generated:
        """What it would have answered with."""
        assert adapter is None or self.held[adapter.version] is adapter
        return Generated(infer.adapter)

    async def load(self, adapter: Adapter) -> None:
        await asyncio.sleep(0)
        assert adapter.version not in self.held
        if adapter.version == self.refuses:
            raise CannotServe(why=f"it does not take {adapter.version}")
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
    as_worker: Broker
    passwords: dict[str, str]

    async def publish(self, name: str = "raider", *, rank: int = 4, promoted: bool = False) -> str:
        made = self.folder / f"{name}-{rank}-{random.getrandbits(32)}"
        made.mkdir()
        (made / adapters.WEIGHTS).write_bytes(safetensors(pair(rank)))
        (made / adapters.CONFIG).write_text('{"peft_type": "LORA", "r": 4, "base_model_name_or_path": "tiny"}')
        manifest = await command.publish_at(self.folder, made, name, self.base, 0.5, "a test", promoted=promoted)
        await until(lambda: self.registry.get(manifest_key(name, manifest.version)) is not None)
        return manifest.full_name

    async def listed(self) -> list[str]:
        console = Console(record=True, width=200)
        await command.show_at(self.folder, console)
        return [line for line in console.export_text().splitlines() if " raider@" in line]

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
        as_worker = Broker(url=server.url, user="inference_worker", password=passwords["inference_worker"])
        yield Rig(folder, base, operator, worker, await Registry(worker).start(), as_worker, passwords)


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
    assert [line.split()[:2] for line in await rig.listed()] == [["raider@2", "0.5"], ["raider@1", "yes"]]


async def test_a_version_on_trial_answers_a_share_of_the_characters_until_the_trial_ends(rig: Rig) -> None:
    held = rig.adapters(Shelf())
    first, second = await rig.publish(promoted=True), await rig.publish(rank=8)
    await command.promote_at(rig.folder, second, share=0.5)

    def given() -> set[str]:
        return {held.named("raider", "castle", f"guard-{number}") for number in range(100)}

    await until(lambda: given() == {first, second})
    assert [line.split()[1:3] for line in await rig.listed()] == [["on", "trial,"], ["yes,", "50%"]]
    await command.roll_back_at(rig.folder, "raider")
    await until(lambda: given() == {first})
    await command.promote_at(rig.folder, second, share=0.5)
    await command.promote_at(rig.folder, second)
    await until(lambda: given() == {second})
    with pytest.raises(command.NoSuchAdapter, match="beside which raider@2 could be tried"):
        await command.promote_at(rig.folder, second, share=0.5)


@asynccontextmanager
async def serving(engine: Engine, base: Path, ready: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A whole worker of the pool `rules`."""
    monkeypatch.setenv(READY_FILE, str(ready))
    stop = asyncio.Event()
    running = asyncio.create_task(app.serve_with(engine, InferenceWorker(pool="rules"), stop, base))
    await until(lambda: ready.exists() or running.done())
    yield
    stop.set()
    await running


async def test_a_request_goes_first_to_a_worker_that_holds_its_adapter_and_has_room(
    rig: Rig, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, engine, ready = await rig.publish(), Shelf(), folder / "ready"
    monkeypatch.setattr(holders, "SAID_WITHIN_S", 30.0)  # however busy the machine is
    for name in ("url", "user", "password"):
        monkeypatch.setenv(f"HEARTHMIND_BROKER__{name.upper()}", getattr(rig.as_worker, name))
    handed: list[Delivery] = []
    has_room = True

    def take(delivery: Delivery, infer: Infer) -> bool:
        assert infer.adapter == version
        handed.append(delivery)
        return has_room

    another = holders.Holders(rig.worker, "rules", ("critical", "social"))
    another.take = take
    await another.hold(version)
    await rig.worker.flush()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serving(engine, rig.base, ready, monkeypatch))
        url, password = rig.as_worker.url, rig.passwords[PROMPTS]
        asking = await stack.enter_async_context(prompts.connect(url, game="realm", pool="rules", password=password))
        asked = asyncio.create_task(asking.ask("?", adapter=version, varied=True))
        await until(lambda: bool(handed))
        assert (handed[0].stream, handed[0].attempt.delivered) == ("INFERENCE_SOCIAL", 1)
        assert handed[0].subject == "inference.request.social.rules"
        await handed[0].acknowledge()

        async def settled() -> bool:
            return (await rig.operator.jetstream().stream_info("INFERENCE_SOCIAL")).state.messages == 0

        await until(settled)
        asked.cancel()
        assert engine.loads == []
        has_room = False
        assert (await asking.ask("?", adapter=version, varied=True)).adapter == version
        assert (len(handed), engine.loads) == (2, [version])
        await asking.ask("?", adapter=version, varied=True)
        assert len(handed) == 2, "it holds the adapter itself by now"


@pytest.mark.parametrize("has_room", [True, False])
async def test_a_worker_that_holds_an_adapter_takes_what_another_hands_over(rig: Rig, has_room: bool) -> None:
    version = await rig.publish()
    one, other = (holders.Holders(rig.worker, "rules", ("social",)) for _ in range(2))
    infer = an_infer(adapter=version, pool="rules", tier="social")
    await rig.operator.jetstream().publish("inference.request.social.rules", encode(infer))
    consumer = await rig.worker.jetstream().pull_subscribe_bind("rules", "INFERENCE_SOCIAL")
    (message,) = await consumer.fetch(1)
    delivery = Delivery.of(rig.worker, message, holders.DELIVERIES_MAX)
    assert not await other.took(delivery, infer, version), "nobody holds it"
    taken: list[tuple[Delivery, Infer]] = []

    def take(*request: Any) -> bool:
        taken.append(request)
        return has_room

    one.take = take
    await one.hold(version)
    await rig.worker.flush()
    assert await other.took(delivery, infer, version) is has_room
    assert (taken[0][0].reply, taken[0][1]) == (delivery.reply, infer)
    await one.let_go(version)
    await rig.worker.flush()
    assert not await other.took(delivery, infer, version)
    assert len(taken) == 1


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
    assert sorted(each.name for each in held.folder.iterdir()) == sorted(engine.held)
    await asyncio.gather(*(ask(versions[0]) for _ in range(100)))
    before = engine.loads.count(versions[0])
    await asyncio.gather(*(ask(versions[0]) for _ in range(100)))
    assert engine.loads.count(versions[0]) == before


async def test_nothing_is_kept_of_what_the_engine_does_not_take(rig: Rig) -> None:
    good, bad = await rig.publish(), await rig.publish()
    held = rig.adapters(Shelf(refuses=bad))
    for _ in range(2):
        with pytest.raises(CannotServe, match=bad):
            async with held.use(bad):
                pass
    async with held.use(good):
        assert [each.name for each in held.folder.iterdir()] == [good]


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
