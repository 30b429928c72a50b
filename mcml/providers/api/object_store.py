"""ObjectStore: objects by key in a bucket, or in a container, or in a folder."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """What is known of an object without reading it. `checksum` is `algorithm:hex`; `version` is empty without versioning."""

    bucket: str
    key: str
    size: int
    checksum: str
    etag: str
    modified: datetime
    version: str = ""


class ObjectStore(Protocol):
    """Read and write objects; large ones stream in chunks and are never held whole."""

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectStat]:
        """Yield the objects below a prefix in key order, page by page. Raises NotFound for the bucket."""

    def read(self, bucket: str, key: str, *, version: str = "", start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` up to, not including, `end`. Raises NotFound, InvalidRequest for a range outside."""

    def write(self, bucket: str, key: str, chunks: Iterable[bytes], *, if_match: str | None = None) -> ObjectStat:
        """Write an object whole or not at all.

        `if_match` is an etag that must still hold, or "" for "only if there is none".
        Raises Conflict when it does not hold, NotFound for the bucket, InvalidRequest for a key that cannot be.
        """

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object; one that is not there is fine. Raises NotFound for the bucket."""

    def stat(self, bucket: str, key: str, *, version: str = "") -> ObjectStat:
        """Return what is known of it. Raises NotFound."""

    def sign(self, bucket: str, key: str, method: Literal["GET", "PUT"], ttl: timedelta) -> str:
        """Return a URL that works without credentials until `ttl` has passed. Raises ProviderCannot where there is none."""
