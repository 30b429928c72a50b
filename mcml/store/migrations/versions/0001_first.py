"""The journal, the incidents and the prices."""

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, Text, UniqueConstraint, text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SEQUENCE = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Make the three tables, and let the database itself refuse to change a journal row."""
    _journal()
    _incident()
    op.create_table(
        "price",
        Column("id", SEQUENCE, primary_key=True, autoincrement=True),
        *(Column(name, Text, nullable=False) for name in ("provider", "sku", "region", "unit", "price", "currency", "source")),
        *(Column(name, Text, nullable=False) for name in ("as_of", "confirmed_at")),
        UniqueConstraint("provider", "sku", "region", "currency", "source", "as_of", name="price_once"),
    )


def _journal() -> None:
    op.create_table(
        "journal",
        Column("seq", SEQUENCE, primary_key=True, autoincrement=False),
        *(Column(name, Text, nullable=False) for name in ("at", "actor", "room", "target", "kind", "facts", "prev_hash", "hash")),
    )
    op.create_index("journal_at", "journal", ["at"])
    op.create_index("journal_kind_at", "journal", ["kind", "at"])
    op.create_index("journal_target_at", "journal", ["target", "at"])
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER journal_no_{verb.lower()} BEFORE {verb} ON journal "
                "BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
            )
        # INSERT OR REPLACE takes a row away without asking the trigger above
        op.execute(
            "CREATE TRIGGER journal_no_replace BEFORE INSERT ON journal WHEN EXISTS (SELECT 1 FROM journal WHERE seq = NEW.seq) "
            "BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END"
        )
    else:
        op.execute(
            "CREATE FUNCTION journal_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the journal is append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER journal_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON journal "
            "FOR EACH STATEMENT EXECUTE FUNCTION journal_append_only()"
        )


def _incident() -> None:
    required = ("key", "title", "severity", "state", "target", "model", "opened_at")
    optional = ("acked_at", "acked_by", "recovered_at", "resolved_at", "resolved_by")
    op.create_table(
        "incident",
        Column("id", SEQUENCE, primary_key=True, autoincrement=True),
        *(Column(name, Text, nullable=False) for name in required),
        *(Column(name, Text) for name in optional),
    )
    unresolved = text("state <> 'resolved'")
    op.create_index("incident_one_open_per_key", "incident", ["key"], unique=True, sqlite_where=unresolved, postgresql_where=unresolved)
