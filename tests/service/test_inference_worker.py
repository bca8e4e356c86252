"""The inference worker on a real NATS: each request is answered once to its partition, or nobody waits for it any more."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import nats
import pytest
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from hearthmind import flow, ids
from hearthmind.bus.bucket import SILENT_MAX, Bucket
from hearthmind.bus.clock import BrokerClock, learn
from hearthmind.bus.connect import close, connect
from hearthmind.bus.consume import Consuming
from hearthmind.bus.dead import REASON
from hearthmind.bus.provision import provision
from hearthmind.bus.publish import DEADLINE, TTL, Publisher, StreamFull
from hearthmind.bus.wire import MESSAGE_BYTES_MAX, decode, encode
from hearthmind.contracts.inference import (
    ENGINE,
    LATE,
    REFUSED,
    SYSTEM,
    UNKNOWN,
    USER,
    Answer,
    Infer,
    Inferred,
    Sampling,
    Turn,
    Withdraw,
)
from hearthmind.embedded.nats import EmbeddedNats
from hearthmind.errors import EXIT_AGAIN, EXIT_CONFIG
from hearthmind.process import READY_FILE
from hearthmind.settings import Broker
from hearthmind.testing.observations import an_observation
from hearthmind.testing.servers import nats_server
from hearthmind.testing.serving import process, serving
from hearthmind.testing.waiting import until
from services.inference_worker import app
from services.inference_worker.adapters import Adapters
from services.inference_worker.cache import Answers
from services.inference_worker.engines import Adapter, CannotServe, Engine, Generated
from services.inference_worker.handlers import Handlers
from services.inference_worker.holders import Holders
from services.inference_worker.machine import Line
from services.inference_worker.settings import InferenceWorker
from services.inference_worker.watchdog import Watchdog

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
    "an attempt in words": (lambda good: good.replace(b'"attempt":1', b'"attempt":"one"'), "", "Expected `int`"),
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
    "MODEL": ("gpt-99", "No model is called 'gpt-99'"),
    "TIERS": ("critical,vip", "no tier is called vip; there are critical, strategic, social, routine"),
    "POOL": ("gpus", "no consumer gpus on INFERENCE_CRITICAL. Run `hearthmind provision` first."),
    "SLOTS": ("-1", "HEARTHMIND_INFERENCE_WORKER__SLOTS is not usable: .*>= 0"),
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

    model = "rules_scripted"
    slots_max = 8
    adapters_max = 0
    progress = 0
    ailment = ""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.began: list[str] = []
        self.left: list[str] = []

    async def start(self) -> None:
        """There is nothing to load."""

    async def load(self, adapter: Adapter) -> None:
        """It takes none."""

    async def unload(self, version: str) -> None:
        """It holds none."""

    async def answer(self, infer: Infer, adapter: Adapter | None = None) -> Generated:
        try:
            return await self._answer(infer)
        except asyncio.CancelledError:
            self.left.append(infer.decision)
            raise

    async def _answer(self, infer: Infer) -> Generated:
        if infer.npc == "odd":
            raise CannotServe(why="its schema is not one of ours")
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

    async def end(self, within_s: float = 20) -> None:
        """As at a SIGTERM."""
        await self.consuming.stop()
        await self.handlers.finish(within_s)


async def _no_weights(sha256: str) -> bytes:
    raise AssertionError(sha256)


@asynccontextmanager
async def worker(rig: Rig, engine: Engine, slots: int = 1) -> AsyncIterator[Worker]:
    nc = await connect(Broker(url=rig.server.url), "worker")
    publisher = await Publisher(nc).start()
    consuming = Consuming(nc, publisher)
    clock = BrokerClock()
    await learn(clock, nc, "INFERENCE_SOCIAL", "rules", 5)
    line = Line(slots, prefetch=8, ageing_s=5)
    answers = Answers(Bucket(nc, flow.ANSWERS, within_s=PATIENT_S), 100)
    adapters = Adapters(engine, None, rig.folder, lambda _: None, _no_weights)
    handlers = Handlers(nc, consuming, clock, engine, line, answers, adapters, Holders(nc, "rules", flow.TIERS), "me")
    await handlers.hear_withdrawals("rules")
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
        assert (reply.attempt, reply.text, reply.failure, reply.model) == (2, "", ENGINE, "rules_scripted")
        assert reply.failed.startswith("RuntimeError: CUDA error: out of memory")
        assert len(reply.failed) <= 300
        assert "over the limit" in (await rig.reply(chatty))[1].failed
        _, reply = await rig.reply(good)
        assert (reply.failed, reply.text, reply.tokens_in, reply.tokens_out) == ("", '{"action":"wait"}', 7, 3)
        await rig.until_empty("social")
        assert not running.handlers._held


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "another model": ({"model": "gpt_99"}, UNKNOWN, "hold the model rules_scripted, and not gpt_99"),
    "an adapter": ({"adapter": "greta@3"}, UNKNOWN, "This worker has no adapter greta@3"),
    "an adapter's name": ({"adapter": "greta"}, UNKNOWN, "no version of it is in force"),
    "not to be served": ({"npc": "odd"}, REFUSED, "its schema is not one of ours"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_can_t_be_answered_here_is_said_at_once_and_in_a_word(rig: Rig, name: str) -> None:
    changes, failure, failed = WRONG[name]
    async with worker(rig, Gate()) as running:
        _, reply = await rig.reply(await rig.ask(**changes))
        assert (reply.text, reply.failure) == ("", failure)
        assert failed in reply.failed
        await rig.until_empty("social")
        assert not running.handlers._held


async def test_what_nobody_waits_for_leaves_the_engine_and_is_not_answered(rig: Rig) -> None:
    engine = Gate()
    async with worker(rig, engine) as running:
        replaced = await rig.ask()
        await until(lambda: engine.began == [replaced])
        withdraw = Withdraw(game="realm", npc=an_infer().npc, decision=replaced, attempt=1)
        await rig.nc.publish(ids.withdraw_subject("rules"), b"no withdrawal")
        await rig.nc.publish(ids.withdraw_subject("rules"), encode(withdraw))
        await until(lambda: engine.left == [replaced])
        await rig.reply(await rig.ask(npc="quick"))
        await rig.until_empty("social")
        assert not running.handlers._held
    assert replaced not in {reply.decision for _, reply in rig.replies}


async def test_who_asked_for_an_answer_and_no_decision_hears_it(rig: Rig) -> None:
    heard: list[Inferred] = []

    async def on_answer(msg: Msg) -> None:
        heard.append(decode(msg.data, Inferred))

    answers = await rig.nc.subscribe(ids.answer_subject("somebody"), cb=on_answer)
    async with worker(rig, Gate()):
        asked = await rig.ask(npc="quick", asker="somebody")
        await until(lambda: [each.decision for each in heard] == [asked])
    await answers.unsubscribe()
    assert asked not in {reply.decision for _, reply in rig.replies}


@pytest.mark.parametrize("ailment", ["", "CUDA error: device-side assert"])
async def test_an_engine_that_hangs_or_is_past_help_ends_the_process(rig: Rig, ailment: str) -> None:
    engine, ended = Gate(), asyncio.Queue[int]()
    async with worker(rig, engine) as running:
        watching = asyncio.create_task(running.handlers.watch(Watchdog(still_after_s=0.5), ended.put_nowait))
        if ailment:
            engine.ailment = ailment
        else:
            await rig.ask()
        assert await asyncio.wait_for(ended.get(), 60) == EXIT_AGAIN
        watching.cancel()
        engine.open.set()
        await rig.until_empty("social")


class Slow(Gate):
    """An engine that takes for ever to start."""

    def __init__(self) -> None:
        super().__init__()
        self.is_closed = False
        self.is_starting = asyncio.Event()

    async def start(self) -> None:
        self.is_starting.set()
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.is_closed = True


async def test_a_worker_is_not_ready_before_its_engine_and_may_be_told_to_end_meanwhile(
    rig: Rig, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready, engine, stop = folder / "ready", Slow(), asyncio.Event()
    monkeypatch.setenv("NATS_URL", rig.server.url)
    monkeypatch.setenv(READY_FILE, str(ready))
    serving = asyncio.create_task(app.serve_with(engine, InferenceWorker(pool="rules"), stop))
    await engine.is_starting.wait()
    asked = await rig.ask()
    stop.set()
    serving.cancel()  # as `hearthmind.process.run` does with what is not ready yet
    with contextlib.suppress(asyncio.CancelledError):
        await serving
    assert engine.is_closed
    assert engine.began == []
    assert not ready.exists()
    async with rig.inferring():
        await rig.reply(asked)


async def test_an_engine_that_never_answers_is_left_at_the_deadline_and_its_slot_is_free_again(rig: Rig) -> None:
    engine = Gate()
    async with worker(rig, engine) as running:
        stuck = await rig.ask(within_s=1.0)
        _, reply = await rig.reply(stuck)
        assert (reply.failed, reply.failure) == ("the deadline passed", LATE)
        assert engine.left == [stuck]
        assert not (await rig.reply(await rig.ask(npc="quick")))[1].failed
        await rig.until_empty("social")
        assert not running.handlers._held


async def test_what_was_not_started_goes_back_at_the_end_and_what_runs_is_finished(rig: Rig) -> None:
    engine, other = Gate(), Gate()
    first, *waiting = [await rig.ask() for _ in range(4)]
    async with worker(rig, engine) as running:
        await until(lambda: engine.began == [first])
        await until(lambda: len(running.handlers._held) == 2)
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


async def test_what_is_not_finished_at_the_end_goes_back_at_once(rig: Rig) -> None:
    engine, other = Gate(), Gate()
    async with worker(rig, engine) as running:
        asked = await rig.ask()
        await until(lambda: engine.began == [asked])
        await running.end(within_s=0)
        assert engine.left == [asked]
        assert not running.handlers._held
        async with worker(rig, other):
            await until(lambda: other.began == [asked])
            other.open.set()
            assert not (await rig.reply(asked))[1].failed


# ---- the response cache -----------------------------------------------------------------------------------------------

PROMPT = (Turn(SYSTEM, "You are a chief."), Turn(USER, "Fortify or expand?"))


def asking(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {"prompt": PROMPT, "observation": None, "npc": "quick", "model": "gate"}
    return {**fields, **changes}


class Reader(Gate):
    """It reads the prompt, so that its answers may be given twice."""

    model = "gate"


OTHERS: dict[str, dict[str, Any]] = {
    "another game": {"game": "chess"},
    "another prompt": {"prompt": (Turn(USER, "Fortify or expand?"),)},
    "another schema": {"answer_schema": '{"type":"object"}'},
    "another seed": {"sampling": Sampling(seed=7)},
    "drawn anew": {"varied": True},
}


@pytest.mark.parametrize("name", OTHERS)
async def test_an_answer_is_given_again_only_for_the_same(rig: Rig, name: str) -> None:
    engine = Reader()
    text = secrets.token_hex(8)
    same = asking(prompt=(Turn(USER, text), *PROMPT))
    other = {**same, **OTHERS[name]}
    async with worker(rig, engine, slots=4):
        for changes, cached in ((same, False), (same, True), (other, False), ({**same, "npc": "else"}, True)):
            _, reply = await rig.reply(await rig.ask(**changes))
            assert (reply.failed, reply.text, reply.cached) == ("", '{"action":"wait"}', cached)
            assert (reply.tokens_in, reply.tokens_out, reply.model) == (7, 3, "gate")
        await rig.until_empty("social")
    assert len(engine.began) == 2


async def test_equal_requests_at_once_are_generated_once(rig: Rig) -> None:
    engine = Reader()
    same = asking(prompt=(Turn(USER, secrets.token_hex(8)),), npc="slow")
    async with worker(rig, engine, slots=2) as running:
        asked = [await rig.ask(**same) for _ in range(20)]
        await until(lambda: running.handlers._line.waiting == 0 and len(running.handlers._held) == 20)
        engine.open.set()
        replies = [(await rig.reply(decision))[1] for decision in asked]
        assert sum(not reply.cached for reply in replies) == 1
        assert {reply.text for reply in replies} == {'{"action":"wait"}'}
        await rig.until_empty("social")
    assert len(engine.began) == 1


async def test_what_one_worker_generated_another_need_not(rig: Rig) -> None:
    same = asking(prompt=(Turn(USER, secrets.token_hex(8)),))
    async with worker(rig, Reader()):
        assert not (await rig.reply(await rig.ask(**same)))[1].cached
    other = Reader()
    async with worker(rig, other):
        _, reply = await rig.reply(await rig.ask(**same))
        assert (reply.cached, reply.text) == (True, '{"action":"wait"}')
    assert other.began == []


async def test_a_cache_that_is_gone_costs_nothing_but_the_answer(rig: Rig) -> None:
    await rig.nc.jetstream().delete_stream(f"KV_{flow.ANSWERS}")
    engine = Reader()
    async with worker(rig, engine):
        for _ in range(5):
            same = asking(prompt=(Turn(USER, secrets.token_hex(8)),))
            assert not (await rig.reply(await rig.ask(**same)))[1].cached
            assert (await rig.reply(await rig.ask(**same)))[1].cached
    await provision(rig.nc, partitions=1)
    assert len(engine.began) == 5


async def test_a_shared_cache_that_keeps_silent_is_left_alone(rig: Rig) -> None:
    asked: list[str] = []

    async def keep_silent(msg: Msg) -> None:
        asked.append(msg.subject)

    silence = await rig.nc.subscribe("$JS.API.DIRECT.GET.KV_SILENT.>", cb=keep_silent)
    bucket = Bucket(rig.nc, "SILENT", within_s=0.01)
    assert [await bucket.get("a") for _ in range(SILENT_MAX + 5)] == [None] * (SILENT_MAX + 5)
    await rig.nc.flush()
    assert len(asked) == SILENT_MAX
    await silence.unsubscribe()


# ---- who goes first, and who takes what ---------------------------------------------------------------------------------


async def test_the_highest_tier_goes_first_and_little_waits_here(rig: Rig) -> None:
    low = [await rig.ask("routine") for _ in range(20)]
    engine = Gate()
    async with worker(rig, engine) as running:
        await until(lambda: len(running.handlers._held) == 2)
        high = await rig.ask("critical")
        await until(lambda: len(running.handlers._held) == 3)
        engine.open.set()
        await until(lambda: len(engine.began) == 21)
        assert engine.began[:2] == [low[0], high]
        assert sorted(engine.began[2:]) == sorted(low[1:])
        await rig.until_empty("routine")


async def test_what_a_full_worker_has_no_room_for_is_done_by_another(rig: Rig) -> None:
    full, idle = Gate(), Gate()
    async with worker(rig, full):
        taken = await rig.ask()
        await until(lambda: full.began == [taken])
        async with worker(rig, idle, slots=8) as other:
            asked = [await rig.ask() for _ in range(3)]
            await until(lambda: sorted(idle.began) == sorted(asked))
            idle.open.set()
            for decision in asked:
                await rig.reply(decision)
            await other.end()
        full.open.set()
        await rig.reply(taken)


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
