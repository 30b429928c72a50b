"""How far a job says it has saved: a file that holds the share of its work that its checkpoints hold, from 0 to 1 (`0.42`).

The job replaces the file in one step, right after a checkpoint; 1 says that it is done.
"""

import math
from collections.abc import Callable
from pathlib import Path

from mcml.core.errors import InvalidRequest, NotFound, Unavailable

MOST = 64
"""Bytes that such a file may have."""
Reader = Callable[[], float]


def parse(text: bytes, where: str) -> float:
    """Read the share. Raises InvalidRequest for what is no number from 0 to 1."""
    try:
        share = float(text.decode("ascii"))
    except ValueError:
        share = math.nan
    if len(text) > MOST or not 0 <= share <= 1:
        why = f"it says {text[:MOST].decode(errors='replace')!r}, not a number from 0 to 1"
        raise InvalidRequest(f"{where} does not say how far the job is", why=why)
    return share


def of_file(path: Path) -> Reader:
    """Return a reader of a file; one that is not there yet says 0. It raises Unavailable for one that cannot be read."""

    def read() -> float:
        try:
            return parse(path.read_bytes(), str(path))
        except FileNotFoundError:
            return 0.0
        except OSError as failed:
            raise Unavailable(f"cannot read {path}", why=failed.strerror or str(failed)) from failed

    return read


def of_object(fetch: Callable[[], bytes], where: str) -> Reader:
    """Return a reader of an object; one that is not there yet says 0."""

    def read() -> float:
        try:
            return parse(fetch(), where)
        except NotFound:
            return 0.0

    return read
