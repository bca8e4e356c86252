"""`hearthmind play`: an installed game on a platform that runs elsewhere, with nothing but the game's own credentials.

It ends with the count of everything, as far as a game can know it: an outcome counts as kept once the platform says that
Postgres has it.
"""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from hearthmind.bus.connect import where_of
from hearthmind.client import Client, connect
from hearthmind.flow import game_user
from hearthmind.ids import new_decision_id
from hearthmind.settings import Broker, Telemetry, load
from hearthmind.telemetry.setup import start_telemetry
from services.command.demo import STORED_WITHIN_S, game_named
from services.command.figures import Figures
from services.command.view import View, latency_table


class Played(msgspec.Struct, frozen=True):
    """The last line of `hearthmind play --json`."""

    episode: str
    observations: int
    actions: int
    by_source: dict[str, int]
    illegal: int
    late: int
    doubled: int
    outcomes: int
    stored: int
    unstored: int
    latency_ms: dict[str, float]
    decisions_per_s: float

    @property
    def all_is_well(self) -> bool:
        """Every observation had exactly one legal action executed, and the platform has stored every outcome."""
        return self.observations == self.actions == self.outcomes and not self.unstored


async def play(game: str, npcs: int, seconds: float, seed: int, journal: Path | None, console: Console) -> Played:
    """Plays at the broker of the settings, and waits until everything is stored."""
    world, broker = game_named(game), load("broker", Broker)
    user = broker.user or game_user(game)
    end_telemetry = start_telemetry("game", load("telemetry", Telemetry))
    console.print(f"{game} plays at {where_of(broker.url)} as {user}", highlight=False)
    try:
        async with connect(broker.url, game=game, user=user, password=broker.password, journal=journal) as mind:
            return await _play(world, mind, npcs, seconds, seed, console)
    finally:
        end_telemetry()


async def _play(world: Any, mind: Client, npcs: int, seconds: float, seed: int, console: Console) -> Played:
    episode, figures, stop = f"play-{new_decision_id()}", Figures(), asyncio.Event()
    mind.on_decision = figures.add
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    view = View(npcs, seconds, figures, mind)
    began_s = time.monotonic()
    with view.live(console, quiet=False):
        await world(
            mind,
            npcs=npcs,
            seed=seed,
            until=lambda: stop.is_set() or time.monotonic() >= began_s + seconds,
            on_turn=view.on_turn,
            turn_s=1.0,
            answer_within_s=2.0,
            episode=episode,
        )
        played_s = time.monotonic() - began_s
        view.phase = "waiting until everything is stored"
        await mind.wait_stored(STORED_WITHIN_S)
    if not console.is_terminal:
        console.print(latency_table(figures))
    tally = mind.tally
    return Played(
        episode=episode,
        observations=tally.observations,
        actions=tally.actions,
        by_source=dict(sorted(tally.by_source.items())),
        illegal=tally.illegal,
        late=tally.late,
        doubled=tally.doubled,
        outcomes=mind.outcomes,
        stored=mind.stored,
        unstored=len(mind.journal),
        latency_ms=figures.everything.summary(),
        decisions_per_s=round(tally.actions / max(played_s, 0.001), 1),
    )


def say(console: Console, played: Played) -> None:
    """What happened, and whether all is well."""
    sources = ", ".join(f"{count:,} by {source}" for source, count in played.by_source.items())
    console.print(f"\n{played.observations:,} observations, {played.actions:,} legal actions executed: {sources}")
    console.print(f"{played.outcomes:,} outcomes, of which {played.unstored:,} are not known to be stored")
    if played.all_is_well:
        console.print("[green]Every observation had exactly one legal action, every outcome is stored.[/green]")
    else:
        console.print("[red]Something is missing or double: the figures above must agree.[/red]")
