"""Files of ours: written whole or not at all, and readable by their owner only where they may hold something private."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


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
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError as broken:
        raise ValueError(f"{path}: {broken}") from broken


@contextmanager
def staged_folder(final: Path) -> Iterator[Path]:
    """Yield an empty folder beside `final` that takes its name when the block ends well, and vanishes when it does not.

    Raises FileExistsError when `final` exists already.
    """
    import shutil

    if final.exists():
        raise FileExistsError(final)
    final.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}.", suffix=".tmp"))
    try:
        yield stage
        stage.chmod(0o755)
        stage.rename(final)
    except BaseException:
        shutil.rmtree(stage, ignore_errors=True)
        raise
