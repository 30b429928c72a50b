"""A read of an S3 object that goes on where it broke off."""

import hashlib
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from botocore.exceptions import ClientError

from mcml.core.errors import Conflict, InvalidRequest, Unavailable
from mcml.providers.aws.error_table import code_of
from mcml.providers.aws.object_stat import checksum_of, size_of

PIECE_BYTES = 1 << 20


class _Digest(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Crc32:
    """zlib's CRC32 in the shape of hashlib."""

    def __init__(self) -> None:
        self._crc = 0

    def update(self, data: bytes, /) -> None:
        self._crc = zlib.crc32(data, self._crc)

    def hexdigest(self) -> str:
        return f"{self._crc:08x}"


_DIGESTS: dict[str, Callable[[], _Digest]] = {"sha256": hashlib.sha256, "crc32": _Crc32}


class Reader:
    """Pieces of an object from `start` to `end`; a call of `piece` that failed may be made again: it asks for the rest of the same object.

    `get` is GetObject, which takes more keywords, and `head` is HeadObject; `name` stands in messages.
    """

    def __init__(self, name: str, get: Callable[..., Any], head: Callable[[], Any], start: int, end: int | None) -> None:
        self._name, self._get, self._head = name, get, head
        self._place, self._end = start, end
        self._whole = start == 0 and end is None
        self._body: Any = None
        self._etag = ""
        self._expected = ""
        self._digest: _Digest | None = None

    def piece(self) -> bytes:
        """Return the next piece, or nothing at the end. Raises what the SDK raises, and what `S3ObjectStore.read` says."""
        if self._body is None and not self._open():
            return b""
        try:
            piece: bytes = self._body.read(PIECE_BYTES)
        except Exception:
            self.close()
            raise
        self._place += len(piece)
        if self._digest:
            self._digest.update(piece)
        return piece

    def verify(self) -> None:
        """Compare the checksum of a whole object that has arrived with the one it was written with, if S3 knows it. Raises Unavailable."""
        if self._digest and self._digest.hexdigest() != self._expected.partition(":")[2]:
            why = f"what arrived does not have the checksum it was written with ({self._expected}): damaged on the way"
            raise Unavailable(f"cannot read {self._name}", why=why)

    def close(self) -> None:
        """Close the connection, if the answer has not been read to its end."""
        if self._body is not None:
            self._body.close()
            self._body = None

    def _open(self) -> bool:
        """Ask for what is left; False when that is nothing."""
        if self._place == self._end:
            if not self._etag:  # an empty range, but of an object that must be there and be long enough
                self._must_reach(size_of(self._head()))
            return False
        more = {"IfMatch": self._etag} if self._etag else {}
        if not self._whole or self._place:
            more["Range"] = f"bytes={self._place}-{self._end - 1 if self._end is not None else ''}"
        try:
            answer = self._get(**more)
        except ClientError as failed:
            if code_of(failed) == "InvalidRange":
                self._must_reach(size_of(self._head()))
                return False
            if code_of(failed) == "PreconditionFailed":
                why = f"it was replaced after {self._place} bytes had arrived"
                raise Conflict(f"cannot read on in {self._name}", why=why) from failed
            raise
        self._begin(answer)
        return True

    def _begin(self, answer: Any) -> None:
        self._body = answer["Body"]
        self._must_reach(size_of(answer))
        if not self._etag:
            self._etag = answer["ETag"]
            self._expected = checksum_of(answer) if self._whole else ""
            algorithm = self._expected.partition(":")[0]
            self._digest = _DIGESTS[algorithm]() if algorithm in _DIGESTS else None

    def _must_reach(self, size: int) -> None:
        if max(self._place, self._end or 0) > size:
            end = "its end" if self._end is None else str(self._end)
            raise InvalidRequest(f"cannot read bytes {self._place} to {end} of {self._name}", why=f"it has {size} bytes")
