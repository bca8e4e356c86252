"""The inference worker on a real NATS: each request is answered once to its partition, or nobody waits for it any more."""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import nats
import pytest
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from hearthmind import flow, ids
from hearthmind.bus.clock import BrokerClock, learn
from hearthmind.bus.connect import close, connect
from hearthmind.bus.consume import Consuming
from hearthmind.bus.dead import REASON
from hearthmind.bus.provision import provision
from hearthmind.bus.publish import DEADLINE, TTL, Publisher, StreamFull
from hearthmind.bus.wire import MESSAGE_BYTES_MAX, decode, encode
from hearthmind.contracts.inference import Answer, Infer, Inferred
from hearthmind.embedded.nats import EmbeddedNats
from hearthmind.errors import EXIT_AGAIN, EXIT_CONFIG
from hearthmind.settings import Broker
from hearthmind.testing.observations import an_observation
from hearthmind.testing.servers import nats_server
from hearthmind.testing.serving import process, serving
from hearthmind.testing.waiting import until
from services.inference_worker import app
from services.inference_worker.engine import Engine, Generated
from services.inference_worker.handlers import Handlers
from services.inference_worker.machine import Line

PATIENT_S = 30.0


@dataclass
class Rig:
    """A broker, and a decision service's side of the hop."""

    server: EmbeddedNats
    nc: Nats
    publisher: Publisher
    folder: Path
    replies: list[tuple[int, Inferred]] = field(default_factory=list)
    letters: list[Msg] = field(default_factory=list)

    def environment(self, **more: str) -> dict[str, str]:
        return {"NATS_URL": self.server.url, **more}

    @asynccontextmanager
    async def inferring(self, **settings: str) -> AsyncIterator[None]:
        environment = {f"HEARTHMIND_INFERENCE_WORKER__{name.upper()}": value for name, value in settings.items()}
        async with serving(app.serve, self.folder, **self.environment(**environment)):
            yield

    async def ask(self, tier: str = "social", within_s: float = PATIENT_S, **changes: object) -> str:
        """Asks as the decision service does, and returns the decision's id."""
        infer = an_infer(tier=tier, **changes)
        await self.say(tier, encode(infer), f"{time.time() + within_s:.3f}")
        return infer.decision

    async def say(self, tier: str, body: bytes, deadline: str, **headers: str) -> None:
        headers[DEADLINE] = deadline
        await self.publisher.publish(ids.request_subject(tier, "rules"), body, secrets.token_hex(8), headers)

    async def reply(self, decision: str) -> tuple[int, Inferred]:
        """The partition and the reply of a decision."""
        found: list[tuple[int, Inferred]] = []

        def come() -> bool:
            found[:] = [each for each in self.replies if each[1].decision == decision]
            return bool(found)

        await until(come)
        return found[0]

    async def held(self, tier: str) -> int:
        info = await self.nc.jetstream().stream_info(f"INFERENCE_{tier.upper()}")
        return info.state.messages

    async def until_empty(self, tier: str) -> None:
        """Waits until every request of a tier was settled."""

        async def empty() -> bool:
            return await self.held(tier) == 0

        await until(empty)


def an_infer(**changes: object) -> Infer:
    seen = an_observation()
    fields: dict[str, object] = {
        "game": seen.game,
        "npc": seen.npc,
        "decision": seen.id,
        "attempt": 1,
        "partition": 3,
        "tier": "social",
        "priority": 5,
        "pool": "rules",
        "model": "rules_scripted",
        "observation": seen,
    }
    return Infer(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
async def rig(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    folder = tmp_path_factory.mktemp("rig")
    async with nats_server(folder / "nats") as server:
        nc = await nats.connect(server.url)
        await provision(nc, partitions=1)
        publisher = await Publisher(nc).start()
        rig = Rig(server, nc, publisher, folder)

        async def on_reply(message: Msg) -> None:
            rig.replies.append((int(message.subject.rpartition(".")[2]), decode(message.data, Inferred)))

        async def on_letter(letter: Msg) -> None:
            rig.letters.append(letter)

        await nc.subscribe("inference.reply.*", cb=on_reply)
        await nc.subscribe("dead.*", cb=on_letter)
        yield rig
        await publisher.stop()
        await nc.close()


# ---- the service ------------------------------------------------------------------------------------------------------


async def test_an_answer_goes_to_the_partition_that_asked_with_its_attempt(rig: Rig) -> None:
    async with rig.inferring():
        asked = [
            (await rig.ask(tier, attempt=attempt, partition=partition), partition, attempt)
            for partition, (tier, attempt) in enumerate(itertools.product(flow.TIERS, (1, 4)))
        ]
        for decision, partition, attempt in asked:
            said_to, reply = await rig.reply(decision)
            assert (said_to, reply.attempt, reply.failed, reply.model) == (partition, attempt, "", "rules_scripted")
            assert msgspec.json.decode(reply.text, type=Answer).action == "build"
            assert reply.worker.startswith("inference_worker-")
            assert min(reply.queue_ms, reply.engine_ms) >= 0
        for tier in flow.TIERS:
            await rig.until_empty(tier)
    assert len(rig.replies) == len({(reply.decision, reply.attempt) for _, reply in rig.replies})


async def test_what_is_expired_is_acknowledged_and_not_answered(rig: Rig) -> None:
    late = [await rig.ask(within_s=-5.0) for _ in range(3)]
    good = await rig.ask()
    async with rig.inferring():
        await rig.reply(good)
        await rig.until_empty("social")
    assert not {reply.decision for _, reply in rig.replies} & set(late)


BAD: dict[str, tuple[Callable[[bytes], bytes], str, str]] = {
    "no JSON": (lambda good: b"\x00\xff", "", "The Infer can't be read: JSON is malformed"),
    "half of it": (lambda good: good[:50], "", "The Infer can't be read: Input data was truncated"),
    "no observation": (
        lambda good: good.replace(b'"observation":{', b'"seen":{'),
        "",
        "missing required field `observation`",
    ),
    "another message": (lambda good: encode(an_observation()), "", "its type is 'observation'"),
    "an unknown tier": (
        lambda good: good.replace(b'"social"', b'"vip"'),
        "",
        "it came on .*social.*, but says tier vip",
    ),
    "another tier": (
        lambda good: good.replace(b'"social"', b'"critical"'),
        "",
        "but says tier critical and pool rules",
    ),
    "another pool": (lambda good: good.replace(b'"rules"', b'"gpu"'), "", "but says tier social and pool gpu"),
    "a deadline in words": (lambda good: good, "soon", "Hearthmind-Deadline is 'soon'"),
    "a deadline that is not finite": (lambda good: good, "nan", "Hearthmind-Deadline is 'nan'"),
    "no end": (lambda good: good, "inf", "Hearthmind-Deadline is 'inf'"),
    "oversized": (lambda good: good + b" " * MESSAGE_BYTES_MAX, "", r"over the limit of 393216"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_request_is_a_dead_letter_with_its_reason_and_the_others_are_answered(rig: Rig, name: str) -> None:
    change, deadline, reason = BAD[name]
    infer = an_infer()
    body = change(encode(infer))
    rig.letters.clear()
    async with rig.inferring():
        before = await rig.ask()
        await rig.say("social", body, deadline or f"{time.time() + PATIENT_S}")
        after = await rig.ask()
        await until(lambda: bool(rig.letters))
        for decision in (before, after):
            assert not (await rig.reply(decision))[1].failed
        await rig.until_empty("social")
    (letter,) = rig.letters
    assert letter.data == body
    assert re.search(reason, (letter.headers or {})[REASON]), letter.headers
    assert infer.decision not in {reply.decision for _, reply in rig.replies}


async def test_a_worker_serves_its_own_tiers_only(rig: Rig) -> None:
    low = await rig.ask("routine")
    async with rig.inferring(tiers="critical,strategic"):
        for tier in ("critical", "strategic"):
            await rig.reply(await rig.ask(tier))
        assert await rig.held("routine") == 1
        async with rig.inferring(tiers="routine"):
            await rig.reply(low)


async def test_an_answer_is_asked_for_again_only_under_another_attempt(rig: Rig) -> None:
    """A request that went out twice with one id is answered once."""
    infer = an_infer()
    message_id = secrets.token_hex(8)
    async with rig.inferring():
        for _ in range(2):
            headers = {DEADLINE: f"{time.time() + PATIENT_S:.3f}", TTL: "30"}
            await rig.publisher.publish(ids.request_subject("social", "rules"), encode(infer), message_id, headers)
        await rig.reply(infer.decision)
        await rig.reply(await rig.ask())
        await rig.until_empty("social")
    assert [reply.decision for _, reply in rig.replies].count(infer.decision) == 1


SETTINGS_THAT_CAN_T_WORK = {
    "MODEL": ("gpt-99", "no engine runs the model 'gpt-99'; there is rules_scripted"),
    "TIERS": ("critical,vip", "no tier is called vip; there are critical, strategic, social, routine"),
    "POOL": ("gpus", "no consumer gpus on INFERENCE_CRITICAL. Run `hearthmind provision` first."),
    "SLOTS": ("0", "HEARTHMIND_INFERENCE_WORKER__SLOTS is not usable: .*>= 1"),
    "SLOT": ("3", "HEARTHMIND_INFERENCE_WORKER__SLOT is not usable: nobody knows it; is it .*__SLOTS"),
}


async def test_settings_that_can_t_work_end_the_process_with_a_message(rig: Rig, folder: Path) -> None:
    async def start(name: str) -> tuple[int | None, str]:
        value, _ = SETTINGS_THAT_CAN_T_WORK[name]
        setting = {f"HEARTHMIND_INFERENCE_WORKER__{name}": value, "HEARTHMIND_BROKER__START_WITHIN_S": "0.5"}
        where = folder / name
        async with process("services.inference_worker", where, **rig.environment(**setting)) as started:
            return await started.wait(), (where / "services.inference_worker.log").read_text()

    names = list(SETTINGS_THAT_CAN_T_WORK)
    for name, (status, said) in zip(names, await asyncio.gather(*map(start, names)), strict=True):
        assert status == (EXIT_AGAIN if name == "POOL" else EXIT_CONFIG), said  # a consumer may still be made
        assert re.search(SETTINGS_THAT_CAN_T_WORK[name][1], said), said
        assert "Traceback" not in said


async def test_a_process_that_is_asked_to_end_does(rig: Rig, folder: Path) -> None:
    async with process("services.inference_worker", folder, **rig.environment()) as started:
        await rig.reply(await rig.ask())
        started.send_signal(signal.SIGTERM)
        assert await started.wait() == 0


# ---- engines ----------------------------------------------------------------------------------------------------------


class Gate:
    """An engine that answers when it is let, and fails where the observation's kind says so."""

    model = "gate"

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.began: list[str] = []

    async def answer(self, infer: Infer) -> Generated:
        self.began.append(infer.decision)
        if infer.npc == "broken":
            raise RuntimeError("CUDA error: out of memory\n" + "x" * 5_000)
        if infer.npc == "chatty":
            return Generated("x" * MESSAGE_BYTES_MAX)
        if infer.npc != "quick":
            await self.open.wait()
        return Generated('{"action":"wait"}', tokens_in=7, tokens_out=3)

    async def close(self) -> None:
        """There is nothing to give back."""


@dataclass
class Worker:
    """A worker with an engine of the test's."""

    handlers: Handlers
    consuming: Consuming

    async def end(self) -> None:
        """As at a SIGTERM."""
        await self.consuming.stop()
        await self.handlers.finish(within_s=20)


@asynccontextmanager
async def worker(rig: Rig, engine: Engine, slots: int = 1) -> AsyncIterator[Worker]:
    nc = await connect(Broker(url=rig.server.url), "worker")
    publisher = await Publisher(nc).start()
    consuming = Consuming(nc, publisher)
    clock = BrokerClock()
    await learn(clock, nc, "INFERENCE_SOCIAL", "rules", 5)
    handlers = Handlers(nc, consuming, clock, engine, Line(slots, prefetch=8, ageing_s=5), "me")
    for consumer in flow.consumers_of("inference_worker", 1, ("rules",)):
        await handlers.pull(consumer, consumer.stream.removeprefix("INFERENCE_").lower())
    work = [asyncio.create_task(each) for each in (consuming.run(), handlers.keep_alive())]
    yield Worker(handlers, consuming)
    for task in work:
        task.cancel()
    await asyncio.wait(work)
    await publisher.stop()
    await close(nc)


async def test_an_engine_that_fails_is_a_failed_reply_and_the_next_one_is_answered(rig: Rig) -> None:
    async with worker(rig, Gate()) as running:
        broken = await rig.ask(npc="broken", attempt=2)
        chatty = await rig.ask(npc="chatty")
        good = await rig.ask(npc="quick")
        _, reply = await rig.reply(broken)
        assert (reply.attempt, reply.text, reply.model) == (2, "", "gate")
        assert reply.failed.startswith("RuntimeError: CUDA error: out of memory")
        assert len(reply.failed) <= 300
        assert "over the limit" in (await rig.reply(chatty))[1].failed
        _, reply = await rig.reply(good)
        assert (reply.failed, reply.text, reply.tokens_in, reply.tokens_out) == ("", '{"action":"wait"}', 7, 3)
        await rig.until_empty("social")
        assert not running.handlers._held


async def test_an_engine_that_never_answers_is_left_at_the_deadline_and_its_slot_is_free_again(rig: Rig) -> None:
    async with worker(rig, Gate()) as running:
        stuck = await rig.ask(within_s=1.0)
        assert (await rig.reply(stuck))[1].failed == "the deadline passed"
        assert not (await rig.reply(await rig.ask(npc="quick")))[1].failed
        await rig.until_empty("social")
        assert not running.handlers._held


async def test_what_was_not_started_goes_back_at_the_end_and_what_runs_is_finished(rig: Rig) -> None:
    engine, other = Gate(), Gate()
    async with worker(rig, engine) as running:
        first = await rig.ask()
        await until(lambda: engine.began == [first])
        waiting = [await rig.ask() for _ in range(3)]
        await until(lambda: len(running.handlers._held) == 4)
        ending = asyncio.create_task(running.end())
        async with worker(rig, other, slots=8):
            await until(lambda: sorted(other.began) == sorted(waiting))
            assert first not in {reply.decision for _, reply in rig.replies}
            engine.open.set()
            other.open.set()
            await ending
            for decision in (first, *waiting):
                assert not (await rig.reply(decision))[1].failed
            await rig.until_empty("social")
    assert engine.began == [first]
    decisions = [reply.decision for _, reply in rig.replies]
    assert all(decisions.count(decision) == 1 for decision in (first, *waiting))


async def test_the_highest_tier_goes_first_and_no_more_wait_here_than_may(rig: Rig) -> None:
    engine = Gate()
    async with worker(rig, engine) as running:
        first = await rig.ask("routine")
        await until(lambda: engine.began == [first])
        low = [await rig.ask("routine") for _ in range(20)]
        high = await rig.ask("critical")
        await until(lambda: len(running.handlers._held) == 1 + 8 + 1)
        engine.open.set()
        await until(lambda: len(engine.began) == 22)
        assert engine.began[:2] == [first, high]
        assert sorted(engine.began[2:]) == sorted(low)
        await rig.until_empty("routine")


async def test_a_full_tier_refuses_and_says_so(rig: Rig) -> None:
    config = (await rig.nc.jetstream().stream_info("INFERENCE_ROUTINE")).config
    config.max_msgs = 2
    await rig.nc.jetstream().update_stream(config)
    waiting = [await rig.ask("routine") for _ in range(2)]
    with pytest.raises(StreamFull, match=r"inference\.request\.routine\.rules takes no more"):
        await rig.ask("routine")
    await provision(rig.nc, partitions=1)
    async with rig.inferring():
        for decision in (*waiting, await rig.ask("routine")):
            await rig.reply(decision)
