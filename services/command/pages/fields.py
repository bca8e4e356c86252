"""The fields of a struct in words: of which type, within which bounds, and what the docstring below each one says."""

from __future__ import annotations

import ast
import inspect
import json
import textwrap
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import msgspec

Schema = Mapping[str, Any]

_BOUNDS = {
    "minimum": "at least {:,}",
    "exclusiveMinimum": "above {:,}",
    "maximum": "at most {:,}",
    "minLength": "at least {:,} characters",
    "maxLength": "at most {:,} characters",
    "minItems": "at least {:,}",
    "maxItems": "at most {:,}",
    "maxProperties": "at most {:,}",
}


def in_words(field: Schema) -> str:
    """The type of a field, from its schema."""
    if "$ref" in field:
        return f"[{field['$ref']}](#{field['$ref'].lower()})"
    if "anyOf" in field:
        return " or ".join(in_words(option) for option in field["anyOf"])
    if "enum" in field:
        return " or ".join(f"`{json.dumps(value)}`" for value in field["enum"])
    if "additionalProperties" in field:
        return f"object of {in_words(field['additionalProperties'])}{_bounds(field)}"
    if "items" in field:
        return f"list of {in_words(field['items'])}{_bounds(field)}"
    return f"{field.get('description') or field.get('type', 'any JSON')}{_bounds(field)}"


def _bounds(field: Schema) -> str:
    found = [words.format(field[bound]) for bound, words in _BOUNDS.items() if bound in field]
    return f" ({', '.join(found)})" if found else ""


def first_line(text: str | None) -> str:
    """The first paragraph of a docstring, in one line."""
    return inspect.cleandoc(text or "").partition("\n\n")[0].replace("\n", " ")


def meanings(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The docstring below each field, those of the struct's parents included."""
    found: dict[str, str] = {}
    for parent in reversed(kind.__mro__):
        if issubclass(parent, msgspec.Struct) and parent is not msgspec.Struct:
            found |= _own_meanings(parent)
    return found


def _own_meanings(kind: type) -> dict[str, str]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    return {
        field.target.id: inspect.cleandoc(below.value.value).replace("\n", " ")
        for field, below in pairwise(ast.iter_child_nodes(tree))
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }
