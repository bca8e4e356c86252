"""A real run to look at: the platform, the broker watch, a collector's stand-in, Prometheus, and the Realm that plays."""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

from hearthmind.client import Client, connect
from hearthmind.embedded.processes import Command, Supervisor
from hearthmind.flow import game_user
from hearthmind.settings import Flow, Telemetry
from hearthmind.telemetry.setup import start_telemetry
from realm.play import play
from services.command.platform import Options, Platform

from .collector import Collector, collecting
from .prometheus import Prometheus, free_port

GAME = "realm"


@dataclass
class Run:
    """What there is to look at."""

    platform: Platform
    collector: Collector
    prometheus: Prometheus
    mind: Client
    told: set[str]
    """The episode's decisions that reached the game."""


@asynccontextmanager
async def running(folder: Path, npcs: int = 30) -> AsyncIterator[Run]:
    """Everything runs, and the Realm plays until the block ends; every decision is traced."""
    with collecting() as collector, patch.dict(os.environ, _environment(collector)):
        platform = Platform(
            Options(folder / "platform", Flow(games=(GAME,)), "1s", durable=False, sample_ratio=1), _quiet
        )
        platform.nats.config = replace(platform.nats.config, monitoring_port=free_port())
        prometheus = Prometheus(folder / "prometheus", free_port(), collector.url)
        watch = _broker_watch(f"http://127.0.0.1:{platform.nats.config.monitoring_port}")
        beside = Supervisor([watch, prometheus.command()], folder / "beside", say=_quiet)
        async with platform:
            await beside.start()
            end_telemetry = start_telemetry("game", Telemetry(sample_ratio=1, otlp_endpoint=collector.url))
            try:
                async with connect(platform.connection.url_of(game_user(GAME)), game=GAME) as mind:
                    run = Run(platform, collector, prometheus, mind, set())
                    async with _playing(run, npcs):
                        yield run
            finally:
                end_telemetry()
                await beside.stop()


def _environment(collector: Collector) -> dict[str, str]:
    return {
        "HEARTHMIND_TELEMETRY__OTLP_ENDPOINT": collector.url,
        "HEARTHMIND_TELEMETRY__LOG_FORMAT": "json",
        "OTEL_METRIC_EXPORT_INTERVAL": "1000",
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "OTEL_BLRP_SCHEDULE_DELAY": "500",
    }


def _broker_watch(url: str) -> Command:
    argv = (sys.executable, "-m", "hearthmind.telemetry.broker")
    return Command("broker_watch", argv, {"HEARTHMIND_BROKER_WATCH__URL": url, "HEARTHMIND_BROKER_WATCH__EVERY_S": "1"})


@asynccontextmanager
async def _playing(run: Run, npcs: int) -> AsyncIterator[None]:
    stop = asyncio.Event()
    run.mind.on_decision = lambda decision: run.told.add(decision.id)
    playing = asyncio.create_task(
        play(
            run.mind,
            npcs=npcs,
            seed=1,
            until=stop.is_set,
            on_turn=lambda *_, **__: None,
            turn_s=1.0,
            answer_within_s=2.0,
            episode=f"watched-{secrets.token_hex(4)}",
        )
    )
    try:
        yield
    finally:
        stop.set()
        await playing


def _quiet(_: str) -> None:
    """The run says nothing of itself."""
