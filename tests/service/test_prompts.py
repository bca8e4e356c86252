"""Answers for whoever asks for them, on a real NATS with users: in order, failures apart, and never more than may be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.msg import Msg

from hearthmind import flow, prompts
from hearthmind.bus.accounts import authorization, new_passwords
from hearthmind.bus.connect import close, connect
from hearthmind.bus.consume import Consuming, Delivery
from hearthmind.bus.provision import provision
from hearthmind.bus.publish import Publisher
from hearthmind.bus.wire import MESSAGE_BYTES_MAX, decode, encode
from hearthmind.contracts.inference import LATE, REFUSED, Infer, Inferred, Sampling, Turn, Withdraw
from hearthmind.embedded.nats import EmbeddedNats, NatsConfig
from hearthmind.errors import CannotStart, Malformed, WrongCredentials
from hearthmind.ids import answer_subject, withdraw_subject
from hearthmind.settings import Broker
from hearthmind.testing.servers import nats_server
from hearthmind.testing.waiting import until

PATIENT_S = 60.0


class Bench:
    """Workers' side of the hop, by hand: it answers what it is told to, when it is told to."""

    def __init__(self, server: EmbeddedNats, passwords: dict[str, str]) -> None:
        self.server = server
        self.passwords = passwords
        self.asked: dict[str, Infer] = {}
        self.withdrawn: list[str] = []
        self._deliveries: dict[str, Delivery] = {}

    def settings(self, user: str) -> Broker:
        return Broker(url=self.server.url, user=user, password=self.passwords[user])

    @asynccontextmanager
    async def asking(self, at_once: int = 256) -> AsyncIterator[prompts.Prompts]:
        url, password = self.server.url, self.passwords["prompts"]
        async with prompts.connect(url, game="realm", pool="rules", password=password, at_once=at_once) as asking:
            yield asking

    async def start(self, stack: AsyncExitStack) -> None:
        self._nc = await connect(self.settings("inference_worker"), "bench")
        stack.push_async_callback(close, self._nc)
        publisher = await Publisher(self._nc).start()
        consuming = Consuming(self._nc, publisher)
        await self._nc.subscribe(withdraw_subject("rules"), cb=self._on_withdraw)
        for consumer in flow.consumers_of("inference_worker", 1, ("rules",)):
            await consuming.add(consumer.stream, consumer.name, self._on_delivery, consumer.deliveries_max)
        running = asyncio.create_task(consuming.run())
        stack.push_async_callback(publisher.stop)
        stack.callback(running.cancel)

    def _on_delivery(self, delivery: Delivery) -> None:
        infer = decode(delivery.data, Infer)
        said = infer.prompt[-1].text
        self.asked[said], self._deliveries[said] = infer, delivery

    async def _on_withdraw(self, msg: Msg) -> None:
        self.withdrawn.append(decode(msg.data, Withdraw).decision)

    async def until_asked(self, *said: str) -> None:
        await until(lambda: set(said) <= set(self.asked))

    async def answer(self, said: str, **fields: str) -> Infer:
        infer = self.asked[said]
        assert infer.asker
        fields = fields or {"text": said.upper()}
        reply = Inferred(game=infer.game, npc=infer.npc, decision=infer.decision, attempt=1, **fields)  # type: ignore[arg-type]
        await self._nc.publish(answer_subject(infer.asker), encode(reply))
        await self._deliveries[said].acknowledge()
        return infer


@pytest.fixture(scope="module")
async def bench(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    passwords = new_passwords(("realm",))
    config = NatsConfig(sync_interval="1m", authorization=authorization(("realm",), passwords))
    async with nats_server(tmp_path_factory.mktemp("prompts"), config) as server, AsyncExitStack() as stack:
        nc = await nats.connect(server.url, user="provision", password=passwords["provision"])
        await provision(nc, partitions=1)
        await nc.close()
        bench = Bench(server, passwords)
        await bench.start(stack)
        yield bench


async def test_a_prompt_is_answered_with_what_was_said_about_it(bench: Bench) -> None:
    sampling = Sampling(tokens_max=8, temperature=0)
    async with bench.asking() as asking:
        turns = (Turn("system", "Be short."), Turn("user", "name a village"))
        asked = asyncio.create_task(
            asking.ask(turns, priority=1, answer_schema="{}", sampling=sampling, adapter="greta@2", varied=True)
        )
        await bench.until_asked("name a village")
        infer = await bench.answer("name a village")
        assert (await asked).text == "NAME A VILLAGE"
    assert (infer.tier, infer.priority, infer.pool, infer.game, infer.prompt) == (
        "critical",
        1,
        "rules",
        "realm",
        turns,
    )
    assert (infer.answer_schema, infer.sampling, infer.adapter, infer.varied) == ("{}", sampling, "greta@2", True)


async def test_answers_come_in_the_order_of_the_prompts_and_one_that_fails_harms_no_other(bench: Bench) -> None:
    said = [f"prompt {number}" for number in range(5)]
    said.insert(2, "x" * MESSAGE_BYTES_MAX)
    async with bench.asking() as asking:
        asked = asyncio.create_task(asking.ask_all(said, within_s=PATIENT_S))
        await bench.until_asked(*(each for each in said if len(each) < 100))
        for number in (4, 0, 3):
            await bench.answer(f"prompt {number}")
        await bench.answer("prompt 1", failure="engine", failed="out of memory")
        await bench.answer("prompt 2")
        answers = await asked
    assert [each.text for each in answers] == ["PROMPT 0", "", "", "PROMPT 2", "PROMPT 3", "PROMPT 4"]
    assert [each.failure for each in answers] == ["", "engine", REFUSED, "", "", ""]
    assert "over the limit" in answers[2].failed


async def test_a_prompt_without_an_answer_says_why(bench: Bench) -> None:
    async with bench.asking() as asking:
        asked = asyncio.create_task(asking.ask("break"))
        await bench.until_asked("break")
        await bench.answer("break", failure="engine", failed="out of memory")
        with pytest.raises(prompts.NoAnswer, match=r"There is no answer \(engine\): out of memory"):
            await asked
        (late,) = await asking.ask_all(["nobody answers this"], within_s=0.1)
        assert (late.failure, late.failed) == (LATE, "no answer came in time")


async def test_no_more_are_under_way_than_may_be_and_callbacks_get_the_answers(bench: Bench) -> None:
    heard: list[str] = []

    def on_answer(answer: Inferred) -> None:
        heard.append(answer.text)
        raise RuntimeError("the callback's own trouble")

    async with bench.asking(at_once=2) as asking:
        for said in ("first", "second"):
            await asking.queue(said, on_answer)
        third = asyncio.create_task(asking.queue("third", on_answer))
        await bench.until_asked("first", "second")
        assert not third.done()
        assert "third" not in bench.asked
        await bench.answer("second")
        await third
        await bench.until_asked("third")
        for said in ("first", "third"):
            await bench.answer(said)
        await asking.wait_queued()
    assert sorted(heard) == ["FIRST", "SECOND", "THIRD"]
    assert bench.asked["third"].tier == "social"


async def test_whoever_gives_up_withdraws_the_question(bench: Bench) -> None:
    async with bench.asking() as asking:
        asked = asyncio.create_task(asking.ask("never mind"))
        await asking.queue("nor this", lambda _: None)
        await bench.until_asked("never mind", "nor this")
        asked.cancel()
        await until(lambda: bench.asked["never mind"].decision in bench.withdrawn)
    await until(lambda: bench.asked["nor this"].decision in bench.withdrawn)


async def test_a_full_tier_is_waited_for(bench: Bench) -> None:
    nc = await nats.connect(bench.server.url, user="provision", password=bench.passwords["provision"])
    js = nc.jetstream()
    config = (await js.stream_info("INFERENCE_ROUTINE")).config
    config.max_msgs = 1
    await js.update_stream(config)
    async with bench.asking() as asking:
        asked = asyncio.create_task(asking.ask_all(["one", "two"], priority=9, within_s=PATIENT_S))
        await until(lambda: bool({"one", "two"} & set(bench.asked)))
        first = next(iter({"one", "two"} & set(bench.asked)))
        (second,) = {"one", "two"} - {first}
        await bench.answer(first)
        await bench.until_asked(second)
        await bench.answer(second)
        assert [each.text for each in await asked] == ["ONE", "TWO"]
    await provision(nc, partitions=1)
    await nc.close()


async def test_what_can_t_be_asked_is_refused_where_it_is_said(bench: Bench) -> None:
    async with bench.asking() as asking:
        with pytest.raises(Malformed, match="the priority is 11"):
            await asking.ask("hello", priority=11)
        with pytest.raises(Malformed, match="the prompt is empty"):
            await asking.ask_all(["hello", ()])


async def test_a_start_that_can_t_succeed_says_why(bench: Bench, folder: Path) -> None:
    url, password = bench.server.url, bench.passwords["prompts"]
    with pytest.raises(CannotStart, match="no consumer gpus on INFERENCE_ROUTINE"):
        async with prompts.connect(url, game="realm", pool="gpus", password=password, start_within_s=0.5):
            pass
    with pytest.raises(WrongCredentials):
        async with prompts.connect(url, game="realm", pool="rules", password="guess"):
            pass
