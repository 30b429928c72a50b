"""Buckets on this machine: made, configured, emptied, deleted; old versions are kept when versioning is on.

A bucket is one for all targets of the root, as it is one for an account. `block_public` is the folder's mode: 0700, else 0755.
Expiry has no clock of its own: it is applied when the bucket is listed, written or configured, before anything else happens there.
"""

import os
import shutil
from pathlib import Path

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.providers.api.buckets import BucketConfig, Buckets
from mcml.providers.api.object_store import ObjectStat
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.bucket_index import create_index, history, newest, numbered, read_config, to_stat
from mcml.providers.local.bucket_names import check_bucket
from mcml.providers.local.incoming import sweep_incoming, sync_folder
from mcml.providers.local.layout import RESOURCE_FILE, locked, remove_folder, root_of, write_resource
from mcml.providers.local.object_store import open_index
from mcml.providers.local.scope import new_folder, new_resource

PRIVATE, OPEN = 0o700, 0o755


def open_buckets(ctx: ProviderContext) -> Buckets:
    """Return the buckets below the root."""
    return LocalBuckets(ctx)


class LocalBuckets:
    """Buckets as folders."""

    def __init__(self, ctx: ProviderContext) -> None:
        self._ctx = ctx

    def create(self, bucket: str) -> bool:
        """Create it, private and without versioning; False when it was there.

        Raises Conflict when the folder is somebody else's, InvalidRequest for a bad name.
        """
        folder = root_of(self._ctx) / "buckets" / check_bucket(bucket)
        with locked(root_of(self._ctx), f"bucket-{bucket}"):
            if (folder / RESOURCE_FILE).is_file():
                return False
            if folder.exists():
                why = f"{folder} was not made by mcml"
                raise Conflict(f"cannot create bucket {bucket!r}", why=why, next_step=f"move it away: {folder}")
            with new_folder(folder) as stage:
                create_index(stage)
                write_resource(stage, new_resource(self._ctx, "bucket", bucket, {}))
            folder.chmod(PRIVATE)
        return True

    def configure(self, bucket: str, config: BucketConfig) -> BucketConfig:
        """Make it so and return how it is now: never encrypted (the disk's own encryption is not ours to turn on).

        What expires by these settings is deleted now, and so is what killed writers left. Turning versioning off keeps the old
        versions that are there. Raises NotFound, InvalidRequest for days below 1.
        """
        for days in (config.expire_days, config.expire_old_days):
            if days is not None and days < 1:
                raise InvalidRequest(f"bucket {bucket!r} cannot expire objects after {days} days", why="it must be 1 or more")
        index = open_index(self._ctx, bucket)
        sweep_incoming(index.folder / "incoming")
        with index.change(self._ctx.clock()) as change:
            row = (config.versioning, config.block_public, config.expire_days, config.expire_old_days)
            change.db.execute("update config set versioning = ?, block_public = ?, expire_days = ?, expire_old_days = ?", row)
            change.config = read_config(change.db)
            change.expire()
            change.sweep()
            index.folder.chmod(PRIVATE if config.block_public else OPEN)
            return change.config

    def versions(self, bucket: str, key: str) -> list[ObjectStat]:
        """Return all versions of a key, newest first. Raises NotFound for the bucket."""
        index = open_index(self._ctx, bucket)
        index.expire(self._ctx.clock())
        with index.connect() as db:
            config = read_config(db)
            return [to_stat(bucket, found, config) for found in history(db, key)]

    def restore_version(self, bucket: str, key: str, version: str) -> ObjectStat:
        """Make an old version the newest again, as a new version; when the newest holds the same bytes it is kept. Raises NotFound."""
        index = open_index(self._ctx, bucket)
        with index.change(self._ctx.clock()) as change:
            old, now = numbered(change.db, key, version), newest(change.db, key)
            if old is None:
                raise NotFound(f"no version {version!r} of {bucket}/{key}", why="it was never written, or it has expired")
            if now is None or (now.checksum, now.size) != (old.checksum, old.size):
                source = index.blob_path(old.blob)
                now = change.add(key, old.size, old.checksum, lambda path: _copy(source, path))
            return to_stat(bucket, now, change.config)

    def empty(self, bucket: str, *, versions: bool = False) -> int:
        """Delete all objects, with `versions` all old ones too; return how many. Raises NotFound."""
        with open_index(self._ctx, bucket).change(self._ctx.clock()) as change:
            if versions:
                return change.drop()
            keys = change.db.execute("select key from versions where replaced is null").fetchall()
            return sum(change.retire(key) for (key,) in keys)

    def delete(self, bucket: str) -> None:
        """Delete an empty bucket; one that is gone is fine. Raises Conflict when an object or an old version is left in it."""
        try:
            index = open_index(self._ctx, bucket)
            with index.connect() as db:
                db.execute("begin exclusive")  # a writer that waits for us finds its folder gone, and says so
                (left,) = db.execute("select count(*) from versions").fetchone()
                if left:
                    why = f"it holds {left} objects and old versions"
                    raise Conflict(f"bucket {bucket!r} is not empty", why=why, next_step="empty it, with its versions")
                remove_folder(index.folder)
        except NotFound:
            return


def _copy(source: Path, path: Path) -> None:
    """Give the bytes a second name; where the file system has no hard links, copy them."""
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)
        with path.open("rb") as copied:
            os.fsync(copied.fileno())
    sync_folder(path.parent)
