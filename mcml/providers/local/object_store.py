"""ObjectStore on this machine: buckets are folders below the root, shared by all targets; see `bucket_index` for what lies where.

Two writers of one key never mix: each write is a file of its own, and the last commit wins. A signed URL there is none.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import BinaryIO, Literal

from mcml.core.errors import InvalidRequest, McmlError, NotFound, ProviderCannot
from mcml.providers.api.object_store import ObjectStat, ObjectStore
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.bucket_index import (
    BucketIndex,
    Version,
    changed_underneath,
    newest,
    no_bucket,
    numbered,
    page,
    read_config,
    to_stat,
)
from mcml.providers.local.bucket_names import check_key, is_bucket_name
from mcml.providers.local.incoming import Incoming
from mcml.providers.local.layout import RESOURCE_FILE, root_of

CHUNK_BYTES = 1 << 20
PAGE_OBJECTS = 200


def open_object_store(ctx: ProviderContext) -> ObjectStore:
    """Return the object store below the root."""
    return LocalObjectStore(ctx)


def open_index(ctx: ProviderContext, bucket: str) -> BucketIndex:
    """Return the index of a bucket. Raises NotFound."""
    folder = root_of(ctx) / "buckets" / bucket
    if not is_bucket_name(bucket) or not (folder / RESOURCE_FILE).is_file():
        raise no_bucket(bucket)
    return BucketIndex(bucket, folder)


class LocalObjectStore:
    """Objects in folders. What has expired by the bucket's settings is deleted when the bucket is listed or written."""

    def __init__(self, ctx: ProviderContext) -> None:
        self._ctx = ctx

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectStat]:
        """Yield the objects below a prefix in key order, a page at a time. Raises NotFound for the bucket."""
        index = open_index(self._ctx, bucket)
        index.expire(self._ctx.clock())
        return _pages(index, prefix)

    def read(self, bucket: str, key: str, *, version: str = "", start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` up to, not including, `end`. Raises NotFound, InvalidRequest for a range outside the object."""
        index = open_index(self._ctx, bucket)
        with index.connect() as db:
            _span(_find(db, bucket, key, version), bucket, start, end)
        return _stream(index, key, version, start, end)

    def write(self, bucket: str, key: str, chunks: Iterable[bytes], *, if_match: str | None = None) -> ObjectStat:
        """Write an object whole or not at all; its SHA-256 is taken as the bytes pass.

        Raises Conflict when `if_match` does not hold (before the first byte is taken, if it is known then), NotFound for the bucket,
        InvalidRequest for a key that cannot be, QuotaExceeded when the disk is full.
        """
        check_key(key)
        index = open_index(self._ctx, bucket)
        if if_match is not None:
            with index.connect() as db:
                _hold(bucket, key, if_match, newest(db, key))
        try:
            with Incoming(index.folder / "incoming") as incoming:
                incoming.fill(chunks)
                with index.change(self._ctx.clock()) as change:
                    if if_match is not None:
                        _hold(bucket, key, if_match, newest(change.db, key))
                    written = change.add(key, incoming.size, incoming.checksum, incoming.place)
                    return to_stat(bucket, written, change.config)
        except FileNotFoundError as gone:
            if index.folder.exists():
                raise
            raise no_bucket(bucket) from gone

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object (with versioning it becomes an old version); one that is not there is fine. Raises NotFound for the bucket."""
        with open_index(self._ctx, bucket).change(self._ctx.clock()) as change:
            change.retire(key)

    def stat(self, bucket: str, key: str, *, version: str = "") -> ObjectStat:
        """Return what is known of it. Raises NotFound."""
        index = open_index(self._ctx, bucket)
        with index.connect() as db:
            return to_stat(bucket, _find(db, bucket, key, version), read_config(db))

    def sign(self, bucket: str, key: str, method: Literal["GET", "PUT"], ttl: timedelta) -> str:
        """Raise ProviderCannot: nobody serves the folder over HTTP."""
        raise ProviderCannot(
            f"provider local cannot sign a {method} URL for {bucket}/{key}",
            why=f"buckets are folders of this machine: no server would answer it for {ttl}",
            next_step="mcml plugins list",
        )


def _pages(index: BucketIndex, prefix: str) -> Iterator[ObjectStat]:
    after = ""
    while True:
        with index.connect() as db:
            config, found = read_config(db), page(db, prefix, after, PAGE_OBJECTS)
        yield from (to_stat(index.bucket, one, config) for one in found)
        if len(found) < PAGE_OBJECTS:
            return
        after = found[-1].key


def _find(db: sqlite3.Connection, bucket: str, key: str, version: str) -> Version:
    found = numbered(db, key, version) if version else newest(db, key)
    if found is None:
        what = f"no object {bucket}/{key}" + (f" with version {version}" if version else "")
        raise NotFound(what, why="it was never written, or it is deleted")
    return found


def _span(found: Version, bucket: str, start: int, end: int | None) -> int:
    """Return where a read of this range ends."""
    stop = found.size if end is None else end
    if not 0 <= start <= stop <= found.size:
        raise InvalidRequest(f"cannot read bytes {start} to {stop} of {bucket}/{found.key}", why=f"it has {found.size} bytes")
    return stop


def _open(index: BucketIndex, key: str, version: str, start: int, end: int | None) -> tuple[BinaryIO, int]:
    """Open the bytes of a key. Between looking it up and opening it, another process may replace it: then the new one is read."""
    while True:
        with index.connect() as db:
            found = _find(db, index.bucket, key, version)
        stop = _span(found, index.bucket, start, end)
        with suppress(FileNotFoundError):
            return index.blob_path(found.blob).open("rb"), stop
        with index.connect() as db:
            if _find(db, index.bucket, key, version) == found:
                why = f"{index.blob_path(found.blob)} was removed from outside"
                raise McmlError(f"the bytes of {index.bucket}/{key} are missing", why=why)


def _stream(index: BucketIndex, key: str, version: str, start: int, end: int | None) -> Iterator[bytes]:
    source, stop = _open(index, key, version, start, end)
    with source:
        source.seek(start)
        while start < stop:
            chunk = source.read(min(CHUNK_BYTES, stop - start))
            if not chunk:
                raise McmlError(f"{index.bucket}/{key} ends at byte {start}, not at {stop}", why=f"{source.name} was cut from outside")
            start += len(chunk)
            yield chunk


def _hold(bucket: str, key: str, if_match: str, found: Version | None) -> None:
    if (found.etag if found else "") != if_match:
        raise changed_underneath(bucket, key, if_match, found)
