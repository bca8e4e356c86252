"""The `hearthmind` command."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
from rich.console import Console

from hearthmind.errors import EXIT_CONFIG, HearthmindError, alone, exit_status_of
from hearthmind.flow import game_user
from hearthmind.process import run
from hearthmind.settings import Broker, Flow, Store, load
from hearthmind.store.migrate import upgrade
from services.command import adapters, bench_serve, experiences, models, policy, selfplay, violations
from services.command import dead_letters as dead_letters_command
from services.command.check_game import check_game
from services.command.demo import Demo, run_demo
from services.command.doctor import doctor as run_doctor
from services.command.platform import TRACES, Options, Platform, provision_at
from services.command.play import play as play_game
from services.command.play import say
from services.command.provisioning import SERVICE as PROVISIONER
from services.command.provisioning import keep_provisioned
from services.command.provisioning import prepare as prepare_all
from services.command.replay import replay
from services.command.secret_files import make_secrets
from services.command.trace import list_traced
from services.command.trace import trace as draw_trace
from services.command.view import print_summary

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

HOME = Path(".hearthmind")
RUN_SECRETS = Path("/run/secrets")
"""Where a container has the secrets that were given to it."""
Folder = Annotated[Path, typer.Option(help="Where the platform keeps its data.")]


@app.command()
def demo(
    npcs: Annotated[int, typer.Option(min=1, max=20_000, help="How many characters play.")] = 50,
    seconds: Annotated[float, typer.Option(min=1, help="How long.")] = 30,
    game: Annotated[str, typer.Option(help="Which installed game: realm, board, village, or your own.")] = "realm",
    seed: Annotated[int, typer.Option(min=0, help="The world's seed.")] = 7,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as one last line of JSON.")] = False,
    sample: Annotated[float, typer.Option(min=0, max=1, help="The share of decisions that is traced.")] = 0.1,
    answer_within: Annotated[float, typer.Option(min=0.01, max=300, help="How long a turn waits, in seconds.")] = 2.0,
    log: Annotated[Path | None, typer.Option(help="A file for the game's own log, for `realm watch --log`.")] = None,
    engine: Annotated[Literal["nano", "rules"], typer.Option(help="What answers where a model is wanted.")] = "nano",
    folder: Folder = HOME / "demo",
) -> None:
    """Play a game on an embedded NATS and Postgres, and count everything at the end."""
    console = Console(stderr=json, highlight=False)
    asked = Demo(
        npcs, seconds, seed, json, folder, sample, answer_within_s=answer_within, game=game, log=log, engine=engine
    )
    summary, figures = asyncio.run(run_demo(asked, console))
    print_summary(console, summary, figures)
    if json:
        sys.stdout.write(msgspec.json.encode(summary).decode() + "\n")
    if not summary.all_is_well:
        raise typer.Exit(1)


@app.command()
def up(
    folder: Folder = HOME / "up",
    game: Annotated[list[str] | None, typer.Option(help="A game that may connect; can be given several times.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many inference workers.")] = 1,
    sync: Annotated[
        str, typer.Option(help="When the broker's files are on disk: always, or a time such as 1s.")
    ] = "always",
    sample: Annotated[float | None, typer.Option(min=0, max=1, help="The share of decisions that is traced.")] = None,
) -> None:
    """Start NATS, Postgres and the services here, and keep them alive until Ctrl-C."""
    flow = load("flow", Flow)
    games = tuple(dict.fromkeys((*flow.games, *(game or ()))))
    flow = msgspec.structs.replace(flow, games=games)
    asyncio.run(_up(Options(folder=folder, flow=flow, sync_interval=sync, workers=workers, sample_ratio=sample)))


async def _up(options: Options) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    console = Console(highlight=False)
    async with Platform(options, say=lambda line: console.print(line, highlight=False)) as platform:
        console.print()
        for name in options.flow.games:
            url = platform.connection.url_of(game_user(name))
            console.print(f"game {name}: {url}", highlight=False, soft_wrap=True)
        console.print("\nCtrl-C ends everything; what is stored stays.", soft_wrap=True)
        waiting = {asyncio.create_task(stop.wait()), asyncio.create_task(platform.supervisor.wait())}
        done, rest = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        for task in done:
            task.result()


@app.command()
def doctor(folder: Folder = HOME / "up") -> None:
    """Show the settings with their source, and check broker, database, disk, models, GPUs, keys and `.env`."""
    raise typer.Exit(run_doctor(folder, Console(highlight=False)))


@app.command()
def trace(
    decision: Annotated[
        str, typer.Argument(help="The id of a decision; without one, the newest traced are listed.")
    ] = "",
    folder: Annotated[
        Path | None, typer.Option(help="The platform's folder, or one of traces; by default those of `demo` and `up`.")
    ] = None,
) -> None:
    """Draw one decision's way through every hop, with times."""
    homes = [folder] if folder else [HOME / "demo", HOME / "up"]
    folders = [home / TRACES if (home / TRACES).is_dir() else home for home in homes]
    raise typer.Exit(draw_trace(decision, folders, Console()) if decision else list_traced(folders, Console()))


@app.command()
def dead_letters(
    most: Annotated[int, typer.Option(min=1, max=10_000, help="How many.")] = 20,
    folder: Folder = HOME / "up",
) -> None:
    """Show the newest messages that could not be processed, and why."""
    asyncio.run(dead_letters_command.show(folder, most, Console()))


@app.command()
def play(
    npcs: Annotated[int, typer.Option(min=1, max=20_000, help="How many characters play.")] = 50,
    seconds: Annotated[float, typer.Option(min=1, help="How long.")] = 30,
    game: Annotated[str, typer.Option(help="Which installed game: realm, board, village, or your own.")] = "realm",
    seed: Annotated[int, typer.Option(min=0, help="The world's seed.")] = 7,
    journal: Annotated[Path | None, typer.Option(help="Where outcomes wait until they are stored.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the summary as one last line of JSON.")] = False,
) -> None:
    """Play a game at the broker of the settings, with nothing but the game's own credentials, and count everything."""
    console = Console(stderr=json, highlight=False)
    played = asyncio.run(play_game(game, npcs, seconds, seed, journal, console))
    say(console, played)
    if json:
        sys.stdout.write(msgspec.json.encode(played).decode() + "\n")
    if not played.all_is_well:
        raise typer.Exit(1)


@app.command()
def secrets(
    game: Annotated[list[str] | None, typer.Option(help="A game that may connect; can be given several times.")] = None,
    folder: Annotated[Path, typer.Option(help="Where each password has a file of its own.")] = Path("secrets"),
    at: Annotated[str, typer.Option(help="Where games reach the broker.")] = "127.0.0.1:4222",
) -> None:
    """Make the secrets of a deployment where they are missing, and print the address of each game."""
    for name, password in make_secrets(folder, game or ()).items():
        sys.stdout.write(f"game {name}: nats://{game_user(name)}:{password}@{at}\n")


@app.command()
def prepare(
    folder: Annotated[Path, typer.Option(help="Where the passwords of the database's roles are.")] = RUN_SECRETS,
) -> None:
    """Migrate the database of the settings, give each service its role, and make the streams; can be run again."""
    asyncio.run(prepare_all(folder))


@app.command()
def provision(
    keep: Annotated[bool, typer.Option("--keep", help="Stay, and make them again where they are gone.")] = False,
) -> None:
    """Make every stream, consumer and bucket at the broker of the settings; can be run again at any time."""
    if keep:
        run(PROVISIONER, keep_provisioned)
    else:
        asyncio.run(provision_at(load("broker", Broker), load("flow", Flow)))


@app.command()
def migrate() -> None:
    """Bring the database of the settings to its newest schema."""
    upgrade(load("store", Store).url)


app.command()(check_game)
app.command()(replay)
app.add_typer(adapters.commands, name="adapters")
app.add_typer(policy.commands, name="policy")
app.add_typer(violations.commands, name="violations")
app.add_typer(violations.audit, name="audit")
app.add_typer(bench_serve.commands, name="bench")
app.add_typer(experiences.commands, name="experiences")
app.add_typer(models.commands, name="models")
app.add_typer(selfplay.commands, name="selfplay")


def main() -> None:
    """Runs the command; an error of ours is a message, not a trace."""
    try:
        app()
    except Exception as error:
        cause = alone(error)
        if not isinstance(cause, HearthmindError):
            raise
        Console(stderr=True).print(f"[red]{type(cause).__name__}[/red]: {cause}", highlight=False, soft_wrap=True)
        sys.exit(exit_status_of(cause) or EXIT_CONFIG)
