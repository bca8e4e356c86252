"""A broker, a platform in parts, and somebody who may say and hear everything there: what the decision service is tested with."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

import nats
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.js.errors import NotFoundError

from hearthmind import flow, ids
from hearthmind.bus.dead import SUBJECT
from hearthmind.bus.provision import consumer_config, provision, stream_config
from hearthmind.bus.publish import Publisher
from hearthmind.bus.wire import decode
from hearthmind.client import Client, Decision, connect
from hearthmind.contracts.action import MODEL, RULES, ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.embedded.nats import EmbeddedNats
from hearthmind.flow import stream_named
from hearthmind.testing.observations import BUILD, WAIT
from hearthmind.testing.servers import nats_server
from hearthmind.testing.serving import process, serving
from hearthmind.testing.waiting import until
from services.decision import app as decision
from services.inference_worker import app as inference_worker

PARTITIONS = 4
PATIENT_S = 30.0
"""A deadline that only a platform that stands still can miss."""
EARLY_MS = "1000"
"""Time enough for a fallback to reach the game where many others use the same cores."""
GOOD_NPCS = [f"good{number}" for number in range(12)]


@dataclass
class Rig:
    """A broker, and somebody who may do everything there."""

    server: EmbeddedNats
    nc: Nats
    publisher: Publisher
    folder: Path
    letters: list[Msg] = field(default_factory=list)
    _games: count[int] = field(default_factory=count)

    def new_game(self) -> str:
        return f"game{next(self._games)}"

    def environment(self, **more: str) -> dict[str, str]:
        return {"NATS_URL": self.server.url, "HEARTHMIND_FLOW__PARTITIONS": str(PARTITIONS), **more}

    @asynccontextmanager
    async def deciding(self, triage: str = "combat=rules_scripted,*=rules", **more: str) -> AsyncIterator[None]:
        environment = self.environment(
            HEARTHMIND_DECISION__TRIAGE=triage, HEARTHMIND_DECISION__ANSWER_EARLY_MS=EARLY_MS, **more
        )
        async with serving(decision.serve, self.folder, **environment):
            yield

    @asynccontextmanager
    async def deciding_elsewhere(
        self, triage: str = "combat=rules_scripted,*=rules"
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        environment = self.environment(HEARTHMIND_DECISION__TRIAGE=triage)
        async with process("services.decision", self.folder, **environment) as running:
            yield running

    @asynccontextmanager
    async def inferring(self, tiers: tuple[str, ...] = flow.TIERS) -> AsyncIterator[None]:
        environment = self.environment(HEARTHMIND_INFERENCE_WORKER__TIERS=",".join(tiers))
        async with serving(inference_worker.serve, self.folder, **environment):
            yield

    async def owners(self) -> set[str]:
        """Who owns the partitions; nobody (an empty name) owns a partition that is free."""
        return {await self._owner(partition) for partition in range(PARTITIONS)}

    async def _owner(self, partition: int) -> str:
        try:
            said = await self.nc.jetstream().get_last_msg(f"KV_{flow.LEASES}", f"$KV.{flow.LEASES}.{partition}")
        except NotFoundError:
            return ""
        return (said.data or b"").decode()

    async def until_owned(self, by: int = 1) -> set[str]:
        """Waits until so many processes own all partitions between them."""
        owners: set[str] = set()

        async def owned() -> bool:
            owners.clear()
            owners.update(await self.owners())
            return "" not in owners and len(owners) == by

        await until(owned)
        return owners

    async def say(self, subject: str, data: bytes, **headers: str) -> None:
        """Publishes as a game would that has no library of ours."""
        await self.publisher.publish(subject, data, secrets.token_hex(8), headers)

    async def letter(self, game: str) -> Msg:
        """The one dead letter of a game."""
        found: list[Msg] = []

        def come() -> bool:
            found[:] = [letter for letter in self.letters if f".{game}." in (letter.headers or {})[SUBJECT]]
            return bool(found)

        await until(come)
        (letter,) = found
        return letter

    async def held(self, stream: str, subject: str = ">") -> int:
        """How many messages a stream holds, on subjects like this one."""
        info = await self.nc.jetstream().stream_info(stream, subjects_filter=subject)
        return sum((info.state.subjects or {}).values())

    async def actions(self, game: str) -> list[ActionChosen]:
        """The record: what the ACTION stream keeps of a game."""
        number = await self.held("ACTION", f"mind.action.{game}.*")
        reader = await self.nc.jetstream().pull_subscribe(f"mind.action.{game}.*", stream="ACTION")
        messages = await reader.fetch(number, timeout=5) if number else []
        await reader.unsubscribe()
        return [decode(message.data, ActionChosen) for message in messages]

    async def detail(self, game: str, npc: str) -> DecisionMade:
        """What EXPERIENCE has of the one decision of an NPC."""
        subject = ids.decision_subject(game, npc)
        await self.until_held(1, "EXPERIENCE", subject)
        kept = await self.nc.jetstream().get_last_msg("EXPERIENCE", subject)
        return decode(kept.data or b"", DecisionMade)

    async def until_held(self, number: int, stream: str, subject: str = ">") -> None:
        """Waits until a stream holds so many messages."""

        async def holds() -> bool:
            return await self.held(stream, subject) == number

        await until(holds)

    async def newest(self, stream: str, subject: str) -> list[bytes]:
        """The newest message of a subject, where there is one."""
        try:
            return [(await self.nc.jetstream().get_last_msg(stream, subject)).data or b""]
        except NotFoundError:
            return []

    @asynccontextmanager
    async def limited(self, stream: str, messages_max: int) -> AsyncIterator[None]:
        """The stream takes no more than so many messages while the block lasts."""
        await self.nc.jetstream().purge_stream(stream)
        config = stream_config(replace(stream_named(stream), messages_max=messages_max), PARTITIONS)
        await self.nc.jetstream().update_stream(config)
        yield
        await self.nc.jetstream().purge_stream(stream)
        await provision(self.nc, partitions=PARTITIONS)

    @asynccontextmanager
    async def undisturbed(self, game: str) -> AsyncIterator[Client]:
        """Other NPCs of the game ask before, all through the block and after it, and all of them are answered."""
        async with connect(self.server.url, game=game) as mind:
            await ask_all(mind)
            going_on = asyncio.create_task(ask_on_and_on(mind))
            yield mind
            await end(going_on)
            await ask_all(mind)


async def ask_all(mind: Client) -> list[Decision]:
    """Each good NPC is answered by the platform, half of them by a model."""
    asking = (
        mind.observe(
            npc=npc,
            kind=("combat", "economic")[number % 2],
            legal_actions=(WAIT, BUILD),
            priority=number % 7,
            answer_within_s=PATIENT_S,
        )
        for number, npc in enumerate(GOOD_NPCS)
    )
    decisions = await asyncio.gather(*asking)
    assert {(each.kind, each.source) for each in decisions} == {("combat", MODEL), ("economic", RULES)}
    return decisions


async def end(task: asyncio.Task[None]) -> None:
    """Ends a task that has no end, and raises where it came to one by itself."""
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def ask_on_and_on(mind: Client) -> None:
    while True:
        await ask_all(mind)


@asynccontextmanager
async def rig_in(folder: Path, ack_wait_s: float | None = None) -> AsyncIterator[Rig]:
    async with nats_server(folder / "nats") as server:
        nc = await nats.connect(server.url)
        await provision(nc, partitions=PARTITIONS)
        if ack_wait_s:
            for consumer in flow.consumers_of("decision", PARTITIONS, ()):
                config = consumer_config(replace(consumer, ack_wait_s=ack_wait_s))
                await nc.jetstream().add_consumer(consumer.stream, config)
        publisher = await Publisher(nc).start()
        rig = Rig(server, nc, publisher, folder)

        async def on_letter(letter: Msg) -> None:
            rig.letters.append(letter)

        await nc.subscribe("dead.*", cb=on_letter)
        yield rig
        await publisher.stop()
        await nc.close()
