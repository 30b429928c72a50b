"""A tool whose dependencies are not ours, in a virtual environment of its own in .cache/NAME, installed once from hashed pins.

The pins are made of the `requirements.in` beside them by `uv pip compile requirements.in --universal --python-version 3.11
--generate-hashes --no-emit-index-url --no-annotate --no-header --output-file requirements.txt`.
"""

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

from filelock import FileLock, Timeout

CACHE = Path(__file__).parents[1] / ".cache"
INSTALL_SECONDS = 400
WAIT_SECONDS = 150


class CannotInstall(Exception):
    """The environment cannot be made here; the text says why."""


def installed(name: str, requirements: Path, *, cache: Path = CACHE, wait: float = WAIT_SECONDS) -> Path:
    """Return the `bin` of NAME's environment, made by one of the test processes while the others `wait` (s). Raises CannotInstall."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    digest = hashlib.sha256(requirements.read_bytes() + python.encode()).hexdigest()[:12]
    folder = cache / name / digest
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder.parent / "lock", timeout=wait):
            if not (folder / "installed").exists():
                _install(folder, requirements)
    except Timeout:
        raise CannotInstall(f"another test process is still installing {name}") from None
    return folder / "bin"


def _install(folder: Path, requirements: Path) -> None:
    name, failed = folder.parent.name, folder.with_suffix(".failed")
    if failed.exists() and time.time() - failed.stat().st_mtime < INSTALL_SECONDS:
        raise CannotInstall(f"installing {name} failed a moment ago: {failed.read_text()[-300:]}")
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    pinned = ["--require-hashes", "--only-binary", ":all:", "--requirement", str(requirements)]
    trouble, until = "", time.monotonic() + INSTALL_SECONDS
    for step in ([sys.executable, "-m", "venv", str(folder)], [*pip, *pinned]):
        try:
            left = until - time.monotonic()
            done = subprocess.run(step, capture_output=True, text=True, timeout=left, stdin=subprocess.DEVNULL)
            trouble = "" if done.returncode == 0 else done.stderr
        except subprocess.TimeoutExpired:
            trouble = f"it took more than {INSTALL_SECONDS} seconds"
        if trouble:
            failed.write_text(trouble)
            raise CannotInstall(f"{name} cannot be installed: {trouble[-300:]}")
    (folder / "installed").touch()
