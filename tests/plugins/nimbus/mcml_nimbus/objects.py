"""ObjectStore: an object's id is its etag and its version; bytes come and go in pieces, so no object is ever whole in memory."""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from mcml.core.clock import Clock
from mcml.core.errors import Conflict, InvalidRequest, NotFound, ProviderCannot
from mcml.providers.api.object_store import ObjectStat, ObjectStore
from mcml.providers.api.spec import ProviderContext
from mcml_nimbus.database import Database, open_database

PIECE_BYTES = 1 << 20
PAGE_OBJECTS = 500
LONGEST_KEY = 1024
COLUMNS = "id, key, size, sha256, modified"


def open_object_store(ctx: ProviderContext) -> ObjectStore:
    """Return the objects of the file."""
    return NimbusObjects(open_database(ctx), ctx.clock)


def to_stat(connection: sqlite3.Connection, bucket: str, row: tuple[int, bytes, int, str, float]) -> ObjectStat:
    """Return a row in mcml's words; the version is told where the bucket keeps old ones."""
    number, key, size, digest, modified = row
    (kept,) = connection.execute("SELECT versioning FROM bucket WHERE name = ?", (bucket,)).fetchone()
    when = datetime.fromtimestamp(modified, UTC)
    return ObjectStat(bucket, key.decode(), size, f"sha256:{digest}", str(number), when, str(number) if kept else "")


def retire(connection: sqlite3.Connection, bucket: str, key: bytes, but: int = 0) -> None:
    """Take the newest version of a key, but not the one of an id, out of sight: it becomes an old one, or goes."""
    connection.execute("UPDATE object SET live = 0 WHERE bucket = ? AND key = ? AND id <> ?", (bucket, key, but))
    if not connection.execute("SELECT versioning FROM bucket WHERE name = ?", (bucket,)).fetchone()[0]:
        forget(connection, "bucket = ? AND key = ? AND NOT live", (bucket, key))


def forget(connection: sqlite3.Connection, which: str, values: tuple[object, ...]) -> int:
    """Delete objects and their bytes; return how many."""
    connection.execute(f"DELETE FROM piece WHERE object IN (SELECT id FROM object WHERE {which})", values)
    return connection.execute(f"DELETE FROM object WHERE {which}", values).rowcount


@dataclass(frozen=True)
class NimbusObjects:
    """Objects in the file."""

    database: Database
    clock: Clock

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectStat]:
        """Yield the objects below a prefix in key order, page by page. Raises NotFound for the bucket."""
        after, first = b"", prefix.encode()
        while True:
            with self.database.open() as connection:
                self.database.must_have(connection, bucket)
                rows = connection.execute(
                    f"SELECT {COLUMNS} FROM object WHERE bucket = ? AND live AND key > ? AND key >= ? ORDER BY key LIMIT ?",
                    (bucket, after, first, PAGE_OBJECTS),
                ).fetchall()
                found = [to_stat(connection, bucket, row) for row in rows if row[1].startswith(first)]
            yield from found
            if len(found) < PAGE_OBJECTS:
                return
            after = rows[-1][1]

    def read(self, bucket: str, key: str, *, version: str = "", start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` up to, not including, `end`. Raises NotFound, InvalidRequest for a range outside."""
        stat = self.stat(bucket, key, version=version)
        stop = stat.size if end is None else end
        if not 0 <= start <= stop <= stat.size:
            raise InvalidRequest(f"cannot read bytes {start} to {stop} of nimbus://{bucket}/{key}", why=f"it has {stat.size} bytes")
        while start < stop:
            with self.database.open() as connection:
                found = connection.execute(
                    "SELECT start, bytes FROM piece WHERE object = ? AND start <= ? ORDER BY start DESC LIMIT 1", (int(stat.etag), start)
                ).fetchone()
            if found is None:
                raise Conflict(f"cannot read on in nimbus://{bucket}/{key}", why="it was replaced or deleted meanwhile")
            piece = found[1][start - found[0] : stop - found[0]]
            start += len(piece)
            yield piece

    def write(self, bucket: str, key: str, chunks: Iterable[bytes], *, if_match: str | None = None) -> ObjectStat:
        """Write an object whole or not at all, in one transaction.

        Raises Conflict when `if_match` does not hold, NotFound for the bucket, InvalidRequest for a key that cannot be.
        """
        name = key.encode()
        if not 0 < len(name) <= LONGEST_KEY:
            raise InvalidRequest(f"cannot write nimbus://{bucket}/{key[:50]}", why=f"a key has 1 to {LONGEST_KEY} bytes")
        with self.database.open(write=True) as connection:
            self.database.must_have(connection, bucket)
            there = connection.execute("SELECT id FROM object WHERE bucket = ? AND key = ? AND live", (bucket, name)).fetchone()
            if if_match is not None and if_match != (str(there[0]) if there else ""):
                raise Conflict(f"cannot write nimbus://{bucket}/{key}", why="it is another one now", next_step="read it again")
            number = connection.execute("INSERT INTO object (bucket, key, live) VALUES (?, ?, 0)", (bucket, name)).lastrowid
            size, digest = 0, hashlib.sha256()
            for chunk in chunks:
                for at in range(0, len(chunk), PIECE_BYTES):
                    piece = bytes(chunk[at : at + PIECE_BYTES])
                    connection.execute("INSERT INTO piece VALUES (?, ?, ?)", (number, size, piece))
                    digest.update(piece)
                    size += len(piece)
            row = (number or 0, name, size, digest.hexdigest(), self.clock().timestamp())
            connection.execute("UPDATE object SET live = 1, size = ?, sha256 = ?, modified = ? WHERE id = ?", (*row[2:], number))
            retire(connection, bucket, name, but=row[0])
            return to_stat(connection, bucket, row)

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object (with versioning it becomes an old version); one that is not there is fine. Raises NotFound for the bucket."""
        with self.database.open(write=True) as connection:
            self.database.must_have(connection, bucket)
            retire(connection, bucket, key.encode())

    def stat(self, bucket: str, key: str, *, version: str = "") -> ObjectStat:
        """Return what is known of it. Raises NotFound."""
        which, asked = ("id = ?", int(version) if version.isdecimal() else -1) if version else ("live = ?", 1)
        with self.database.open() as connection:
            self.database.must_have(connection, bucket)
            row = connection.execute(
                f"SELECT {COLUMNS} FROM object WHERE bucket = ? AND key = ? AND {which}",
                (bucket, key.encode(), asked),
            ).fetchone()
            if row is None:
                raise NotFound(f"there is no nimbus://{bucket}/{key}" + (f" with version {version}" if version else ""))
            return to_stat(connection, bucket, row)

    def sign(self, bucket: str, key: str, method: Literal["GET", "PUT"], ttl: timedelta) -> str:
        """Raise ProviderCannot: a file has no address."""
        raise ProviderCannot(f"cannot sign a {method} URL for nimbus://{bucket}/{key} ({ttl})", why="a file has no address")
