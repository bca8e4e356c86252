"""docs/reference/messages.md: every message with its fields, and what they are made of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import ModuleType

import msgspec

from hearthmind import flow
from hearthmind.contracts import action, decision, inference, memory, observation, outcome, policy
from services.command.pages.fields import Schema, first_line, in_words, meanings

INTRODUCTION = """# Messages

Every message of the bus, made from [the contracts](../../shared/hearthmind/contracts). They travel as JSON. A reader
ignores fields that it does not know; what has a default may be left out. `type` says which message it is: an observation
or event on its own subject may leave it out, an outcome may not, nor an observation within it. Ids are letters, digits, `_`
and `-`, at most 64, since they become parts of subjects. Numbers are finite; whole numbers are at most 2^53. This page is
written by `./just reference`, and a test keeps it in step.
"""
CONTRACTS: tuple[ModuleType, ...] = (action, decision, inference, observation, outcome, memory, policy)


def messages_as_markdown() -> str:
    """The messages in the order of the flow, then their parts."""
    messages = list(dict.fromkeys(hop.message for hop in flow.HOPS if hop.message))
    _, components = msgspec.json.schema_components(messages, ref_template="{name}")
    lines = [INTRODUCTION]
    for message in messages:
        subjects = ", ".join(f"`{hop.subject}`" for hop in flow.HOPS if hop.message is message)
        lines += [f"## {message.__name__}", "", first_line(message.__doc__), "", f"On {subjects}.", ""]
        lines += [*_fields(components.pop(message.__name__), message), ""]
    lines += ["## Parts", ""]
    for name, schema in sorted(components.items()):
        lines += [f"### {name}", "", first_line(schema.get("description")), "", *_fields(schema, _part(name)), ""]
    return "\n".join(lines).rstrip() + "\n"


def _fields(schema: Schema, kind: type[msgspec.Struct]) -> Iterator[str]:
    says = meanings(kind)
    yield "| field | is | default |" + (" meaning |" if says else "")
    yield "| --- | --- | --- |" + (" --- |" if says else "")
    required = set(schema.get("required", ()))
    for name, field in schema["properties"].items():
        default = "required" if name in required else f"`{json.dumps(field.get('default', {}))}`"
        yield f"| `{name}` | {in_words(field)} | {default} |" + (f" {says.get(name, '')} |" if says else "")


def _part(name: str) -> type[msgspec.Struct]:
    found: type[msgspec.Struct] = next(vars(module)[name] for module in CONTRACTS if name in vars(module))
    return found
