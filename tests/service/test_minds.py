"""The policy on a real NATS: who is frozen and banned, whether an action would pass, and which partition an NPC is of."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from nats.aio.msg import Msg

from hearthmind import flow, ids
from hearthmind import policy as asking
from hearthmind.bus.accounts import PROVISION, authorization, new_passwords
from hearthmind.bus.connect import Connection, close, connect
from hearthmind.bus.provision import provision
from hearthmind.bus.publish import TTL
from hearthmind.bus.registry import Registry
from hearthmind.bus.wire import encode
from hearthmind.contracts.inference import Answer
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.errors import Unavailable
from hearthmind.minds import Ban, Freeze, key_of
from hearthmind.settings import Broker
from hearthmind.testing.observations import WAIT, an_observation
from hearthmind.testing.servers import nats_server
from hearthmind.testing.waiting import until
from services.decision.checking import Checking, partition_of
from services.decision.history import Histories
from services.decision.policy import Policy, parse_policy, read_policy
from services.decision.standing import Standing

PARTITIONS = 7
POLICY = read_policy()


@dataclass
class Rig:
    """A broker with users: each part does here what it may, and no more."""

    server: EmbeddedNats
    passwords: dict[str, str]

    def settings(self, user: str) -> Broker:
        return Broker(url=self.server.url, user=user, password=self.passwords[user])


@pytest.fixture(scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder: Path = tmp_path_factory.mktemp("minds")
    passwords = new_passwords(("realm",))
    config = NatsConfig(sync_interval="1m", authorization=authorization(("realm",), passwords))
    async with nats_server(folder / "nats", config) as server:
        made = Rig(server, passwords)
        nc = await connect(made.settings(PROVISION), "test", lambda: None)
        await provision(nc, partitions=PARTITIONS)
        await close(nc)
        yield made


@pytest.fixture
async def operator(rig: Rig) -> AsyncIterator[Connection]:
    nc = await connect(rig.settings(PROVISION), "operator", lambda: None)
    yield nc
    await close(nc)


@pytest.fixture
async def service(rig: Rig) -> AsyncIterator[Connection]:
    nc = await connect(rig.settings("decision"), "decision", lambda: None)
    yield nc
    await close(nc)


# ---- the bucket -------------------------------------------------------------------------------------------------------


async def test_a_ban_is_heard_at_once_and_kept(operator: Connection, service: Connection) -> None:
    npc, standing = secrets.token_hex(4), Standing()
    copy = Registry(
        service, lambda key: standing.heard(key, copy.get(key) or b"", 0.0), bucket=flow.MINDS, under="ban."
    )
    await copy.start()
    writing = await Registry(operator, bucket=flow.MINDS).start()
    await writing.put(key_of("ban", "realm", npc), msgspec.json.encode(Ban(why="enough", by="somebody")))
    await until(lambda: standing.why_still("realm", npc, 1.0) == "it is banned: enough")
    later = Standing()
    later.heard_all((await Registry(service, bucket=flow.MINDS, under="ban.").start()).under("ban."), 0.0)
    assert later.why_still("realm", npc, 1.0)
    await writing.put(key_of("ban", "realm", npc), b"")
    await until(lambda: standing.why_still("realm", npc, 1.0) == "")


async def test_a_freeze_is_there_for_the_next_owner_and_ends_by_itself(service: Connection) -> None:
    npc, standing = secrets.token_hex(4), Standing()
    key, value = standing.freeze("realm", npc, Freeze(until_s=1e12, rule="one", decision="d"))
    await service.publish(f"$KV.{flow.MINDS}.{key}", value, headers={TTL: "1"})
    copy = await Registry(service, bucket=flow.MINDS, under="ban.").start()

    async def there() -> bool:
        await copy.refresh()
        return copy.get(key) == value

    await until(there)
    next_owner = Standing()
    next_owner.heard_all(copy.under("freeze."), 0.0)
    assert next_owner.why_still("realm", npc, 1.0) == "it is frozen: one"

    async def gone() -> bool:
        fresh = await Registry(service, bucket=flow.MINDS, under="ban.").start()
        return fresh.get(key) is None

    await until(gone)


async def test_the_service_bans_nobody(service: Connection, operator: Connection) -> None:
    npc = secrets.token_hex(4)
    await service.publish(f"$KV.{flow.MINDS}.{key_of('ban', 'realm', npc)}", b"{}")
    await service.flush()
    copy = await Registry(operator, bucket=flow.MINDS).start()
    assert copy.get(key_of("ban", "realm", npc)) is None


# ---- asking -----------------------------------------------------------------------------------------------------------


async def test_the_broker_and_we_agree_on_partitions(operator: Connection) -> None:
    names = [(secrets.token_urlsafe(secrets.randbelow(20) + 1), secrets.token_urlsafe(9)) for _ in range(200)]
    js = operator.jetstream()
    for game, npc in names:
        await js.publish(ids.observation_subject(game, npc, "x"), b"{}")
    info = await js.stream_info("OBSERVATION", subjects_filter=">")
    said = {tuple(subject.split(".")[2:4]): int(subject.split(".")[1]) for subject in info.state.subjects or {}}
    assert {name: said[name] for name in names} == {name: partition_of(*name, PARTITIONS) for name in names}
    await js.purge_stream("OBSERVATION")


async def test_the_owner_of_the_partition_answers_and_nobody_else(rig: Rig, service: Connection) -> None:
    file, _ = parse_policy("rules: {often: {says: No., actions: [dig], rate: {most: 1, within_s: 1000}}}")
    policy, histories = Policy(file), Histories(64)
    seen = an_observation(legal_actions=(WAIT, msgspec.structs.replace(WAIT, name="dig")))
    mine = partition_of(seen.game, seen.npc, PARTITIONS)
    checking = Checking(
        service, policy, PARTITIONS, lambda number, *name: histories.of(*name) if number == mine else None
    )
    await checking.start()
    other = next(npc for npc in map(str, range(99)) if partition_of("realm", npc, PARTITIONS) != mine)
    async with asking.connect(rig.settings("prompts")) as asker:
        assert (await asker.check(seen, "dig")).passes
        assert (await asker.check(seen, "fly")).rule == "illegal"
        histories.of(seen.game, seen.npc).did(seen, Answer(action="dig"), asyncio.get_running_loop().time())
        said = await asker.check(seen, "dig")
        assert (said.passes, said.rule) == (False, "often")
        with pytest.raises(Unavailable, match="nobody who decides"):
            await asker.check(an_observation(npc=other), "wait", within_s=0.6)


async def test_what_nobody_can_read_is_passed_over(rig: Rig, service: Connection) -> None:
    checking = Checking(service, POLICY, PARTITIONS, lambda *_: Histories(1).of("a", "b"))
    await checking.start()
    heard: list[Msg] = []

    async def on_checked(msg: Msg) -> None:
        heard.append(msg)

    nc = await connect(rig.settings("prompts"), "test", lambda: None)
    await nc.subscribe(ids.checked_subject("*"), cb=on_checked)
    for body in (b"", b"{", b'{"type":"check_policy"}', encode(an_observation()), b"\xff" * 1000):
        await nc.publish(ids.check_subject(), body)
    async with asking.connect(rig.settings("prompts")) as asker:
        assert (await asker.check(an_observation(), "wait")).passes
    await close(nc)
    assert len(heard) == 1
