"""docs/reference/commands.md: every recipe of the Justfile, and every `hearthmind` command with its arguments."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import typer

from services.command.app import app

JUSTFILE = Path(__file__).parents[3] / "Justfile"

INTRODUCTION = """# Commands

`./just` lists the chores of the house. Those that run something hand their arguments on to the `hearthmind` command below,
which is in `.venv/bin` after the first run of `./just`. An exit status of 0 means that all is well, 1 that something was found
wrong, 2 that an argument is wrong, 78 that a start is not possible and a restart would not help. This page is written by
`./just reference`, and a test keeps it in step.
"""
KINDS = {"int": "whole number", "float": "number", "path": "path", "str": "text", "list[str]": "text"}


def commands_as_markdown() -> str:
    """Recipes by group, then commands."""
    lines = [INTRODUCTION, "## Recipes", "", *_recipes(), ""]
    group: Any = typer.main.get_command(app)
    for name, command in group.commands.items():
        lines += [f"## hearthmind {name}", "", command.help, "", *_arguments(command.params)]
    return "\n".join(lines).rstrip() + "\n"


class Recipe(msgspec.Struct):
    """What `just` knows of a recipe."""

    name: str
    doc: str | None
    private: bool
    parameters: list[Any]
    attributes: list[Any]


class Recipes(msgspec.Struct):
    """What `just --dump` says."""

    recipes: dict[str, Recipe]


def _recipes() -> Iterator[str]:
    just = Path(sys.executable).with_name("just")
    asked = [str(just), "--justfile", str(JUSTFILE), "--dump", "--dump-format", "json"]
    found = msgspec.json.decode(subprocess.run(asked, capture_output=True, check=True).stdout, type=Recipes)
    yield "| recipe | does |"
    yield "| --- | --- |"
    for recipe in sorted(found.recipes.values(), key=lambda recipe: (_group(recipe), recipe.name)):
        if not recipe.private:
            yield f"| `./just {recipe.name}{' …' if recipe.parameters else ''}` | {recipe.doc or ''} |"


def _group(recipe: Recipe) -> int:
    """The place of its group, in the order in which `./just` lists them."""
    named = [each["group"] for each in recipe.attributes if isinstance(each, dict) and "group" in each]
    return ("run", "check", "keep").index(named[0]) if named else 3


def _arguments(params: list[Any]) -> Iterator[str]:
    if not params:
        return
    yield "| argument | is | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for param in params:
        is_option = param.param_type_name == "option"
        name = param.opts[0] if is_option else param.name.upper()
        yield f"| `{name}` | {_kind(param)} | {_default(param)} | {param.help} |"
    yield ""


def _kind(param: Any) -> str:
    low, high = getattr(param, "min", None), getattr(param, "max", None)
    bounds = [f"at least {low:,}"] if low is not None else []
    bounds += [f"at most {high:,}"] if high is not None else []
    kind = "flag" if getattr(param, "is_flag", False) else KINDS.get(param.bare_type().lower(), param.bare_type())
    times = ", any number of times" if getattr(param, "multiple", False) else ""
    return kind + (f" ({', '.join(bounds)})" if bounds else "") + times


def _default(param: Any) -> str:
    if param.required:
        return "required"
    return "" if param.default is None or param.default is False else f"`{param.default}`"
