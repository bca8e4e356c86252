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
    return {DOCS / "FLOW.md": flow_as_markdown(), DOCS / "reference" / "messages.md": messages_as_markdown()}


def flow_as_markdown(partitions: int = 16) -> str:
    """The tables of flow.py, for reading."""
    lines = [
        "# The flow",
        "",
        "One observation's way round, hop by hop. This page is written by `./just reference` from",
        "[`shared/hearthmind/flow.py`](../shared/hearthmind/flow.py), and a test keeps it in step.",
        "",
        "| subject | message | from | to | stream |",
        "| --- | --- | --- | --- | --- |",
    ]
    for hop in flow.HOPS:
        message = f"`{hop.message.__name__}`" if hop.message else "(the body as it came)"
        who = f"{', '.join(hop.producers)} | {', '.join(hop.consumers)}"
        lines.append(f"| `{hop.subject}` | {message} | {who} | {hop.stream or 'none'} |")
    lines += ["", *(f"- `{hop.subject}`: {hop.says}" for hop in flow.HOPS)]
    lines += [
        "",
        "## Streams",
        "",
        "| stream | kept | retention | when full | limits |",
        "| --- | --- | --- | --- | --- |",
    ]
    for stream in flow.STREAMS:
        limits = [f"{stream.bytes_max // flow.MIB} MiB"]
        limits += [f"{stream.messages_max:,} messages"] if stream.messages_max > 0 else []
        limits += ["the newest per subject"] if stream.newest_per_subject else []
        limits += [f"from {', '.join(stream.sources)}"] if stream.sources else []
        kept = f"{stream.storage}, {_span(stream.kept_s)}"
        lines.append(f"| {stream.name} | {kept} | {stream.retention} | {stream.when_full} | {'; '.join(limits)} |")
    lines += ["", *(f"- {stream.name}: {stream.says}" for stream in flow.STREAMS)]
    lines += ["", "## Consumers", "", f"With {partitions} partitions and a set for every pool.", ""]
    lines += ["| stream | consumer | service | acknowledged within | in flight | deliveries |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for consumer in flow.CONSUMERS:
        numbers = f"{consumer.ack_wait_s:g} s | {consumer.pending_max:,} | {consumer.deliveries_max}"
        lines.append(f"| {consumer.stream} | `{consumer.name}` | {consumer.service} | {numbers} |")
    lines += ["", "## Permissions", "", "What each user of the broker may do; everything else is refused.", ""]
    for user in (*flow.SERVICES, "game"):
        may = flow.game_permissions("<game>") if user == "game" else flow.service_permissions(user)
        lines += [f"### {user}", "", f"- publish: {_code(may.publish)}", f"- subscribe: {_code(may.subscribe)}", ""]
    return "\n".join(lines).rstrip() + "\n"


def _code(subjects: tuple[str, ...]) -> str:
    return ", ".join(f"`{subject}`" for subject in subjects)


def _span(seconds: float) -> str:
    if seconds >= flow.DAY_S:
        return f"{seconds / flow.DAY_S:g} d"
    return f"{seconds:g} s"


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
