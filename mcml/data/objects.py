"""Places that are not folders: everything below a prefix of a bucket, and the stream of another program."""

from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from mcml.core.errors import Conflict, McmlError, NotFound, ProviderCannot
from mcml.data.address import STREAM, ObjectAddress
from mcml.data.checksum import COMMON, kind_of
from mcml.data.entry import Entry, from_stat
from mcml.data.stream import Damaged, Stream
from mcml.providers.api.object_store import ObjectStat, ObjectStore

CHUNK_BYTES = 1 << 20


class ObjectPlace:
    """Everything below a prefix (it ends in '/', or is empty for the whole bucket)."""

    local = False

    def __init__(self, store: ObjectStore, scheme: str, bucket: str, prefix: str) -> None:
        self._store = store
        self._scheme = scheme
        self._bucket = bucket
        self._prefix = prefix
        self.kinds: tuple[str, ...] = COMMON

    def address(self, name: str) -> str:
        """Return the object's URL."""
        return str(ObjectAddress(self._scheme, self._bucket, self._prefix + name))

    def entries(self) -> Iterator[Entry]:
        """Yield the objects below the prefix in key order."""
        return (from_stat(stat, self._prefix) for stat in self._store.list(self._bucket, self._prefix))

    def find(self, name: str) -> Entry | None:
        """Return what is known of an object; None without it, or without its bucket."""
        try:
            return from_stat(self._store.stat(self._bucket, self._prefix + name), self._prefix)
        except NotFound:
            return None

    def read(self, entry: Entry, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes of just the version that the entry names, where there are versions."""
        return self._store.read(self._bucket, self._prefix + entry.name, version=entry.version, start=start)

    def write(self, name: str, stream: Stream, *, clobber: bool = True) -> str:
        """Write an object and hold it against what was sent; a bad one is deleted again."""
        key = self._prefix + name
        try:
            written = self._store.write(self._bucket, key, stream, if_match=None if clobber else "")
        except Exception as failed:
            if stream.failure and stream.failure is not failed:
                raise stream.failure from failed
            if isinstance(failed, Conflict) and not clobber and not stream.failure:
                why, step = f"it was not to be overwritten: {failed.why}", "run the same command again: it keeps what is there"
                raise Conflict(failed.message, why=why, next_step=step) from failed
            raise
        kind = kind_of(written.checksum)
        ours = stream.checksum(kind)
        if not stream.complete or written.size != stream.position or (ours and ours != written.checksum):
            self._discard(written)
            raise stream.failure or Damaged(
                f"{self.address(name)} was stored damaged, and is deleted again",
                why=f"it is {written.size} bytes with {written.checksum}; {stream.position} with {ours} were sent",
                next_step="run the same command again",
            )
        self.kinds = (kind,) if kind else ()
        return kind if ours else ""

    def delete(self, name: str) -> None:
        """Delete an object."""
        self._store.delete(self._bucket, self._prefix + name)

    def _discard(self, written: ObjectStat) -> None:
        """Delete what was just written, unless somebody has replaced it since."""
        with suppress(McmlError):
            if self._store.stat(self._bucket, written.key).etag == written.etag:
                self._store.delete(self._bucket, written.key)


class StreamPlace:
    """What another program writes into our stdin: one entry, read once."""

    local = False
    kinds: tuple[str, ...] = ()

    def __init__(self, stdin: BinaryIO) -> None:
        self._stdin = stdin

    def address(self, name: str) -> str:  # noqa: ARG002 - there is only one
        """Return `-`."""
        return STREAM

    def entries(self) -> Iterator[Entry]:
        """Yield the one entry."""
        return iter([Entry(STREAM)])

    def find(self, name: str) -> Entry | None:
        """Return an entry of unknown size."""
        return Entry(name)

    def read(self, entry: Entry, start: int = 0) -> Iterator[bytes]:  # noqa: ARG002 - a stream has one beginning
        """Yield what comes, in chunks of at most a MiB."""
        return iter(lambda: self._stdin.read(CHUNK_BYTES), b"")

    def write(self, name: str, stream: Stream, *, clobber: bool = True) -> str:  # noqa: ARG002
        """Raise ProviderCannot: it is read only."""
        raise ProviderCannot(f"cannot write {stream.where} into stdin")

    def delete(self, name: str) -> None:
        """Raise ProviderCannot."""
        raise ProviderCannot(f"cannot delete {name}")
