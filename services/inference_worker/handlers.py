"""Feeds the machine from the tiers' streams, runs the engine, and tells whoever asked. Thin: what is next, the machine says."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine
from functools import partial

from nats.aio.msg import Msg

from hearthmind.bus.clock import BrokerClock
from hearthmind.bus.connect import Connection
from hearthmind.bus.consume import Consuming, Delivery
from hearthmind.bus.wire import decode
from hearthmind.contracts.inference import ENGINE, LATE, REFUSED, UNKNOWN, Infer, Withdraw
from hearthmind.errors import EXIT_AGAIN, HearthmindError, Malformed
from hearthmind.flow import Consumer
from hearthmind.ids import request_subject, withdraw_subject
from hearthmind.telemetry import metrics, trace
from services.inference_worker.adapters import Adapters, UnknownAdapter
from services.inference_worker.cache import Answers, Kept, key_of
from services.inference_worker.engines import CannotServe, Engine, Generated
from services.inference_worker.holders import Holders
from services.inference_worker.machine import Effect, Expire, Job, Late, Leave, Line, Start
from services.inference_worker.receiving import deadline_of, span_of
from services.inference_worker.replying import Replies, Ticket, give_back, let_go
from services.inference_worker.watchdog import LOOK_EVERY_S, Watchdog

log = logging.getLogger("hearthmind.inference_worker")

EXTEND_EVERY_S = 1.5
FAILED_MAX = 300
NEWS_S = 0.7
"""So long it may take until a worker has heard of an adapter; who is asked for one that it does not know waits for it once."""


class UnknownModel(HearthmindError):
    """The workers of the pool {pool} hold the model {has}, and not {model}. Ask another pool, or change their setting."""


class Handlers:
    """Everything of the worker that touches the bus."""

    def __init__(
        self,
        nc: Connection,
        consuming: Consuming,
        clock: BrokerClock,
        engine: Engine,
        line: Line,
        answers: Answers,
        adapters: Adapters,
        holders: Holders,
        me: str,
    ) -> None:
        self._nc = nc
        self._consuming = consuming
        self._clock = clock
        self._engine = engine
        self._line = line
        self._answers = answers
        self._adapters = adapters
        self._holders = holders
        holders.take = self._take
        self._replies = Replies(nc, engine.model, me)
        self._held: dict[tuple[str, int], Ticket] = {}
        self._runs: dict[int, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def pull(self, consumer: Consumer, tier: str) -> None:
        """Begins to take requests of a tier."""

        def room() -> int:
            return self._line.room(tier)

        await self._consuming.add(consumer.stream, consumer.name, self.on_delivery, consumer.deliveries_max, room)

    async def hear_withdrawals(self, pool: str) -> None:
        """Begins to hear what nobody waits for any more."""
        await self._nc.subscribe(withdraw_subject(pool), cb=self._on_withdraw)

    # ---- what comes in ---------------------------------------------------------------------------------------------

    def on_delivery(self, delivery: Delivery, *, is_handed: bool = False) -> None:
        """A request was delivered, to this worker or to another one that handed it over."""
        place = (delivery.stream, delivery.sequence)
        if known := self._held.get(place):
            known.delivery = delivery  # the broker lost patience, and it is being worked on
            return
        infer = decode(delivery.data, Infer)
        if delivery.subject != request_subject(infer.tier, infer.pool):
            said = f"it came on {delivery.subject}, but says tier {infer.tier} and pool {infer.pool}"
            raise Malformed(message="Infer", why=said)
        now_s = time.monotonic()
        deadline_s = deadline_of(delivery, self._clock, now_s)
        ticket = Ticket(delivery, span_of(infer, delivery), self._clock.monotonic_s(delivery.stored_s))
        self._held[place] = ticket
        try:
            self._check_model(infer)
            ticket.adapter = self._adapters.named(infer.adapter, infer.game, infer.npc)
        except (UnknownModel, UnknownAdapter) as error:
            if isinstance(error, UnknownAdapter) and delivery.attempt.delivered == 1 and now_s + NEWS_S < deadline_s:
                del self._held[place]
                self._spawn(give_back(ticket, f"{error}; it is asked again when the news has had time", NEWS_S))
                return
            self._spawn(self._fail(Job(infer, deadline_s, now_s, ticket), now_s, now_s, UNKNOWN, str(error)))
            return
        key = key_of(infer, self._engine.model, ticket.adapter)
        job = Job(infer, deadline_s, now_s, ticket, key)
        if kept := self._answers.here(key):
            metrics.cached("here", self._engine.model, kept.tokens_in, kept.tokens_out)
            self._spawn(self._give(job, kept, now_s))
            return
        is_elsewhere = ticket.adapter and not self._adapters.holds(ticket.adapter)
        if is_elsewhere and not is_handed and delivery.attempt.delivered == 1:
            self._spawn(self._hand_over(job, delivery.behind))
            return
        self._carry_out(self._line.arrived(job, now_s, delivery.behind))

    async def _hand_over(self, job: Job, behind: int) -> None:
        """To a worker that holds the adapter, where there is one; else it is loaded here."""
        ticket = _ticket(job)
        if await self._holders.took(ticket.delivery, job.infer, ticket.adapter):
            self._forget(job).delivery.settled = True
            trace.end(ticket.span)
        else:
            self._carry_out(self._line.arrived(job, time.monotonic(), behind))

    def _take(self, delivery: Delivery, infer: Infer) -> bool:
        """A request that another worker got, for an adapter that is held here."""
        if self._line.room(infer.tier) <= 0:
            return False
        self.on_delivery(delivery, is_handed=True)
        return True

    def _check_model(self, infer: Infer) -> None:
        if infer.model not in ("", self._engine.model):
            raise UnknownModel(model=infer.model, pool=infer.pool, has=self._engine.model)

    async def _on_withdraw(self, msg: Msg) -> None:
        try:
            said = decode(msg.data, Withdraw)
        except HearthmindError as error:
            log.warning("a withdrawal is passed over: %s", error)
            return
        name = (said.game, said.npc, said.decision)
        self._carry_out(self._line.withdrawn(name, said.attempt, time.monotonic()))
        await self._consuming.again()

    # ---- what goes out ---------------------------------------------------------------------------------------------

    def _carry_out(self, effects: list[Effect], kept: Kept | None = None) -> None:
        """`kept` is the answer that has just come, for those who share it."""
        now_s = time.monotonic()
        for effect in effects:
            job = effect.job
            if isinstance(effect, Start):
                task = self._runs[id(job)] = self._spawn(self._answer(job))
                task.add_done_callback(partial(self._ended, job))
            elif isinstance(effect, Late):
                why = f"there is no time for it: it takes {effect.needs_s:.1f} s at least"
                self._spawn(self._fail(job, now_s, now_s, LATE, why))
            elif isinstance(effect, Expire):
                self._spawn(self._let_go(job))
            elif isinstance(effect, Leave):
                _ticket(job).is_unwanted = True
                self._runs[id(job)].cancel()
            else:
                assert kept
                metrics.cached("shared", self._engine.model, kept.tokens_in, kept.tokens_out)
                self._spawn(self._give(job, kept, now_s))

    async def _answer(self, job: Job) -> None:
        with trace.within(_ticket(job).span):
            await self._run(job)
        await self._consuming.again()

    def _ended(self, job: Job, task: asyncio.Task[None]) -> None:
        """Whatever ended the task, even before it began: the slot is free and the request is not held for ever."""
        self._runs.pop(id(job), None)
        if self._line.is_running(job):
            self._carry_out(self._line.failed(job, time.monotonic()))
        ticket = self._forget(job)
        if task.cancelled() and not ticket.delivery.settled:
            self._spawn(let_go(ticket, "it was withdrawn") if ticket.is_unwanted else give_back(ticket))

    async def _run(self, job: Job) -> None:
        began_s = time.monotonic()
        kept = await self._cached(job)
        if kept:
            self._carry_out(self._line.found(job, time.monotonic()), kept)
            await self._give(job, kept, began_s)
            return
        try:
            async with asyncio.timeout(max(0.001, job.deadline_s - time.monotonic())) as deadline:
                generated, sha256 = await self._generate(job)
        except Exception as error:
            is_late = isinstance(error, TimeoutError) and deadline.expired()
            failure, failed = (LATE, "the deadline passed") if is_late else _failure_of(error)
            if isinstance(error, HearthmindError):
                log.warning("no answer for %s: %s", job.infer.decision, error)
            elif failure == ENGINE:
                log.exception("the engine failed on %s", job.infer.decision)
            ended_s = time.monotonic()
            self._carry_out(self._line.failed(job, ended_s))
            await self._fail(job, began_s, ended_s, failure, failed)
        else:
            await self._finish(job, generated, sha256, began_s)

    async def _cached(self, job: Job) -> Kept | None:
        """What is known by now, though it wasn't when the request came."""
        if not job.key:
            return None
        here = self._answers.here(job.key)
        kept = here or await self._answers.elsewhere(job.key)
        result = "here" if here else "elsewhere" if kept else "missed"
        metrics.cached(result, self._engine.model, *((kept.tokens_in, kept.tokens_out) if kept else (0, 0)))
        return kept

    async def _generate(self, job: Job) -> tuple[Generated, str]:
        async with self._adapters.use(_ticket(job).adapter) as adapter:
            return await self._engine.answer(job.infer, adapter), adapter.sha256 if adapter else ""

    async def _finish(self, job: Job, generated: Generated, sha256: str, began_s: float) -> None:
        ended_s = time.monotonic()
        kept = await self._answers.keep(job.infer, job.key, generated, sha256)
        self._carry_out(self._line.finished(job, ended_s, generated.tokens_in, generated.tokens_out), kept)
        ticket = self._forget(job)
        await self._replies.say(
            job.infer,
            ticket,
            began_s,
            ended_s,
            text=generated.text,
            adapter=ticket.adapter,
            adapter_sha256=sha256,
            tokens_in=generated.tokens_in,
            tokens_cached=generated.tokens_cached,
            tokens_out=generated.tokens_out,
            first_token_ms=generated.first_token_ms,
            cost_usd=generated.cost_usd,
        )

    async def _give(self, job: Job, kept: Kept, began_s: float) -> None:
        """Answers with what was generated for another request."""
        ticket, now_s = self._forget(job), time.monotonic()
        await self._replies.say(
            job.infer,
            ticket,
            began_s,
            now_s,
            text=kept.text,
            adapter=ticket.adapter,
            adapter_sha256=kept.adapter_sha256,
            cached=True,
            tokens_in=kept.tokens_in,
            tokens_cached=kept.tokens_in,
            tokens_out=kept.tokens_out,
        )

    async def _fail(self, job: Job, began_s: float, ended_s: float, failure: str, failed: str) -> None:
        ticket = self._forget(job)
        await self._replies.say(job.infer, ticket, began_s, ended_s, failure=failure, failed=failed[:FAILED_MAX])

    async def _let_go(self, job: Job) -> None:
        await let_go(self._forget(job), "nobody waits for it any more")

    def _forget(self, job: Job) -> Ticket:
        ticket = _ticket(job)
        self._held.pop((ticket.delivery.stream, ticket.delivery.sequence), None)
        return ticket

    # ---- time ------------------------------------------------------------------------------------------------------

    async def keep_alive(self) -> None:
        """Tells the broker, again and again, what is still being worked on or waits here; lets go what waits in vain."""
        while True:
            await asyncio.sleep(EXTEND_EVERY_S)
            self._carry_out(self._line.ticked(time.monotonic()))
            for ticket in list(self._held.values()):
                await ticket.delivery.extend()

    async def watch(self, dog: Watchdog, end: Callable[[int], None] = os._exit) -> None:
        """Ends the process when the engine hangs or can't go on: it is started again, and the broker hands its work on."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            engine, line = self._engine, self._line
            why = dog.looked(engine.progress, line.ended, running=line.running, ailment=engine.ailment)
            if why:
                log.error("%s; exiting to be started again", why)
                end(EXIT_AGAIN)

    async def finish(self, within_s: float) -> None:
        """At a stop: what was not started goes back at once, what runs is finished within limits or goes back too."""
        await self._holders.stop()
        for job in self._line.hand_back():
            await give_back(self._forget(job))
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=within_s)
            for task in unfinished:
                task.cancel()
            await asyncio.sleep(0)  # those that were cancelled give back what they had
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("a request was not answered; the broker will deliver it again", exc_info=task.exception())


def _failure_of(error: Exception) -> tuple[str, str]:
    """What sort of failure it is, and why."""
    if isinstance(error, CannotServe):
        return REFUSED, str(error)
    if isinstance(error, UnknownAdapter):
        return UNKNOWN, str(error)
    return ENGINE, f"{type(error).__name__}: {error}"


def _ticket(job: Job) -> Ticket:
    assert isinstance(job.ticket, Ticket)
    return job.ticket
