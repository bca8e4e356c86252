"""docs/reference/settings.md: every setting of every service."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from hearthmind.settings import PREFIX, STANDARD
from services.command.doctor import SECTIONS
from services.command.pages.fields import Schema, first_line, in_words, meanings

INTRODUCTION = """# Settings

Every setting is a variable of the environment, `HEARTHMIND_<SECTION>__<NAME>`, read once when a process starts. A list is
written with commas. A value that does not fit and a name that nobody knows are refused by name. `./just doctor` shows all
settings with their values and where each comes from. This page is written by `./just reference`, and a test keeps it in step.

`./just up` and `./just demo` choose addresses, users and passwords themselves; what you set of the rest holds for the services
that they start.
"""
WORDS = {"string": "text", "integer": "whole number"}


def settings_as_markdown() -> str:
    """A table for each section."""
    lines = [INTRODUCTION]
    for section, kind in SECTIONS.items():
        lines += [f"## {section}", "", *_says(kind), *_settings(section, kind), ""]
    return "\n".join(lines).rstrip() + "\n"


def _says(kind: type[msgspec.Struct]) -> Iterator[str]:
    says = first_line(kind.__doc__)
    if not says.startswith("`"):  # a service's own settings are named after it, and say no more
        yield from (says, "")


def _settings(section: str, kind: type[msgspec.Struct]) -> Iterator[str]:
    says = meanings(kind)
    schema = msgspec.json.schema(kind, ref_template="{name}")["$defs"][kind.__name__]
    yield "| setting | is | default | meaning |"
    yield "| --- | --- | --- | --- |"
    for name, field in schema["properties"].items():
        key = f"`{PREFIX}{section.upper()}__{name.upper()}`"
        standard = STANDARD.get((section, name))
        names = f"{key} or `{standard}`" if standard else key
        yield f"| {names} | {_kind(field)} | `{_written(field['default'])}` | {says[name]} |"


def _kind(field: Schema) -> str:
    if "items" in field:
        return "list, with commas"
    word, space, bounds = in_words(field).partition(" ")
    return f"{WORDS.get(word, word)}{space}{bounds}"


def _written(default: object) -> str:
    """The default as it would be written in the environment."""
    if isinstance(default, list | tuple):
        return ",".join(map(str, default))
    if isinstance(default, float):
        return f"{default:.10g}"
    return str(default) or '""'
