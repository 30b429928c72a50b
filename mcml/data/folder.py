"""A folder of this machine as a place."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from mcml.core.errors import InvalidRequest, McmlError, NotFound, QuotaExceeded
from mcml.data.entry import Entry
from mcml.data.partial import Partial
from mcml.data.stream import Stream

CHUNK_BYTES = 1 << 20
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class FolderPlace:
    """The files below a folder. Links to files are read through, links to folders are not entered; nothing is written through either."""

    local = True
    kinds: tuple[str, ...] = ()

    def __init__(self, root: Path) -> None:
        self.root = root
        self._writing: set[Partial] = set()

    def address(self, name: str) -> str:
        """Return the file's path."""
        return str(self.root / name)

    def entries(self) -> Iterator[Entry]:
        """Yield the files, and with a fault what is no file or cannot be read; folder by folder, by name."""
        failed: list[OSError] = []
        for folder, folders, files in os.walk(self.root, onerror=failed.append):
            folders.sort()
            links = [name for name in folders if os.path.islink(f"{folder}/{name}")]  # noqa: PTH114 - a Path a file is slow
            for name in sorted(files + links):
                yield self._entry(os.path.relpath(f"{folder}/{name}", self.root))
        for error in failed:
            if error.errno != errno.ENOENT:
                yield Entry(os.path.relpath(error.filename, self.root), fault=f"cannot be listed: {error.strerror}")

    def find(self, name: str) -> Entry | None:
        """Return what is known of a file."""
        return self._entry(name) if os.path.lexists(self.root / name) else None

    def read(self, entry: Entry, start: int = 0) -> Iterator[bytes]:
        """Yield the bytes of a file."""
        path = self.root / entry.name
        with _told(path, "read"), path.open("rb", buffering=0) as source:
            source.seek(start)
            while chunk := source.read(CHUNK_BYTES):
                yield chunk

    def write(self, name: str, stream: Stream, *, clobber: bool = True) -> str:
        """Write a file; an interrupted large one goes on where it stopped, as long as the source is the same."""
        path = self._inside(name)
        with _told(path, "write"):
            path.parent.mkdir(parents=True, exist_ok=True)
            with Partial(path, stream.identity) as partial:
                self._writing.add(partial)
                try:
                    for chunk in partial.replay():
                        stream.take(chunk)
                    for chunk in stream:
                        partial.write(chunk)
                    partial.place(clobber=clobber)
                finally:
                    self._writing.discard(partial)
        return ""

    def give_up(self) -> None:
        """Clean up behind writes that nobody waits for any more."""
        for partial in list(self._writing):
            partial.give_up()

    def delete(self, name: str) -> None:
        """Delete a file, or a link."""
        path = self.root / name
        with _told(path, "delete"):
            path.unlink(missing_ok=True)

    def prune(self) -> None:
        """Delete the folders that are empty, this one too."""
        for folder, _, _ in os.walk(self.root, topdown=False):
            with _told(Path(folder), "delete"):
                if not any(os.scandir(folder)):
                    Path(folder).rmdir()

    def _entry(self, name: str) -> Entry:
        path = self.root / name
        try:
            found = path.stat()
        except OSError as failed:
            return Entry(name, fault="a link that leads nowhere" if path.is_symlink() else f"cannot be looked at: {failed.strerror}")
        modified = datetime.fromtimestamp(found.st_mtime, UTC)
        if stat.S_ISDIR(found.st_mode):
            what = "a link to a folder, which is not followed" if path.is_symlink() else "a folder"
            return Entry(name, modified=modified, fault=what)
        if not stat.S_ISREG(found.st_mode):
            return Entry(name, modified=modified, fault="neither a file nor a folder")
        etag = f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"
        return Entry(name, found.st_size, etag=etag, modified=modified)

    def _inside(self, name: str) -> Path:
        """Return the path to write. Raises InvalidRequest when a link on the way leads out of the folder."""
        path = self.root / name
        if not path.parent.resolve().is_relative_to(self.root.resolve()):
            raise InvalidRequest(f"cannot write {path}", why="a link on the way leads out of the folder")
        return path


@contextmanager
def _told(path: Path, doing: str) -> Iterator[None]:
    """Turn the system's errors into ours."""
    try:
        yield
    except FileNotFoundError as missing:
        raise NotFound(f"no file {path}", next_step=f"mcml data ls {path.parent}") from missing
    except OSError as failed:
        why = failed.strerror or str(failed)
        if failed.errno in _FULL:
            raise QuotaExceeded(f"cannot {doing} {path}", why=why, next_step=f"df {path.parent}") from failed
        raise McmlError(f"cannot {doing} {path}", why=why) from failed
