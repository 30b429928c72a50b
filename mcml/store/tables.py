"""The tables of the store; migrations in `migrations/versions` make them, a test compares the two.

Times are RFC 3339 text in UTC with microseconds: the same bytes on every database, and they sort. Facts are canonical JSON text,
because their bytes are hashed.
"""

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text, UniqueConstraint, text

METADATA = MetaData()

SEQUENCE = BigInteger().with_variant(Integer, "sqlite")

JOURNAL = Table(
    "journal",
    METADATA,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("room", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("facts", Text, nullable=False),
    Column("prev_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index("journal_at", "at"),
    Index("journal_kind_at", "kind", "at"),
    Index("journal_target_at", "target", "at"),
)

UNRESOLVED = "state <> 'resolved'"
INCIDENT = Table(
    "incident",
    METADATA,
    Column("id", SEQUENCE, primary_key=True, autoincrement=True),
    Column("key", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("severity", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("opened_at", Text, nullable=False),
    Column("acked_at", Text),
    Column("acked_by", Text),
    Column("recovered_at", Text),
    Column("resolved_at", Text),
    Column("resolved_by", Text),
    # At most one unresolved incident a key, whoever opens it first: two processes may react to the same fact at once.
    Index(
        "incident_one_open_per_key",
        "key",
        unique=True,
        sqlite_where=text(UNRESOLVED),
    ),
)

PRICE = Table(
    "price",
    METADATA,
    Column("id", SEQUENCE, primary_key=True, autoincrement=True),
    Column("provider", Text, nullable=False),
    Column("sku", Text, nullable=False),
    Column("region", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("price", Text, nullable=False),
    Column("currency", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("as_of", Text, nullable=False),
    Column("confirmed_at", Text, nullable=False),
    UniqueConstraint("provider", "sku", "region", "currency", "source", "as_of", name="price_once"),
)

ROUTE_OVERRIDE = Table(
    "route_override",
    METADATA,
    Column("id", SEQUENCE, primary_key=True, autoincrement=True),
    Column("kind", Text, nullable=False),
    Column("route", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Text, nullable=False),
    Column("until", Text),
    UniqueConstraint("kind", "route", "target", name="route_override_once"),
)

ROUTE_KEY = Table(
    "route_key",
    METADATA,
    Column("id", SEQUENCE, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("hint", Text, nullable=False),
    Column("routes", Text, nullable=False),
    Column("rate", Text, nullable=False),
    Column("made_at", Text, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("expires_at", Text),
    Column("revoked_at", Text),
    Column("revoked_by", Text),
    UniqueConstraint("digest", name="route_key_once"),
)

DOCUMENT = Table(
    "document",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("content", Text, nullable=False),
    Column("changed_at", Text, nullable=False),
    Column("revision", Integer, nullable=False),
)


def on_postgresql() -> None:
    """Say of the partial index what only PostgreSQL's dialect understands: said at once, every command would load it, for 40 ms."""
    for index in INCIDENT.indexes:
        index.dialect_kwargs["postgresql_where"] = text(UNRESOLVED)
