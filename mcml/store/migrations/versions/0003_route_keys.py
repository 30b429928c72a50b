"""API keys of the router, hashed."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text, UniqueConstraint

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SEQUENCE = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Make the table of the keys."""
    op.create_table(
        "route_key",
        Column("id", SEQUENCE, primary_key=True, autoincrement=True),
        *(Column(name, Text, nullable=False) for name in ("name", "digest", "hint", "routes", "rate", "made_at", "made_by")),
        *(Column(name, Text) for name in ("expires_at", "revoked_at", "revoked_by")),
        UniqueConstraint("digest", name="route_key_once"),
    )
