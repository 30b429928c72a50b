"""What people change on routes at run time."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text, UniqueConstraint

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SEQUENCE = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Make the table of the overrides."""
    op.create_table(
        "route_override",
        Column("id", SEQUENCE, primary_key=True, autoincrement=True),
        *(Column(name, Text, nullable=False) for name in ("kind", "route", "target", "value", "actor", "reason", "at")),
        Column("until", Text),
        UniqueConstraint("kind", "route", "target", name="route_override_once"),
    )
