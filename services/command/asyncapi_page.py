"""docs/reference/asyncapi.md: the AsyncAPI document as people read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

INTRODUCTION = """# The bus

What a game says and hears, in any language with a NATS client. The same for tools is
[asyncapi.json](asyncapi.json) (AsyncAPI 3.0); each message that a game sees has a JSON Schema (draft 2020-12). All of it is
made from [`flow.py`](../../shared/hearthmind/flow.py) and
[the contracts](../../shared/hearthmind/contracts) by `./just reference`, and a test keeps it in step.
[Connect your game](../how-to/connect-your-game.md) says how to use it.
"""


def as_markdown(document: Json) -> str:
    """The whole page."""
    lines = [INTRODUCTION, *_picture(document), "", *_connection(document), "", *_games_part(document), ""]
    lines += [*_parameters(document), "", *_messages(document), *_internal(document)]
    return "\n".join(lines).rstrip() + "\n"


def _picture(document: Json) -> Iterator[str]:
    yield "```"
    for action, channel in _of_game(document):
        line = f"{_message_of(channel)} ".ljust(17, "─")
        yield f"GAME {f'── {line}▶' if action == 'send' else f'◀─ {line}─'} {channel['address']}"
    yield "```"


def _connection(document: Json) -> Iterator[str]:
    server, user = document["servers"]["platform"], document["components"]["securitySchemes"]["user"]
    yield from ("## Connection", "", server["description"], "", user["description"])


def _games_part(document: Json) -> Iterator[str]:
    yield from ("## What a game does", "", "| | subject | message | |", "| --- | --- | --- | --- |")
    for action, channel in _of_game(document):
        what = f"[{_message_of(channel)}](#{_message_of(channel).lower()})"
        yield f"| {action}s | `{channel['address']}` | {what} | {channel['description']} |"
    yield from ("", _ACKNOWLEDGED)


_ACKNOWLEDGED = """A game that publishes with a reply subject gets JetStream's acknowledgement there: `{"stream": …, "seq": …}`,
with `"duplicate": true` where the message id was stored before, or `{"error": …}` where the stream is full or refuses it."""


def _parameters(document: Json) -> Iterator[str]:
    yield from ("## In the subjects", "", "| part | is |", "| --- | --- |")
    for name, parameter in document["components"]["parameters"].items():
        words = ", ".join(f"`{word}`" for word in parameter.get("enum") or parameter.get("examples") or ())
        more = f" {'One of' if 'enum' in parameter else 'Such as'} {words}." if words else ""
        yield f"| `{{{name}}}` | {parameter['description']}{more} |"


def _messages(document: Json) -> Iterator[str]:
    yield from ("## Messages", "")
    for name in dict.fromkeys(_message_of(channel) for _, channel in _of_game(document)):
        message = document["components"]["messages"][name]
        payload = document["components"]["schemas"][name]
        tag = payload["properties"]["type"]["const"]
        yield from (f"### {name}", "", payload["description"], "")
        yield f"Its fields are in [Messages](messages.md#{name.lower()}) and in [schemas/{tag}.json](schemas/{tag}.json)."
        if headers := message.get("headers"):
            yield from ("", "| header | is |", "| --- | --- |")
            yield from (f"| `{header}` | {what['description']} |" for header, what in headers["properties"].items())
        yield from ("", "```json", _shown(message["examples"][0]["payload"]), "```", "")


def _shown(payload: Json) -> str:
    """An example with a line for each field."""
    fields = (f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in payload.items())
    return "{\n" + ",\n".join(fields) + "\n}"


def _internal(document: Json) -> Iterator[str]:
    yield from ("## Between the services", "", "No game may speak or hear here; it may change with any release.", "")
    yield from ("| subject | message | |", "| --- | --- | --- |")
    for channel in document["channels"].values():
        if {"name": "internal"} in channel["tags"]:
            yield f"| `{channel['address']}` | {_message_of(channel)} | {channel['description']} |"


def _of_game(document: Json) -> Iterator[tuple[str, Json]]:
    """What a game does, with the channel."""
    for operation in document["operations"].values():
        if {"name": "game"} in operation["tags"]:
            yield operation["action"], document["channels"][operation["channel"]["$ref"].rpartition("/")[2]]


def _message_of(channel: Json) -> str:
    (name,) = channel["messages"]
    return str(name)
