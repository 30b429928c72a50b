"""A bucket on disk: which object is where. What an object holds is a file of its own; what is known of it is a row.

    buckets/<bucket>/
      resource.json   as every resource
      index.db        SQLite: one row a version, the newest of a key has no `replaced`; and the bucket's settings
      blobs/<id>      the bytes of one version, never changed once they are here
      incoming/<id>   bytes of a write that is under way, locked by its writer; a file nobody locks is a dead writer's

Keys are text in the index and never part of a path, so "a" and "a/b" are both possible and no key leads out of the bucket.
A write becomes visible with the commit of its row, after its bytes are safe on disk: killed at any moment it leaves the old object.
A change of the index is serial across processes (SQLite's write lock), and that is what makes `if_match` hold.
"""

import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.errors import Conflict, McmlError, NotFound, QuotaExceeded, Unavailable
from mcml.providers.api.buckets import BucketConfig
from mcml.providers.api.object_store import ObjectStat
from mcml.providers.keys import MOST_KEY_BYTES

INDEX_FILE = "index.db"
BUSY_SECONDS = 30.0
_SCHEMA = """
create table versions (
    seq integer primary key autoincrement,
    key text not null, blob text not null, size integer not null, checksum text not null, modified text not null, replaced text
);
create unique index newest on versions (key) where replaced is null;
create index history on versions (key, seq);
create table config (
    versioning integer not null, block_public integer not null, expire_days integer, expire_old_days integer
);
insert into config values (0, 1, null, null);
"""
_PAST_ANY_KEY = "\U0010ffff" * (MOST_KEY_BYTES // 4 + 1)
"""Behind a prefix: sorts after every key below it, for no key is that long."""


@dataclass(frozen=True)
class Version:
    """One row: a version of a key, and the blob that holds its bytes. `replaced` is empty for the newest."""

    seq: int
    key: str
    blob: str
    size: int
    checksum: str
    modified: str
    replaced: str | None

    @property
    def etag(self) -> str:
        """Changes with every write, even of the same bytes."""
        return f"{self.seq:x}-{self.checksum[-16:]}"

    @property
    def version(self) -> str:
        """The version's id."""
        return f"{self.seq:012d}"


def create_index(folder: Path) -> None:
    """Make the files of an empty bucket in a folder."""
    for name in ("blobs", "incoming"):
        (folder / name).mkdir()
    with closing(sqlite3.connect(folder / INDEX_FILE)) as db:
        db.executescript(_SCHEMA)


class BucketIndex:
    """The index of one bucket. A connection lives as long as one call: nothing is left open, nothing is shared between threads."""

    def __init__(self, bucket: str, folder: Path) -> None:
        self.bucket = bucket
        self.folder = folder

    @contextmanager
    def connect(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection. Raises NotFound without the bucket, Conflict when it stays locked, QuotaExceeded on a full disk."""
        place = quote(str(self.folder / INDEX_FILE))
        try:
            with closing(sqlite3.connect(f"file:{place}?mode=rw", uri=True, isolation_level=None, timeout=BUSY_SECONDS)) as db:
                db.execute("pragma synchronous = full")
                yield db
        except sqlite3.DatabaseError as failed:
            raise self._error(failed) from failed

    @contextmanager
    def change(self, now: datetime) -> Iterator["Change"]:
        """Yield a change that is applied whole or not at all, after what has expired by now is gone; no other can run meanwhile."""
        with self.connect() as db:
            db.execute("begin immediate")
            change = Change(self, db, now)
            try:
                change.expire()
                yield change
                db.execute("commit")
            except BaseException:
                if db.in_transaction:
                    db.execute("rollback")
                change.undo()
                raise
        change.clean()

    def expire(self, now: datetime) -> None:
        """Delete what has expired by now."""
        with self.connect() as db:
            config = read_config(db)
        if config.expire_days is not None or config.expire_old_days is not None:
            with self.change(now):
                pass  # a change begins with it

    def blob_path(self, blob: str) -> Path:
        """Return where the bytes of a version are."""
        return self.folder / "blobs" / blob

    def _error(self, failed: sqlite3.DatabaseError) -> McmlError:
        if not (self.folder / INDEX_FILE).exists():
            return no_bucket(self.bucket)
        why = str(failed)
        if "full" in why or "disk I/O" in why:
            return QuotaExceeded(f"cannot write to bucket {self.bucket!r}", why=f"the disk refused: {why}", next_step=f"df {self.folder}")
        if "locked" in why:
            return Unavailable(f"bucket {self.bucket!r} is busy", why=f"another process held its index for {BUSY_SECONDS:.0f} s")
        return McmlError(f"cannot read the index of bucket {self.bucket!r}", why=why, next_step=f"look at {self.folder / INDEX_FILE}")


class Change:
    """What may be done to an index inside one transaction. Blobs that lose their row are deleted only after the commit."""

    def __init__(self, index: BucketIndex, db: sqlite3.Connection, now: datetime) -> None:
        self.index = index
        self.db = db
        self.now = rfc3339(now)
        self.config = read_config(db)
        self._dropped: list[str] = []
        self._added: list[Path] = []

    def add(self, key: str, size: int, checksum: str, place: Callable[[Path], None]) -> Version:
        """Make bytes the newest version of a key; `place` is told where to put them."""
        self.retire(key)
        blob = uuid.uuid4().hex
        self._added.append(self.index.blob_path(blob))
        place(self.index.blob_path(blob))
        row = (key, blob, size, checksum, self.now)
        written = self.db.execute("insert into versions (key, blob, size, checksum, modified) values (?, ?, ?, ?, ?)", row)
        return Version(written.lastrowid or 0, *row, None)

    def retire(self, key: str) -> bool:
        """Let a key have no newest version: it becomes an old one with versioning, else it is gone. False when there was none."""
        found = newest(self.db, key)
        if found is None:
            return False
        if self.config.versioning:
            self.db.execute("update versions set replaced = ? where seq = ?", (self.now, found.seq))
        else:
            self.drop("seq = ?", found.seq)
        return True

    def drop(self, where: str = "1", *values: object) -> int:
        """Delete rows for good, and their blobs once this is committed; return how many."""
        doomed = [blob for (blob,) in self.db.execute(f"delete from versions where {where} returning blob", values)]  # noqa: S608 - ours
        self._dropped += doomed
        return len(doomed)

    def expire(self) -> None:
        """Apply the bucket's life cycle: objects after `expire_days`, old versions after `expire_old_days` of being old."""
        now = parse_rfc3339(self.now)
        if self.config.expire_days is not None:
            before = rfc3339(now - timedelta(days=self.config.expire_days))
            overdue = self.db.execute("select key from versions where replaced is null and modified <= ?", (before,)).fetchall()
            for (key,) in overdue:
                self.retire(key)
        if self.config.expire_old_days is not None:
            self.drop("replaced <= ?", rfc3339(now - timedelta(days=self.config.expire_old_days)))

    def clean(self) -> None:
        """Delete the blobs that this change left without a row."""
        for blob in self._dropped:
            self.index.blob_path(blob).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Delete what killed writers left; no writer is between placing its bytes and its commit while this change runs."""
        known = {blob for (blob,) in self.db.execute("select blob from versions")}
        self._dropped += [path.name for path in (self.index.folder / "blobs").iterdir() if path.name not in known]

    def undo(self) -> None:
        """Delete the blobs that this change brought and did not commit."""
        for path in self._added:
            with suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()


def no_bucket(bucket: str) -> NotFound:
    """Build the error for a bucket that does not exist."""
    return NotFound(f"no bucket named {bucket!r}", next_step="create it first: mcml infra apply")


def changed_underneath(bucket: str, key: str, if_match: str, found: Version | None) -> Conflict:
    """Build the error for an `if_match` that does not hold."""
    wanted = f"with etag {if_match}" if if_match else "that does not exist yet"
    now = f"its etag is {found.etag}" if found else "there is none"
    why = f"the write was for an object {wanted}, and {now}"
    return Conflict(f"{bucket}/{key} changed underneath", why=why, next_step="read it again, then retry")


def read_config(db: sqlite3.Connection) -> BucketConfig:
    """Return the settings of an index; a folder's files have no encryption of their own."""
    versioning, block_public, expire_days, expire_old_days = db.execute("select * from config").fetchone()
    return BucketConfig(bool(versioning), False, bool(block_public), expire_days, expire_old_days)


def newest(db: sqlite3.Connection, key: str) -> Version | None:
    """Return the newest version of a key."""
    row = db.execute("select * from versions where key = ? and replaced is null", (key,)).fetchone()
    return None if row is None else Version(*row)


def numbered(db: sqlite3.Connection, key: str, version: str) -> Version | None:
    """Return one version of a key by its id."""
    row = db.execute("select * from versions where key = ? and seq = ?", (key, version)).fetchone()
    found = None if row is None else Version(*row)
    return found if found and found.version == version else None


def history(db: sqlite3.Connection, key: str) -> list[Version]:
    """Return all versions of a key, newest first."""
    return [Version(*row) for row in db.execute("select * from versions where key = ? order by seq desc", (key,))]


def page(db: sqlite3.Connection, prefix: str, after: str, size: int) -> list[Version]:
    """Return the next newest versions below a prefix whose key comes after one, in key order (by their UTF-8 bytes)."""
    rows = db.execute(
        "select * from versions where replaced is null and key >= ? and key < ? and key > ? order by key limit ?",
        (prefix, prefix + _PAST_ANY_KEY, after, size),
    )
    return [Version(*row) for row in rows]


def to_stat(bucket: str, found: Version, config: BucketConfig) -> ObjectStat:
    """Return what the protocol says of a version; its id is empty for the newest of a bucket without versioning."""
    shown = found.version if config.versioning or found.replaced is not None else ""
    return ObjectStat(bucket, found.key, found.size, found.checksum, found.etag, parse_rfc3339(found.modified), shown)
