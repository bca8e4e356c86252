"""The complete record. Its statements are in the two files beside it."""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_HERE = Path(__file__).parent


def upgrade() -> None:
    """Makes the tables anew and copies what was in them."""
    _run("0002_up.sql")


def downgrade() -> None:
    """Makes the first tables again, with what they had."""
    _run("0002_down.sql")


def _run(name: str) -> None:
    """All statements at once, which only the driver itself allows."""
    op.get_bind().connection.cursor().execute((_HERE / name).read_text())
