"""`hearthmind experiences`: what happened, what it was worth and why; in and out of files.

It asks the database that the settings name, or else that of the platform in the folder, as `doctor` does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from hearthmind.errors import HearthmindError
from hearthmind.ids import check_id
from hearthmind.settings import Store, load
from hearthmind.store import experiences as store
from hearthmind.store import lookback, read, summaries
from hearthmind.store.engine import Engine, create_engine, transaction
from hearthmind.store.experiences import Wanted
from services.command.experience_files import export_file, import_file
from services.command.experience_pages import Stats, print_experience, print_lines, print_stats
from services.command.platform import read_connection
from services.reward.recomputing import Recomputing
from services.reward.registry import registered
from services.reward.settings import Reward

commands = typer.Typer(no_args_is_help=True, help=__doc__)
UP = Path(".hearthmind/up")
POLL_S = 0.5
AGAIN_MAX = 1_000
"""So many experiences one transaction makes due again."""

Folder = Annotated[
    Path, typer.Option(help="Where the platform keeps its data; settings that name a database go first.")
]
Game = Annotated[str | None, typer.Option(help="Only of this game.")]
Kind = Annotated[str | None, typer.Option(help="Only of this kind.")]
Npc = Annotated[str | None, typer.Option(help="Only of this NPC.")]
Day = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"], help="By the broker's clock, UTC.")
]

T = TypeVar("T")


class NoExperience(HearthmindError):
    """There is no experience of a decision {decision!r}. `hearthmind experiences tail` lists the newest; a decision whose outcome
    was not reported yet is none.
    """


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Engine]:
    """The database of the settings, or that of the platform that runs in a folder."""
    of_settings, running = load("store", Store), read_connection(folder)
    if running and of_settings == Store():
        of_settings = Store(url=running.database_url)
    engine = create_engine(of_settings.url, connections_max=2)
    try:
        yield engine
    finally:
        await engine.dispose()


def with_engine(folder: Path, work: Callable[[Engine], Awaitable[T]]) -> T:
    """Does something with the database."""

    async def done() -> T:
        async with opened(folder) as engine:
            return await work(engine)

    return asyncio.run(done())


def _utc(day: datetime | None) -> datetime | None:
    return day.replace(tzinfo=UTC) if day else None


# ---- looking -----------------------------------------------------------------------------------------------------------


@commands.command()
def show(
    decision: Annotated[str, typer.Argument(help="The id of a decision.")], game: Game = None, folder: Folder = UP
) -> None:
    """Show one experience: what it was decided from, what came of it, and why it was worth what it was."""
    with_engine(folder, lambda engine: show_at(engine, decision, game, Console()))


async def show_at(engine: Engine, decision: str, game: str | None, console: Console) -> None:
    """Prints the experiences of a decision: one, or one for each game that used the id."""
    async with transaction(engine) as connection:
        found = [line async for line in store.whole(connection, Wanted(game=game, decision=decision))]
        if not found:
            raise NoExperience(decision=decision)
        for line in found:
            await print_experience(line, lambda of: store.said_about(connection, of, decision), console)


@commands.command()
def stats(
    game: Game = None,
    most: Annotated[int, typer.Option(min=1, max=10_000, help="How many NPCs and days at most.")] = 20,
    folder: Folder = UP,
) -> None:
    """Show how NPCs, personas and variants fare, and what each day brought."""
    with_engine(folder, lambda engine: stats_at(engine, game, most, Console()))


async def stats_at(engine: Engine, game: str | None, most: int, console: Console) -> None:
    """Prints the summaries of a game, or of all."""
    async with transaction(engine) as connection:
        for name in [game] if game else await store.games(connection):
            newest = await store.newest(connection, Wanted(game=name), AGAIN_MAX)
            page = Stats(
                game=name,
                npcs=await summaries.npcs_of(connection, name, most),
                personas=await summaries.personas_of(connection, name),
                variants=await summaries.variants_of(connection, name),
                days=await summaries.days_of(connection, name, most),
                rewards=[lived.reward for lived in newest],
            )
            print_stats(page, console)
        undetailed, unknown = await read.lost(connection)
    console.print(
        f"lost for good, of all games: {unknown:,} decisions whose outcome came alone, {undetailed:,} details",
        style="red" if unknown or undetailed else "green",
    )


@commands.command()
def tail(
    game: Game = None,
    kind: Kind = None,
    npc: Npc = None,
    most: Annotated[int, typer.Option("--lines", "-n", min=1, max=1_000, help="How many to begin with.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")] = False,
    folder: Folder = UP,
) -> None:
    """Show the newest experiences, a line each."""
    wanted = Wanted(game=game, kind=kind, npc=npc)
    with_engine(folder, lambda engine: tail_at(engine, wanted, most, Console(), follow=follow))


async def tail_at(engine: Engine, wanted: Wanted, most: int, console: Console, *, follow: bool) -> None:
    """Prints the newest, and those that come."""
    seen: set[tuple[str, str]] = set()
    while True:
        async with transaction(engine) as connection:
            newest = await store.newest(connection, wanted, most)
        print_lines([one for one in newest if (one.game, one.decision) not in seen], console, is_first=not seen)
        seen = {(one.game, one.decision) for one in newest}
        if not follow:
            return
        most = AGAIN_MAX
        await asyncio.sleep(POLL_S)


# ---- files -------------------------------------------------------------------------------------------------------------


@commands.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="JSON lines: context, reply or action, reward or success, ...")],
    game: Annotated[str, typer.Option(help="The game that was played.")],
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Pass over lines with mistakes, and count them.")
    ] = False,
    folder: Folder = UP,
) -> None:
    """Import recorded play of people; each line once, however often."""
    check_id("game", game)
    registry = registered(load("reward", Reward).file)
    console = Console(stderr=True)
    done = with_engine(folder, lambda engine: import_file(engine, file, game, registry, console, skip_bad=skip_bad))
    print(f"{done.imported} imported, {done.known} were there already, {done.bad} bad")


@commands.command()
def export(
    file: Annotated[Path, typer.Argument(help="Where to: a name that ends in .jsonl or .parquet.")],
    game: Game = None,
    kind: Kind = None,
    npc: Npc = None,
    since: Day = None,
    until: Day = None,
    reward_at_least: Annotated[float | None, typer.Option(min=-1, max=1, help="Only with such a reward.")] = None,
    source: Annotated[str | None, typer.Option(help="Only by model, rules, human, ...")] = None,
    model: Annotated[str | None, typer.Option(help="Only by this model.")] = None,
    template: Annotated[str | None, typer.Option(help="Only asked by this template, or one version of it.")] = None,
    success: Annotated[bool | None, typer.Option("--success/--failure", help="Only what came off, or did not.")] = None,
    without: Annotated[
        str, typer.Option(help="Fields to leave out wherever they stand, such as player_id,opponent.")
    ] = "",
    folder: Folder = UP,
) -> None:
    """Write experiences, whole, to a file for training."""
    wanted = Wanted(
        game=game,
        kind=kind,
        npc=npc,
        since=_utc(since),
        until=_utc(until),
        reward_min=reward_at_least,
        source=source,
        model=model,
        template=template,
        success=success,
    )
    names = frozenset(filter(None, map(str.strip, without.split(","))))
    console = Console(stderr=True)
    written = with_engine(folder, lambda engine: export_file(engine, file, wanted, names, console))
    print(f"{written} experiences in {file}")


# ---- long-term rewards -------------------------------------------------------------------------------------------------


@commands.command()
def recompute(
    game: Game = None,
    since: Day = None,
    resume: Annotated[bool, typer.Option("--due", help="Only what is due; go on where it was interrupted.")] = False,
    folder: Folder = UP,
) -> None:
    """Look back again on experiences that have reached their age, and write what they were worth."""
    console = Console(stderr=True)
    done = with_engine(folder, lambda engine: recompute_at(engine, game, _utc(since), console, is_all=not resume))
    print(f"looked back on {done} experiences")


async def recompute_at(
    engine: Engine, game: str | None, since: datetime | None, console: Console, *, is_all: bool
) -> int:
    """Makes all due again and does them, in small transactions beside whatever runs."""
    began, settings = datetime.now(UTC), load("reward", Reward)
    marked = done = 0
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("marking")
        while is_all:
            async with transaction(engine) as connection:
                some = await lookback.make_due(
                    connection, game, since or datetime.min.replace(tzinfo=UTC), began, AGAIN_MAX
                )
            marked += some
            progress.update(task, description=f"made {marked:,} due")
            if not some:
                break
        async for some in Recomputing(engine, settings).all_due(game):
            done += some
            progress.update(task, description=f"looked back on {done:,}")
    return done
