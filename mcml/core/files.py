"""Files of ours: written whole or not at all, and readable by their owner only where they may hold something private."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644, durable: bool = True) -> None:
    """Replace `path` with `data` in one step; a reader sees the old file or the new one, never a half.

    `durable` also asks the disk to keep it before the rename, so a power cut cannot leave an empty file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fchmod(out.fileno(), mode)
            if durable:
                os.fsync(out.fileno())
        Path(temporary).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
        raise


def write_json(path: Path, value: object, *, mode: int = 0o644, durable: bool = True) -> None:
    """Replace `path` with `value` as indented JSON, in one step."""
    text = json.dumps(value, indent=2, sort_keys=True, default=str) + "\n"
    write_atomic(path, text.encode(), mode=mode, durable=durable)


def read_json(path: Path) -> Any:
    """Read a JSON file; None where there is none. Raises ValueError (naming the file) for a broken one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as broken:
        raise ValueError(f"{path}: {broken}") from broken


@contextmanager
def staged_folder(final: Path, *, replace: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside `final` that takes its name when the block ends well, and vanishes when it does not.

    With `replace` an existing folder gives way in the same moment; without it FileExistsError is raised, also when somebody
    else made `final` while the block ran.
    """
    final = final.resolve()
    if final.exists() and not (replace and final.is_dir()):
        raise FileExistsError(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}.", suffix=".tmp"))
    try:
        yield stage
        stage.chmod(0o755)
        _take_name(stage, final, replace=replace)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise


def _take_name(stage: Path, final: Path, *, replace: bool) -> None:
    try:
        stage.rename(final)
    except OSError as taken:
        if taken.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        if not replace:
            raise FileExistsError(final) from taken
        _exchange(stage, final)
        shutil.rmtree(stage, ignore_errors=True)


def _exchange(one: Path, other: Path) -> None:
    """Swap two folders in one step (Linux renameat2); in two steps on a file system that cannot."""
    import ctypes

    renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    if renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return
    if ctypes.get_errno() not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(other))
    aside = one.with_name(f"{one.name}.old")
    other.rename(aside)
    one.rename(other)
    aside.rename(one)
