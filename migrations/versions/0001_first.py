"""The first schema."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "dead_letters",
        sa.Column("game", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("stream", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("delivered", sa.Integer(), nullable=False),
        sa.Column("headers", JSONB(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("died_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("game", "stream", "sequence"),
    )
    op.create_table(
        "decisions",
        sa.Column("game", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("decision", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("npc", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("episode", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text()),
        sa.Column("decided_at", _TIME),
        sa.Column("snapshot", sa.BigInteger()),
        sa.Column("action", sa.Text()),
        sa.Column("arguments", JSONB()),
        sa.Column("source", sa.Text()),
        sa.Column("why", sa.Text()),
        sa.Column("model", sa.Text()),
        sa.Column("speech", sa.Text()),
        sa.Column("reasoning", sa.Text()),
        sa.Column("confidence", sa.Double()),
        sa.Column("attempt", sa.Integer()),
        sa.Column("stages_ms", JSONB()),
        sa.Column("tier", sa.Text()),
        sa.Column("partition", sa.Integer()),
        sa.Column("epoch", sa.BigInteger()),
        sa.Column("observation", JSONB(), comment="the state before and the legal actions, without the players' words"),
        sa.Column("answer", sa.Text()),
        sa.Column("worker", sa.Text()),
        sa.Column("tokens_in", sa.Integer()),
        sa.Column("tokens_out", sa.Integer()),
        sa.PrimaryKeyConstraint("game", "decision"),
    )
    op.create_table(
        "experiences",
        sa.Column("game", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("happened_at", _TIME, nullable=False),
        sa.Column("decision", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("npc", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("episode", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("arguments", JSONB(), nullable=False),
        sa.Column(
            "source", sa.Text(), nullable=False, comment="the platform's, or client where its own fallback was executed"
        ),
        sa.Column("success", sa.Boolean(), nullable=False),
        sa.Column("reward", sa.Double(), nullable=False),
        sa.Column("reward_parts", JSONB(), nullable=False),
        sa.Column("state_after", JSONB(), nullable=False),
        sa.Column("game_time", sa.Double(), nullable=False),
        sa.Column("trace_id", sa.Text()),
        sa.PrimaryKeyConstraint("game", "happened_at", "decision"),
    )
    op.create_table(
        "games",
        sa.Column("game", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("first_seen", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("game"),
    )
    op.create_table(
        "inbox",
        sa.Column("game", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("message_id", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("received_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("game", "message_id"),
    )
    op.create_index("inbox_by_time", "inbox", ["received_at"], postgresql_using="brin")
    op.create_table(
        "npcs",
        sa.Column("game", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("npc", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("decisions", sa.BigInteger(), nullable=False),
        sa.Column("experiences", sa.BigInteger(), nullable=False),
        sa.Column("reward_sum", sa.Double(), nullable=False),
        sa.Column("rank", sa.BigInteger(), comment="the last fact of that name"),
        sa.PrimaryKeyConstraint("game", "npc"),
    )
    op.create_table(
        "outcomes",
        sa.Column("game", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("happened_at", _TIME, nullable=False, comment="when the broker stored it"),
        sa.Column("decision", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("npc", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("episode", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("arguments", JSONB(), nullable=False),
        sa.Column("executed_by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("success", sa.Boolean(), nullable=False),
        sa.Column("facts", JSONB(), nullable=False),
        sa.Column("state_after", JSONB(), nullable=False),
        sa.Column("game_time", sa.Double(), nullable=False),
        sa.Column("observation", JSONB(), comment="what was seen, where the platform never answered"),
        sa.Column(
            "digest", sa.LargeBinary(), nullable=False, comment="of the body, to tell a repetition from a contradiction"
        ),
        sa.Column("sequence", sa.BigInteger(), nullable=False, comment="in the EXPERIENCE stream"),
        sa.Column("trace_id", sa.Text()),
        sa.Column("received_at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column(
            "settled_at", _TIME, comment="when it became an experience or expired; null while it waits for its decision"
        ),
        sa.PrimaryKeyConstraint("game", "happened_at", "decision"),
    )
    op.create_index("outcomes_by_decision", "outcomes", ["game", "decision"])
    op.create_index("outcomes_parked", "outcomes", ["received_at"], postgresql_where=sa.text("settled_at IS NULL"))
    op.create_table(
        "texts",
        sa.Column("game", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("decision", sa.Text(), autoincrement=False, nullable=False),
        sa.Column("number", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("npc", sa.Text(), nullable=False),
        sa.Column("speaker", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("game", "decision", "number"),
    )


def downgrade() -> None:
    """Drops them, with everything in them."""
    for table in ("dead_letters", "decisions", "experiences", "games", "inbox", "npcs", "outcomes", "texts"):
        op.drop_table(table)
