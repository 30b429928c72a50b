"""Databases on this machine: SQLite files (see `volumes`). Whoever may read the file is let in: there is no password, and no replica."""

import sqlite3
from contextlib import closing
from datetime import timedelta

from mcml.core.errors import NotFound, did_you_mean
from mcml.providers.api.database import Database, DatabaseAccess, DatabaseInfo
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.volumes import Volume, list_volumes


def open_database(ctx: ProviderContext) -> Database:
    """Return the databases of the context's target."""
    return LocalDatabase(ctx)


class LocalDatabase:
    """Databases as files."""

    def __init__(self, ctx: ProviderContext) -> None:
        self._ctx = ctx

    def describe(self, name: str = "") -> list[DatabaseInfo]:
        """Return the one of that name, or all. `state` is `available`, or `damaged` when SQLite cannot read it."""
        found = [volume for volume in list_volumes(self._ctx, "database") if name in ("", volume.name)]
        return [DatabaseInfo(volume.name, "sqlite", sqlite3.sqlite_version, _state(volume)) for volume in found]

    def access(self, name: str) -> DatabaseAccess:
        """Return a SQLAlchemy URL. Raises NotFound."""
        return DatabaseAccess(f"sqlite:///{self._find(name).content}")

    def replica_lag(self, name: str) -> timedelta | None:
        """Return None: there is no replica. Raises NotFound."""
        self._find(name)
        return None

    def _find(self, name: str) -> Volume:
        volumes = {volume.name: volume for volume in list_volumes(self._ctx, "database")}
        if name not in volumes:
            raise NotFound(f"no database named {name!r}", why=did_you_mean(name, volumes))
        return volumes[name]


def _state(volume: Volume) -> str:
    try:
        with closing(sqlite3.connect(f"{volume.content.as_uri()}?mode=ro", uri=True)) as db:
            db.execute("pragma schema_version").fetchone()
    except sqlite3.DatabaseError:
        return "damaged"
    return "available"
