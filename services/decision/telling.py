"""Puts on the bus what the machine wants said: actions and their details, questions, what the policy forbade."""

from __future__ import annotations

import asyncio
import logging
import math
import time

import msgspec

from hearthmind import ids
from hearthmind.bus.clock import BrokerClock
from hearthmind.bus.connect import Connection
from hearthmind.bus.consume import Delivery
from hearthmind.bus.publish import DEADLINE, TTL, PubAck, Publisher, StreamFull
from hearthmind.bus.wire import encode
from hearthmind.contracts.decision import DecisionMade
from hearthmind.errors import HearthmindError
from hearthmind.telemetry import metrics, names, trace
from services.decision.effects import Act, Ask, Drop, Report, without_answer

log = logging.getLogger("hearthmind.decision")


class Ticket(msgspec.Struct, eq=False):
    """What is needed to settle an observation: its delivery and its span."""

    delivery: Delivery
    span: trace.Span | None


class Telling:
    """One process's side of the bus."""

    def __init__(self, nc: Connection, publisher: Publisher, clock: BrokerClock) -> None:
        self._nc = nc
        self._publisher = publisher
        self._clock = clock

    async def act(self, effect: Act) -> None:
        """The action, then its detail, then the acknowledgement."""
        action, ticket = effect.action, as_ticket(effect.ticket)
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

    async def ask(self, effect: Ask) -> None:
        """A question, for as long as its answer is worth something; raises where the broker does not take it."""
        infer, ticket = effect.infer, as_ticket(effect.ticket)
        left_s = effect.deadline_s - time.monotonic()
        headers = trace.headers(ticket.span, ticket.delivery.headers.get("traceparent"))
        headers[DEADLINE] = f"{self._clock.broker_s(effect.deadline_s):.3f}"
        headers[TTL] = str(max(1, math.ceil(left_s)))
        delivery = f"{ticket.delivery.sequence}-{infer.attempt}"
        message_id = ids.message_id(infer.game, infer.npc, infer.decision, delivery)
        subject = ids.request_subject(infer.tier, infer.pool)
        await self._publisher.publish(subject, encode(infer), message_id, headers, max(0.0, left_s))

    async def report(self, effect: Report) -> None:
        """A violation is stored as far as there is room; the freeze is known here already."""
        said = effect.violated
        message_id = ids.message_id(said.game, said.npc, said.decision, "violation")
        try:
            await self._publisher.publish(ids.violation_subject(said.game, said.npc), encode(said), message_id)
        except HearthmindError as error:
            metrics.count(names.LOST, 1)
            log.warning("the violation of decision %s is lost: %s", said.decision, error)

    async def drop(self, effect: Drop) -> None:
        """Nobody waits for an action, nor for the answer of an engine."""
        ticket = as_ticket(effect.ticket)
        metrics.dropped(ticket.delivery.subject.split(".")[2], effect.why)
        if effect.withdraw:
            pool, withdraw = effect.withdraw
            await self._nc.publish(ids.withdraw_subject(pool), encode(withdraw))
        await ticket.delivery.acknowledge()
        trace.end(ticket.span, error=effect.why)


def as_ticket(ticket: object) -> Ticket:
    """What was given to the machine as a ticket."""
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
