"""CRC-32C as Cloud Storage writes it (base64 of four bytes, most significant first) and as we do (`crc32c:hex`)."""

import base64
from typing import Any

import google_crc32c

_Checksum: Any = google_crc32c.Checksum  # it comes without types


class Crc32c:
    """The CRC-32C of bytes as they pass."""

    def __init__(self) -> None:
        self._running = _Checksum()

    def update(self, data: bytes) -> None:
        """Add bytes."""
        self._running.update(data)

    @property
    def base64(self) -> str:
        """The checksum so far, as Cloud Storage writes it."""
        return base64.b64encode(self._running.digest()).decode()


def in_hex(crc32c: str | None, md5: str | None) -> str:
    """Return `algorithm:hex` of the first that is known, or "": every object has a CRC-32C, composed ones have no MD5."""
    for algorithm, encoded in (("crc32c", crc32c), ("md5", md5)):
        if encoded:
            return f"{algorithm}:{base64.b64decode(encoded).hex()}"
    return ""
