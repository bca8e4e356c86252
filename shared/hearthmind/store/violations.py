"""Violations of the policy, what people said about them, and the log of both.

The law: nothing here is ever changed or deleted; a trigger refuses it. A violation's state is what the log says last about it.
Players' words are not kept here but in `texts`, from where they can be erased.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

import msgspec
from sqlalchemy import (
    DDL,
    BigInteger,
    Column,
    DateTime,
    Double,
    Identity,
    Index,
    Select,
    Table,
    Text,
    and_,
    cast,
    event,
    func,
    insert,
    select,
)
from sqlalchemy.dialects.postgresql import JSONB, distinct_on
from sqlalchemy.dialects.postgresql import insert as insert_or_leave

from hearthmind.contracts.policy import PolicyViolated
from hearthmind.store.engine import Connection
from hearthmind.store.rows import ViolationRow
from hearthmind.store.storable import storable_json, storable_text
from hearthmind.store.tables import metadata, texts

Verdict = Literal["approve", "reject", "ban", "unban"]

_time = DateTime(timezone=True)

violations = Table(
    "violations",
    metadata,
    Column("game", Text, primary_key=True),
    Column("decision", Text, primary_key=True),
    Column("rule", Text, primary_key=True),
    Column("happened_at", _time, nullable=False, comment="when the broker stored it"),
    Column("npc", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("episode", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("action", Text, nullable=False, comment="what the mind wanted; it was not done"),
    Column("arguments", JSONB, nullable=False),
    Column("speech", Text, nullable=False),
    Column("reasoning", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("template", Text, nullable=False),
    Column("frozen_s", Double, nullable=False),
    Column("answer", Text, nullable=False),
    Column("observation", JSONB, comment="what was seen, without the players' words"),
)
Index("violations_by_time", violations.c.happened_at)

audit = Table(
    "audit",
    metadata,
    Column("game", Text, primary_key=True),
    Column("number", BigInteger, Identity(always=True), primary_key=True),
    Column("at", _time, nullable=False, server_default=func.now()),
    Column("what", Text, nullable=False, comment="violated, approve, reject, ban or unban"),
    Column("who", Text, nullable=False, comment="a person, or policy"),
    Column("npc", Text, nullable=False),
    Column("decision", Text, nullable=False),
    Column("rule", Text, nullable=False),
    Column("note", Text, nullable=False),
)
Index("audit_by_decision", audit.c.game, audit.c.decision, audit.c.number)

APPEND_ONLY = (
    """CREATE OR REPLACE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege'; END $$""",
    *(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        for table in ("violations", "audit")
    ),
)
"""What refuses every change, whoever asks for it; the migration makes the same."""

for _table, _trigger in ((violations, APPEND_ONLY[1]), (audit, APPEND_ONLY[2])):
    for _statement in (APPEND_ONLY[0], _trigger):
        event.listen(_table, "after_create", DDL(_statement.replace("%", "%%")))  # type: ignore[no-untyped-call]

POLICY = "policy"
"""Who says in the log that something was violated."""


# ---- what comes in ----------------------------------------------------------------------------------------------------


def row_of(violated: PolicyViolated, happened_at: datetime) -> ViolationRow:
    """The row of a message; the players' words stay out of it, and are added with the decision's detail."""
    seen = violated.observation
    observation = msgspec.json.encode(msgspec.structs.replace(seen, texts=())) if seen else None
    return ViolationRow(
        game=violated.game,
        decision=violated.decision,
        rule=violated.rule,
        happened_at=happened_at,
        npc=violated.npc,
        kind=violated.kind,
        episode=violated.episode,
        why=storable_text(violated.why),
        action=violated.action,
        arguments=storable_json(msgspec.json.encode(violated.arguments)),
        speech=storable_text(violated.speech),
        reasoning=storable_text(violated.reasoning),
        source=storable_text(violated.source),
        model=storable_text(violated.model),
        template=storable_text(violated.template),
        frozen_s=violated.frozen_s,
        answer=storable_text(violated.answer),
        observation=storable_json(observation) if observation else None,
    )


_ADD = (
    insert_or_leave(violations)
    .on_conflict_do_nothing()
    .returning(violations.c.game, violations.c.decision, violations.c.rule)
)


async def add_violations(connection: Connection, rows: Iterable[ViolationRow]) -> int:
    """Adds violations and says so in the log, each once however often it is told; returns how many were new."""
    wanted = {row[:3]: row for row in sorted(rows, key=lambda row: row[:3], reverse=True)}
    if not wanted:
        return 0
    given = [row._asdict() for _, row in sorted(wanted.items())]
    for row in given:
        row |= {key: msgspec.Raw(row[key].encode()) for key in ("arguments", "observation") if row[key] is not None}
    new = [wanted[tuple(key)] for key in await connection.execute(_ADD, given)]
    said = [_line("violated", POLICY, row.game, row.npc, row.decision, row.rule, row.why) for row in new]
    if said:
        await connection.execute(_LOG, said)
    return len(new)


_LOG = insert(audit).inline()
"""Nothing is asked back: who may add a line need not be able to read one."""


def _line(what: str, who: str, game: str, npc: str, decision: str, rule: str, note: str) -> dict[str, str]:
    return {"what": what, "who": who, "game": game, "npc": npc, "decision": decision, "rule": rule, "note": note}


# ---- what people see --------------------------------------------------------------------------------------------------


class Listed(msgspec.Struct, frozen=True):
    """A violation in one line."""

    game: str
    decision: str
    rule: str
    happened_at: datetime
    npc: str
    action: str
    why: str
    model: str
    verdict: str | None
    """What a person said last; None where it waits for one."""


class Shown(msgspec.Struct, frozen=True):
    """A violation with all that it came from, as JSON, and what was said about it."""

    rows: list[msgspec.Raw]
    texts: list[tuple[str, str]]
    log: list[tuple[datetime, str, str, str]]
    """When, what, who, and with which note."""


def _verdicts() -> Select[tuple[str, str, str, str]]:
    """The last word of a person about each violation."""
    return (
        select(audit.c.game, audit.c.decision, audit.c.rule, audit.c.what)
        .where(audit.c.who != POLICY)
        .ext(distinct_on(audit.c.game, audit.c.decision, audit.c.rule))
        .order_by(audit.c.game, audit.c.decision, audit.c.rule, audit.c.number.desc())
    )


async def violations_of(
    connection: Connection, most: int = 50, game: str | None = None, *, waiting: bool = True
) -> list[Listed]:
    """The newest violations, of one game or of all; those that wait for a person, or all."""
    said = _verdicts().subquery()
    same = [violations.c[key] == said.c[key] for key in ("game", "decision", "rule")]
    columns = [violations.c[name] for name in Listed.__struct_fields__[:-1]]
    found = select(*columns, said.c.what.label("verdict")).select_from(violations.outerjoin(said, and_(*same)))
    if game is not None:
        found = found.where(violations.c.game == game)
    if waiting:
        found = found.where(said.c.what.is_(None))
    found = found.order_by(violations.c.happened_at.desc(), violations.c.decision).limit(most)
    return [Listed(**row._asdict()) for row in await connection.execute(found)]


async def violation_of(connection: Connection, decision: str) -> Shown:
    """All that is kept of what a decision violated."""
    as_json = select(cast(func.to_jsonb(violations.table_valued()), Text)).where(violations.c.decision == decision)
    rows = [msgspec.Raw(row.encode()) for row in await connection.scalars(as_json)]
    said = select(texts.c.speaker, texts.c.text).where(texts.c.decision == decision).order_by(texts.c.number)
    log = select(audit.c.at, audit.c.what, audit.c.who, audit.c.note).where(audit.c.decision == decision)
    return Shown(
        rows,
        [(row.speaker, row.text) for row in await connection.execute(said)],
        [(row.at, row.what, row.who, row.note) for row in await connection.execute(log.order_by(audit.c.number))],
    )


async def review(connection: Connection, decision: str, verdict: Verdict, who: str, note: str) -> list[tuple[str, str]]:
    """Says what a person thinks of what a decision violated; returns the game and NPC of each, none where it is unknown."""
    found = select(violations.c.game, violations.c.npc, violations.c.rule).where(violations.c.decision == decision)
    rows = (await connection.execute(found)).all()
    if rows:
        said = [_line(verdict, who, game, npc, decision, rule, note) for game, npc, rule in rows]
        await connection.execute(_LOG, said)
    return sorted({(game, npc) for game, npc, _ in rows})


# ---- the scan ---------------------------------------------------------------------------------------------------------

PATTERNS = (
    ("npc", "rule"),
    ("rule", "action"),
    ("rule", "model"),
    ("rule", "template"),
    ("npc",),
    ("model",),
)
"""By what repeated violations are looked for; each within one game."""


class Pattern(msgspec.Struct, frozen=True):
    """Something that happened again and again."""

    game: str
    by: dict[str, str]
    times: int
    npcs: int
    first: datetime
    last: datetime
    approved: int
    """How many of them a person found right: many mean that the rule is too strict."""


async def scan(connection: Connection, since: timedelta, times_min: int = 3, game: str | None = None) -> list[Pattern]:
    """What was violated repeatedly, the most frequent first."""
    found = [each for by in PATTERNS for each in await _repeated(connection, by, since, times_min, game)]
    return sorted(found, key=lambda each: (-each.times, sorted(each.by.items())))


async def _repeated(
    connection: Connection, by: tuple[str, ...], since: timedelta, times_min: int, game: str | None
) -> list[Pattern]:
    said = _verdicts().subquery()
    same = [violations.c[key] == said.c[key] for key in ("game", "decision", "rule")]
    keys = [violations.c[name] for name in by]
    counted = (
        select(
            violations.c.game,
            *keys,
            func.count().label("times"),
            func.count(violations.c.npc.distinct()).label("npcs"),
            func.min(violations.c.happened_at),
            func.max(violations.c.happened_at),
            func.count().filter(said.c.what == "approve"),
        )
        .select_from(violations.outerjoin(said, and_(*same)))
        .where(violations.c.happened_at > func.now() - since, *(key != "" for key in keys))
        .group_by(violations.c.game, *keys)
        .having(func.count() >= times_min)
    )
    if game is not None:
        counted = counted.where(violations.c.game == game)
    patterns = []
    for of, *rest in await connection.execute(counted):
        words, (times, npcs, first, last, approved) = rest[: len(by)], rest[len(by) :]
        patterns.append(Pattern(of, dict(zip(by, words, strict=True)), times, npcs, first, last, approved))
    return patterns


class Said(msgspec.Struct, frozen=True):
    """A line of the log."""

    at: datetime
    what: str
    who: str
    game: str
    npc: str
    decision: str
    rule: str
    note: str


async def log_of(connection: Connection, most: int = 50, game: str | None = None) -> list[Said]:
    """The newest lines of the log, of one game or of all."""
    lines = select(*(audit.c[name] for name in Said.__struct_fields__)).order_by(audit.c.number.desc()).limit(most)
    if game is not None:
        lines = lines.where(audit.c.game == game)
    return [Said(**row._asdict()) for row in await connection.execute(lines)]
