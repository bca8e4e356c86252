"""Violations of the policy and the log of their review, both append-only."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Makes the tables and what keeps them as they are."""
    op.create_table(
        "violations",
        sa.Column("game", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("happened_at", _TIME, nullable=False, comment="when the broker stored it"),
        sa.Column("npc", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("episode", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False, comment="what the mind wanted; it was not done"),
        sa.Column("arguments", JSONB(), nullable=False),
        sa.Column("speech", sa.Text(), nullable=False),
        sa.Column("reasoning", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("frozen_s", sa.Double(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("observation", JSONB(), comment="what was seen, without the players' words"),
        sa.PrimaryKeyConstraint("game", "decision", "rule"),
    )
    op.create_index("violations_by_time", "violations", ["happened_at"])
    op.create_table(
        "audit",
        sa.Column("game", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", _TIME, server_default=sa.text("now()"), nullable=False),
        sa.Column("what", sa.Text(), nullable=False, comment="violated, approve, reject, ban or unban"),
        sa.Column("who", sa.Text(), nullable=False, comment="a person, or policy"),
        sa.Column("npc", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("game", "number"),
    )
    op.create_index("audit_by_decision", "audit", ["game", "decision", "number"])
    op.execute(
        "CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege'; END $$"
    )
    for table in ("violations", "audit"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION append_only()"
        )


def downgrade() -> None:
    """Drops them, with everything in them."""
    op.drop_table("audit")
    op.drop_table("violations")
    op.execute("DROP FUNCTION append_only()")
