"""Big batches on a real NATS: each message once and whole, however it comes in pieces, and no more than was asked for."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import nats
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client as Nats
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig
from nats.protocol.parser import Parser

from hearthmind.bus.bulk import Batches, Ear, acknowledge_all, headers_of
from hearthmind.bus.subjects import read_any_subject
from hearthmind.flow import Consumer
from hearthmind.testing.servers import nats_server
from hearthmind.testing.waiting import until

MANY = Consumer("S", "many", "", "reward", 30, 20_000, 10)


@pytest.fixture
async def nc(folder: Path) -> AsyncIterator[Nats]:
    async with nats_server(folder) as server:
        nc = await nats.connect(server.url)
        js = nc.jetstream()
        await js.add_stream(StreamConfig(name="S", subjects=["s.*"]))
        await js.add_consumer("S", ConsumerConfig(durable_name="many", ack_policy=AckPolicy.EXPLICIT))
        yield nc
        await nc.close()


async def pending(nc: Nats) -> tuple[int, int]:
    info = await nc.jetstream().consumer_info("S", "many")
    return info.num_pending or 0, info.num_ack_pending or 0


async def test_all_come_in_order_and_whole_and_are_acknowledged_at_once(nc: Nats) -> None:
    dice, sent = random.Random(1), []
    for number in range(600):
        body = dice.randbytes(
            dice.choice([0, 1, 900, 3_000, 40_000 * (number % 50 == 0), 300_000 * (number % 97 == 0)])
        )
        headers = {"Nats-Msg-Id": f"é{number}", "Said": "a: b"} if number % 3 else None
        await nc.jetstream().publish(f"s.{number}", body, headers=headers)
        sent.append((f"s.{number}", body, headers or {}))
    batches = await Batches(nc, MANY).start()
    first = await batches.fetch(500, 2)
    assert len(first) == 500
    assert await pending(nc) == (100, 500)
    second = await batches.fetch(500, 0.2)
    came = first + second
    assert [(one.subject, one.data, one.headers) for one in came] == sent
    assert [one.sequence for one in came] == list(range(1, 601))
    assert {(one.stream, one.consumer, one.attempt.delivered, one.attempt.deliveries_max) for one in came} == {
        ("S", "many", 1, 10)
    }
    assert (came[0].behind, came[-1].behind) == (599, 0)
    await acknowledge_all(nc, came)
    await acknowledge_all(nc, came)

    async def is_done() -> bool:
        return await pending(nc) == (0, 0)

    await until(is_done)
    assert await batches.fetch(500, 0.05) == []


async def test_what_was_not_fetched_goes_back(nc: Nats) -> None:
    for number in range(20):
        await nc.jetstream().publish("s.a", str(number).encode())
    batches = await Batches(nc, MANY).start()
    subject = "$JS.API.CONSUMER.MSG.NEXT.S.many"
    await nc.publish(subject, b'{"batch": 20, "expires": 1000000000}', batches._inbox)
    await until(lambda: len(batches._came) == 20)
    some = await batches.fetch(5, 0.05)
    await batches.stop()
    other = await Batches(nc, MANY).start()
    again = [one for _ in range(3) for one in await other.fetch(15, 1)]
    assert sorted(int(one.data) for one in again) == list(range(5, 20))
    assert {one.attempt.delivered for one in again} == {2}
    assert [int(one.data) for one in some] == list(range(5))


async def test_a_consumer_that_is_not_there_gives_nothing(nc: Nats) -> None:
    nobody = await Batches(nc, Consumer("S", "nobody", "", "reward", 30, 20_000, 10)).start()
    assert await nobody.fetch(10, 0.01) == []


class Rest:
    """Stands where nats-py's client would: it is told what is not ours."""

    def __init__(self) -> None:
        self._ps = Parser()
        self.heard: list[object] = []

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, _: bytes | None) -> None:
        self.heard.append((sid, subject.decode(errors="backslashreplace"), reply.decode(), data))

    async def _process_ping(self) -> None:
        self.heard.append("ping")


FRAMES = st.lists(
    st.one_of(
        st.just(None),
        st.tuples(st.sampled_from([7, 8]), st.binary(max_size=40), st.booleans(), st.booleans()),
    ),
    max_size=12,
)


@given(FRAMES, st.lists(st.integers(0, 900), max_size=20))
async def test_messages_are_read_from_any_pieces(
    frames: list[tuple[int, bytes, bool, bool] | None], cuts: list[int]
) -> None:
    rest = Rest()
    ear = Ear(cast("Nats", rest))
    heard: list[object] = []

    def hear(subject: str, reply: str, headers: dict[str, str], data: bytes) -> None:
        heard.append((7, subject, reply, data))
        assert headers in ({}, {"a": "1"})

    ear.hears[b"7"] = hear
    read_any_subject()
    wire, said = b"", list[object]()
    for frame in frames:
        if frame is None:
            wire += b"PING\r\n"
            said.append("ping")
            continue
        sid, data, has_reply, has_headers = frame
        reply = "r.1 " if has_reply else ""
        head = b"NATS/1.0\r\na: 1\r\n\r\n" if has_headers else b""
        sizes = f"{len(head)} {len(head + data)}" if has_headers else f"{len(data)}"
        wire += b"%bMSG s\xff %d %b\r\n" % (b"H" * has_headers, sid, (reply + sizes).encode()) + head + data + b"\r\n"
        said.append((sid, "s\\xff", reply.strip(), data))
    places = [0, *sorted(cut % (len(wire) + 1) for cut in cuts), len(wire)]
    for start, end in itertools.pairwise(places):
        await ear.parse(wire[start:end])
    assert heard == [one for one in said if isinstance(one, tuple) and one[0] == 7]
    assert rest.heard == [one for one in said if one not in heard]


def test_headers_say_the_status_too() -> None:
    assert headers_of(b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\n\r\n") == {
        "Status": "408",
        "Nats-Pending-Messages": "3",
    }
