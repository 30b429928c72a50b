"""Traces of the spot market: was spot to be had, tick by tick, in one place, and windows of that in which a job may run.

Two forms are read. Cant-Be-Late has one file a window, `{"metadata": {"gap_seconds": 600}, "data": [0, 1, ...]}`, where 1 means that spot
was NOT to be had; the folder of a file names its series. The other form keeps a series once, as text of 0 and 1 with the same meaning,
with the first tick of each window: `{"gap_seconds", "ticks", "series": {name: {"first", "preempted", "windows"}}}`, plain or gzip.
"""

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mcml.core.errors import InvalidRequest, NotFound
from mcml.cost.spot.job import Bools, Ints
from mcml.cost.spot.spells import REGIMES, Lomax

KINDS = (".json", ".json.gz")


@dataclass(frozen=True)
class Windows:
    """Windows of one series: `up[window, tick]` says that spot was to be had; `first` is the tick of the series that a window begins with
    (zeros where nobody said)."""

    series: str
    tick: int
    up: Bools
    first: Ints


def read(path: Path) -> list[Windows]:
    """Read a file, or all files below a folder, by series. Raises NotFound, InvalidRequest for what is no trace."""
    if not path.exists():
        raise NotFound(f"there is no trace {path}", why="no such file or folder", next_step="mcml cost spot simulate --help")
    files = sorted(found for found in path.rglob("*") if found.name.endswith(KINDS)) if path.is_dir() else [path]
    if not files:
        why = f"no file ends with {' or '.join(KINDS)}"
        raise NotFound(f"there is no trace in {path}", why=why, next_step="mcml cost spot simulate --help")
    found: list[Windows] = []
    alone: dict[str, list[tuple[int, list[int]]]] = {}
    for file in files:
        said = _parsed(file)
        if "series" in said:
            found += _compact(file, said)
        else:
            alone.setdefault(str(file.parent), []).append(_window(file, said))
    return found + [_together(folder, windows) for folder, windows in alone.items()]


def draw(tick: int, ticks: int, windows: int, seed: int) -> list[Windows]:
    """Draw windows from each regime of `spells`, the same for the same seed."""
    chance = np.random.default_rng(seed)
    drawn = [(regime, [_walk(chance, regime.up, regime.down, tick, ticks) for _ in range(windows)]) for regime in REGIMES]
    return [Windows(f"drawn, {regime.name}", tick, np.array(made, np.bool_), np.zeros(windows, np.int64)) for regime, made in drawn]


def _walk(chance: np.random.Generator, up: Lomax, down: Lomax, tick: int, ticks: int) -> list[bool]:
    """Draw spell after spell until the window is full."""
    found: list[bool] = []
    is_up = bool(chance.random() < 0.5)
    while len(found) < ticks:
        spell = up if is_up else down
        seconds = spell.scale * (chance.random() ** (-1 / spell.shape) - 1)
        found += [is_up] * min(1 + int(seconds // tick), ticks)
        is_up = not is_up
    return found[:ticks]


def _parsed(file: Path) -> Mapping[str, Any]:
    try:
        raw = file.read_bytes()
        said = json.loads(gzip.decompress(raw) if file.name.endswith(".gz") else raw)
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as wrong:
        raise _no_trace(file, str(wrong)) from wrong
    if not isinstance(said, dict):
        raise _no_trace(file, "it holds no JSON object")
    return said


def _window(file: Path, said: Mapping[str, Any]) -> tuple[int, list[int]]:
    """Return the seconds of a tick and the data of a Cant-Be-Late file."""
    about, data = said.get("metadata"), said.get("data")
    tick = about.get("gap_seconds") if isinstance(about, dict) else None
    if not isinstance(data, list) or not data or any(type(one) is not int or one not in (0, 1) for one in data):
        raise _no_trace(file, "its data is no list of 0 (spot is to be had) and 1 (it is not)")
    return _seconds(file, tick), data


def _together(folder: str, windows: list[tuple[int, list[int]]]) -> Windows:
    if len({(tick, len(data)) for tick, data in windows}) > 1:
        raise InvalidRequest(f"the windows in {folder} do not fit together", why="their ticks or their lengths differ")
    first = np.zeros(len(windows), np.int64)
    return Windows(folder, windows[0][0], np.array([data for _, data in windows]) == 0, first)


def _compact(file: Path, said: Mapping[str, Any]) -> list[Windows]:
    tick = _seconds(file, said.get("gap_seconds"))
    try:
        return [_cut(name, tick, int(said["ticks"]), one) for name, one in said["series"].items()]
    except (KeyError, TypeError, ValueError, AttributeError) as wrong:
        raise _no_trace(file, f"{type(wrong).__name__}: {wrong}") from wrong


def _cut(name: str, tick: int, ticks: int, said: Mapping[str, Any]) -> Windows:
    whole, begin = str(said["preempted"]), int(said["first"])
    starts = [int(first) for first in said["windows"]]
    if set(whole) - {"0", "1"}:
        raise ValueError(f"{name} holds more than 0 and 1")
    if not starts or ticks <= 0 or min(starts) < begin or max(starts) + ticks > begin + len(whole):
        raise ValueError(f"a window of {name} is not in the series")
    is_up = np.frombuffer(whole.encode(), np.uint8) == ord("0")
    return Windows(name, tick, np.stack([is_up[first - begin : first - begin + ticks] for first in starts]), np.array(starts))


def _seconds(file: Path, tick: object) -> int:
    if not isinstance(tick, int | float) or isinstance(tick, bool) or not 1 <= tick <= 86400 or tick != int(tick):
        raise _no_trace(file, f"gap_seconds is {tick!r}, not whole seconds up to a day")
    return int(tick)


def _no_trace(file: Path, why: str) -> InvalidRequest:
    return InvalidRequest(f"{file} is no trace of the spot market", why=why, next_step="mcml cost spot simulate --help")
