"""Wires the decision service: settings, broker, clock, leases, handlers."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from hearthmind import flow
from hearthmind.bus.clock import BrokerClock, keep_time, learn
from hearthmind.bus.connect import close, connect
from hearthmind.bus.consume import Consuming
from hearthmind.bus.leases import Lease, Leases
from hearthmind.bus.publish import Publisher
from hearthmind.contracts.inference import Sampling
from hearthmind.flow import Consumer
from hearthmind.models import pools
from hearthmind.personas import UnknownPersona, personas
from hearthmind.process import connected, look_less_for_garbage, run, until
from hearthmind.prompting import templates_in
from hearthmind.settings import Broker, Flow, load
from hearthmind.telemetry import metrics, names
from services.decision.breaker import Breakers
from services.decision.budgets import Budgets
from services.decision.deciding import House
from services.decision.handlers import Handlers
from services.decision.policy import DECLARED, read_policy
from services.decision.scenes import Company
from services.decision.settings import Decision
from services.decision.triage import triage_of

log = logging.getLogger("hearthmind.decision")

SERVICE = "decision"
WARNINGS_MAX = 1_000


async def serve(stop: asyncio.Event) -> None:
    """Runs until `stop` is set; what is in flight then goes back to the broker for another owner."""
    settings, broker, flow_settings = load(SERVICE, Decision), load("broker", Broker), load("flow", Flow)
    me = f"{SERVICE}-{os.getpid()}-{secrets.token_hex(4)}"
    clock = BrokerClock()
    nc, leasing = await connect(broker, me), await connect(broker, f"{me}-leases")
    publisher, leases_publisher = await Publisher(nc).start(), await Publisher(leasing).start()
    consuming = Consuming(nc, publisher)
    handlers = Handlers(nc, publisher, consuming, clock, house_of(settings, clock), flow_settings.partitions)

    def consumers_of(partition: int) -> list[Consumer]:
        return [
            consumer
            for consumer in flow.consumers_of(SERVICE, flow_settings.partitions, flow_settings.pools)
            if consumer.name == f"{SERVICE}_{partition}"
        ]

    async def taken(lease: Lease) -> None:
        await handlers.take(lease, consumers_of(lease.partition))

    async def lost(partition: int) -> None:
        await handlers.lose(partition, consumers_of(partition))

    await learn(clock, nc, "OBSERVATION", f"{SERVICE}_0", broker.start_within_s)
    await handlers.beside.start()
    leases = Leases(leasing, leases_publisher, me, flow_settings.partitions, taken, lost, consuming.hears)
    work = (
        keep_time(clock, nc, "OBSERVATION", f"{SERVICE}_0"),
        handlers.keep_alive(),
        handlers.beside.keep_fresh(),
        consuming.run(),
        leases.run(),
    )
    await until(stop, *work, needs=[connected(nc), connected(leasing)])
    await leases.stop()
    await handlers.finish()
    await consuming.stop()
    for each, connection in ((leases_publisher, leasing), (publisher, nc)):
        await each.stop()
        await close(connection)


def house_of(settings: Decision, clock: BrokerClock) -> House:
    """What holds for every NPC, read from the files that the settings name; a mistake in one of them is the end."""
    templates = templates_in(settings.templates)
    triage = triage_of(settings.triage_rules, settings.triage, pools(), templates.names)
    return House(
        triage,
        personas=personas(Path(settings.personas) if settings.personas else None, on_stranger()),
        policy=read_policy(settings.policy or DECLARED),
        templates=templates,
        budgets=Budgets(triage.budgets),
        breakers=Breakers(settings.silent_s),
        company=Company(settings.answers_by_game),
        units_s=settings.units_s,
        sampling=Sampling(tokens_max=settings.tokens_max, temperature=settings.temperature),
        answer_early_s=settings.answer_early_ms / 1000,
        pending_max=settings.pending_max,
        broker_s=clock.broker_s,
    )


def on_stranger() -> Callable[[UnknownPersona], None]:
    """Says once of each persona that it isn't there, since it is missed with every observation; each time it is counted."""
    told: set[tuple[object, object]] = set()

    def warn(error: UnknownPersona) -> None:
        metrics.count(names.STRANGERS)
        missed = (error.facts["game"], error.facts["persona"])
        if missed not in told and len(told) < WARNINGS_MAX:
            told.add(missed)
            log.warning("%s", error)

    return warn


def main() -> None:
    """Runs the service."""
    look_less_for_garbage()
    run(SERVICE, serve)
