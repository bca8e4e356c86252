"""The bus as an AsyncAPI 3.0 document, a page to read of the same, and the JSON Schemas: what a game in another language needs.

The law: everything is made of `flow.py` and the contracts, so that it says what the broker is provisioned with.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hearthmind.bus.dead import DELIVERED, REASON, SUBJECT
from hearthmind.bus.publish import DEADLINE, MSG_ID, TTL
from hearthmind.contracts.wire import VERSION, Message
from hearthmind.flow import HOPS, TIERS, Hop, game_permissions, game_user, inbox_prefix
from hearthmind.telemetry.trace import TRACEPARENT
from services.command.asyncapi_page import as_markdown
from services.command.pages.fields import first_line
from services.command.schemas import MESSAGES, SEEN_BY_GAMES, Schema, components, of_message, tag_of

SAMPLES = Path(__file__).parents[2] / "tests" / "samples" / "past"
FOLDER = "docs/reference"

GAME = "game"
DEAD_LETTER = "DeadLetter"

PARAMETERS: dict[str, Schema] = {
    "game": {"description": "The game, as the platform knows it; its user of the broker may speak for no other."},
    "npc": {"description": "Whose mind is asked, and who acts."},
    "kind": {"description": "What sort of decision is wanted; the game's own word.", "examples": ["patrol", "combat"]},
    "tier": {"description": "How urgent it is, from the priority.", "enum": list(TIERS)},
    "pool": {"description": "Workers with the same base model.", "examples": ["rules"]},
    "version": {"description": "A version of an adapter.", "examples": ["raider@3"]},
    "partition": {"description": "The partition of the NPC; each has one owner at a time.", "examples": ["7"]},
    "asker": {"description": "Somebody who wants answers; a new name at each connection.", "examples": ["asker-7f3a"]},
    "stream": {"description": "Where the message came from.", "examples": ["EVENT"]},
}

_TRACE: Schema = {
    TRACEPARENT: {
        "type": "string",
        "pattern": "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}(-.{0,400})?$",
        "description": "The trace that it belongs to, as in W3C Trace Context. May be left out.",
    }
}


def _message_id(shape: str, says: str) -> Schema:
    return {MSG_ID: {"type": "string", "description": f"What the broker de-duplicates by: {shape}. {says}"}}


_OF_ASKING = _message_id("`<game>/<npc>/<id>`", "Sent again under the same id, it is stored once.")
HEADERS: dict[str, Schema] = {
    "Observation": _OF_ASKING,
    "Event": _OF_ASKING,
    "ActionChosen": _message_id("`<game>/<npc>/<decision>`", "The stream keeps the first of a decision.")
    | {
        "Nats-Sequence": {
            "type": "string",
            "description": "Where it is in the stream; grows. Only as a game hears it.",
        },
        "Nats-Time-Stamp": {"type": "string", "description": "When it was stored, in UTC. Only as a game hears it."},
    },
    "DecisionMade": _message_id("`<game>/<npc>/<decision>/detail`", "The stream keeps the first."),
    "PolicyViolated": _message_id("`<game>/<npc>/<decision>/violation`", "The stream keeps the first."),
    "ReplyRated": _message_id(
        "`<game>/<npc>/<decision>/<rater>/<n>`", "Sent again under the same id, it is stored once."
    ),
    "OutcomeObserved": _message_id(
        "`<game>/<npc>/<decision>/outcome-<n>`",
        "Sent again it has another `n`, so that it is stored and confirmed again; the database keeps one.",
    ),
    "Infer": _message_id("`<game>/<npc>/<decision>/<sequence>-<attempt>`", "A question is asked once.")
    | {
        DEADLINE: {
            "type": "string",
            "description": "Until when an answer counts: the broker's clock, seconds since 1970.",
        },
        TTL: {"type": "string", "description": "After so many whole seconds the broker forgets it."},
    },
    DEAD_LETTER: _message_id("`<stream>/<sequence>`", "Buried twice it is still one.")
    | {
        REASON: {"type": "string", "description": "Why it could not be processed."},
        SUBJECT: {"type": "string", "description": "Where it was published."},
        DELIVERED: {"type": "string", "description": "How often it was tried."},
    },
}


def pages() -> dict[str, str]:
    """Each file that is made here, by its path below the repository's root."""
    made = {f"{FOLDER}/schemas/{tag_of(message)}.json": _json(of_message(message)) for message in SEEN_BY_GAMES}
    return made | {f"{FOLDER}/asyncapi.json": _json(document()), f"{FOLDER}/asyncapi.md": as_markdown(document())}


def _json(value: Schema) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


# ---- the document ------------------------------------------------------------------------------------------------------


def document() -> Schema:
    """Everything on the bus; what no game sees is tagged `internal`."""
    return {
        "asyncapi": "3.0.0",
        "id": "urn:hearthmind",
        "info": {
            "title": "Hearthmind",
            "version": f"{VERSION}.0.0",
            "description": "Minds for the characters of any game. A game says what its characters see, gets one legal action "
            "for each, in time, and says what came of it. What is tagged `game` is all that a game needs; what is tagged "
            "`internal` passes between the services.",
            "license": {"name": "Apache-2.0"},
            "tags": [
                {"name": GAME, "description": "For games."},
                {"name": "internal", "description": "Between services; it may change with any release."},
            ],
        },
        "defaultContentType": "application/json",
        "servers": {
            "platform": {
                "host": "127.0.0.1:4222",
                "protocol": "nats",
                "description": "NATS with JetStream. `hearthmind up --game <game>` prints the address with user and password.",
                "security": [{"$ref": "#/components/securitySchemes/user"}],
                "bindings": {"nats": {}},
            }
        },
        "channels": {channel_id(hop): _channel(hop) for hop in HOPS},
        "operations": dict(_operations()),
        "components": {
            "messages": {name: _message(name, kind) for name, kind in _messages().items()},
            "parameters": PARAMETERS,
            "schemas": components(MESSAGES, "#/components/schemas/{name}"),
            "securitySchemes": {"user": _user()},
        },
    }


def channel_id(hop: Hop) -> str:
    """The fixed words of a subject."""
    return ".".join(word for word in hop.subject.split(".") if not word.startswith("<"))


def _channel(hop: Hop) -> Schema:
    names = re.findall(r"<(\w+)>", hop.subject)
    channel: Schema = {
        "address": re.sub(r"<(\w+)>", r"{\1}", hop.subject),
        "description": hop.says,
        "messages": {_name(hop): {"$ref": f"#/components/messages/{_name(hop)}"}},
        "tags": [{"name": _tag(hop)}],
    }
    if names:
        channel["parameters"] = {name: {"$ref": f"#/components/parameters/{name}"} for name in names}
    if hop.stream:
        channel["x-jetstream"] = hop.stream
    return channel


def _operations() -> Iterator[tuple[str, Schema]]:
    """What everybody may do, in the order of the flow: each publishes and hears what its hops say."""
    for hop in HOPS:
        for action, everybody in (("send", hop.producers), ("receive", hop.consumers)):
            for who in everybody:
                yield f"{who}.{action}.{channel_id(hop)}", _operation(hop, who, action)


def _operation(hop: Hop, who: str, action: str) -> Schema:
    channel = f"#/channels/{channel_id(hop)}"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "messages": [{"$ref": f"{channel}/messages/{_name(hop)}"}],
        "summary": hop.says,
        "description": f"The part of: {who}.",
        "tags": [{"name": GAME if who == GAME else "internal"}],
        "bindings": {"nats": {}},
    }


def _messages() -> dict[str, type[Message] | None]:
    return {_name(hop): hop.message for hop in HOPS}


def _message(name: str, kind: type[Message] | None) -> Schema:
    message: Schema = {
        "name": name,
        "title": name,
        "summary": first_line(kind.__doc__)
        if kind
        else "The body of a message that could not be processed, as it came.",
        "contentType": "application/json" if kind else "application/octet-stream",
        "payload": {"$ref": f"#/components/schemas/{name}"} if kind else {},
    }
    if headers := HEADERS.get(name):
        message["headers"] = {"type": "object", "properties": headers | _TRACE}
    if kind:
        message["examples"] = [{"name": path.stem, "payload": _read(path)} for path in _samples_of(kind)]
    return message


def _samples_of(kind: type[Message]) -> list[Path]:
    return sorted(SAMPLES.glob(f"{tag_of(kind)}.*.json"))


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _user() -> Schema:
    user, may = game_user("<game>"), game_permissions("<game>")
    return {
        "type": "userPassword",
        "description": f"A game is the user `{user}`. It may publish to {_code(may.publish)} and subscribe to "
        f"{_code(may.subscribe)}, so its client's inbox prefix is `{inbox_prefix(user)}`. Everything else is refused.",
    }


def _name(hop: Hop) -> str:
    return hop.message.__name__ if hop.message else DEAD_LETTER


def _tag(hop: Hop) -> str:
    return GAME if GAME in (*hop.producers, *hop.consumers) else "internal"


def _code(words: tuple[str, ...]) -> str:
    return ", ".join(f"`{word}`" for word in words)
