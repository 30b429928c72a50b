"""Small documents of the rooms: budgets' states, feedback, savings, schedules."""

from alembic import op
from sqlalchemy import Column, Integer, PrimaryKeyConstraint, Text

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table of the documents."""
    op.create_table(
        "document",
        *(Column(name, Text, nullable=False) for name in ("kind", "key", "content", "changed_at")),
        Column("revision", Integer, nullable=False),
        PrimaryKeyConstraint("kind", "key"),
    )
