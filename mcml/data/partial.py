"""A file that is being fetched: kept beside its final place under a name of its own until it is whole.

    .NAME.mcml-partial        the bytes so far; locked by its writer, a lock the kernel drops when the writer dies
    .NAME.mcml-partial.json   which state of the source they are of; only for files worth going on with
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from mcml.core.errors import Conflict
from mcml.core.files import read_json, write_json
from mcml.data.address import partial_name
from mcml.data.stream import Damaged

CHUNK_BYTES = 1 << 20


class Partial:
    """Open it with the `identity` of the source: bytes of the same identity are still there, all others are gone.

    With an empty identity nothing is kept when the block fails; with any, nothing after Conflict or Damaged. Raises Conflict when
    another process is writing the same file.
    """

    def __init__(self, final: Path, identity: str) -> None:
        self._final = final
        self._identity = identity
        self._path = final.with_name(partial_name(final.name))
        self._record = self._path.with_name(f"{self._path.name}.json")
        self._handle = -1
        self._placed = False

    def __enter__(self) -> Self:
        self._handle = self._locked()
        try:
            self._begin()
        except BaseException:
            os.close(self._handle)
            raise
        return self

    def replay(self) -> Iterator[bytes]:
        """Yield the bytes that are there."""
        os.lseek(self._handle, 0, os.SEEK_SET)
        while chunk := os.read(self._handle, CHUNK_BYTES):
            yield chunk

    def write(self, chunk: bytes) -> None:
        """Append bytes. Raises OSError."""
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._handle, rest) :]

    def place(self, *, clobber: bool) -> None:
        """Give it its final name, in one step and safe on disk. Raises Conflict when there is a file and `clobber` is False, OSError."""
        os.fsync(self._handle)
        if clobber:
            self._path.replace(self._final)
        else:
            try:
                self._final.hardlink_to(self._path)
            except FileExistsError as taken:
                step = "run the same command again: it keeps what is there"
                raise Conflict(f"{self._final} appeared meanwhile", why="it was not to be overwritten", next_step=step) from taken
            self._path.unlink()
        self._placed = True
        self._record.unlink(missing_ok=True)

    def give_up(self) -> None:
        """Leave no file of what cannot go on, while its writer still waits: it finds nothing to place then."""
        if not self._identity and not self._placed:
            self._path.unlink(missing_ok=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        keep = self._identity and os.fstat(self._handle).st_size and not isinstance(error, Conflict | Damaged)
        if not self._placed and not keep:
            self._path.unlink(missing_ok=True)
            self._record.unlink(missing_ok=True)
        os.close(self._handle)

    def _locked(self) -> int:
        while True:
            handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with suppress(FileNotFoundError):
                    if self._path.stat().st_ino == os.fstat(handle).st_ino:
                        return handle  # else its last writer has just finished, and this is another file by now
            except BlockingIOError as held:
                os.close(handle)
                raise Conflict(
                    f"another process is writing {self._final}", why=f"{self._path} is locked", next_step="wait for it, then try again"
                ) from held
            os.close(handle)

    def _begin(self) -> None:
        """Keep bytes of the same identity. The bytes go before the record changes: killed in between, nothing wrong goes together."""
        if self._identity and self._recorded() == self._identity:
            return
        os.ftruncate(self._handle, 0)
        if self._identity:
            write_json(self._record, {"source": self._identity}, durable=False)
        else:
            self._record.unlink(missing_ok=True)

    def _recorded(self) -> object:
        try:
            record = read_json(self._record)
        except ValueError:
            return None
        return record.get("source") if isinstance(record, dict) else None
