"""Bytes on their way into a bucket: written beside it, hashed as they pass, and gone again unless they are placed."""

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from mcml.core.errors import QuotaExceeded


class Incoming:
    """A file in `incoming/` that its writer keeps locked: a lock the kernel drops when the writer dies marks it as garbage."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._handle = -1
        self._path = folder
        self._placed = False
        self.size = 0
        self.checksum = ""

    def __enter__(self) -> Self:
        sweep_incoming(self._folder)
        while True:
            handle, name = tempfile.mkstemp(dir=self._folder)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:  # else a sweeper found it before it was locked: take another
                break
            os.close(handle)
        self._handle, self._path = handle, Path(name)
        return self

    def fill(self, chunks: Iterable[bytes]) -> None:
        """Write the chunks, and have them safe on disk on return. Raises QuotaExceeded when the disk does not take them."""
        digest = hashlib.sha256()
        for chunk in chunks:
            digest.update(chunk)
            self.size += len(chunk)
            self._write(chunk)
        self._sync()
        self.checksum = f"sha256:{digest.hexdigest()}"

    def place(self, path: Path) -> None:
        """Give the file its final place, for good even if the power fails."""
        self._path.rename(path)
        self._placed = True
        sync_folder(path.parent)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._placed:
            self._path.unlink(missing_ok=True)
        os.close(self._handle)

    def _write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        except OSError as failed:
            raise self._refused(failed) from failed

    def _sync(self) -> None:
        try:
            os.fsync(self._handle)
        except OSError as failed:
            raise self._refused(failed) from failed

    def _refused(self, failed: OSError) -> QuotaExceeded:
        where = self._folder.parent
        return QuotaExceeded(f"cannot write below {where}", why=failed.strerror or str(failed), next_step=f"df {where}")


def sweep_incoming(folder: Path) -> None:
    """Delete the files of writers that died."""
    for path in folder.iterdir():
        try:
            handle = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except BlockingIOError:
            continue
        finally:
            os.close(handle)


def sync_folder(folder: Path) -> None:
    """Ask the disk to keep a folder's entries."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
