"""Checksums written `algorithm:hex`: which of them can be computed here, and several at once while bytes pass. Pure."""

import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Protocol

_LENGTHS = {"md5": 32, "sha1": 40, "sha256": 64, "sha512": 128, "crc32": 8}
if find_spec("google_crc32c"):  # a small C library that comes with some providers; in Python alone it would be slower than the network
    _LENGTHS["crc32c"] = 8
_FORM = re.compile(r"([a-z0-9]+):([0-9a-f]+)")
DEFAULT = "sha256"
COMMON = ("sha256", "md5", "crc32", "crc32c")
"""Taken of bytes on their way to a place that has not yet said which kind it reports."""


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class _Crc:
    def __init__(self, extend: Callable[[int, bytes], int]) -> None:
        self._extend = extend
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._extend(self._value, data)

    def hexdigest(self) -> str:
        return f"{self._value:08x}"


def kind_of(checksum: str) -> str:
    """Return the algorithm of a checksum, or an empty text when it is none that can be computed here (a checksum of checksums)."""
    found = _FORM.fullmatch(checksum)
    return found[1] if found and _LENGTHS.get(found[1]) == len(found[2]) else ""


def comparable(one: str, other: str) -> bool:
    """Tell whether two checksums are of the same kind, so that equal means the same bytes and unequal means others."""
    kinds = [checksum.partition(":")[0] for checksum in (one, other)]
    whole = all(_FORM.fullmatch(checksum) for checksum in (one, other))
    return whole and kinds[0] == kinds[1]


class Digests:
    """Checksums of the bytes that pass, of several kinds at once; kinds that cannot be computed are left out."""

    def __init__(self, kinds: Iterable[str]) -> None:
        self._hashes: Mapping[str, _Hash] = {kind: _new(kind) for kind in kinds if kind in _LENGTHS}

    def update(self, chunk: bytes) -> None:
        """Take the next bytes."""
        for running in self._hashes.values():
            running.update(chunk)

    def of(self, kind: str) -> str:
        """Return the checksum of a kind, or an empty text when it was not taken."""
        return f"{kind}:{self._hashes[kind].hexdigest()}" if kind in self._hashes else ""


def _new(kind: str) -> _Hash:
    if kind == "crc32c":
        return _Crc(import_module("google_crc32c").extend)
    if kind == "crc32":
        return _Crc(lambda value, data: zlib.crc32(data, value))
    return hashlib.new(kind, usedforsecurity=False)
