"""Feeds the machine from the bus and carries out its effects. Thin: what to do is decided in `machine.py`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterable

from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from hearthmind import ids
from hearthmind.alarm import Alarm
from hearthmind.bus.claims import Claims
from hearthmind.bus.clock import BrokerClock
from hearthmind.bus.connect import Connection
from hearthmind.bus.consume import Consuming, Delivery
from hearthmind.bus.leases import Lease
from hearthmind.bus.publish import Publisher
from hearthmind.bus.wire import decode
from hearthmind.contracts.inference import Inferred
from hearthmind.contracts.observation import Event, Observation
from hearthmind.errors import HearthmindError, Refused
from hearthmind.flow import Consumer
from hearthmind.telemetry import names, trace
from services.decision.acting import FAULT
from services.decision.beside import Beside
from services.decision.deciding import House
from services.decision.effects import Act, Ask, Contend, Drop, Effect, Report, Seen
from services.decision.history import Histories
from services.decision.lives import Lives
from services.decision.machine import Partition
from services.decision.memory import Memories
from services.decision.telling import Telling, Ticket, as_ticket

log = logging.getLogger("hearthmind.decision")

EXTEND_EVERY_S = 3.0


class Misplaced(Refused):
    """The subject {subject} does not belong to what the message says ({said}). A game speaks for its own NPCs only."""


class Handlers:
    """Everything of the service that touches the bus."""

    def __init__(
        self,
        nc: Connection,
        publisher: Publisher,
        consuming: Consuming,
        clock: BrokerClock,
        house: House,
        partitions: int,
    ) -> None:
        self._nc = nc
        self._publisher = publisher
        self._consuming = consuming
        self._clock = clock
        self._house = house
        self._partitions: dict[int, Partition] = {}
        self._heard: dict[int, tuple[Subscription, ...]] = {}
        self._claims = Claims(nc)
        self._telling = Telling(nc, publisher, clock)
        self.beside = Beside(nc, clock, house, self._partitions, partitions)
        self._alarm = Alarm(self._on_alarm)
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- partitions ------------------------------------------------------------------------------------------------

    async def take(self, lease: Lease, consumers: Iterable[Consumer]) -> None:
        """A partition is ours: listen for its replies first, then pull its observations and events."""
        number = lease.partition
        memories = Memories(units_s=self._house.units_s)
        lives = Lives(Histories(self._house.policy.remembers), memories=memories)
        self._partitions[number] = Partition(number, lease.epoch, self._house, lives)
        self._heard[number] = (
            await self._nc.subscribe(ids.reply_subject(number), cb=self._on_reply),
            await self._nc.subscribe(ids.recalled_subject(number), cb=self.beside.on_recalled),
        )
        await self.beside.look_again()
        for consumer in consumers:
            await self._consuming.add(consumer.stream, consumer.name, self.on_delivery, consumer.deliveries_max)

    async def lose(self, number: int, consumers: Iterable[Consumer]) -> None:
        """A partition is no longer ours: what is in flight goes back at once, and another decides it."""
        for consumer in consumers:
            self._consuming.remove(consumer.stream, consumer.name)
        partition = self._partitions.pop(number, None)
        heard = self._heard.pop(number, ())
        for ticket in map(as_ticket, partition.tickets if partition else ()):
            await self._consuming.hand_back(ticket.delivery)
            trace.end(ticket.span, error="the partition went to another process")
        for subscription in heard if not self._nc.is_closed else ():
            await subscription.unsubscribe()

    async def keep_alive(self) -> None:
        """Tells the broker, again and again, that what waits for an engine is still being worked on."""
        while True:
            await asyncio.sleep(EXTEND_EVERY_S)
            for partition in list(self._partitions.values()):
                for ticket in partition.tickets:
                    await as_ticket(ticket).delivery.extend()

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
            self._spawn(self._consuming.hand_back(delivery))
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
            self._spawn(self._do(partition, effect))
        self._alarm.set(partition.wakes_s)

    async def _do(self, partition: Partition, effect: Effect) -> None:
        match effect:
            case Act():
                await self._act(partition, effect)
            case Ask():
                await self._ask(partition, effect)
            case Drop():
                await self._telling.drop(effect)
            case Contend():
                await self._contend(partition, effect)
            case Report():
                await self._report(effect)
            case _:
                await self.beside.recall([effect.recall])

    async def _act(self, partition: Partition, effect: Act) -> None:
        if partition.outdated(effect.detail.observation):
            await self._telling.drop(Drop(effect.ticket, "a newer observation came before it was published"))
            return
        if effect.action.why.startswith(FAULT):
            log.error("decision %s: %s", effect.action.decision, effect.action.why)
        with trace.within(as_ticket(effect.ticket).span):
            await self._telling.act(effect)

    async def _ask(self, partition: Partition, effect: Ask) -> None:
        infer = effect.infer
        try:
            await self._telling.ask(effect)
        except HearthmindError as error:
            key = (infer.game, infer.npc, infer.decision)
            self._carry_out(partition, partition.refused(key, infer.attempt, str(error), time.monotonic()))

    async def _contend(self, partition: Partition, effect: Contend) -> None:
        """Claims one thing after the other, until one of them is had."""
        has_it = False
        for claim in effect.claims:
            if has_it := await self._claims.first(claim, effect.after_s, effect.attempt):
                break
        self._carry_out(partition, partition.claimed(effect.key, effect.number, has_it, time.monotonic()))

    async def _report(self, effect: Report) -> None:
        """The freeze is known here already; others are told of it first."""
        if effect.frozen:
            await self.beside.frozen(*effect.frozen)
        await self._telling.report(effect)

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
