"""Buckets: names in the file, and whether each keeps old versions."""

import re
from dataclasses import dataclass, replace

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.providers.api.buckets import BucketConfig, Buckets
from mcml.providers.api.object_store import ObjectStat
from mcml.providers.api.spec import ProviderContext
from mcml_nimbus.database import Database, open_database
from mcml_nimbus.objects import COLUMNS, NimbusObjects, forget, open_object_store, retire, to_stat

NAME = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


def open_buckets(ctx: ProviderContext) -> Buckets:
    """Return the buckets of the file."""
    objects = open_object_store(ctx)
    assert isinstance(objects, NimbusObjects)
    return NimbusBuckets(open_database(ctx), objects)


@dataclass(frozen=True)
class NimbusBuckets:
    """Buckets in the file."""

    database: Database
    objects: NimbusObjects

    def create(self, bucket: str) -> bool:
        """Create it; False when it was there. Raises InvalidRequest for a bad name."""
        if not NAME.fullmatch(bucket):
            raise InvalidRequest(f"no bucket can be named {bucket!r}", why="3 to 63 of a-z, 0-9 and -, no - at an end")
        with self.database.open(write=True) as connection:
            return connection.execute("INSERT OR IGNORE INTO bucket (name) VALUES (?)", (bucket,)).rowcount == 1

    def configure(self, bucket: str, config: BucketConfig) -> BucketConfig:
        """Make it so, and return how it is now: never public, never encrypted, for ever. Raises NotFound."""
        with self.database.open(write=True) as connection:
            self.database.must_have(connection, bucket)
            connection.execute("UPDATE bucket SET versioning = ? WHERE name = ?", (config.versioning, bucket))
        return replace(config, encryption=False, block_public=True, expire_days=None, expire_old_days=None)

    def versions(self, bucket: str, key: str) -> list[ObjectStat]:
        """Return all versions of a key, newest first. Raises NotFound for the bucket."""
        with self.database.open() as connection:
            self.database.must_have(connection, bucket)
            query = f"SELECT {COLUMNS} FROM object WHERE bucket = ? AND key = ? ORDER BY id DESC"
            rows = connection.execute(query, (bucket, key.encode())).fetchall()
            return [replace(to_stat(connection, bucket, row), version=str(row[0])) for row in rows]

    def restore_version(self, bucket: str, key: str, version: str) -> ObjectStat:
        """Make an old version the newest again (as a new version). Raises NotFound."""
        wanted = self.objects.stat(bucket, key, version=version)
        if (newest := self.versions(bucket, key)[0]).checksum == wanted.checksum and self._is_live(newest):
            return newest
        with self.database.open(write=True) as connection:
            old = connection.execute("SELECT size, sha256 FROM object WHERE id = ? AND bucket = ?", (int(version), bucket)).fetchone()
            if old is None:
                raise NotFound(f"there is no nimbus://{bucket}/{key} with version {version}", why="it was just deleted")
            row = (key.encode(), *old, self.objects.clock().timestamp())
            insert = "INSERT INTO object (bucket, key, live, size, sha256, modified) VALUES (?, ?, 1, ?, ?, ?)"
            number = connection.execute(insert, (bucket, *row)).lastrowid or 0
            connection.execute("INSERT INTO piece SELECT ?, start, bytes FROM piece WHERE object = ?", (number, int(version)))
            retire(connection, bucket, row[0], but=number)
            return to_stat(connection, bucket, (number, *row))

    def _is_live(self, stat: ObjectStat) -> bool:
        with self.database.open() as connection:
            return bool(connection.execute("SELECT live FROM object WHERE id = ?", (int(stat.etag),)).fetchone()[0])

    def empty(self, bucket: str, *, versions: bool = False) -> int:
        """Delete all objects, with `versions` all old ones too; return how many. Raises NotFound."""
        with self.database.open(write=True) as connection:
            self.database.must_have(connection, bucket)
            if versions:
                return forget(connection, "bucket = ?", (bucket,))
            keys = connection.execute("SELECT key FROM object WHERE bucket = ? AND live", (bucket,)).fetchall()
            for (key,) in keys:
                retire(connection, bucket, key)
            return len(keys)

    def delete(self, bucket: str) -> None:
        """Delete an empty bucket; one that is gone is fine. Raises Conflict when something is left in it."""
        with self.database.open(write=True) as connection:
            if connection.execute("SELECT 1 FROM object WHERE bucket = ? LIMIT 1", (bucket,)).fetchone():
                raise Conflict(f"cannot delete the bucket {bucket!r}", why="it holds objects, or old versions of some")
            connection.execute("DELETE FROM bucket WHERE name = ?", (bucket,))
