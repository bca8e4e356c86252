"""`hearthmind check-game`: plays the platform's part against a game and lists what is wrong with it."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.status import Status

from hearthmind.embedded.output import Output
from hearthmind.embedded.processes import Command, spawn
from hearthmind.errors import HearthmindError
from hearthmind.flow import game_user
from hearthmind.ids import check_id
from services.command.conformance.denials import denials
from services.command.conformance.findings import EXAMPLE_SHOWN_MAX, Noted
from services.command.conformance.judgement import judge
from services.command.conformance.platform import Player, Stage
from services.command.conformance.play import Play
from services.command.conformance.report import COLOURS, Report, report_of, show

LOOK_EVERY_S = 0.1
ENDS_WITHIN_S = 5.0
"""So long a game may take to end when it is told to."""
ADDRESS = "{address}"


@dataclass(frozen=True)
class Check:
    """What was asked for."""

    game: str
    folder: Path
    seconds: float = 30.0
    port: int = 0
    command: tuple[str, ...] = ()


def check_game(
    game: Annotated[str, typer.Option(help="The id of the game, as it stands in its subjects.")],
    command: Annotated[
        list[str] | None,
        typer.Argument(help="After `--`: what starts the game. {address} in it becomes the address, as does NATS_URL."),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, max=3600, help="How long at most, from the game's first word.")] = 30,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The broker's port; 0: a free one, the same each time.")
    ] = 0,
    json: Annotated[bool, typer.Option("--json", help="Print the result as one object of JSON.")] = False,
    folder: Annotated[Path, typer.Option(help="Where the broker keeps its data.")] = Path(".hearthmind/check-game"),
) -> None:
    """Play the platform's part against a game of yours, and list what is wrong."""
    asked = Check(_game_id(game), folder, seconds, port, _program(command or []))
    console = Console(stderr=json, highlight=False)
    logging.getLogger("hearthmind.bus").setLevel(logging.ERROR)  # the broker goes away on purpose
    report = asyncio.run(_until_ctrl_c(asked, console))
    show(report, console)
    if json:
        sys.stdout.write(msgspec.json.encode(report).decode() + "\n")
    if not report.passed:
        raise typer.Exit(1)


def _game_id(game: str) -> str:
    try:
        return check_id("game", game)
    except HearthmindError as error:
        raise typer.BadParameter(str(error), param_hint="--game") from None


def _program(command: list[str]) -> tuple[str, ...]:
    if command and shutil.which(command[0]) is None:
        raise typer.BadParameter(f"there is no program {command[0]!r}", param_hint="COMMAND")
    return tuple(command)


async def _until_ctrl_c(asked: Check, console: Console) -> Report:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await run_check(asked, console, stop)


async def run_check(asked: Check, console: Console, stop: asyncio.Event | None = None) -> Report:
    """Starts the broker and the game, plays all acts, and ends both."""
    play = Play(asked.game, asked.seconds)
    stage = Stage(asked.folder, asked.game, asked.port)
    output = Output(stage.folder / "logs" / "game.log")
    async with stage, Player(stage, play) as player:
        _tell_address(asked, stage, output, console)
        async with _game(asked, stage, output) as game:
            with Progress(play, console) as progress:
                await _wait(asked, player, game, stop or asyncio.Event(), progress)
            now_s = time.monotonic()
            ended = game.returncode if game else None
        judge(play, now_s, game_ended=ended is not None)
        progress.tell()
        _judge_ended(play, stage, output, ended)
        for noted in denials(stage.broker_log(), game_user(asked.game)):
            play.findings.add(noted)
    return report_of(asked.game, play, now_s)


def _tell_address(asked: Check, stage: Stage, output: Output, console: Console) -> None:
    console.print(f"game {asked.game}: {stage.address}", soft_wrap=True)
    if asked.command:
        console.print(f"what the game prints is in {output.path}", soft_wrap=True)
    else:
        console.print(f"Connect the game to this address within {asked.seconds:g} s.")


async def _wait(asked: Check, player: Player, game: Process | None, stop: asyncio.Event, progress: Progress) -> None:
    """Until the play is over, the game has ended, somebody wants an end, or nothing is ever heard."""
    ends_in_vain_s = time.monotonic() + asked.seconds
    while not (player.over.is_set() or stop.is_set()):
        with suppress(TimeoutError):
            await asyncio.wait_for(player.over.wait(), LOOK_EVERY_S)
        player.tick()
        progress.tell()
        if game and game.returncode is not None:
            await asyncio.sleep(LOOK_EVERY_S)  # its last words may be on their way
            break
        if player.play.began_s is None and time.monotonic() > ends_in_vain_s:
            break
    player.raise_errors()


# ---- the game's process -----------------------------------------------------------------------------------------------


@asynccontextmanager
async def _game(asked: Check, stage: Stage, output: Output) -> AsyncIterator[Process | None]:
    if not asked.command:
        yield None
        return
    argv = tuple(word.replace(ADDRESS, stage.address) for word in asked.command)
    opened = output.open()
    try:
        process = await spawn(Command("game", argv, {"NATS_URL": stage.address}), opened)
    finally:
        os.close(opened)
    try:
        yield process
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), ENDS_WITHIN_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # and what it left behind
    await process.wait()


def _judge_ended(play: Play, stage: Stage, output: Output, status: int | None) -> None:
    said = output.last_lines()[-EXAMPLE_SHOWN_MAX:]
    if status:
        play.findings.add(Noted("crashed", f"it ended with status {status}"), said)
    if play.began_s is None:
        ended = "" if status is None else f"; it ended with status {status}"
        play.findings.add(Noted("silent", f"{stage.address} heard neither observation nor event{ended}"), said)


# ---- progress ---------------------------------------------------------------------------------------------------------


class Progress:
    """A line for each act when it is done, and, where somebody watches, what is going on."""

    def __init__(self, play: Play, console: Console) -> None:
        self._play = play
        self._console = console
        self._told: dict[str, str] = {}
        self._status: Status | None = console.status("") if console.is_terminal else None

    def __enter__(self) -> Progress:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()

    def tell(self) -> None:
        """Says what is new."""
        acts = self._play.acts.values() if self._play.began_s is not None else ()
        for act in acts:
            if act.state not in {"waiting", "running"} and self._told.get(act.name) != act.state:
                self._told[act.name] = act.state
                why = f": {escape(act.why)}" if act.why else ""
                colour = COLOURS[act.state]
                self._console.print(
                    f"[{colour}]{act.state:<9}[/{colour}] the platform {act.name}{why}", markup=True, soft_wrap=True
                )
        if self._status:
            self._status.update(self._line())

    def _line(self) -> str:
        counts, act = self._play.ledger.counts, self._play.current
        if self._play.began_s is None:
            return "waiting for the game's first word"
        left_s = max(0.0, self._play.left_s(time.monotonic()))
        return (
            f"the platform {act.name if act else 'waits for outcomes'}   "
            f"{counts.observations + counts.events:,} observations   {counts.outcomes:,} outcomes   "
            f"{len(self._play.findings)} findings   {left_s:.0f} s at most"
        )
