"""The contracts as JSON Schemas, for games in other languages and for tools.

The law: what our decoder accepts, the schema accepts. What the decoder checks and a schema can't say stands in words in
its description. Unknown fields pass, since a reader ignores them.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

import msgspec

from hearthmind.bus.wire import MESSAGE_BYTES_MAX, OBSERVATION_BYTES_MAX, READABLE_VERSIONS
from hearthmind.contracts.observation import Event, LegalAction, Observation, Real, Whole
from hearthmind.contracts.outcome import OutcomeObserved, ReplyRated
from hearthmind.contracts.wire import VERSION, Message
from hearthmind.flow import HOPS
from services.command.pages.fields import first_line, meanings
from services.command.pages.messages import CONTRACTS

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

MESSAGES = tuple(dict.fromkeys(hop.message for hop in HOPS if hop.message))
SEEN_BY_GAMES = tuple(
    dict.fromkeys(hop.message for hop in HOPS if hop.message and "game" in (*hop.producers, *hop.consumers))
)

_OBSERVED = (
    f"At most {OBSERVATION_BYTES_MAX // 1024} KiB in all.",
    "Game, NPC and kind are those of the subject.",
    "No two legal actions have the same name.",
)
_BOUNDED = ("The minimum is not above the maximum.",)
IN_WORDS: Mapping[type, tuple[str, ...]] = {
    Observation: _OBSERVED,
    Event: _OBSERVED,
    OutcomeObserved: (f"At most {MESSAGE_BYTES_MAX // 1024} KiB in all.", "Game and NPC are those of the subject."),
    ReplyRated: ("Game and NPC are those of the subject.",),
    LegalAction: ("A default that is not possible is moved to the nearest that is.",),
    Whole: (*_BOUNDED, "A whole number is written without a decimal point."),
    Real: _BOUNDED,
}
"""What is checked, or holds, beyond what a schema can say."""

KNOWN_BY_TAG = {
    hop.message
    for hop in HOPS
    for other in HOPS
    if hop.stream and hop.stream == other.stream and hop.message != other.message
}
"""These share a stream with other messages, so that `type` may not be left out."""

_STRUCTS = {
    name: kind
    for name, kind in chain.from_iterable(vars(module).items() for module in CONTRACTS)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
}


def of_message(message: type[Message]) -> Schema:
    """The schema of a message as a document of its own."""
    parts = components((message,), "#/$defs/{name}")
    root = parts.pop(message.__name__)
    head = {"$schema": DIALECT, "$id": f"urn:hearthmind:{tag_of(message)}:{VERSION}"}
    return head | root | ({"$defs": dict(sorted(parts.items()))} if parts else {})


def components(messages: tuple[type[Message], ...], ref_template: str) -> dict[str, Schema]:
    """The schemas of messages and of all that they are made of, by name."""
    _, found = msgspec.json.schema_components(messages, ref_template=ref_template)
    return {name: _struct(_STRUCTS[name], schema) for name, schema in found.items()}


def tag_of(message: type[Message]) -> str:
    """What a message says in `type`."""
    return str(message.__struct_config__.tag)


def _struct(kind: type[msgspec.Struct], schema: Schema) -> Schema:
    says = meanings(kind)
    fields = {name: _described(_portable(field), says.get(name)) for name, field in schema["properties"].items()}
    required = list(schema["required"])
    if issubclass(kind, Message):
        fields["type"]["description"] = "Which message it is."
        fields["v"] = {"description": "The major version.", "enum": list(READABLE_VERSIONS), "default": VERSION}
        if kind not in KNOWN_BY_TAG:
            required.remove("type")
    return {
        "title": kind.__name__,
        "description": " ".join((first_line(kind.__doc__), *IN_WORDS.get(kind, ()))),
        "type": "object",
        "properties": fields,
        "required": required,
    }


def _described(field: Schema, says: str | None) -> Schema:
    return field | ({"description": says} if says else {})


def _portable(schema: Schema) -> Schema:
    """The same for every reader of JSON Schema: no anchors of Python's, no keywords of OpenAPI's."""
    found: Schema = {}
    for word, value in schema.items():
        match word:
            case "anyOf":
                found |= _any_of(value)
            case "$ref":
                found |= _reference(value)
            case "enum" if len(value) == 1:
                found["const"] = value[0]
            case "pattern":
                found["pattern"] = value.replace(r"\Z", "$")
            case "items" | "additionalProperties" | "propertyNames":
                found[word] = _portable(value)
            case _ if word != "discriminator":
                found[word] = value
    return found


def _any_of(options: list[Schema]) -> Schema:
    """One of several: plain types side by side, and a choice within a choice as one choice."""
    portable = [_portable(option) for option in options]
    if all(option.keys() == {"type"} for option in portable):
        types = [option["type"] for option in portable]
        return {"type": [each for each in types if each != "integer" or "number" not in types]}
    return {"anyOf": list(chain.from_iterable(option.get("anyOf", [option]) for option in portable))}


def _reference(name: str) -> Schema:
    """A message within a message always says its type."""
    if any(name.rpartition("/")[2] == message.__name__ for message in MESSAGES):
        return {"allOf": [{"$ref": name}], "required": ["type"]}
    return {"$ref": name}
