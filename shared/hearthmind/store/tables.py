"""The tables. The game is part of every key; nothing refers to anything by a foreign key, because halves come in any order.

`decisions` and `outcomes` are where halves wait for each other, and are cleared after a while. `experiences` is the record:
a partition for each day of the broker's time, as `documents`, whose keys begin with their day.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
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

from hearthmind.store.cases import Features
from hearthmind.store.partitions import install

metadata = MetaData()
install(metadata)

_time = DateTime(timezone=True)


def _key(name: str, kind: type[Text | BigInteger | SmallInteger | Date] = Text) -> Column[object]:
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
    Column("successes", BigInteger, nullable=False),
    Column("won", BigInteger, nullable=False, comment="battles, by the fact `victory`"),
    Column("lost", BigInteger, nullable=False),
    Column("reward_sum", Double, nullable=False),
    Column("rank", BigInteger, comment="the last fact of that name"),
    Column("villages", BigInteger, comment="likewise"),
    Column("population", BigInteger, comment="likewise"),
)

personas = Table(
    "personas",
    metadata,
    _key("game"),
    _key("persona"),
    Column("experiences", BigInteger, nullable=False),
    Column("successes", BigInteger, nullable=False),
    Column("reward_sum", Double, nullable=False),
    Column("reward_squares", Double, nullable=False, comment="the sum of the rewards' squares"),
)

variants = Table(
    "variants",
    metadata,
    _key("game"),
    _key("experiment"),
    _key("variant"),
    Column("experiences", BigInteger, nullable=False),
    Column("successes", BigInteger, nullable=False),
    Column("reward_sum", Double, nullable=False),
    Column("reward_squares", Double, nullable=False, comment="the sum of the rewards' squares"),
    Column("tokens_in", BigInteger, nullable=False),
    Column("tokens_out", BigInteger, nullable=False),
    Column("cost_usd", Double, nullable=False),
    Column("latency_ms", Double, nullable=False, comment="the sum"),
)

training_metrics = Table(
    "training_metrics",
    metadata,
    _key("game"),
    _key("day", Date),
    Column("decisions", BigInteger, nullable=False),
    Column("experiences", BigInteger, nullable=False),
    Column("successes", BigInteger, nullable=False),
    Column("reward_sum", Double, nullable=False),
    Column("predicted", BigInteger, nullable=False, comment="experiences whose result was predicted"),
    Column("foreseen", BigInteger, nullable=False, comment="predictions that came true: decision accuracy"),
    Column("undetailed", BigInteger, nullable=False, comment="experiences whose detail was lost"),
    Column("unknown", BigInteger, nullable=False, comment="experiences whose decision was lost with the broker"),
    Column("tokens_in", BigInteger, nullable=False),
    Column("tokens_out", BigInteger, nullable=False),
    Column("cost_usd", Double, nullable=False),
    # what learning tells of itself
    Column("prompts_optimised", Integer),
    Column("prompt_gain", Double, comment="by how much prompts got better, on average"),
    Column("generation", Integer),
    Column("fitness_mean", Double),
    Column("fitness_best", Double),
    Column("tests_active", Integer),
    Column("tests_completed", Integer),
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
    Column("adapter", Text),
    Column("template", Text),
    Column("persona", Text),
    Column("speech", Text),
    Column("reasoning", Text),
    Column("confidence", Double),
    Column("attempt", Integer),
    Column("stages_ms", JSONB),
    # the detail
    Column("tier", Text),
    Column("partition", Integer),
    Column("epoch", BigInteger),
    Column("observation", JSONB, comment="when and how urgent it was; the rest of it follows"),
    Column("state", LargeBinary, comment="the state before, a document"),
    Column("legal_actions", LargeBinary, comment="a document"),
    Column("features", Features, comment="of the state, to find cases like it"),
    Column("prompt", JSONB, comment="its turns: role and document, as hexadecimal digits"),
    Column("answer", LargeBinary, comment="a document"),
    Column("route", Text),
    Column("worker", Text),
    Column("adapter_sha256", Text),
    Column("behaviour", JSONB),
    Column("variant", Text),
    Column("experiment", Text),
    Column("related", JSONB, comment="earlier decisions that stood in the prompt, or that this is a step of"),
    Column("tokens_in", Integer),
    Column("tokens_cached", Integer),
    Column("tokens_out", Integer),
    Column("cost_usd", Double),
    Column("received_at", _time, nullable=False, server_default=func.now()),
)
Index("decisions_by_time", decisions.c.received_at, postgresql_using="brin")

outcomes = Table(
    "outcomes",
    metadata,
    _key("game"),
    _key("decision"),
    Column("happened_at", _time, primary_key=True, comment="when the broker stored it"),
    Column("npc", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("episode", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("arguments", JSONB, nullable=False),
    Column("executed_by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("success", Boolean, nullable=False),
    Column("facts", JSONB, nullable=False),
    Column("state_after", LargeBinary, nullable=False, comment="a document"),
    Column("game_time", Double, nullable=False),
    Column("opponent", Text),
    Column("answers", JSONB, nullable=False, comment="earlier decisions that this one answers, as a blow or an offer"),
    Column("observation", JSONB, comment="what was seen, where the platform never answered; the rest of it follows"),
    Column("state", LargeBinary, comment="the state before, a document"),
    Column("legal_actions", LargeBinary, comment="a document"),
    Column("features", Features),
    Column("digest", LargeBinary, nullable=False, comment="of the body, to tell a repetition from a contradiction"),
    Column("sequence", BigInteger, nullable=False, comment="in the EXPERIENCE stream"),
    Column("trace_id", Text),
    Column("received_at", _time, nullable=False, server_default=func.now()),
    Column("settled_at", _time, comment="when it became an experience; null while it waits for its decision"),
)
Index("outcomes_parked", outcomes.c.received_at, postgresql_where=text("settled_at IS NULL"))
Index("outcomes_by_time", outcomes.c.received_at, postgresql_using="brin")

experiences = Table(
    "experiences",
    metadata,
    _key("game"),
    _key("decision"),
    Column("happened_at", _time, primary_key=True, comment="when the broker stored the outcome"),
    Column("npc", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("episode", Text, nullable=False),
    Column("game_time", Double, nullable=False),
    # what it was decided from
    Column("decided_at", _time),
    Column("snapshot", BigInteger),
    Column("observation", JSONB),
    Column("state", LargeBinary, comment="before, a document"),
    Column("legal_actions", LargeBinary, comment="a document"),
    Column("features", Features, comment="of the state, to find cases like it"),
    Column("persona", Text),
    Column("behaviour", JSONB),
    Column("related", JSONB, comment="earlier decisions that stood in the prompt, or that this is a step of"),
    # the decision
    Column("action", Text, nullable=False),
    Column("arguments", JSONB, nullable=False),
    Column(
        "source",
        Text,
        nullable=False,
        comment="the platform's; client where its own fallback was executed; unknown where the decision was lost",
    ),
    Column("why", Text),
    Column("speech", Text),
    Column("reasoning", Text),
    Column("confidence", Double),
    Column("tier", Text),
    Column("route", Text),
    Column("model", Text),
    Column("adapter", Text),
    Column("adapter_sha256", Text),
    Column("template", Text),
    Column("experiment", Text),
    Column("variant", Text),
    Column("prompt", JSONB, comment="its turns: role and document, as hexadecimal digits"),
    Column("answer", LargeBinary, comment="a document"),
    Column("tokens_in", Integer),
    Column("tokens_cached", Integer),
    Column("tokens_out", Integer),
    Column("cost_usd", Double),
    Column("latency_ms", Double, comment="from the observation to the action, on the platform's side"),
    Column("stages_ms", JSONB),
    # what came of it
    Column("success", Boolean, nullable=False),
    Column("facts", JSONB, nullable=False),
    Column("state_after", LargeBinary, nullable=False, comment="a document"),
    Column("opponent", Text),
    Column("answers", JSONB, nullable=False, comment="earlier decisions that this one answers, as a blow or an offer"),
    Column("reward", Double, nullable=False),
    Column("reward_parts", JSONB, nullable=False),
    Column("trace_id", Text),
    # what it was worth later
    Column("long_term_reward", Double),
    Column("long_term_parts", JSONB),
    Column("n_step_return", Double),
    Column("long_term_at", _time, comment="when it was computed last"),
    postgresql_partition_by="RANGE (happened_at)",
)
Index("experiences_by_kind", experiences.c.game, experiences.c.kind, experiences.c.happened_at)
Index("experiences_by_npc", experiences.c.game, experiences.c.npc, experiences.c.happened_at)
Index(
    "experiences_on_trial",
    experiences.c.game,
    experiences.c.experiment,
    experiences.c.variant,
    experiences.c.happened_at,
    postgresql_where=text("experiment <> ''"),
)
Index("experiences_due", experiences.c.happened_at, postgresql_where=text("long_term_at IS NULL"))

links = Table(
    "links",
    metadata,
    _key("game"),
    _key("earlier"),
    _key("decision"),
    _key("how"),
    Column("npc", Text, nullable=False, comment="whose decision the later one is"),
    Column("happened_at", _time, nullable=False),
    comment="how a decision refers to an earlier one: `answers` it, as a blow or an offer, or `recalls` it in its prompt",
)

documents = Table(
    "documents",
    metadata,
    _key("game"),
    Column("key", LargeBinary, primary_key=True, comment="the day in 2 bytes and a hash in 14"),
    Column("body", Text, nullable=False),
    comment="states, legal actions, prompts and answers, each once a day",
    postgresql_partition_by="RANGE (key)",
)

ratings = Table(
    "ratings",
    metadata,
    _key("game"),
    _key("decision"),
    _key("about"),
    _key("rater"),
    Column("npc", Text, nullable=False),
    Column("score", Double, nullable=False),
    Column("rated_at", _time, nullable=False, comment="by the broker's clock: the last word of a rater counts"),
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
