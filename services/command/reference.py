"""The reference pages that are made from the code: docs/FLOW.md and docs/reference/messages.md."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from hearthmind import flow

DOCS = Path(__file__).parents[2] / "docs"
Schema = Mapping[str, Any]

INTRODUCTION = """# Messages

Every message of the bus, made from [the contracts](../../shared/hearthmind/contracts). They travel as JSON. A reader
ignores fields that it does not know; what has a default may be left out; `type` may be left out too where a subject
carries only one message. Ids are letters, digits, `_` and `-`, at most 64, since they become parts of subjects. Numbers are
finite; whole numbers are at most 2^53. This page is written by `./just reference`, and a test keeps it in step.
"""


def pages() -> dict[Path, str]:
    """Each page with its text."""
    return {DOCS / "FLOW.md": flow.as_markdown(), DOCS / "reference" / "messages.md": messages_as_markdown()}


def messages_as_markdown() -> str:
    """Every message with its fields, and what they are made of."""
    messages = list(dict.fromkeys(hop.message for hop in flow.HOPS if hop.message))
    _, components = msgspec.json.schema_components(messages, ref_template="{name}")
    lines = [INTRODUCTION]
    for message in messages:
        subjects = ", ".join(f"`{hop.subject}`" for hop in flow.HOPS if hop.message is message)
        lines += [f"## {message.__name__}", "", _first_line(message.__doc__), "", f"On {subjects}.", ""]
        lines += [*_fields(components.pop(message.__name__)), ""]
    lines += ["## Parts", ""]
    for name, schema in sorted(components.items()):
        lines += [f"### {name}", "", _first_line(schema.get("description")), "", *_fields(schema), ""]
    return "\n".join(lines).rstrip() + "\n"


def _fields(schema: Schema) -> Iterator[str]:
    yield "| field | is | default |"
    yield "| --- | --- | --- |"
    required = set(schema.get("required", ()))
    for name, field in schema["properties"].items():
        default = "required" if name in required else f"`{json.dumps(field.get('default', {}))}`"
        yield f"| `{name}` | {_type(field)} | {default} |"


def _type(field: Schema) -> str:
    if "$ref" in field:
        return f"[{field['$ref']}](#{field['$ref'].lower()})"
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"])
    if "enum" in field:
        return " or ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    if "additionalProperties" in field:
        return f"object of {_type(field['additionalProperties'])}{_bounds(field)}"
    if "items" in field:
        return f"list of {_type(field['items'])}{_bounds(field)}"
    return f"{field.get('description') or field.get('type', 'any JSON')}{_bounds(field)}"


_BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "maxProperties": "at most {}",
}


def _bounds(field: Schema) -> str:
    found = [words.format(field[bound]) for bound, words in _BOUNDS.items() if bound in field]
    return f" ({', '.join(found)})" if found else ""


def _first_line(text: str | None) -> str:
    return inspect.cleandoc(text or "").partition("\n\n")[0].replace("\n", " ")


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
