"""Whether another server heeded the schema that it was to answer by: not all do, and some only while they are well.

Looked at is what makes an answer useless: that it is no JSON object, or says what is not among what was allowed. What it leaves
out, what it adds and how long its texts are is left to whoever reads it.
"""

from __future__ import annotations

from typing import Any

import msgspec

SAID_MAX = 60
_KINDS: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}


def problem(text: str, schema: str) -> str:
    """Why the answer is of no use; empty where it may be of some."""
    begin, end = text.find("{"), text.rfind("}")  # some put words or a fence around it
    try:
        said = msgspec.json.decode(text[begin : end + 1])
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return f"its answer is no JSON object: {text[:SAID_MAX]!r}"
    return f"its answer is not allowed: {text[:SAID_MAX]!r}" if _contradicts(said, msgspec.json.decode(schema)) else ""


def _contradicts(said: object, schema: Any) -> bool:
    """Whether it says what the schema forbids; words of the schema that are not known here forbid nothing."""
    if not isinstance(schema, dict):
        return schema is False
    if forms := schema.get("anyOf"):
        return all(_contradicts(said, form) for form in forms)
    # To Python, true is 1.
    if not any(
        said == each and isinstance(said, bool) is isinstance(each, bool) for each in schema.get("enum", [said])
    ):
        return True
    kind = schema.get("type")
    if isinstance(kind, str) and kind in _KINDS and not _is_a(said, kind):
        return True
    if isinstance(said, int | float) and not isinstance(said, bool):
        return bool(said < schema.get("minimum", said) or said > schema.get("maximum", said))
    if isinstance(said, dict):
        inside = schema.get("properties", {})
        return any(_contradicts(value, inside[key]) for key, value in said.items() if key in inside)
    return isinstance(said, list) and any(_contradicts(each, schema.get("items", True)) for each in said)


def _is_a(said: object, kind: str) -> bool:
    if isinstance(said, bool):
        return kind == "boolean"
    whole = kind == "integer" and isinstance(said, float) and said.is_integer()
    return whole or isinstance(said, _KINDS[kind])
