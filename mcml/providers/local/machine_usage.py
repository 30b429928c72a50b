"""The usage logs of local instances, read: the shares of their machine that they used. `runner` writes them and says what a line holds.

A line holds totals since the command started and the size that the machine had then, so that a later change of its type changes no share
of before. Times are whole microseconds since the epoch.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mcml.providers.api.metrics import MachineMetric
from mcml.providers.local.runner import OLD_USAGE_FILE, USAGE_FILE

SECOND = 1_000_000
MOST = 10**18
"""No number of a line is larger, whatever a damaged one says."""
METRICS: Mapping[MachineMetric, tuple[str, str]] = {"machine.cpu": ("cpu", "peak_cpu"), "machine.memory": ("memory", "peak_memory")}
"""The machine metrics that are measured, with the fields of MachineUse that hold their mean and their highest."""


class MachineUse(NamedTuple):
    """What was used from `start` to `end` (microseconds since the epoch): means and peaks, as shares of the machine, 0 to 1."""

    start: int
    end: int
    cpu: float
    peak_cpu: float
    memory: float
    peak_memory: float


class _Line(NamedTuple):
    at: int
    run: tuple[int, int]
    """Its command: when it started (microseconds since the epoch), and its pid."""
    vcpus: float
    memory_bytes: float
    cpu_seconds: float
    peak_cpus: float
    rss_bytes: float
    peak_rss_bytes: float


def machine_uses(folder: Path) -> Iterator[MachineUse]:
    """Yield what the commands of an instance used from line to line, the first of each from its start, in the order of the lines.

    A line that is torn, or holds what cannot be, is skipped: the next one then stands for its time too.
    """
    last: _Line | None = None
    for line in _lines(folder):
        begun = last is None or last.run != line.run
        before, used = (line.run[0], 0.0) if last is None or begun else (last.at, last.cpu_seconds)
        last = line
        seconds = (line.at - before) / SECOND
        if seconds > 0:  # a clock that was set back makes time of no length, in which no share can be said
            cpu = _share(line.cpu_seconds - used, seconds * line.vcpus)
            memory, peak = _share(line.rss_bytes, line.memory_bytes), _share(line.peak_rss_bytes, line.memory_bytes)
            yield MachineUse(before, line.at, cpu, _share(line.peak_cpus, line.vcpus), memory, max(memory, peak))


def _share(used: float, whole: float) -> float:
    """Return a share, 0 to 1: the kernel counts in hundredths of a second, and shared pages count more than once."""
    return min(max(used / whole, 0.0), 1.0)


def _lines(folder: Path) -> Iterator[_Line]:
    """Yield the lines of both files, the older file first; a file that is not there has none.

    The newer one is opened first: when it becomes the older one meanwhile, it is read once.
    """
    files: dict[int, BinaryIO] = {}
    with ExitStack() as opened:
        for name in (USAGE_FILE, OLD_USAGE_FILE):
            with suppress(FileNotFoundError):
                file: BinaryIO = opened.enter_context((folder / name).open("rb"))
                files.setdefault(os.fstat(file.fileno()).st_ino, file)
        for file in reversed(files.values()):
            yield from filter(None, map(_read, file))


def _read(raw: bytes) -> _Line | None:
    try:
        said = json.loads(raw)
        names = ("at", "started", "pid", "vcpus", "memory_bytes", "cpu_seconds", "peak_cpus", "rss_bytes", "peak_rss_bytes")
        at, started, pid, vcpus, memory, *used = (float(said[name]) for name in names)
        if not all(0 <= number < MOST for number in (at, started, pid, *used)) or not (0 < vcpus < MOST and 0 < memory < MOST):
            return None
        return _Line(round(at * SECOND), (round(started * SECOND), int(pid)), vcpus, memory, *used)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
