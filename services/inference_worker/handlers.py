"""Feeds the machine from the tiers' streams, runs the engine, replies to the partition that asked. Thin."""

from __future__ import annotations

import asyncio
import logging
import math
import time

import msgspec
from nats.aio.client import Client as Nats

from hearthmind.bus.clock import BrokerClock
from hearthmind.bus.consume import Consuming, Delivery
from hearthmind.bus.publish import DEADLINE
from hearthmind.bus.wire import MESSAGE_BYTES_MAX, decode, encode
from hearthmind.contracts.inference import Infer, Inferred
from hearthmind.errors import Malformed
from hearthmind.flow import Consumer
from hearthmind.ids import reply_subject, request_subject
from hearthmind.telemetry import metrics, names, trace
from services.inference_worker.engines import Engine, Generated
from services.inference_worker.machine import Effect, Expire, Job, Line, Start

log = logging.getLogger("hearthmind.inference_worker")

EXTEND_EVERY_S = 1.5


class Ticket(msgspec.Struct):
    """What is needed to answer a request: its delivery and its span."""

    delivery: Delivery
    span: trace.Span | None


class Handlers:
    """Everything of the worker that touches the bus."""

    def __init__(self, nc: Nats, consuming: Consuming, clock: BrokerClock, engine: Engine, line: Line, me: str) -> None:
        self._nc = nc
        self._consuming = consuming
        self._clock = clock
        self._engine = engine
        self._line = line
        self._me = me
        self._held: dict[tuple[str, int], Delivery] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def pull(self, consumer: Consumer, tier: str) -> None:
        """Begins to take requests of a tier."""

        def room() -> int:
            return self._line.room(tier)

        await self._consuming.add(consumer.stream, consumer.name, self.on_delivery, consumer.deliveries_max, room)

    def on_delivery(self, delivery: Delivery) -> None:
        """A request was delivered."""
        infer = decode(delivery.data, Infer)
        if delivery.subject != request_subject(infer.tier, infer.pool):
            said = f"it came on {delivery.subject}, but says tier {infer.tier} and pool {infer.pool}"
            raise Malformed(message="Infer", why=said)
        received_s = time.monotonic()
        job = Job(
            infer, self._deadline_s(delivery, received_s), received_s, Ticket(delivery, self._span(infer, delivery))
        )
        self._held[delivery.stream, delivery.sequence] = delivery
        self._carry_out(self._line.arrived(job, received_s))

    async def keep_alive(self) -> None:
        """Tells the broker, again and again, what is still being worked on or waits here."""
        while True:
            await asyncio.sleep(EXTEND_EVERY_S)
            for delivery in list(self._held.values()):
                await delivery.extend()

    async def finish(self, within_s: float = 5.0) -> None:
        """At a stop: what was not started goes back at once, what runs is finished within limits."""
        for job in self._line.hand_back():
            await _ticket(job).delivery.retry(0.001)
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=within_s)
            for task in unfinished:
                task.cancel()

    def _deadline_s(self, delivery: Delivery, received_s: float) -> float:
        said = delivery.headers.get(DEADLINE)
        if said is None:
            return received_s + 30.0
        try:
            deadline_s = float(said)
        except ValueError:
            deadline_s = math.nan
        if not math.isfinite(deadline_s):
            raise Malformed(message="deadline", why=f"the header {DEADLINE} is {said!r}")
        return self._clock.monotonic_s(deadline_s)

    def _span(self, infer: Infer, delivery: Delivery) -> trace.Span | None:
        parent = trace.parent_of(delivery.headers)
        if parent is None or not parent.trace_flags.sampled:
            return None
        attributes: trace.Attributes = {
            names.MESSAGING_SYSTEM: "nats",
            names.MESSAGING_DESTINATION_NAME: delivery.stream,
            names.MESSAGING_OPERATION_TYPE: "process",
            names.GEN_AI_OPERATION_NAME: "chat",
            names.GEN_AI_REQUEST_MODEL: infer.model,
            names.TIER: infer.tier,
            names.ATTEMPT: infer.attempt,
            names.DECISION_ID: infer.decision,
        }
        return trace.start(names.SPAN_INFER, trace.CONSUMER, parent, attributes)

    def _carry_out(self, effects: list[Effect]) -> None:
        for effect in effects:
            work = self._answer(effect) if isinstance(effect, Start) else self._expire(effect)
            task = asyncio.get_running_loop().create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._done)

    async def _answer(self, start: Start) -> None:
        with trace.within(_ticket(start.job).span):
            await self._run(start)

    async def _run(self, start: Start) -> None:
        job, began_s = start.job, time.monotonic()
        try:
            generated, failed = await self._generate(job)
            ended_s = time.monotonic()
            await self._reply(job, generated, failed, began_s, ended_s)
        finally:
            self._let_go(_ticket(job))
            self._carry_out(self._line.finished(time.monotonic()))
            await self._consuming.again(_ticket(job).delivery.stream, _ticket(job).delivery.consumer)

    async def _generate(self, job: Job) -> tuple[Generated, str]:
        try:
            async with asyncio.timeout(max(0.001, job.deadline_s - time.monotonic())):
                return await self._engine.answer(job.infer), ""
        except TimeoutError:
            return Generated(""), "the deadline passed"
        except Exception as error:
            log.exception("the engine failed on %s", job.infer.decision)
            return Generated(""), f"{type(error).__name__}: {error}"[:300]

    async def _reply(self, job: Job, generated: Generated, failed: str, began_s: float, ended_s: float) -> None:
        infer, ticket = job.infer, _ticket(job)
        reply = Inferred(
            game=infer.game,
            npc=infer.npc,
            decision=infer.decision,
            attempt=infer.attempt,
            text=generated.text,
            failed=failed,
            model=self._engine.model,
            worker=self._me,
            tokens_in=generated.tokens_in,
            tokens_out=generated.tokens_out,
            queue_ms=(began_s - job.received_s) * 1000,
            engine_ms=(ended_s - began_s) * 1000,
        )
        data = encode(reply)
        if len(data) > MESSAGE_BYTES_MAX:
            failed = f"the engine's answer of {len(data)} bytes is over the limit of {MESSAGE_BYTES_MAX}"
            data = encode(msgspec.structs.replace(reply, text="", failed=failed))
        await self._nc.publish(reply_subject(infer.partition), data, headers=trace.headers(ticket.span) or None)
        metrics.answered(reply, infer.tier)
        await ticket.delivery.acknowledge()
        usage: trace.Attributes = {
            names.GEN_AI_RESPONSE_MODEL: reply.model,
            names.GEN_AI_USAGE_INPUT_TOKENS: reply.tokens_in,
            names.GEN_AI_USAGE_OUTPUT_TOKENS: reply.tokens_out,
        }
        trace.end(ticket.span, error=failed, attributes=usage)

    async def _expire(self, expire: Expire) -> None:
        ticket = _ticket(expire.job)
        self._let_go(ticket)
        await ticket.delivery.acknowledge()
        trace.end(ticket.span, error="the deadline passed while it waited")

    def _let_go(self, ticket: Ticket) -> None:
        self._held.pop((ticket.delivery.stream, ticket.delivery.sequence), None)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("a request was not answered; the broker will deliver it again", exc_info=task.exception())


def _ticket(job: Job) -> Ticket:
    assert isinstance(job.ticket, Ticket)
    return job.ticket
