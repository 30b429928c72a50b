"""The bytes of one source on their way: hashed as they pass, and held against what the source says of itself at the end."""

from collections.abc import Callable, Iterable, Iterator
from threading import Event
from typing import Protocol

from mcml.core.errors import Conflict, Interrupted, McmlError
from mcml.data.checksum import Digests, kind_of
from mcml.data.entry import Entry

RESUME_BYTES = 8 << 20
"""Smaller ones are fetched again whole: a second request costs more than they do."""


class Damaged(McmlError):
    """The bytes that arrived are not those that were sent."""


class Source(Protocol):
    """What a stream asks of where its bytes come from."""

    def address(self, name: str) -> str:
        """Return a name's address for a person."""

    def find(self, name: str) -> Entry | None:
        """Return what is known of a name now."""

    def read(self, entry: Entry, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes of an entry from `start` on. Raises NotFound."""


class Stream:
    """An iterable of chunks, to be run through once. It ends with an error when the source changed meanwhile, or bytes were damaged.

    So a destination that writes whole or not at all keeps nothing of a bad copy. `kinds` are checksums to take for the destination.
    """

    def __init__(
        self, source: Source, entry: Entry, kinds: Iterable[str], *, stop: Event, moved: Callable[[int], None] = lambda _: None
    ) -> None:
        self.source = source
        self.entry = entry
        self.position = 0
        self.resumed = 0
        self.complete = False
        self.failure: McmlError | None = None
        self._stop = stop
        self._moved = moved
        self._kind = kind_of(entry.checksum)
        self._digests = Digests({self._kind, *kinds})

    @property
    def where(self) -> str:
        """The address of the source."""
        return self.source.address(self.entry.name)

    @property
    def identity(self) -> str:
        """What must be the same for an unfinished copy to go on; empty for what is too small for that, or has no name for its state."""
        if (self.entry.size or 0) < RESUME_BYTES or not self.entry.etag:
            return ""
        return f"{self.where} etag={self.entry.etag} version={self.entry.version} size={self.entry.size}"

    @property
    def kind(self) -> str:
        """The kind of checksum that the source was held against; empty for its size alone."""
        return self._kind

    def checksum(self, kind: str) -> str:
        """Return the checksum of a kind of all bytes so far, or an empty text."""
        return self._digests.of(kind)

    def take(self, chunk: bytes) -> None:
        """Count bytes that a former run has fetched already. Raises Interrupted."""
        self._count(chunk)
        self.resumed += len(chunk)

    def __iter__(self) -> Iterator[bytes]:
        try:
            if self.entry.size is None or self.position < self.entry.size:
                for chunk in self.source.read(self.entry, self.position):
                    self._count(chunk)
                    if self.entry.size is not None and self.position > self.entry.size:
                        break  # a file that is being written to might never end
                    self._moved(len(chunk))
                    yield chunk
            self._check()
            self.complete = True
        except McmlError as failed:
            self.failure = failed  # a destination may wrap it in an error of its own
            raise

    def _count(self, chunk: bytes) -> None:
        if self._stop.is_set():
            raise Interrupted(f"the copy of {self.where} was stopped", why=f"after {self.position} bytes")
        self._digests.update(chunk)
        self.position += len(chunk)

    def _check(self) -> None:
        if self.entry.size is None:
            return
        if self.position != self.entry.size:
            raise self._differs(f"{self.position} bytes were read, not {self.entry.size}")
        if self._kind:
            if self.checksum(self._kind) != self.entry.checksum:
                raise self._differs(f"its {self._kind} is not the one the source reports")
        elif not self.entry.version and self._changed():
            raise self._conflict()

    def _changed(self) -> bool:
        now = self.source.find(self.entry.name)
        return now is None or now.etag != self.entry.etag

    def _differs(self, how: str) -> McmlError:
        if self._changed():
            return self._conflict()
        return Damaged(f"{self.where} arrived damaged", why=how, next_step="run the same command again")

    def _conflict(self) -> Conflict:
        why = "its etag is another one now, or it is gone"
        return Conflict(f"{self.where} changed while it was read", why=why, next_step="run the same command again")
