"""A folder as one layer of an OCI artifact: a tar.gz in which nothing but names and contents counts, so the same content is the same bytes.

Owners, times and permissions are left out, files come in the order of `core.package.folder_digest`, and so does the choice of files: all
but dot-files, links followed. The compressed bytes also depend on the zlib of the machine: between machines, compare `package_digest`.
"""

import gzip
import hashlib
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mcml.core.errors import Conflict, InvalidRequest, NotFound

MODE = 0o644


@dataclass(frozen=True)
class Layer:
    """A packed folder: where the file is, its digest (`sha256:...`) and size, and the digest of the package in it (hex)."""

    path: Path
    digest: str
    size_bytes: int
    package_digest: str


def pack(source: Path, into: Path) -> Layer:
    """Write a folder's or a file's layer, piece by piece. Raises NotFound, InvalidRequest for an empty folder, Conflict when it changes."""
    files = list(_files(source))
    if not files:
        raise InvalidRequest(f"cannot push {source}", why="there is no file in it (dot-files are left out)")
    package = hashlib.sha256()
    with into.open("wb") as raw:
        hashed = _Hashed(raw)
        with (
            gzip.GzipFile("", "wb", 6, hashed, mtime=0) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for name, path in files:
                package.update(os.fsencode(name) + f"\0{_add(archive, name, path)}\n".encode())
    return Layer(into, f"sha256:{hashed.digest.hexdigest()}", hashed.size, package.hexdigest())


def _files(source: Path) -> Iterator[tuple[str, Path]]:
    if source.is_file():
        yield source.name, source
        return
    if not source.is_dir():
        raise NotFound(f"cannot push {source}", why="there is no such folder or file", next_step=f"mcml data ls {source.parent}")
    for path in sorted(source.rglob("*")):
        relative = path.relative_to(source)
        if path.is_file() and not any(part.startswith(".") for part in relative.parts):
            yield relative.as_posix(), path


def _add(archive: tarfile.TarFile, name: str, path: Path) -> str:
    """Add a file and return the SHA-256 of what was added."""
    with path.open("rb") as source:
        about = tarfile.TarInfo(name)
        about.size, about.mode = os.fstat(source.fileno()).st_size, MODE
        reading = _Reading(source)
        try:
            archive.addfile(about, reading)
        except OSError as short:
            if reading.size == about.size:
                raise
            why, step = "somebody changed it meanwhile", "let nobody write there, and push again"
            raise Conflict(f"cannot push {path}", why=why, next_step=step) from short
    return reading.digest.hexdigest()


class _Reading:
    """A file that is hashed as it is read."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source, self.digest, self.size = source, hashlib.sha256(), 0

    def read(self, size: int = -1) -> bytes:
        piece = self._source.read(size)
        self.digest.update(piece)
        self.size += len(piece)
        return piece


class _Hashed:
    """A file that is hashed as it is written."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out, self.digest, self.size = out, hashlib.sha256(), 0

    def write(self, piece: Any) -> int:
        self.digest.update(piece)
        self.size += len(piece)
        return self._out.write(piece)

    def flush(self) -> None:
        self._out.flush()
