"""`hearthmind violations` and `hearthmind audit`: what minds wanted and the policy forbade, for people to judge.

They ask the database that the settings name, or else that of the platform in the folder, as `doctor` does. A verdict is a line in
the log, which nobody can change; a ban is told to the platform as well, and holds until it is lifted.
"""

from __future__ import annotations

import asyncio
import getpass
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hearthmind.bus.accounts import PROVISION
from hearthmind.bus.connect import close, connect
from hearthmind.bus.registry import Registry
from hearthmind.errors import Refused
from hearthmind.flow import MINDS
from hearthmind.minds import Ban, key_of
from hearthmind.settings import Broker, Store, load
from hearthmind.store.engine import Connection, create_engine, transaction
from hearthmind.store.violations import Verdict, log_of, review, scan, violation_of, violations_of
from services.command.platform import read_connection

commands = typer.Typer(no_args_is_help=True, help="What the policy forbade, and what people think of it.")
audit = typer.Typer(no_args_is_help=True, help="The log of violations and verdicts, which nobody can change.")
UP = Path(".hearthmind/up")
CONTEXT_SHOWN_MAX = 4_000

Folder = Annotated[
    Path, typer.Option(help="Where the platform keeps its data; without one there, the settings say where.")
]
Game = Annotated[str | None, typer.Option(help="Of this game only.")]
Most = Annotated[int, typer.Option(min=1, max=10_000, help="How many.")]
Decision = Annotated[str, typer.Argument(help="The id of the decision.")]
Note = Annotated[str, typer.Option(help="Why, for those who read the log.")]
By = Annotated[str, typer.Option(help="Who says so; by default, whoever is logged in here.")]


class NoSuchViolation(Refused):
    """No violation of a decision {decision!r} is kept. `hearthmind violations list` shows those that are."""


@asynccontextmanager
async def _database(folder: Path) -> AsyncIterator[Connection]:
    store, running = load("store", Store), read_connection(folder)
    if running and store == Store():
        store = Store(url=running.database_url)
    engine = create_engine(store.url, connections_max=1)
    try:
        async with transaction(engine) as connection:
            yield connection
    finally:
        await engine.dispose()


async def list_at(folder: Path, most: int, game: str | None, console: Console, *, waiting: bool) -> None:
    """Prints the newest violations."""
    async with _database(folder) as connection:
        found = await violations_of(connection, most, game, waiting=waiting)
    table = Table("when", "decision", "game", "npc", "rule", "action", "model", "verdict", box=None)
    for each in found:
        when = f"{each.happened_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(
            when, each.decision, each.game, each.npc, each.rule, each.action, each.model or "-", each.verdict or "-"
        )
    console.print(table if found else "nothing waits for a verdict" if waiting else "nothing was violated yet")


async def show_at(folder: Path, decision: str, console: Console) -> None:
    """Prints a violation with all that it came from."""
    async with _database(folder) as connection:
        shown = await violation_of(connection, decision)
    if not shown.rows:
        raise NoSuchViolation(decision=decision)
    for row in shown.rows:
        for key, value in msgspec.json.decode(row).items():
            words = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            console.print(Text.assemble((f"{key:12} ", "bold"), words[:CONTEXT_SHOWN_MAX]))
    for speaker, text in shown.texts:
        console.print(Text(f"{speaker} said: {text}"))
    for at, what, who, note in shown.log:
        console.print(Text(f"{at:%Y-%m-%d %H:%M:%S}  {what} by {who}  {note}"))


async def judge_at(folder: Path, decision: str, verdict: Verdict, who: str, note: str) -> list[tuple[str, str]]:
    """Writes a verdict into the log, and a ban or its end to the platform; returns whose it was."""
    async with _database(folder) as connection:
        whose = await review(connection, decision, verdict, who, note)
        if not whose:
            raise NoSuchViolation(decision=decision)
        if verdict in ("ban", "unban"):  # if the platform can't be told, nothing is in the log either
            await _tell(folder, whose, decision, verdict, who, note)
    return whose


async def _tell(
    folder: Path, whose: list[tuple[str, str]], decision: str, verdict: Verdict, who: str, note: str
) -> None:
    running = read_connection(folder)
    nc = await connect(running.broker(PROVISION) if running else load("broker", Broker), "violations", lambda: None)
    try:
        minds = await Registry(nc, bucket=MINDS, under="ban.").start()
        ban = Ban(why=note or f"for decision {decision}", by=who, decision=decision, at_s=time.time())
        for game, npc in whose:
            await minds.put(key_of("ban", game, npc), msgspec.json.encode(ban) if verdict == "ban" else b"")
    finally:
        await close(nc)


async def scan_at(folder: Path, days: float, times: int, game: str | None, console: Console) -> None:
    """Prints what was violated again and again."""
    async with _database(folder) as connection:
        patterns = await scan(connection, timedelta(days=days), times, game)
    table = Table("times", "game", "what they have in common", "NPCs", "found right", "first", "last", box=None)
    for each in patterns:
        alike = ", ".join(f"{key} {value}" for key, value in each.by.items())
        seen = (f"{when:%Y-%m-%d %H:%M}" for when in (each.first, each.last))
        table.add_row(str(each.times), each.game, alike, str(each.npcs), str(each.approved), *seen)
    console.print(table if patterns else f"nothing was violated {times} times within {days:g} days")


async def log_at(folder: Path, most: int, game: str | None, console: Console) -> None:
    """Prints the newest lines of the log."""
    async with _database(folder) as connection:
        lines = await log_of(connection, most, game)
    for line in lines:
        words = (
            f"{line.at:%Y-%m-%d %H:%M:%S}",
            line.what,
            line.who,
            line.game,
            line.npc,
            line.rule,
            line.decision,
            line.note,
        )
        console.print(Text("  ".join(words)))
    if not lines:
        console.print("the log is empty")


@commands.command("list")
def show_list(
    most: Most = 50,
    game: Game = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were judged.")] = False,
    folder: Folder = UP,
) -> None:
    """Show what waits for a verdict, the newest first."""
    asyncio.run(list_at(folder, most, game, Console(), waiting=not everything))


@commands.command()
def show(decision: Decision, folder: Folder = UP) -> None:
    """Show a violation with all that it came from."""
    asyncio.run(show_at(folder, decision, Console()))


def _judge(folder: Path, decision: str, verdict: Verdict, by: str, note: str) -> None:
    whose = asyncio.run(judge_at(folder, decision, verdict, by or getpass.getuser(), note))
    print(f"{verdict}: {', '.join(f'{game}/{npc}' for game, npc in whose)}")


@commands.command()
def approve(decision: Decision, note: Note = "", by: By = "", folder: Folder = UP) -> None:
    """The mind was right: the rule is too strict here."""
    _judge(folder, decision, "approve", by, note)


@commands.command()
def reject(decision: Decision, note: Note = "", by: By = "", folder: Folder = UP) -> None:
    """The policy was right, and nothing more is to be done."""
    _judge(folder, decision, "reject", by, note)


@commands.command()
def ban(decision: Decision, note: Note = "", by: By = "", folder: Folder = UP) -> None:
    """The policy was right, and the NPC's mind is not asked any more."""
    _judge(folder, decision, "ban", by, note)


@commands.command()
def unban(decision: Decision, note: Note = "", by: By = "", folder: Folder = UP) -> None:
    """Lift the ban that was given for this decision."""
    _judge(folder, decision, "unban", by, note)


@audit.command("scan")
def show_scan(
    days: Annotated[float, typer.Option(min=0.01, max=3650, help="How far back.")] = 7,
    times: Annotated[int, typer.Option(min=2, help="How often something has to happen to be a pattern.")] = 3,
    game: Game = None,
    folder: Folder = UP,
) -> None:
    """Report what was violated again and again: by NPC, rule, action, model and template."""
    asyncio.run(scan_at(folder, days, times, game, Console()))


@audit.command("log")
def show_log(most: Most = 50, game: Game = None, folder: Folder = UP) -> None:
    """Show the newest lines of the log."""
    asyncio.run(log_at(folder, most, game, Console()))
