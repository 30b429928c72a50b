"""Azurite for the tests: installed once from the lock beside this file into .cache/azurite, and started on a port of its own."""

import hashlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from tests import secrets_found

HERE = Path(__file__).parent / "azurite"
CACHE = Path(__file__).parents[3] / ".cache" / "azurite"
INSTALL_SECONDS = 150
START_SECONDS = 60
ACCOUNT = "devstoreaccount1"
# public by design: every emulator of Azure Storage has this account and this key
WELL_KNOWN_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
secrets_found.register("the key of an Azure storage account", WELL_KNOWN_KEY)
_LISTENS = re.compile(r"listens on (https?://127\.0\.0\.1:\d+)")


class AzuriteMissing(Exception):
    """It cannot be installed or started here; the text says why."""


@dataclass(frozen=True)
class Server:
    """A running Azurite: its origin and the process that is it."""

    origin: str
    process: subprocess.Popen[bytes]

    @property
    def endpoint(self) -> str:
        """The `endpoint` setting that leads to it."""
        return f"{self.origin}/{{account}}"


def install(cache: Path = CACHE) -> Path:
    """Return Azurite's entry file, installed by one of the test processes while the others wait. Raises AzuriteMissing."""
    if not shutil.which("node") or not shutil.which("npm"):
        raise AzuriteMissing("Azurite needs node and npm, which are not on PATH")
    digest = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:12]
    folder = cache / digest
    entry, failed = folder / "node_modules/azurite/dist/src/blob/main.js", folder / "failed"
    cache.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(cache / "lock", timeout=INSTALL_SECONDS):
            if not (folder / "installed").exists():
                _install(folder, failed)
    except Timeout:
        raise AzuriteMissing("another test process is still installing Azurite") from None
    return entry


def _install(folder: Path, failed: Path) -> None:
    if failed.exists() and time.time() - failed.stat().st_mtime < INSTALL_SECONDS:
        raise AzuriteMissing(f"npm ci failed a moment ago: {failed.read_text()[-300:]}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder / name)
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS, stdin=subprocess.DEVNULL)
        trouble = "" if done.returncode == 0 else done.stderr
    except subprocess.TimeoutExpired:
        trouble = f"npm ci took more than {INSTALL_SECONDS} seconds"
    if trouble:
        failed.write_text(trouble)
        raise AzuriteMissing(f"npm ci failed: {trouble[-300:]}")
    (folder / "installed").touch()


@contextmanager
def running(log: Path, *options: str) -> Iterator[Server]:
    """Run an Azurite that keeps everything in memory. Raises AzuriteMissing."""
    entry = install()
    own = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--disableTelemetry"]
    # the SDK speaks a newer API version than this Azurite knows, which without the last option answers 400 to everything
    command = ["node", str(entry), *own, "--skipApiVersionCheck", *options]
    folder = log.parent
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=folder, env={**os.environ, "NODE_OPTIONS": ""}
        )
    try:
        yield Server(_origin(process, log), process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _origin(process: subprocess.Popen[bytes], log: Path) -> str:
    """Return where it listens, by its own log: what answers on a guessed port could be another's."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise AzuriteMissing(f"Azurite ended with {process.returncode}: {log.read_text()[-500:]}")
        if found := _LISTENS.search(log.read_text()):
            return found[1]
        time.sleep(0.05)
    raise AzuriteMissing(f"Azurite did not listen within {START_SECONDS} seconds: {log.read_text()[-500:]}")
