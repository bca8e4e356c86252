"""Past decisions as they were made: what was seen, what the mind read and said, what was done. For asking again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Text, cast, func, literal_column, select

from hearthmind.contracts.inference import Turn
from hearthmind.contracts.observation import Event, Heard, Observation
from hearthmind.contracts.wire import Fact
from hearthmind.store.documents import bodies_of
from hearthmind.store.engine import Connection
from hearthmind.store.tables import decisions, texts

_Row = dict[str, Any]
_DOCUMENTS = ("state", "legal_actions", "answer")
"""Columns that name a document."""


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """One decision. What was not kept of it is empty."""

    decision: str
    game: str
    npc: str
    kind: str
    observation: Observation | Event
    action: str
    arguments: dict[str, Fact]
    source: str
    why: str = ""
    model: str = ""
    adapter: str = ""
    template: str = ""
    persona: str = ""
    prompt: tuple[Turn, ...] = ()
    answer: str = ""
    speech: str = ""
    reasoning: str = ""
    confidence: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    stages_ms: dict[str, float] = {}


async def past_of(connection: Connection, decision: str) -> list[Past]:
    """The decision of this id, in each game that has one."""
    return await _found(connection, decisions.c.decision == decision, most=100)


async def newest_past(
    connection: Connection, game: str, kind: str | None, most: int, *, by_mind: bool = True
) -> list[Past]:
    """The newest decisions of a game, of one kind or of all; those that a mind was asked about, or every one."""
    wanted = decisions.c.game == game
    if kind is not None:
        wanted &= decisions.c.kind == kind
    if by_mind:
        wanted &= decisions.c.answer.is_not(None)
    return await _found(connection, wanted, most)


async def _found(connection: Connection, wanted: ColumnElement[bool], most: int) -> list[Past]:
    heard = select(
        func.coalesce(
            func.jsonb_agg(func.jsonb_build_object("speaker", texts.c.speaker, "text", texts.c.text)),
            literal_column("'[]'::jsonb"),
        )
    ).where(texts.c.game == decisions.c.game, texts.c.decision == decisions.c.decision)
    row = cast(func.to_jsonb(literal_column("decisions.*")), Text)
    complete = decisions.c.action.is_not(None) & decisions.c.observation.is_not(None)
    rows = (
        select(row, cast(heard.scalar_subquery(), Text))
        .select_from(decisions)
        .where(wanted, complete)
        .order_by(decisions.c.decided_at.desc())
        .limit(most)
    )
    found = [(msgspec.json.decode(record), said) for record, said in await connection.execute(rows)]
    bodies = {
        game: await _bodies(connection, game, (row for row, _ in found)) for game in {r["game"] for r, _ in found}
    }
    return [_past(row, said, bodies[row["game"]]) for row, said in found]


async def _bodies(connection: Connection, game: str, rows: Iterable[_Row]) -> Mapping[bytes, str]:
    """The big texts of a game's rows."""
    mine = [row for row in rows if row["game"] == game]
    keys = [_key(row[name]) for row in mine for name in _DOCUMENTS if row[name]]
    return await bodies_of(connection, game, [*keys, *(_key(key) for row in mine for _, key in row["prompt"] or ())])


def _past(row: _Row, said: str, bodies: Mapping[bytes, str]) -> Past:
    """A row as a decision; the observation is what was kept of it, with the players' words from their own table."""
    fields = {key: value for key, value in row.items() if value is not None}
    state, actions, answer = (bodies.get(_key(row[name] or ""), "") for name in _DOCUMENTS)
    seen = {
        **fields["observation"],
        "id": fields["decision"],
        "game": fields["game"],
        "npc": fields["npc"],
        "kind": fields["kind"],
        "episode": fields["episode"],
        "state": msgspec.Raw(state.encode() or b"{}"),
        "legal_actions": msgspec.Raw(actions.encode() or b"[]"),
    }
    turns = [{"role": role, "text": bodies.get(_key(key), "")} for role, key in fields.get("prompt", ())]
    kept = {key: fields[key] for key in Past.__struct_fields__ if key in fields}
    whole = {**kept, "observation": seen, "prompt": turns, "answer": answer}
    past = msgspec.json.decode(msgspec.json.encode(whole), type=Past)
    heard = msgspec.json.decode(said, type=tuple[Heard, ...])
    return msgspec.structs.replace(past, observation=msgspec.structs.replace(past.observation, texts=heard))


def _key(as_json: str) -> bytes:
    """A document's key, as Postgres writes one in JSON, or as a prompt's turn names it."""
    return bytes.fromhex(as_json.removeprefix("\\x"))
