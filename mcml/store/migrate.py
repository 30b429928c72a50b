"""Bring a database to the newest schema; Alembic is imported only when there is something to do."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from mcml.core.errors import Conflict

HEAD = "0004"


def current(connection: Connection) -> str:
    """Return the schema version of a database, empty for a new one."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def upgrade(connection: Connection) -> None:
    """Bring the database to HEAD inside the caller's transaction. Raises Conflict for a database of a newer mcml."""
    found = current(connection)
    if found == HEAD:
        return
    if found > HEAD:
        raise Conflict(
            f"the database has schema {found}, this mcml knows {HEAD}",
            why="a newer mcml has written it",
            next_step="pip install --upgrade mcml",
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
