"""The bus on a real NATS: stored once, settled once, leased to one; what fails says why."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DiscardPolicy, StreamConfig

from hearthmind import flow
from hearthmind.bus.accounts import authorization, new_passwords
from hearthmind.bus.clock import BrokerClock, learn
from hearthmind.bus.connect import check_credentials, close, connect, denials
from hearthmind.bus.consume import TURN_S, Consuming, Delivery
from hearthmind.bus.leases import Lease, Leases
from hearthmind.bus.provision import provision
from hearthmind.bus.publish import RESEND_AFTER_S, Publisher, StreamFull
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.embedded.processes import Supervisor
from hearthmind.errors import CannotStart, Malformed, Unavailable, WrongCredentials
from hearthmind.settings import Broker
from hearthmind.testing.servers import nats_server
from hearthmind.testing.waiting import until

DEAD = StreamConfig(name="DEAD", subjects=["dead.*"])


@pytest.fixture
async def nc(folder: Path) -> AsyncIterator[Nats]:
    """A connection to an empty broker."""
    async with nats_server(folder) as server:
        nc = await nats.connect(server.url)
        yield nc
        await nc.close()


@pytest.fixture
async def publisher(nc: Nats) -> AsyncIterator[Publisher]:
    publisher = await Publisher(nc).start()
    yield publisher
    await publisher.stop()


async def test_a_message_sent_twice_is_stored_once_and_the_loser_is_told_the_winner(
    nc: Nats, publisher: Publisher
) -> None:
    await nc.jetstream().add_stream(StreamConfig(name="S", subjects=["s.*"]))
    first, second = await asyncio.gather(*(publisher.publish("s.a", body, "realm/p1/d1") for body in (b"one", b"two")))
    assert (first.duplicate, second.duplicate) == (False, True)
    assert first.seq == second.seq
    assert (await nc.jetstream().get_msg("S", first.seq)).data == b"one"


async def test_a_full_stream_refuses_at_once(nc: Nats, publisher: Publisher) -> None:
    config = StreamConfig(name="S", subjects=["s.*"], max_msgs=1, discard=DiscardPolicy.NEW)
    await nc.jetstream().add_stream(config)
    await publisher.publish("s.a", b"one", "1")
    with pytest.raises(StreamFull, match=r"s\.a"):
        await publisher.publish("s.a", b"two", "2")


async def test_what_no_stream_takes_is_given_up_in_time(publisher: Publisher) -> None:
    with pytest.raises(Unavailable, match="nobody"):
        await publisher.publish("nobody.listens", b"", "1", give_up_after_s=0.3)
    assert publisher.under_way == 0


async def test_a_publish_waits_for_its_stream(nc: Nats, publisher: Publisher) -> None:
    waiting = await publisher.send("s.a", b"one", "1", give_up_after_s=30)
    await nc.jetstream().add_stream(StreamConfig(name="S", subjects=["s.*"]))
    assert (await waiting).seq == 1


async def test_what_is_not_acknowledged_is_sent_again_ever_more_rarely(nc: Nats, publisher: Publisher) -> None:
    came_s: list[float] = []

    async def hear(_: Msg) -> None:
        came_s.append(time.monotonic())

    await nc.subscribe("somebody.listens", cb=hear)
    await publisher.send("somebody.listens", b"", "1")
    await until(lambda: len(came_s) == 3)
    first_s, second_s = came_s[1] - came_s[0], came_s[2] - came_s[1]
    assert second_s > 1.5 * RESEND_AFTER_S
    assert first_s > 0.5 * RESEND_AFTER_S


async def test_a_publish_outlives_a_killed_broker(folder: Path) -> None:
    server = EmbeddedNats(folder / "nats", NatsConfig(sync_interval="1m"))
    async with Supervisor([server.command()], folder) as supervisor:
        nc = await connect(Broker(url=server.url), "test")
        publisher = await Publisher(nc).start()
        await nc.jetstream().add_stream(StreamConfig(name="S", subjects=["s.*"]))
        await publisher.publish("s.a", b"before", "before")
        pid = supervisor.pid("nats")
        assert pid
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not nc.is_connected)
        acks = await asyncio.gather(*(publisher.publish("s.a", b"", str(number)) for number in range(100)))
        assert sorted(ack.seq for ack in acks) == list(range(2, 102))
        await publisher.stop()
        await close(nc)


async def test_what_has_time_waits_for_room_and_leaves_half_of_it_to_the_urgent(nc: Nats) -> None:
    await nc.jetstream().add_stream(StreamConfig(name="S", subjects=["s.*"]))
    publisher = await Publisher(nc, pending_max=8).start()
    most = 0

    async def patiently(number: int) -> None:
        nonlocal most
        assert await publisher.room(within_s=30)
        stored = await publisher.send("s.a", b"", f"patient-{number}")
        most = max(most, publisher.under_way)
        await stored

    await asyncio.gather(*map(patiently, range(200)))
    assert most <= 4
    assert (await nc.jetstream().stream_info("S")).state.messages == 200
    await publisher.stop()


async def test_nobody_waits_for_room_for_ever(nc: Nats) -> None:
    publisher = await Publisher(nc, pending_max=2).start()
    await publisher.send("nobody.listens", b"", "1", give_up_after_s=30)
    assert not await publisher.room(within_s=0.01)
    await publisher.send("nobody.listens", b"", "2", give_up_after_s=30)  # the urgent still may
    await publisher.stop(within_s=0)


@pytest.fixture
async def consuming(nc: Nats, publisher: Publisher) -> AsyncIterator[Consuming]:
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="S", subjects=["s.*"]))
    await js.add_stream(DEAD)
    await js.add_consumer("S", ConsumerConfig(durable_name="c", ack_wait=1, max_deliver=-1))
    consuming = Consuming(nc, publisher)
    watching = asyncio.create_task(consuming.run())
    yield consuming
    watching.cancel()
    await consuming.stop()


async def until_all_is_settled(nc: Nats) -> None:
    """Waits until the consumer has nothing left, delivered or not."""
    async with asyncio.timeout(20):
        info = await nc.jetstream().consumer_info("S", "c")
        while info.num_pending or info.num_ack_pending:
            info = await nc.jetstream().consumer_info("S", "c")


async def test_each_message_is_handled_once_and_acknowledged(
    nc: Nats, publisher: Publisher, consuming: Consuming
) -> None:
    seen: list[bytes] = []

    def handle(delivery: Delivery) -> None:
        seen.append(delivery.data)
        consuming.settle(delivery, None)

    await consuming.add("S", "c", handle, 5, room=lambda: 7)
    await asyncio.gather(*(publisher.publish("s.a", str(number).encode(), str(number)) for number in range(100)))
    await until(lambda: len(seen) == 100)
    assert len(set(seen)) == 100
    await until_all_is_settled(nc)


async def test_poison_becomes_a_dead_letter_with_body_and_reason_and_the_others_flow(
    nc: Nats, publisher: Publisher, consuming: Consuming
) -> None:
    good: list[bytes] = []

    def handle(delivery: Delivery) -> None:
        if delivery.data.startswith(b"bad"):
            raise Malformed(message="Observation", why="it begins with bad")
        if delivery.data == b"bug":
            raise KeyError("rank")
        good.append(delivery.data)
        consuming.settle(delivery, None)

    await consuming.add("S", "c", handle, 2)
    for body in (b"1", b"bad\n\x00" + b"x" * 300_000, b"2", b"bug", b"3"):
        await publisher.publish("s.a", body, body[:8].hex(), {"traceparent": "00-ab-cd-01"})
    letters = await nc.jetstream().pull_subscribe("dead.*", "reader", "DEAD")
    found = sorted([(await letters.fetch(1, timeout=20))[0] for _ in range(2)], key=lambda letter: len(letter.data))
    assert [letter.data for letter in found] == [b"bug", b"bad\n\x00" + b"x" * 300_000]
    bug, bad = (letter.headers or {} for letter in found)
    assert bad["Hearthmind-Reason"] == (
        "The Observation can't be read: it begins with bad. Compare it with the message's schema in docs/reference/messages.md."
    )
    assert (bad["Hearthmind-Subject"], bad["traceparent"]) == ("s.a", "00-ab-cd-01")
    assert bug["Hearthmind-Reason"] == "after 2 deliveries: KeyError: 'rank'"
    await until(lambda: good == [b"1", b"2", b"3"])
    await until_all_is_settled(nc)


async def test_what_is_never_settled_runs_out_of_deliveries(
    nc: Nats, publisher: Publisher, consuming: Consuming
) -> None:
    deliveries: list[int] = []
    await consuming.add("S", "c", lambda delivery: deliveries.append(delivery.attempt.delivered), 2)
    await publisher.publish("s.a", b"stuck", "1")
    letters = await nc.jetstream().pull_subscribe("dead.*", "reader", "DEAD")
    (letter,) = await letters.fetch(1, timeout=20)
    assert letter.data == b"stuck"
    assert "delivered 2 times" in (letter.headers or {})["Hearthmind-Reason"]
    assert deliveries == [1, 2]
    await until_all_is_settled(nc)


async def test_what_is_handed_back_unhandled_is_never_given_up(
    nc: Nats, publisher: Publisher, consuming: Consuming
) -> None:
    deliveries: list[int] = []

    def handle(delivery: Delivery) -> None:
        deliveries.append(delivery.attempt.delivered)
        if len(deliveries) < 6:
            handing.append(asyncio.ensure_future(consuming.hand_back(delivery)))
        else:
            consuming.settle(delivery, None)

    handing: list[asyncio.Future[None]] = []
    await consuming.add("S", "c", handle, 2)
    await publisher.publish("s.a", b"passed on", "1")
    await until(lambda: len(deliveries) == 6)
    await until_all_is_settled(nc)
    assert deliveries == [1, 2, 3, 4, 5, 6]
    assert (await nc.jetstream().stream_info("DEAD")).state.messages == 0


async def test_in_a_burst_everybody_else_gets_a_turn(nc: Nats, publisher: Publisher, consuming: Consuming) -> None:
    turns, seen = 0, list[int]()

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def handle(delivery: Delivery) -> None:
        seen.append(turns)
        until_s = time.monotonic() + TURN_S
        while time.monotonic() < until_s:
            pass  # it takes a turn's time
        consuming.settle(delivery, None)

    await asyncio.gather(*(publisher.publish("s.a", b"", str(number)) for number in range(200)))
    taking = asyncio.create_task(take_turns())
    await consuming.add("S", "c", handle, 5)
    await until(lambda: len(seen) == 200)
    taking.cancel()
    assert len(set(seen)) == 200


async def test_consuming_goes_on_after_the_consumer_was_made_again(
    nc: Nats, publisher: Publisher, consuming: Consuming
) -> None:
    seen: list[bytes] = []
    await consuming.add("S", "c", lambda delivery: seen.append(delivery.data), 5)
    await nc.jetstream().delete_consumer("S", "c")
    await nc.jetstream().add_consumer("S", ConsumerConfig(durable_name="c", max_deliver=-1))
    await publisher.publish("s.a", b"hello", "1")
    await until(lambda: b"hello" in seen)


async def test_what_comes_after_a_consumer_was_left_is_not_delivered_to_who_left(
    nc: Nats, publisher: Publisher, consuming: Consuming
) -> None:
    gone, seen = Consuming(nc, publisher), list[int]()
    await gone.add("S", "c", lambda delivery: gone.settle(delivery, None), 5)
    await gone.stop()

    def handle(delivery: Delivery) -> None:
        seen.append(delivery.attempt.delivered)
        consuming.settle(delivery, None)

    await asyncio.gather(*(publisher.publish("s.a", b"", str(number)) for number in range(50)))
    await consuming.add("S", "c", handle, 5)
    await until(lambda: len(seen) == 50)
    assert set(seen) == {1}
    await until_all_is_settled(nc)


# ---- leases ------------------------------------------------------------------------------------------------------------


class Owner:
    """A process that takes leases, and keeps a record of them."""

    def __init__(self, nc: Nats, publisher: Publisher, name: str, partitions: int) -> None:
        self.epochs: dict[int, int] = {}
        self.lost: list[int] = []
        self.slow: dict[int, asyncio.Event] = {}
        self.is_well = True
        self.leases = Leases(nc, publisher, name, partitions, self._taken, self._lost, self._is_well)
        self.task = asyncio.create_task(self.leases.run())

    async def _taken(self, lease: Lease) -> None:
        self.epochs[lease.partition] = lease.epoch
        if lease.partition in self.slow:
            await self.slow[lease.partition].wait()

    async def _is_well(self) -> bool:
        return self.is_well

    async def _lost(self, partition: int) -> None:
        assert partition not in self.leases.held
        self.lost.append(partition)

    @property
    def held(self) -> set[int]:
        return set(self.leases.held)

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


async def test_partitions_have_one_owner_and_go_over_with_a_higher_epoch(nc: Nats, publisher: Publisher) -> None:
    await provision(nc, partitions=8)
    everything = set(range(8))
    one = Owner(nc, publisher, "one", 8)
    await until(lambda: one.held == everything)
    two = Owner(nc, publisher, "two", 8)
    await until(lambda: len(one.held) == len(two.held) == 4 and one.held | two.held == everything)
    before = dict(one.epochs)

    await one.end()  # as by a kill: nothing is given back
    await until(lambda: two.held == everything)
    assert all(two.epochs[partition] > before[partition] for partition in everything - set())

    three = Owner(nc, publisher, "three", 8)
    await two.end()
    await two.leases.stop()
    assert two.held == set()
    await until(lambda: three.held == everything)
    assert all(three.epochs[partition] > two.epochs[partition] for partition in everything)
    await three.end()


async def test_leases_are_taken_again_after_the_broker_lost_them(nc: Nats, publisher: Publisher) -> None:
    await provision(nc, partitions=2)
    one = Owner(nc, publisher, "one", 2)
    await until(lambda: one.held == {0, 1})
    before = dict(one.epochs)
    await nc.jetstream().delete_stream(f"KV_{flow.LEASES}")
    await provision(nc, partitions=2)
    await until(lambda: all(one.epochs[partition] > before[partition] for partition in (0, 1)))
    await one.end()


async def test_a_partition_that_is_slow_to_take_keeps_no_other_waiting(nc: Nats, publisher: Publisher) -> None:
    await provision(nc, partitions=2)
    one = Owner(nc, publisher, "one", 2)
    one.slow[0] = asyncio.Event()
    await until(lambda: one.held == {0, 1})
    until_s = one.leases.held[1].until_s
    await until(lambda: one.leases.held[1].until_s > until_s + 3 * flow.RENEW_EVERY_S)
    assert one.lost == []
    one.slow[0].set()
    until_s = time.monotonic() + flow.LEASE_TTL_S
    await until(lambda: 0 in one.held and one.leases.held[0].until_s > until_s)
    await one.end()


async def test_who_is_not_well_gives_its_partitions_back_and_comes_again(nc: Nats, publisher: Publisher) -> None:
    await provision(nc, partitions=4)
    one, two = Owner(nc, publisher, "one", 4), Owner(nc, publisher, "two", 4)
    await until(lambda: len(one.held) == len(two.held) == 2)
    one.is_well = False
    await until(lambda: two.held == set(range(4)))
    assert one.held == set()
    one.is_well = True
    await until(lambda: len(one.held) == len(two.held) == 2)
    await one.end()
    await two.end()


async def test_a_lease_of_ones_own_that_ran_out_here_alone_is_taken_again_at_once(
    nc: Nats, publisher: Publisher
) -> None:
    await provision(nc, partitions=1)
    js = nc.jetstream()
    config = (await js.stream_info(f"KV_{flow.LEASES}")).config
    config.max_age = 0
    await js.update_stream(config)  # the broker forgets no lease
    one = Owner(nc, publisher, "one", 1)
    await until(lambda: one.held == {0})
    before = one.epochs[0]
    one.leases.held[0].until_s = 0.0
    await until(lambda: one.epochs[0] > before)
    assert (one.held, one.lost) == ({0}, [0])
    await one.end()


# ---- connecting --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
async def guarded(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[EmbeddedNats, dict[str, str]]]:
    """A broker with the users of two games and of every service."""
    games = ("realm", "chess")
    passwords = new_passwords(games)
    config = NatsConfig(sync_interval="1m", authorization=authorization(games, passwords))
    async with nats_server(tmp_path_factory.mktemp("guarded"), config) as server:
        admin = await nats.connect(server.url, user="provision", password=passwords["provision"])
        await provision(admin, partitions=2)
        await admin.close()
        yield server, passwords


async def test_wrong_credentials_do_not_start(guarded: tuple[EmbeddedNats, dict[str, str]]) -> None:
    server, _ = guarded
    with pytest.raises(WrongCredentials, match="'decision'") as raised:
        await connect(Broker(url=server.url, user="decision", password="hush"), "test")
    assert "hush" not in str(raised.value)


async def test_a_broker_that_is_not_there_is_named() -> None:
    with pytest.raises(CannotStart, match=r"127\.0\.0\.1:1 .*Is it running"):
        await check_credentials(Broker(url="nats://user:hush@127.0.0.1:1", start_within_s=0.1))


@pytest.mark.parametrize("url", ["nats://game_castle:…", "nats://127.0.0.1:port", "nats://[::1"])
async def test_an_address_that_cant_be_read_is_an_error_without_its_secrets(url: str) -> None:
    with pytest.raises(CannotStart, match="address can't be read") as raised:
        await connect(Broker(url=url), "test")
    assert url not in str(raised.value)


async def test_a_service_can_do_its_work_with_its_own_rights(guarded: tuple[EmbeddedNats, dict[str, str]]) -> None:
    server, passwords = guarded
    before = denials.total()
    nc = await connect(Broker(url=server.url, user="decision", password=passwords["decision"]), "test")
    publisher = await Publisher(nc).start()
    consuming = Consuming(nc, publisher)
    clock, seen = BrokerClock(), list[bytes]()
    await learn(clock, nc, "OBSERVATION", "decision_0", 5)
    assert clock.is_known
    for partition in (0, 1):
        await consuming.add("OBSERVATION", f"decision_{partition}", lambda delivery: seen.append(delivery.data), 5)
    owner = Owner(nc, publisher, "me", 2)
    await until(lambda: owner.held == {0, 1})
    await publisher.publish("mind.action.realm.p1", b"{}", "realm/p1/d1")
    game = await nats.connect(
        server.url, user="game_realm", password=passwords["game_realm"], inbox_prefix="_INBOX_game_realm"
    )
    await (await Publisher(game).start()).publish("game.realm.observation.p1.economic", b"{}", "realm/p1/d2")
    await until(lambda: seen == [b"{}"])
    await owner.end()
    await owner.leases.stop()
    await consuming.stop()
    await publisher.stop()
    await close(nc)
    await game.close()
    assert denials.total() == before


FORBIDDEN_TO_A_GAME = [
    "game.chess.observation.p1.economic",
    "game.chess.outcome.p1",
    "game.realm.action.p1",
    "game.realm.stored",
    "mind.action.realm.p1",
    "inference.request.critical.rules",
    "$JS.API.STREAM.DELETE.ACTION",
    "$JS.API.STREAM.PURGE.EXPERIENCE",
    "$JS.API.CONSUMER.CREATE.OBSERVATION",
    "$JS.API.STREAM.MSG.GET.EXPERIENCE",
    "$KV.LEASES.0",
    "_INBOX_game_chess.x",
]


@pytest.mark.parametrize("subject", FORBIDDEN_TO_A_GAME)
async def test_a_game_is_denied_what_is_not_its_own(guarded: tuple[EmbeddedNats, dict[str, str]], subject: str) -> None:
    server, passwords = guarded
    broker = Broker(url=server.url, user="game_realm", password=passwords["game_realm"])
    nc = await connect(broker, "test")
    before = denials.total()
    await nc.publish(subject, b"")
    await until(lambda: denials.total() > before)
    assert any(subject.lower() in denial.lower() for denial in denials)
    await close(nc)


async def test_a_game_does_not_hear_another_one(guarded: tuple[EmbeddedNats, dict[str, str]]) -> None:
    server, passwords = guarded
    nc = await connect(Broker(url=server.url, user="game_realm", password=passwords["game_realm"]), "test")
    for subject in ("game.chess.action.*", "game.*.action.*", "mind.>", ">", "_INBOX_game_chess.>"):
        before = denials.total()
        await nc.subscribe(subject)
        await until(lambda before=before: denials.total() > before)  # type: ignore[misc]
    await close(nc)
