"""The demo: a game played by minds over the whole platform, watched live, ended with the count of everything.

Any game will do that is installed under the entry point `hearthmind.games` as

    async def play(mind, *, npcs, seed, until, on_turn, turn_s, answer_within_s, episode) -> object

It plays until `until()` holds, reports every decision, all under the one `episode` by which the demo counts, and tells
`on_turn` of each turn what view.Turn names.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from rich.console import Console

from hearthmind.client import Client, connect
from hearthmind.errors import CannotStart, HearthmindError, Unavailable
from hearthmind.flow import game_user
from hearthmind.ids import new_decision_id
from hearthmind.settings import Flow, Telemetry
from hearthmind.store.engine import create_engine, transaction
from hearthmind.store.read import EpisodeTotals, episode_totals
from hearthmind.telemetry.setup import start_telemetry
from services.command.figures import Figures, Summary
from services.command.platform import Options, Platform
from services.command.view import View

STORED_WITHIN_S = 60.0
EXAMPLES = Path(__file__).parents[2] / "examples"
POLL_S = 1.0


@dataclass(frozen=True)
class Demo:
    """What was asked for."""

    npcs: int
    seconds: float
    seed: int
    as_json: bool
    folder: Path
    sample_ratio: float
    turn_s: float = 1.0
    answer_within_s: float = 2.0
    game: str = "realm"
    log: Path | None = None
    engine: str = "nano"


ENGINES = {"nano": (), "rules": ("combat=rules_scripted", "*=rules")}
"""What answers where a model is wanted: `nano`, as the settings say, or the light way, the scripted mind alone."""

Meanwhile = Callable[[Platform, Client], Coroutine[object, object, None]]
"""What goes on beside the game, such as a test that kills things."""


async def run_demo(demo: Demo, console: Console, meanwhile: Meanwhile | None = None) -> tuple[Summary, Figures]:
    """Starts the platform, plays, waits until everything is stored, and stops the platform."""
    play = game_named(demo.game)
    flow = Flow(games=(demo.game,))
    options = Options(
        folder=demo.folder,
        flow=flow,
        sync_interval="1s",
        sample_ratio=demo.sample_ratio,
        triage=ENGINES[demo.engine],
        personas=personas_of(demo.game),
    )
    began_s = time.monotonic()
    async with Platform(options, say=lambda line: console.print(f"[dim]{line}[/dim]", highlight=False)) as platform:
        console.print(f"everything runs after {time.monotonic() - began_s:.1f} s")
        telemetry = Telemetry(folder=str(platform.traces), sample_ratio=demo.sample_ratio, log_level="warning")
        end_telemetry = start_telemetry("game", telemetry)
        address = platform.connection.url_of(game_user(demo.game))
        journal = demo.folder / "journals" / f"{demo.game}.jsonl"
        try:
            async with connect(address, game=demo.game, journal=journal) as mind, asyncio.TaskGroup() as group:
                beside = group.create_task(meanwhile(platform, mind)) if meanwhile else None
                return await _play(demo, play, platform, mind, console, beside)
        except ExceptionGroup as several:  # the group's; an error of ours is a message, however many wrapped it
            first = several.exceptions[0]
            if isinstance(first, HearthmindError):
                raise first from first.__cause__
            raise
        finally:
            end_telemetry()


async def _play(
    demo: Demo, play: Any, platform: Platform, mind: Client, console: Console, beside: asyncio.Task[object] | None
) -> tuple[Summary, Figures]:
    episode = f"demo-{new_decision_id()}"
    figures, stop = Figures(), asyncio.Event()
    mind.on_decision = figures.add
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    engine = create_engine(platform.connection.database_url, connections_max=1)
    view = View(demo.npcs, demo.seconds, figures, mind)

    async def watch_store() -> None:
        while True:
            view.totals = await _totals(engine, demo.game, episode) or view.totals
            await asyncio.sleep(POLL_S)

    ends_s = time.monotonic() + demo.seconds
    began_s = time.monotonic()
    watching = asyncio.create_task(watch_store())
    try:
        with view.live(console, quiet=demo.as_json):
            await play(
                mind,
                npcs=demo.npcs,
                seed=demo.seed,
                until=lambda: stop.is_set() or (time.monotonic() >= ends_s and (beside is None or beside.done())),
                on_turn=view.on_turn,
                turn_s=demo.turn_s,
                answer_within_s=demo.answer_within_s,
                episode=episode,
                log=demo.log,
            )
            seconds = time.monotonic() - began_s
            view.phase = "waiting until everything is stored"
            await mind.wait_stored(STORED_WITHIN_S)
            totals = await _settled(engine, demo.game, episode, mind.outcomes)
            view.totals = totals
    finally:
        watching.cancel()
        await engine.dispose()
    return figures.summary(mind, totals.experiences, totals.doubled, seconds), figures


async def _settled(engine: Any, game: str, episode: str, outcomes: int) -> EpisodeTotals:
    """The totals once every outcome has become an experience, or once nothing has moved for a while."""
    still_since_s, last = time.monotonic(), EpisodeTotals()
    while time.monotonic() - still_since_s < 10:
        totals = await _totals(engine, game, episode) or last
        if totals.experiences - totals.doubled >= outcomes:
            return totals
        if totals != last:
            still_since_s, last = time.monotonic(), totals
        await asyncio.sleep(0.1)
    return last


async def _totals(engine: Any, game: str, episode: str) -> EpisodeTotals | None:
    try:
        async with transaction(engine) as connection:
            return await episode_totals(connection, game, episode)
    except Unavailable:
        return None


def personas_of(game: str) -> str:
    """The folder of personas that came with a game of this checkout; empty where none did."""
    folder = EXAMPLES / game / "personas"
    return str(folder) if folder.is_dir() else ""


def game_named(name: str) -> Any:
    """How an installed game of this name is played."""
    found = entry_points(group="hearthmind.games", name=name)
    if not found:
        known = ", ".join(sorted(entry.name for entry in entry_points(group="hearthmind.games")))
        raise CannotStart(why=f"no game called {name!r} is installed; there are: {known or 'none'}")
    return next(iter(found)).load()
