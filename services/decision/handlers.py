"""Feeds the machine from the bus and carries out its effects. Thin: what to do is decided in `machine.py`."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Coroutine, Iterable

import msgspec
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from hearthmind import ids
from hearthmind.alarm import Alarm
from hearthmind.bus.clock import BrokerClock
from hearthmind.bus.consume import Consuming, Delivery
from hearthmind.bus.leases import Lease
from hearthmind.bus.publish import DEADLINE, TTL, PubAck, Publisher, StreamFull
from hearthmind.bus.wire import decode, encode
from hearthmind.contracts.decision import DecisionMade
from hearthmind.contracts.inference import Inferred, Sampling
from hearthmind.contracts.observation import Event, Observation
from hearthmind.errors import HearthmindError, Refused
from hearthmind.flow import Consumer
from hearthmind.models import pools
from hearthmind.telemetry import metrics, names, trace
from services.decision.machine import Act, Ask, Drop, Effect, Partition, Seen, without_answer
from services.decision.settings import Decision
from services.decision.triage import parse

log = logging.getLogger("hearthmind.decision")

EXTEND_EVERY_S = 3.0


class Misplaced(Refused):
    """The subject {subject} does not belong to what the message says ({said}). A game speaks for its own NPCs only."""


class Ticket(msgspec.Struct, eq=False):
    """What is needed to settle an observation: its delivery and its span."""

    delivery: Delivery
    span: trace.Span | None


class Handlers:
    """Everything of the service that touches the bus."""

    def __init__(
        self, nc: Nats, publisher: Publisher, consuming: Consuming, clock: BrokerClock, settings: Decision
    ) -> None:
        self._nc = nc
        self._publisher = publisher
        self._consuming = consuming
        self._clock = clock
        self._settings = settings
        self._triage = parse(settings.triage, pools())
        self._sampling = Sampling(tokens_max=settings.tokens_max, temperature=settings.temperature)
        self._partitions: dict[int, Partition] = {}
        self._replies: dict[int, Subscription] = {}
        self._alarm = Alarm(self._on_alarm)
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- partitions ------------------------------------------------------------------------------------------------

    async def take(self, lease: Lease, consumers: Iterable[Consumer]) -> None:
        """A partition is ours: listen for its replies first, then pull its observations and events."""
        settings = self._settings
        number = lease.partition
        early_s = settings.answer_early_ms / 1000
        self._partitions[number] = Partition(
            number, lease.epoch, self._triage, early_s, settings.pending_max, self._sampling
        )
        self._replies[number] = await self._nc.subscribe(ids.reply_subject(number), cb=self._on_reply)
        for consumer in consumers:
            await self._consuming.add(consumer.stream, consumer.name, self.on_delivery, consumer.deliveries_max)

    async def lose(self, number: int, consumers: Iterable[Consumer]) -> None:
        """A partition is no longer ours: what is in flight goes back at once, and another decides it."""
        for consumer in consumers:
            self._consuming.remove(consumer.stream, consumer.name)
        partition = self._partitions.pop(number, None)
        replies = self._replies.pop(number, None)
        for ticket in map(_as_ticket, partition.tickets if partition else ()):
            await ticket.delivery.retry(0.001)
            trace.end(ticket.span, error="the partition went to another process")
        if replies and not self._nc.is_closed:
            await replies.unsubscribe()

    async def keep_alive(self) -> None:
        """Tells the broker, again and again, that what waits for an engine is still being worked on."""
        while True:
            await asyncio.sleep(EXTEND_EVERY_S)
            for partition in list(self._partitions.values()):
                for ticket in partition.tickets:
                    await _as_ticket(ticket).delivery.extend()

    async def finish(self, within_s: float = 3.0) -> None:
        """Waits for what is being published."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)

    # ---- what comes in ---------------------------------------------------------------------------------------------

    def on_delivery(self, delivery: Delivery) -> None:
        """An observation or event was delivered."""
        received_s = time.monotonic()
        observation = decode(delivery.data, Event if delivery.stream == "EVENT" else Observation)
        _, number, game, npc, kind = delivery.subject.split(".")
        if (observation.game, observation.npc, observation.kind) != (game, npc, kind):
            said = f"{observation.game}, {observation.npc}, {observation.kind}"
            raise Misplaced(subject=delivery.subject, said=said)
        partition = self._partitions.get(int(number))
        if partition is None:
            self._spawn(delivery.retry(0.001))
            return
        stored_s = self._clock.monotonic_s(delivery.stored_s)
        ticket = Ticket(delivery, self._span(observation, delivery))
        seen = Seen(
            observation,
            delivery.attempt.delivered,
            stored_s + observation.answer_within_ms / 1000,
            received_s,
            max(0.0, (received_s - stored_s) * 1000),
            ticket,
        )
        self._carry_out(partition, partition.observed(seen, received_s))

    async def _on_reply(self, msg: Msg) -> None:
        partition = self._partitions.get(int(msg.subject.rpartition(".")[2]))
        if partition is None:
            return
        try:
            reply = decode(msg.data, Inferred)
        except HearthmindError as error:
            log.warning("a reply is passed over: %s", error)
            return
        self._carry_out(partition, partition.replied(reply, time.monotonic()))

    def _span(self, observation: Observation, delivery: Delivery) -> trace.Span | None:
        parent = trace.parent_of(delivery.headers)
        if parent is not None and not parent.trace_flags.sampled:
            return None  # before the attributes are made
        attributes: trace.Attributes = {
            names.MESSAGING_SYSTEM: "nats",
            names.MESSAGING_DESTINATION_NAME: delivery.stream,
            names.MESSAGING_OPERATION_TYPE: "process",
            names.DECISION_ID: observation.id,
            names.GAME: observation.game,
            names.NPC: observation.npc,
            names.KIND: observation.kind,
            names.ATTEMPT: delivery.attempt.delivered,
        }
        return trace.start(names.SPAN_DECIDE, trace.CONSUMER, parent, attributes)

    # ---- what goes out ---------------------------------------------------------------------------------------------

    def _carry_out(self, partition: Partition, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, Act):
                self._spawn(self._act(effect))
            elif isinstance(effect, Ask):
                self._spawn(self._ask(partition, effect))
            else:
                self._spawn(self._drop(effect))
        self._alarm.set(partition.wakes_s)

    async def _act(self, effect: Act) -> None:
        with trace.within(_as_ticket(effect.ticket).span):
            await self._store(effect)

    async def _store(self, effect: Act) -> None:
        action, ticket = effect.action, _as_ticket(effect.ticket)
        give_up_s = max(0.0, effect.deadline_s - time.monotonic())
        headers = trace.headers(ticket.span, ticket.delivery.headers.get("traceparent"))
        subject = ids.chosen_subject(action.game, action.npc)
        message_id = ids.message_id(action.game, action.npc, action.decision)
        try:
            stored = await self._publisher.publish(subject, encode(action), message_id, headers, give_up_s)
            is_late = time.monotonic() > effect.deadline_s
            _tell_winner(action.decision, stored)
            detail = without_answer(effect.detail) if stored.duplicate else effect.detail
            await _or_lost(await self._send_detail(detail, headers))
        except HearthmindError as error:
            log.warning("decision %s: not published, so it is left to the broker: %s", action.decision, error)
            metrics.count(names.MISSED, 1, {names.REASON: "unstored"})
            trace.end(ticket.span, error=str(error))
            return
        await ticket.delivery.acknowledge()
        metrics.decided(action, effect.detail.tier, is_late=is_late)
        trace.end(
            ticket.span, attributes={names.SOURCE: action.source, names.WHY: action.why, names.ACTION: action.action}
        )

    async def _send_detail(self, detail: DecisionMade, headers: dict[str, str]) -> asyncio.Future[PubAck]:
        message_id = ids.message_id(detail.game, detail.npc, detail.decision, "detail")
        subject = ids.decision_subject(detail.game, detail.npc)
        return await self._publisher.send(subject, encode(detail), message_id, headers, 10.0)

    async def _ask(self, partition: Partition, effect: Ask) -> None:
        infer, ticket = effect.infer, _as_ticket(effect.ticket)
        left_s = effect.deadline_s - time.monotonic()
        headers = trace.headers(ticket.span, ticket.delivery.headers.get("traceparent"))
        headers[DEADLINE] = f"{self._clock.broker_s(effect.deadline_s):.3f}"
        headers[TTL] = str(max(1, math.ceil(left_s)))
        delivery = f"{ticket.delivery.sequence}-{infer.attempt}"
        message_id = ids.message_id(infer.game, infer.npc, infer.decision, delivery)
        try:
            subject = ids.request_subject(infer.tier, infer.pool)
            stored = await self._publisher.send(subject, encode(infer), message_id, headers, max(0.0, left_s))
            await stored
        except HearthmindError as error:
            key = (infer.game, infer.npc, infer.decision)
            self._carry_out(partition, partition.refused(key, infer.attempt, str(error), time.monotonic()))

    async def _drop(self, effect: Drop) -> None:
        ticket = _as_ticket(effect.ticket)
        metrics.dropped(ticket.delivery.subject.split(".")[2], effect.why)
        if effect.withdraw:
            pool, withdraw = effect.withdraw
            await self._nc.publish(ids.withdraw_subject(pool), encode(withdraw))
        await ticket.delivery.acknowledge()
        trace.end(ticket.span, error=effect.why)

    # ---- time ------------------------------------------------------------------------------------------------------

    def _on_alarm(self) -> None:
        now_s = time.monotonic()
        for partition in list(self._partitions.values()):
            self._carry_out(partition, partition.ticked(now_s))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception():
            log.error("an effect failed; the broker will deliver its observation again", exc_info=task.exception())


def _as_ticket(ticket: object) -> Ticket:
    assert isinstance(ticket, Ticket)
    return ticket


def _tell_winner(decision: str, stored: PubAck) -> None:
    if stored.duplicate:
        log.info("decision %s had an action already: sequence %d of the ACTION stream", decision, stored.seq)


async def _or_lost(kept: asyncio.Future[PubAck]) -> None:
    """An EXPERIENCE stream without room never holds up a decision: what it refuses is counted as lost."""
    try:
        await kept
    except StreamFull as error:
        metrics.count(names.LOST, 1)
        log.warning("the detail of a decision is lost: %s", error)
