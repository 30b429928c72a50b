"""How a vandal changes the journal: it takes the triggers away first."""

from sqlalchemy import Connection

TRIGGERS = ("journal_no_update", "journal_no_delete", "journal_no_replace")


def disarm(connection: Connection) -> None:
    """Take away what keeps the journal append-only."""
    if connection.dialect.name == "sqlite":
        for name in TRIGGERS:
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}")
    else:
        connection.exec_driver_sql("ALTER TABLE journal DISABLE TRIGGER ALL")


def vandalise(connection: Connection, *statements: str) -> None:
    """Run raw SQL on the unprotected journal."""
    disarm(connection)
    for statement in statements:
        connection.exec_driver_sql(statement)
