"""Ten NPCs of one scene, decided for by two decision services on a real NATS: one of them answers, and each coin is had once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import nats
import pytest

from hearthmind import flow
from hearthmind.bus.provision import provision
from hearthmind.client import Choice, Client, Decision, Heard, LegalAction, connect
from hearthmind.testing.servers import nats_server
from hearthmind.testing.serving import process
from hearthmind.testing.waiting import until

PARTITIONS = 8
PATIENT_S = 30.0
NPCS = [f"guest{number}" for number in range(10)]
SAY, LISTEN = LegalAction(name="say", appeal=1.0), LegalAction(name="listen")


@pytest.fixture(scope="module")
async def game(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Client]:
    """A game, and two processes that share its NPCs."""
    folder: Path = tmp_path_factory.mktemp("scenes")
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(nats_server(folder / "nats"))
        nc = await nats.connect(server.url)
        stack.push_async_callback(nc.close)
        await provision(nc, partitions=PARTITIONS)
        environment = {
            "NATS_URL": server.url,
            "HEARTHMIND_FLOW__PARTITIONS": str(PARTITIONS),
            "HEARTHMIND_DECISION__TRIAGE": "*=rules",
            "HEARTHMIND_DECISION__SCENE_ANSWERS": "realm=1",
        }
        for name in ("one", "two"):
            await stack.enter_async_context(process("services.decision", folder / name, **environment))

        async def shared() -> bool:
            found = await nc.jetstream().stream_info(f"KV_{flow.LEASES}", subjects_filter=">")
            if len(found.state.subjects or {}) < PARTITIONS:
                return False
            get = nc.jetstream().get_last_msg
            owners = [(await get(f"KV_{flow.LEASES}", f"$KV.{flow.LEASES}.{n}")).data for n in range(PARTITIONS)]
            return len(set(owners)) == 2 and b"" not in owners

        await until(shared)
        yield await stack.enter_async_context(connect(server.url, game="realm"))


async def everybody(game: Client, words: str, scene: str, npcs: list[str] = NPCS) -> list[Decision]:
    """All hear the same at the same time."""
    said = [Heard(speaker="Ann", text=words)]
    asked = (
        game.event(
            npc=npc, kind="chat", legal_actions=[SAY, LISTEN], texts=said, scene=scene, answer_within_s=PATIENT_S
        )
        for npc in npcs
    )
    return await asyncio.gather(*asked)


@pytest.mark.parametrize("words", [f"Who is there, once more: {number}?" for number in range(5)])
async def test_of_ten_who_hear_the_same_one_answers(game: Client, words: str) -> None:
    decisions = await everybody(game, words, "inn")
    assert Counter(decision.action for decision in decisions) == {"say": 1, "listen": 9}


async def test_who_is_spoken_to_by_name_answers(game: Client) -> None:
    await everybody(game, "Good evening.", "hall")  # now it is known who is there
    for npc in NPCS[::3]:
        decisions = await everybody(game, f"And what do you say, {npc}?", "hall")
        assert [decision.npc for decision in decisions if decision.action == "say"] == [npc]


async def test_each_coin_is_had_once(game: Client) -> None:
    coins = tuple(f"coin-{number}" for number in range(4))
    grab = LegalAction(name="grab", parameters={"what": Choice(enum=coins)}, contends="what", appeal=1.0)
    asked = (
        game.observe(npc=npc, kind="tactical", legal_actions=[grab, LISTEN], answer_within_s=PATIENT_S) for npc in NPCS
    )
    decisions = await asyncio.gather(*asked)
    had = Counter(decision.arguments.get("what") for decision in decisions)
    assert {had[coin] for coin in coins} == {1}
    assert {decision.source for decision in decisions} <= {"rules", "fallback"}, "the platform itself sees to it"
