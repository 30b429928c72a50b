"""The file: objects in versions, their bytes in pieces."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mcml.core.errors import NotFound, Unavailable
from mcml.providers.api.spec import ProviderContext

SCHEMA = """
PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS bucket (name TEXT PRIMARY KEY, versioning INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS object (
    id INTEGER PRIMARY KEY AUTOINCREMENT, bucket TEXT NOT NULL REFERENCES bucket, key BLOB NOT NULL, live INTEGER NOT NULL,
    size INTEGER NOT NULL DEFAULT 0, sha256 TEXT NOT NULL DEFAULT '', modified REAL NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS object_by_key ON object (bucket, key, live);
CREATE TABLE IF NOT EXISTS piece (object INTEGER, start INTEGER, bytes BLOB, PRIMARY KEY (object, start)) WITHOUT ROWID;
"""


def open_database(ctx: ProviderContext) -> "Database":
    """Return the file of the settings, or of the project; nothing is opened yet."""
    return Database(Path(ctx.settings.file) if ctx.settings.file else ctx.state / "nimbus.db")


@dataclass(frozen=True)
class Database:
    """Connections to the file, one for each piece of work."""

    path: Path

    @contextmanager
    def open(self, *, write: bool = False) -> Iterator[sqlite3.Connection]:
        """Open it; with `write` in one transaction, which only one may have at a time. Raises Unavailable."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(self.path, timeout=60, isolation_level=None)
        except (OSError, sqlite3.Error) as failed:
            raise self._broken(failed) from failed
        try:
            connection.executescript(SCHEMA)
            if write:
                connection.execute("BEGIN IMMEDIATE")
            yield connection
            if write:
                connection.execute("COMMIT")
        except sqlite3.Error as failed:
            raise self._broken(failed) from failed
        finally:
            connection.close()  # without COMMIT, nothing has been

    def must_have(self, connection: sqlite3.Connection, bucket: str) -> None:
        """Raise NotFound unless there is a bucket of that name."""
        if connection.execute("SELECT 1 FROM bucket WHERE name = ?", (bucket,)).fetchone() is None:
            raise NotFound(f"there is no bucket {bucket!r}", why=f"not in {self.path}")

    def _broken(self, failed: Exception) -> Unavailable:
        return Unavailable(f"cannot use {self.path}", why=str(failed), next_step=f"ls -l {self.path.parent}")
