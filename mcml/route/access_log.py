"""The access log: one JSON object a request, set aside when it is large; read from its oldest part to its newest, and followed."""

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from mcml.core.clock import parse_rfc3339
from mcml.core.errors import NotFound
from mcml.route.config.evidence import EVIDENCE_FILE

ACCESS_LOG = "access.log"
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Wanted:
    """Which lines: errors are answers of 400 and above, and requests that ended without one."""

    errors: bool = False
    key: str = ""
    route: str = ""
    since: datetime | None = None

    def takes(self, line: dict[str, Any]) -> bool:
        """Tell whether a line is wanted."""
        if self.errors and 0 < int(line.get("status") or 0) < 400:
            return False
        if (self.key and line.get("key") != self.key) or (self.route and line.get("route") != self.route):
            return False
        return self.since is None or parse_rfc3339(line["at"]) >= self.since


def rotate(log: Path, most: int, kept: int, reopen: Callable[[], object]) -> bool:
    """Set a log of more than `most` bytes aside as `access.log.1`, move the older ones up, and drop those beyond `kept`.

    `reopen` makes who writes it open it anew; until then lines go into the file that was set aside. Raises OSError.
    """
    if not log.exists() or log.stat().st_size <= most:
        return False
    for number, path in _older(log):
        if number >= kept:
            path.unlink(missing_ok=True)
        else:
            path.replace(_numbered(log, number + 1))
    log.replace(_numbered(log, 1))
    reopen()
    return True


def _numbered(log: Path, number: int) -> Path:
    return log.with_name(f"{log.name}.{number}")


def _older(log: Path) -> list[tuple[int, Path]]:
    """Return the parts that were set aside with their numbers, the oldest (the highest number) first."""
    found = [(int(path.suffix[1:]), path) for path in log.parent.glob(f"{log.name}.*") if path.suffix[1:].isdigit()]
    return sorted(found, reverse=True)


def read(log: Path, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """Yield the wanted lines, the oldest first. A line that was cut short (a full disk) is left out."""
    yield from _aside(log, wanted)
    with suppress(FileNotFoundError), log.open("rb") as source:
        yield from _chosen(source, wanted)


def follow(log: Path, wanted: Wanted, most: int, stopped: Callable[[], bool] = lambda: False) -> Iterator[dict[str, Any]]:
    """Yield the last wanted lines (`most`, or all where it is 0), then others as they are written, also when the log is set aside."""
    source = _open(log)
    try:
        yield from deque(chain(_aside(log, wanted), _chosen(source, wanted) if source else ()), maxlen=most or None)
        while not stopped():
            if source is not None:
                yield from _chosen(source, wanted)
            if source is None or _replaced(source, log):
                newer = _open(log)
                if newer is not None:
                    if source is not None:
                        yield from _chosen(source, wanted)
                        source.close()
                    source = newer
                    continue
            time.sleep(POLL_SECONDS)
    finally:
        if source is not None:
            source.close()


def _open(log: Path) -> BinaryIO | None:
    with suppress(FileNotFoundError):
        return log.open("rb")
    return None


def _aside(log: Path, wanted: Wanted) -> Iterator[dict[str, Any]]:
    """Yield the wanted lines of the parts that were set aside, the oldest first."""
    for _, path in _older(log):
        with suppress(FileNotFoundError), path.open("rb") as source:
            yield from _chosen(source, wanted)


def _replaced(source: BinaryIO, log: Path) -> bool:
    """Tell whether the open file is the log no more."""
    try:
        now = log.stat()
    except FileNotFoundError:
        return False
    return (now.st_dev, now.st_ino) != (os.fstat(source.fileno()).st_dev, os.fstat(source.fileno()).st_ino)


def _chosen(source: BinaryIO, wanted: Wanted) -> Iterator[dict[str, Any]]:
    while True:
        began = source.tell()
        line = source.readline()
        if not line.endswith(b"\n"):
            source.seek(began)  # it is being written
            return
        with suppress(ValueError, KeyError, TypeError):
            entry = json.loads(line)
            if isinstance(entry, dict) and wanted.takes(entry):
                if entry.get("attempts") == 0 and entry.get("backend"):
                    entry["backend"] = None  # one was chosen, but who sent it was refused before it was asked
                yield entry


def newest(log: Path, wanted: Wanted, most: int) -> list[dict[str, Any]]:
    """Return the last wanted lines, the oldest first: `most`, or all where it is 0. Raises NotFound when no router ever wrote one."""
    if not log.exists() and not _older(log):
        if log.name == EVIDENCE_FILE:
            why = "no router has served a route with the pattern residency yet"
            raise NotFound("there is no evidence log", why=why, next_step="mcml route serve")
        raise NotFound("there is no access log", why="no router has run in this project", next_step="mcml route serve")
    return list(deque(read(log, wanted), maxlen=most or None))
