"""`hearthmind policy`: what the rules are, and whether an action would pass."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from hearthmind import ids
from hearthmind import policy as asking
from hearthmind.bus.wire import decode
from hearthmind.contracts.observation import Observation
from hearthmind.contracts.policy import PolicyChecked
from hearthmind.contracts.wire import Fact
from hearthmind.errors import Malformed
from hearthmind.flow import PROMPTS
from hearthmind.settings import Broker, load
from services.command.platform import read_connection
from services.decision.policy_file import DECLARED, read_file

commands = typer.Typer(no_args_is_help=True, help=__doc__)
UP = Path(".hearthmind/up")


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file asks: an observation, as a game would send it, and what would be done."""

    observation: msgspec.Raw
    action: str
    arguments: dict[str, Fact] = {}
    speech: str = ""


def question_in(file: Path) -> tuple[Question, Observation]:
    """What a file asks; what an observation need not say to be asked about is filled in."""
    try:
        question = msgspec.json.decode(file.read_bytes(), type=Question)
        seen = msgspec.json.decode(question.observation, type=dict[str, msgspec.Raw])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Malformed(message=f"question in {file}", why=error) from error
    usual = {"type": "observation", "id": ids.new_decision_id(), "answer_within_ms": 1000, "snapshot": 0}
    return question, decode(msgspec.json.encode({**usual, **seen}), Observation)


async def check_at(folder: Path, question: Question, observation: Observation) -> PolicyChecked:
    """What the platform that runs says to it."""
    running = read_connection(folder)
    async with asking.connect(running.broker(PROMPTS) if running else load("broker", Broker)) as policy:
        return await policy.check(observation, question.action, question.arguments, question.speech)


@commands.command()
def check(
    file: Annotated[Path, typer.Argument(help="JSON with `observation`, `action`, `arguments`, `speech`.")],
    folder: Annotated[
        Path, typer.Option(help="Where the platform keeps its data; without one there, the settings say where.")
    ] = UP,
) -> None:
    """Ask the platform that runs whether an action would pass; nothing comes of it but the answer."""
    said = asyncio.run(check_at(folder, *question_in(file)))
    print(f"{said.game}/{said.npc}: passes" if said.passes else f"{said.game}/{said.npc}: {said.rule}: {said.why}")
    raise typer.Exit(0 if said.passes else 1)


@commands.command()
def show(file: Annotated[Path, typer.Argument(help="The policy's file.")] = DECLARED) -> None:
    """Read a policy's file, name every mistake in it, and show its rules."""
    policy = read_file(file)
    table = Table("rule", "of", "demands", "says", box=None)
    for name, rule in policy.rules.items():
        of = f"{_listed(rule.games)}/{_listed(rule.kinds)}/{_listed(rule.actions)}"
        table.add_row(name, of, type(rule.demand).__name__.lower(), rule.says)
    console = Console()
    console.print(table)
    console.print(f"{len(policy.rules)} rules; a violation freezes for {policy.freeze_s:g} s")


def _listed(patterns: tuple[str, ...]) -> str:
    return ",".join(patterns[:3]) + (",…" if len(patterns) > 3 else "")
