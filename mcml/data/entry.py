"""What is known of a file or an object without reading it. Pure."""

from dataclasses import dataclass
from datetime import datetime

from mcml.providers.api.object_store import ObjectStat


@dataclass(frozen=True)
class Entry:
    """A file or an object; `name` is its key below the place that was asked.

    `size` is in bytes, None for a stream; `checksum` is `algorithm:hex`, empty when nobody took it; `fault` says why it cannot be copied.
    """

    name: str
    size: int | None = None
    checksum: str = ""
    etag: str = ""
    version: str = ""
    modified: datetime | None = None
    fault: str = ""


def from_stat(stat: ObjectStat, prefix: str) -> Entry:
    """Return the entry of an object below a prefix."""
    return Entry(stat.key.removeprefix(prefix), stat.size, stat.checksum, stat.etag, stat.version, stat.modified)
