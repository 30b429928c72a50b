"""The BigQuery emulator for the tests, in a virtual environment of its own in .cache/bqemulator (its duckdb is not ours), on its own port.

It needs an extension of duckdb that it would download: the extension's package is pinned with the rest, and is linked into a home folder
that only this server has.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.pinned_environment import CannotInstall, installed

HERE = Path(__file__).parent / "bqemulator"
START_SECONDS = 60


class EmulatorMissing(Exception):
    """It cannot be installed or started here; the text says why."""


@dataclass(frozen=True)
class Server:
    """A running emulator: its URL, and the process that is it."""

    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def running(home: Path, buckets: Path) -> Iterator[Server]:
    """Run an emulator that keeps everything in memory and finds `gs://bucket/key` at `buckets/bucket/key`. Raises EmulatorMissing."""
    try:
        python = installed("bqemulator", HERE / "requirements.txt") / "python"
    except CannotInstall as missing:
        raise EmulatorMissing(str(missing)) from None
    _link_extension(python, home)
    log = home / "log"
    keep = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR")}
    environment = {**keep, "HOME": str(home), "BQEMU_GCS_LOCAL_ROOT": str(buckets)}
    with log.open("wb") as out:
        command = [str(python), str(HERE / "launcher.py")]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out, stderr=out, cwd=home, env=environment)
    try:
        yield Server(f"http://127.0.0.1:{_port(process, log)}", process)
    finally:
        assert process.stdin is not None
        process.stdin.close()  # it ends with its stdin, also when we are killed
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _link_extension(python: Path, home: Path) -> None:
    found = sorted(python.parents[1].glob("lib/python*/site-packages/duckdb_extension_spatial/extensions/*/spatial.duckdb_extension"))
    if not found:
        raise EmulatorMissing("the BigQuery emulator's duckdb extension is not in its package")
    version, platform = found[0].parent.name, "linux_arm64" if os.uname().machine == "aarch64" else "linux_amd64"
    folder = home / ".duckdb" / "extensions" / version / platform
    folder.mkdir(parents=True)
    (folder / found[0].name).symlink_to(found[0])


def _port(process: subprocess.Popen[bytes], log: Path) -> int:
    """Return its port by its own log: what answers on a guessed port could be another's."""
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise EmulatorMissing(f"the BigQuery emulator ended with {process.returncode}: {log.read_text()[-500:]}")
        for line in log.read_text(errors="replace").splitlines():
            if '"rest.listen"' in line:
                return int(json.loads(line)["port"])
        time.sleep(0.05)
    raise EmulatorMissing(f"the BigQuery emulator did not listen within {START_SECONDS} seconds: {log.read_text()[-500:]}")
