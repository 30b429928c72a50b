"""The usage logs of local model servers, read: what each process used between two of its lines. The bill and the metrics come from here.

A line holds totals since the process started, so the difference of two lines is what was used between them. Times are whole
microseconds since the epoch and CPU time is whole microseconds, so everything adds up exactly.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from mcml.core.clock import parse_rfc3339
from mcml.core.files import read_json

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND = 1_000_000
SILENCE = 90 * SECOND
"""An idle server writes a line a minute and moves the file's time in between; further than this its time is not believed."""

MOST = 10**18
"""No total of one process is larger, whatever a damaged line says."""
DECODER = json.JSONDecoder(parse_float=Decimal)


class Segment(NamedTuple):
    """What one process used from `start` to `end` (microseconds since the epoch), and its memory at the end, in bytes.

    Tokens are None where the model does not say which of its tensors they are.
    """

    start: int
    end: int
    cpu: int
    rss: int
    requests: int
    errors: int
    client_errors: int
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True)
class UsageRun:
    """One run of one version: a process, whose log this is, and the tags it ran under."""

    log: Path
    target: str
    model: str
    version: str
    region: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """The name of the run, unique among all."""
        return self.log.stem


def run_tags_file(log: Path) -> Path:
    """Return where the tags of a run are kept: beside its log."""
    return log.with_suffix(".run.json")


def microseconds(moment: datetime) -> int:
    """Return an aware time as microseconds since the epoch."""
    return (moment - EPOCH) // MICROSECOND


def moment(at: int) -> datetime:
    """Return microseconds since the epoch as a time in UTC."""
    return EPOCH + at * MICROSECOND


def usage_runs(root: Path, *, since: datetime | None = None) -> Iterator[UsageRun]:
    """Yield every run below the root that has a log; with `since`, only those written to at or after it."""
    for log in sorted((root / "usage").glob("*/*/*/*.jsonl")):
        if since is None or log.stat().st_mtime >= since.timestamp():
            target, model, version = log.parts[-4:-1]
            yield UsageRun(log, target, model, version, *_about(log))


def _about(log: Path) -> tuple[str, Mapping[str, str]]:
    """Return the region and the tags of a run; a damaged file costs the tags, not the bill."""
    try:
        said = read_json(run_tags_file(log))
        return str(said["region"]), {str(key): str(value) for key, value in said["tags"].items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        return "", {}


def segments(log: Path, *, until_last_sign: bool = False) -> Iterator[Segment]:
    """Yield what the process used from line to line, the first from its start; a line that is torn or no usage line is skipped.

    With `until_last_sign` the memory is held until the file was last touched, which an idle server does between its lines.
    """
    last: Segment | None = None
    process: tuple[object, int] | None = None
    totals, tokens = (0, 0, 0, 0), (0, 0)
    final = False
    with log.open("rb") as lines:
        for line in filter(None, map(_read, lines)):
            if process != (line.pid, line.started):
                process, totals, tokens, last = (line.pid, line.started), (0, 0, 0, 0), (0, 0), None
            begin = min(line.started, line.at) if last is None else last.end
            cpu, requests, errors, client_errors = (max(new - old, 0) for new, old in zip(line.totals, totals, strict=True))
            entered, left = (None if new is None else max(new - old, 0) for new, old in zip(line.tokens, tokens, strict=True))
            # A clock that was set back makes a segment of no length; nothing that was used is lost by it.
            last = Segment(begin, max(line.at, begin), cpu, line.rss, requests, errors, client_errors, entered, left)
            totals, tokens, final = line.totals, (line.tokens[0] or tokens[0], line.tokens[1] or tokens[1]), line.final
            yield last
    if until_last_sign and last is not None and not final:
        touched = min(log.stat().st_mtime_ns // 1000, last.end + SILENCE)
        if touched > last.end:
            yield Segment(last.end, touched, 0, last.rss, 0, 0, 0)


class _Line(NamedTuple):
    """One line: times in microseconds; `totals` are CPU microseconds, requests, errors and client errors since the start.

    `tokens` are those that went in and came out since then, None where they are not counted.
    """

    at: int
    pid: object
    started: int
    rss: int
    totals: tuple[int, int, int, int]
    tokens: tuple[int | None, int | None]
    final: bool


def _read(raw: bytes) -> _Line | None:
    """Read one line; None when it is torn, is no usage line, or holds a value that cannot be."""
    try:
        said = DECODER.decode(raw.decode())
        numbers = (said["started"], said["cpu_seconds"], said["rss_bytes"], said["requests"], said["errors"], said["client_errors"])
        tokens = [said.get("input_tokens"), said.get("output_tokens")]
        known = [*numbers, *(number for number in tokens if number is not None)]
        if min(known) < 0 or max(known) >= MOST:  # a TypeError for what is no number
            return None
        started, cpu, rss, requests, errors, client_errors = numbers
        totals = (int(cpu * SECOND), int(requests), int(errors), int(client_errors))
        at = microseconds(parse_rfc3339(said["at"]))
        entered, left = (None if number is None else int(number) for number in tokens)
        return _Line(at, said["pid"], int(started * SECOND), int(rss), totals, (entered, left), bool(said.get("final")))
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
        return None
