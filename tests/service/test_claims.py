"""Claims on a real NATS: of many who want the same at once, in several processes' shoes, exactly one has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client as Nats

from hearthmind import flow
from hearthmind.bus.claims import Claims
from hearthmind.bus.provision import provision
from hearthmind.claims import Claim
from hearthmind.embedded.nats import EmbeddedNats
from hearthmind.testing.servers import nats_server

OWNERS = 4
"""Decision services, each with NPCs of the scene."""
PATIENT_S = 10.0


def a_claim(npc: str = "p1", what: str = "coin", stored_s: float = 0.0) -> Claim:
    return Claim("realm", "inn", what, npc, stored_s)


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[EmbeddedNats]:
    async with nats_server(folder) as server:
        nc = await nats.connect(server.url)
        await provision(nc, partitions=2)
        await nc.close()
        yield server


@pytest.fixture
async def owners(server: EmbeddedNats) -> AsyncIterator[list[Claims]]:
    """Claims of several processes, over a connection each."""
    async with AsyncExitStack() as stack:
        connections: list[Nats] = []
        for _ in range(OWNERS):
            nc = await nats.connect(server.url)
            stack.push_async_callback(nc.close)
            connections.append(nc)
        yield [Claims(nc, PATIENT_S) for nc in connections]


async def test_of_many_at_once_exactly_one_has_each_thing(owners: list[Claims]) -> None:
    things = [f"coin-{number}" for number in range(25)]
    wanted = [(owners[npc % OWNERS], a_claim(f"p{npc}", what)) for what in things for npc in range(10)]
    had = await asyncio.gather(*(owner.first(claim) for owner, claim in wanted))
    holders = [claim.what for (_, claim), has_it in zip(wanted, had, strict=True) if has_it]
    assert sorted(holders) == sorted(things)


async def test_who_asks_again_hears_the_same_also_after_a_takeover(owners: list[Claims]) -> None:
    one, two, three, _ = owners
    assert await one.first(a_claim("p1"))
    assert await one.first(a_claim("p1"))
    assert await two.first(a_claim("p1"), attempt=2), "the new owner of its partition asks for it once more"
    assert not await three.first(a_claim("p2"), attempt=2)
    assert not await three.first(a_claim("p3")), "known by now, without asking"
    assert await three.first(a_claim("p2", "another"))


async def test_when_the_bucket_is_silent_the_rule_decides(server: EmbeddedNats) -> None:
    nc = await nats.connect(server.url)
    await nc.jetstream().delete_stream(f"KV_{flow.CLAIMS}")
    silence = await nc.subscribe(f"$KV.{flow.CLAIMS}.>")  # somebody listens, and nobody answers
    claims = Claims(nc, within_s=0.2)
    later, earlier, tied = a_claim("p1", stored_s=2.0), a_claim("p3", stored_s=1.0), a_claim("p2", stored_s=1.0)
    assert await asyncio.gather(*map(claims.first, (later, earlier, tied))) == [False, False, True]
    assert not await claims.first(a_claim("p0", stored_s=0.0)), "what is settled stays so"
    await silence.unsubscribe()
    await nc.close()


async def test_a_bucket_that_keeps_silent_is_left_alone(server: EmbeddedNats) -> None:
    nc = await nats.connect(server.url)
    await nc.jetstream().delete_stream(f"KV_{flow.CLAIMS}")
    asked = await nc.subscribe(f"$KV.{flow.CLAIMS}.>")
    claims = Claims(nc, within_s=0.02)
    for number in range(10):
        assert await claims.first(a_claim(what=f"coin-{number}"))
    assert asked.pending_msgs <= 3
    await nc.close()


async def test_without_a_broker_the_rule_decides_at_once(server: EmbeddedNats) -> None:
    nc = await nats.connect(server.url)
    await nc.close()
    claims = Claims(nc, PATIENT_S)
    assert await claims.first(a_claim("p1"))
    assert not await claims.first(a_claim("p2"))
