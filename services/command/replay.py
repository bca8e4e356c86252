"""`hearthmind replay DECISION`: a past decision asked again, with another model, template, persona or adapter, then and now.

What is not changed stays as it was: without `--template` and `--persona` the mind reads the very prompt that it read then, where
that was kept. Otherwise the prompt is made anew from the observation; memories of that time are not in it, and it says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress
from rich.text import Text

from hearthmind.errors import CannotStart, Refused
from hearthmind.flow import PROMPTS
from hearthmind.settings import Broker, Store, load
from hearthmind.store.engine import Engine, create_engine, transaction
from hearthmind.store.past import Past, newest_past, past_of
from services.command.asking_again import Again, Asking, Otherwise
from services.command.platform import read_connection
from services.command.then_and_now import side_by_side, tally

UP = Path(".hearthmind/up")
AT_ONCE = 16
"""Little enough to leave the workers to the games."""


class NoSuchDecision(Refused):
    """No decision {decision!r} is kept with what it was made from. It reaches the database some seconds after it was made;
    `hearthmind trace` without an id lists the newest, and `hearthmind replay --of GAME` takes the newest by itself."""


async def replay_at(folder: Path, decision: str, otherwise: Otherwise, console: Console) -> None:
    """Shows one decision then and now."""
    async with _opened(folder, otherwise) as (asking, database):
        async with transaction(database) as connection:
            found = await past_of(connection, decision)
        if not found:
            raise NoSuchDecision(decision=decision)
        for past in found:
            console.print(Text(f"{past.decision}   game {past.game} · npc {past.npc} · kind {past.kind}", style="bold"))
            console.print(side_by_side(past, await asking.ask(past)))


async def replay_many_at(
    folder: Path, game: str, kind: str | None, last: int, otherwise: Otherwise, console: Console
) -> None:
    """Shows how often many decisions differ."""
    async with _opened(folder, otherwise) as (asking, database):
        async with transaction(database) as connection:
            found = await newest_past(connection, game, kind, last, by_mind=not otherwise.model)
        if not found:
            raise NoSuchDecision(decision=f"of {game}" + (f", {kind}" if kind else ""))
        pairs = await _ask_all(asking, found)
    counted, differed = tally(pairs)
    console.print(f"{len(pairs)} decisions of {game}{f', {kind}' if kind else ''}\n")
    console.print(counted)
    if differed.row_count:
        console.print()
        console.print(differed)


async def _ask_all(asking: Asking, found: list[Past]) -> list[tuple[Past, Again]]:
    """All of them, some at once."""
    turns = asyncio.Semaphore(AT_ONCE)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("asking again", total=len(found))

        async def ask(past: Past) -> tuple[Past, Again]:
            async with turns:
                again = await asking.ask(past)
            progress.advance(task)
            return past, again

        return [await ask(found[0]), *await asyncio.gather(*map(ask, found[1:]))]  # the first one opens the connection


@asynccontextmanager
async def _opened(folder: Path, otherwise: Otherwise) -> AsyncIterator[tuple[Asking, Engine]]:
    """Whom to ask and where to look: at the platform of the folder, or as the settings say."""
    running = read_connection(folder)
    broker = running.broker(PROMPTS) if running else load("broker", Broker)
    engine = create_engine(running.database_url if running else load("store", Store).url, connections_max=1)
    try:
        async with AsyncExitStack() as opened:
            yield Asking(otherwise, broker.url, broker.password, opened), engine
    finally:
        await engine.dispose()


def replay(
    decision: Annotated[str, typer.Argument(help="The id of a decision.")] = "",
    model: Annotated[str, typer.Option(help="Another declared model.")] = "",
    template: Annotated[str, typer.Option(help="Another template.")] = "",
    persona: Annotated[str, typer.Option(help="Another persona.")] = "",
    adapter: Annotated[str, typer.Option(help="Another adapter, <name> or <name>@<version>.")] = "",
    of: Annotated[str, typer.Option(help="A game: its newest decisions, and how often they differ.")] = "",
    kind: Annotated[str | None, typer.Option(help="With --of: of this kind only.")] = None,
    last: Annotated[int, typer.Option(min=1, max=10_000, help="With --of: how many.")] = 50,
    folder: Annotated[
        Path, typer.Option(help="Where the platform keeps its data; without one there, the settings say where.")
    ] = UP,
) -> None:
    """Ask about a past decision again, otherwise, and show both side by side; nothing is done with the answer."""
    otherwise, console = Otherwise(model, template, persona, adapter), Console()
    if bool(decision) == bool(of):
        raise CannotStart(
            why="name one decision, or a game with --of: `hearthmind replay DECISION` or `hearthmind replay --of GAME`"
        )
    if of:
        asyncio.run(replay_many_at(folder, of, kind, last, otherwise, console))
    else:
        asyncio.run(replay_at(folder, decision, otherwise, console))
