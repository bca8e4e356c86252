"""What-if, on a real NATS and a real Postgres: a kept decision is asked again, otherwise, and shown beside what it was."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from hearthmind import flow, ids
from hearthmind.bus.consume import Consuming, Delivery
from hearthmind.bus.publish import Publisher
from hearthmind.bus.settle import Attempt
from hearthmind.bus.wire import decode, encode
from hearthmind.contracts.action import ActionChosen
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.inference import Infer, Inferred, Turn
from hearthmind.contracts.observation import Choice, Heard, LegalAction, Observation
from hearthmind.embedded.nats import EmbeddedNats
from hearthmind.embedded.postgres import EmbeddedPostgres
from hearthmind.errors import CannotStart
from hearthmind.personas import UnknownPersona
from hearthmind.store.engine import create_engine, transaction
from hearthmind.store.migrate import upgrade
from hearthmind.testing.servers import provisioned
from services.command.asking_again import NoMind, Otherwise
from services.command.platform import CONNECTION, Connection
from services.command.replay import NoSuchDecision, replay_at, replay_many_at
from services.reward.reading import Incoming, read
from services.reward.transaction import store

ACTIONS = (
    LegalAction(name="wait"),
    LegalAction(name="build", parameters={"what": Choice(enum=("mill", "farm"))}, appeal=0.5, description="Add it."),
)


@dataclass
class Came:
    """A message as the bus delivers it."""

    subject: str
    data: bytes
    headers: dict[str, str] = field(default_factory=dict)
    stream: str = "EXPERIENCE"
    sequence: int = 1
    stored_s: float = field(default_factory=time.time)
    attempt: Attempt = field(default_factory=lambda: Attempt(1, 10))


@dataclass
class Rig:
    """A platform's folder, a game of its own, and a worker that says what it is told to."""

    folder: Path
    game: str
    database: str
    says: str = '{"action":"build","arguments":{"what":"farm"},"reasoning":"bread"}'
    asked: list[Infer] = field(default_factory=list)

    async def keep(self, **changes: Any) -> str:
        """Keeps a decision as the reward service does: its action, and what it was made from."""
        decision = ids.new_decision_id()
        about = {"decision": decision, "game": self.game, "npc": "p1", "kind": changes.pop("kind", "economic")}
        seen = Observation(
            id=decision,
            game=self.game,
            npc="p1",
            kind=about["kind"],
            legal_actions=ACTIONS,
            answer_within_ms=1000,
            snapshot=3,
            game_time=7.5,
            priority=4,
            state=msgspec.Raw(b'{"wood":12,"stone":3}'),
            texts=(Heard(speaker="Ann", text="Build me a farm!"),),
        )
        said = {"answer": '{"action":"wait"}', "tokens_in": 90, "tokens_out": 9, "prompt": changes.pop("prompt", ())}
        if changes.get("source"):
            said = {}
        done = {"action": "wait", "source": "model", "model": "onnx_nano", "reasoning": "patience", **changes}
        action = ActionChosen(**about, snapshot=3, stages_ms={"engine": 12.5}, **done)
        detail = DecisionMade(
            **about, attempt=1, epoch=1, partition=0, tier="routine", source=action.source, observation=seen, **said
        )
        subjects = (ids.chosen_subject(self.game, "p1"), ids.decision_subject(self.game, "p1"))
        batch = [read(Came(*told)) for told in zip(subjects, (encode(action), encode(detail)), strict=True)]
        engine = create_engine(self.database, connections_max=1)
        async with transaction(engine) as connection:
            await store(connection, [each for each in batch if isinstance(each, Incoming)])
        await engine.dispose()
        return decision

    async def replay(self, decision: str, **otherwise: str) -> str:
        """What the command prints."""
        said = StringIO()
        await replay_at(self.folder, decision, Otherwise(**otherwise), Console(file=said, width=160))
        return said.getvalue()


@pytest.fixture
async def rig(broker: EmbeddedNats, database: EmbeddedPostgres, folder: Path) -> AsyncIterator[Rig]:
    upgrade(database.dsn)
    connection = Connection(broker.url, database.dsn, {flow.PROMPTS: ""})
    (folder / CONNECTION).write_bytes(msgspec.json.encode(connection))
    rig = Rig(folder, f"g{secrets.token_hex(4)}", database.dsn)
    async with answering(broker, rig):
        yield rig


@asynccontextmanager
async def answering(broker: EmbeddedNats, rig: Rig) -> AsyncIterator[None]:
    """A worker of the pool nano, by hand."""
    async with provisioned(broker.url, pools=("rules", "nano")) as nc:
        publisher = await Publisher(nc).start()
        consuming = Consuming(nc, publisher)

        async def answer(delivery: Delivery) -> None:
            infer = decode(delivery.data, Infer)
            rig.asked.append(infer)
            assert infer.asker
            said = Inferred(
                game=infer.game,
                npc=infer.npc,
                decision=infer.decision,
                attempt=infer.attempt,
                text=rig.says,
                model=infer.model,
                adapter=infer.adapter,
                tokens_in=100,
                tokens_out=20,
                engine_ms=33.0,
            )
            await nc.publish(ids.answer_subject(infer.asker), encode(said))
            await delivery.acknowledge()

        tasks: set[asyncio.Task[None]] = set()

        def on_delivery(delivery: Delivery) -> None:
            tasks.add(asyncio.get_running_loop().create_task(answer(delivery)))

        for consumer in flow.consumers_of("inference_worker", 1, ("nano",)):
            await consuming.add(consumer.stream, consumer.name, on_delivery, consumer.deliveries_max)
        running = asyncio.create_task(consuming.run())
        yield
        running.cancel()
        await asyncio.gather(*tasks)
        await publisher.stop()


async def test_then_and_now_stand_side_by_side(rig: Rig) -> None:
    told = await rig.replay(await rig.keep())
    for words in ("model: onnx_nano", "build(what=farm)", "patience", "bread", "90 in, 9 out", "100 in, 20 out"):
        assert words in told
    assert "made anew, without memories" in told
    (infer,) = rig.asked
    assert (infer.game, infer.pool, infer.model, infer.varied) == (rig.game, "nano", "onnx_nano", True)
    prompt = "".join(turn.text for turn in infer.prompt)
    assert "Build me a farm!" in prompt, "what the player said stood in the prompt"
    assert "wood: 12" in prompt
    assert "farm" in infer.answer_schema


async def test_the_prompt_that_was_read_is_shown_as_it_was(rig: Rig) -> None:
    prompt = (Turn("system", "You are a miller."), Turn("user", "What now, by the old mill?"))
    told = await rig.replay(await rig.keep(prompt=prompt))
    assert "by the old mill?" in told
    assert "made anew" not in told


async def test_what_is_asked_otherwise_is_said(rig: Rig) -> None:
    decision = await rig.keep()
    told = await rig.replay(decision, template="generic", adapter="raider@3")
    assert "generic@" in told
    assert rig.asked[0].adapter == "raider@3"
    by_rules = await rig.replay(decision, model="rules_scripted")
    assert "model: rules_scripted" in by_rules
    assert "build(what=mill)" in by_rules
    assert len(rig.asked) == 1, "the scripted mind needs no worker"


async def test_an_answer_that_is_of_no_use_is_shown_with_the_reason(rig: Rig) -> None:
    rig.says = "I would rather dance."
    told = await rig.replay(await rig.keep())
    assert "I would rather dance." in told
    assert "can't be read" in told


async def test_many_are_counted(rig: Rig) -> None:
    for action, arguments in (("wait", {}), ("build", {"what": "mill"}), ("build", {"what": "farm"})):
        await rig.keep(action=action, arguments=arguments)
    await rig.keep(kind="combat")
    said = StringIO()
    await replay_many_at(rig.folder, rig.game, "economic", 50, Otherwise(), Console(file=said, width=160))
    told = " ".join(said.getvalue().split())
    for words in (
        "3 decisions",
        "the same action 2 67%",
        "same arguments 1 33%",
        "another action 1 33%",
        "wait build 1",
    ):
        assert words in told


async def test_what_makes_no_sense_is_named(rig: Rig) -> None:
    with pytest.raises(NoSuchDecision, match="No decision 'd0' is kept"):
        await rig.replay("d0")
    by_rules = await rig.keep(source="rules", model="")
    with pytest.raises(NoMind, match="--model"):
        await rig.replay(by_rules)
    with pytest.raises(CannotStart, match="onnx_nano"):
        await rig.replay(by_rules, model="onnx_nana")
    with pytest.raises(CannotStart, match="there is no template 'poem'"):
        await rig.replay(by_rules, template="poem")
    with pytest.raises(UnknownPersona):
        await rig.replay(await rig.keep(), persona="nobody-like-that")
