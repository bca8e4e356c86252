"""The tables. The game is part of every key; nothing refers to anything by a foreign key, because halves come in any order.

`outcomes` and `experiences` have the broker's time in their keys, so that they can be partitioned by it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

_time = DateTime(timezone=True)


def _key(name: str, kind: type[Text | BigInteger | SmallInteger] = Text) -> Column[object]:
    return Column(name, kind, primary_key=True, autoincrement=False)


games = Table(
    "games",
    metadata,
    _key("game"),
    Column("first_seen", _time, nullable=False, server_default=func.now()),
)

npcs = Table(
    "npcs",
    metadata,
    _key("game"),
    _key("npc"),
    Column("decisions", BigInteger, nullable=False),
    Column("experiences", BigInteger, nullable=False),
    Column("reward_sum", Double, nullable=False),
    Column("rank", BigInteger, comment="the last fact of that name"),
)

decisions = Table(
    "decisions",
    metadata,
    _key("game"),
    _key("decision"),
    Column("npc", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("episode", Text, nullable=False),
    Column("trace_id", Text),
    # the action
    Column("decided_at", _time),
    Column("snapshot", BigInteger),
    Column("action", Text),
    Column("arguments", JSONB),
    Column("source", Text),
    Column("why", Text),
    Column("model", Text),
    Column("speech", Text),
    Column("reasoning", Text),
    Column("confidence", Double),
    Column("attempt", Integer),
    Column("stages_ms", JSONB),
    # the detail
    Column("tier", Text),
    Column("partition", Integer),
    Column("epoch", BigInteger),
    Column("observation", JSONB, comment="the state before and the legal actions, without the players' words"),
    Column("answer", Text),
    Column("worker", Text),
    Column("tokens_in", Integer),
    Column("tokens_out", Integer),
)

outcomes = Table(
    "outcomes",
    metadata,
    _key("game"),
    Column("happened_at", _time, primary_key=True, comment="when the broker stored it"),
    _key("decision"),
    Column("npc", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("episode", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("arguments", JSONB, nullable=False),
    Column("executed_by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("success", Boolean, nullable=False),
    Column("facts", JSONB, nullable=False),
    Column("state_after", JSONB, nullable=False),
    Column("game_time", Double, nullable=False),
    Column("observation", JSONB, comment="what was seen, where the platform never answered"),
    Column("digest", LargeBinary, nullable=False, comment="of the body, to tell a repetition from a contradiction"),
    Column("sequence", BigInteger, nullable=False, comment="in the EXPERIENCE stream"),
    Column("trace_id", Text),
    Column("received_at", _time, nullable=False, server_default=func.now()),
    Column(
        "settled_at", _time, comment="when it became an experience or expired; null while it waits for its decision"
    ),
)
Index("outcomes_by_decision", outcomes.c.game, outcomes.c.decision)
Index("outcomes_parked", outcomes.c.received_at, postgresql_where=text("settled_at IS NULL"))

experiences = Table(
    "experiences",
    metadata,
    _key("game"),
    Column("happened_at", _time, primary_key=True),
    _key("decision"),
    Column("npc", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("episode", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("arguments", JSONB, nullable=False),
    Column("source", Text, nullable=False, comment="the platform's, or client where its own fallback was executed"),
    Column("success", Boolean, nullable=False),
    Column("reward", Double, nullable=False),
    Column("reward_parts", JSONB, nullable=False),
    Column("state_after", JSONB, nullable=False),
    Column("game_time", Double, nullable=False),
    Column("trace_id", Text),
)

texts = Table(
    "texts",
    metadata,
    _key("game"),
    _key("decision"),
    _key("number", SmallInteger),
    Column("npc", Text, nullable=False),
    Column("speaker", Text, nullable=False),
    Column("text", Text, nullable=False),
)

inbox = Table(
    "inbox",
    metadata,
    _key("game"),
    _key("message_id"),
    Column("received_at", _time, nullable=False, server_default=func.now()),
)
Index("inbox_by_time", inbox.c.received_at, postgresql_using="brin")

dead_letters = Table(
    "dead_letters",
    metadata,
    _key("game"),
    _key("stream"),
    _key("sequence", BigInteger),
    Column("subject", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("delivered", Integer, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("died_at", _time, nullable=False, server_default=func.now()),
)
