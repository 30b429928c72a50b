"""`Place`: one end of a copy, and what a copy asks of it."""

from collections.abc import Iterator
from typing import Protocol

from mcml.data.entry import Entry
from mcml.data.stream import Source, Stream


class Place(Source, Protocol):
    """A folder of this machine, everything below a prefix of a bucket, or a stream; a name in it is a key relative to it."""

    @property
    def local(self) -> bool:
        """True for a folder of this machine."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of checksum that a write answers with, as far as is known."""

    def entries(self) -> Iterator[Entry]:
        """Yield what is there, all the way down; nothing where there is nothing. Raises NotFound for the bucket."""

    def write(self, name: str, stream: Stream, *, clobber: bool = True) -> str:
        """Write a stream whole or not at all; return the kind of checksum that the place confirmed (empty: none).

        Raises Conflict without `clobber` when there is something, Damaged when the place reports other bytes than were sent,
        QuotaExceeded for a full disk, and whatever the stream raises.
        """

    def delete(self, name: str) -> None:
        """Delete a name; one that is gone is fine."""
