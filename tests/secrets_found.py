"""No credential that the tests use is in anything that they leave behind; root conftest.py takes the hook and the fixture from here.

Fixtures `register` what they use. Looked at are: what tests print and log, each error of `core.errors` as it is made, what `mcml` says to
`mcml.testing.cli.run`, the command lines of all processes that a test has started (`/proc`, a few times a second), and at the end every
file below pytest's folder (logs, journals, state) and the reports of bugs. A find fails the last test of the process; it names the
credential and the place, never the credential itself.
"""

import fnmatch
import mmap
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from mcml.core.errors import McmlError
from mcml.testing.cli import Result

EVERY_SECONDS = 0.25
LARGEST_BYTES = 8 << 20  # beyond it are the large objects of tests, not what a program writes about itself
SHORTEST = 10
MARK = "TESTS_SECRETS_WATCH"
"""Of the environment: by it processes are known as ours, also those that outlive who started them."""

ALLOWED = {
    "*/login-*.json": "the credentials file that a fixture writes, as `gcloud` does",
    "*/aws-credentials": "the credentials file that a test writes, as `aws configure` does",
    "*/aws-config": "the same, in the other file of AWS's tools",
    "*/moto[0-9]*/err": "the emulator's own log of requests: signed URLs carry the key's id and the session token",
}
"""Files that may hold a credential, and why."""


class Watch:
    """Credentials by value, and where they were found."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.found: dict[str, None] = {}
        self.mark = uuid4().hex
        self._sightings: dict[str, int] = {}

    def register(self, name: str, *values: str) -> None:
        """Look for these from now on, as they are and as they stand in a URL; `name` is what a find is called."""
        for value in values:
            assert len(value) >= SHORTEST, f"{name} is too short to be looked for"
            self.known |= {value: name, quote(value, safe=""): name}

    def text(self, place: str, text: str) -> None:
        """Look through a text."""
        for value, name in list(self.known.items()):
            if value in text:
                self.found[f"{name} in {place}"] = None

    def folder(self, folder: Path) -> None:
        """Look through every file below a folder."""
        for where, _, names in os.walk(folder):
            for name in names:
                if not any(fnmatch.fnmatch(f"{where}/{name}", pattern) for pattern in ALLOWED):
                    with suppress(OSError):  # gone meanwhile, or not ours to read
                        self._file(Path(where, name))

    def _file(self, path: Path) -> None:
        if path.is_symlink() or not path.is_file() or not 0 < path.stat().st_size <= LARGEST_BYTES:
            return
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for value, name in self.known.items():
                if content.find(value.encode()) >= 0:
                    self.found[f"{name} in the file {path}"] = None

    def processes(self) -> None:
        """Look at the command lines of our processes, each twice: the first may be from before its exec."""
        pids = [entry.name for entry in os.scandir("/proc") if entry.name.isdecimal()]
        self._sightings = {pid: self._sightings.get(pid, 0) for pid in pids}
        for pid in pids:
            if self._sightings[pid] < 2 and pid != str(os.getpid()):
                self._sightings[pid] += 1
                with suppress(OSError):
                    if f"{MARK}={self.mark}".encode() in Path("/proc", pid, "environ").read_bytes():
                        argv = Path("/proc", pid, "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
                        self.text(f"the command line of a process ({argv[:40]}...)", argv)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look at processes, errors and what `mcml` says, until the block ends."""
        over, before = threading.Event(), os.environ.get(MARK)
        os.environ[MARK] = self.mark

        def sample() -> None:
            while not over.wait(EVERY_SECONDS):
                self.processes()

        thread = threading.Thread(target=sample, name="secrets-watch", daemon=True)
        thread.start()
        try:
            with self._noted(McmlError, "an error"), self._noted(Result, "what mcml said"):
                yield
        finally:
            over.set()
            thread.join()
            if before is None:
                del os.environ[MARK]
            else:
                os.environ[MARK] = before

    @contextmanager
    def _noted(self, kind: Any, place: str) -> Iterator[None]:
        """Look through every text that is given to make an object of a class."""
        make = kind.__init__

        def noted(made: object, *given: object, **named: object) -> None:
            make(made, *given, **named)
            self.text(place, "\n".join(str(part) for part in (*given, *named.values())))

        kind.__init__ = noted
        try:
            yield
        finally:
            kind.__init__ = make


WATCH = Watch()
register = WATCH.register


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Look through what a test printed and logged; each phase's report has what the phases before it said too."""
    for title, content in report.sections:
        if title.endswith(str(report.when)):
            WATCH.text(f"{title} of {report.nodeid}", content)


@pytest.fixture(autouse=True, scope="session")
def secrets_watch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Look everywhere; at the very end, after all other fixtures, say what was found."""
    began = time.time()
    with WATCH.looking():
        yield
    WATCH.folder(tmp_path_factory.getbasetemp())
    for report in Path(tempfile.gettempdir()).glob("mcml-bug-*.log"):
        with suppress(OSError):
            if report.stat().st_mtime >= began:
                WATCH._file(report)
    assert not WATCH.found, "credentials that the tests used were left behind:\n" + "\n".join(WATCH.found)
