"""`hearthmind models`: which models are declared, which are on this machine, and fetching one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from hearthmind.models import FROM_FILES, Litellm, Model, declared, model_named
from services.command.fetching import CannotFetch, Say, from_folder, from_hub, gb
from services.command.ollama import pull
from services.inference_worker.engines.files import files_of, is_hub_name

commands = typer.Typer(no_args_is_help=True, help=__doc__)


def state_of(model: Model) -> str:
    """Whether a worker could run it here."""
    if isinstance(model.engine, Litellm):
        return "on " + ", ".join(each.url or each.model for each in model.engine.providers)
    if model.kind not in FROM_FILES:
        return "needs no files"
    files = files_of(model)
    if not files.missing:
        return f"there, {gb(files.size)}"
    if not files.folder.is_dir():
        return "not here"
    return f"lacks {', '.join(files.missing[:3])}{' …' if len(files.missing) > 3 else ''}"


@commands.command("list")
def show() -> None:
    """Show every declared model, and whether it is on this machine."""
    table = Table(box=None, header_style="dim")
    for column in ("model", "files", "pool", "role", "path"):
        table.add_column(column, overflow="fold")
    for model in declared().values():
        table.add_row(model.name, state_of(model), model.pool, model.role, model.path)
    Console(highlight=False).print(table)


@commands.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A declared model.")],
    source: Annotated[
        Path | None, typer.Option("--from", exists=True, file_okay=False, help="A folder that has it; else the hub.")
    ] = None,
) -> None:
    """Bring a model to this machine: from the hub, from a folder, or through Ollama. Broken off, it goes on where it stopped."""
    model, console = model_named(name), Console(stderr=True, highlight=False)

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False)

    if isinstance(model.engine, Litellm):
        asyncio.run(pull(model, console, say))
    elif model.kind not in FROM_FILES:
        say(f"{name} needs no files")
    else:
        if files_of(model).missing:
            _bring(model, source, console, say)
        files = files_of(model)
        say(f"{name} is there: {gb(files.size)} at {files.folder}")


def _bring(model: Model, source: Path | None, console: Console, say: Say) -> None:
    if source:
        from_folder(model, source.resolve(), console, say)
    elif is_hub_name(model.path):
        from_hub(model, say)
    else:
        why = f"{model.path} is a folder of yours: fill it with --from, or name a model of the hub"
        raise CannotFetch(model=model.name, why=why)
    files = files_of(model)
    if files.missing:
        why = f"{files.folder} lacks {', '.join(files.missing)}; it is no model for {model.kind}_…"
        raise CannotFetch(model=model.name, why=why)
