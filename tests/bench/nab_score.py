"""The scoring rule of the Numenta Anomaly Benchmark 1.1, and its series as they lie in data/.

Rule: Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms", ICMLA 2015, and https://github.com/numenta/NAB (nab/sweeper.py,
nab/scorer.py). The first detection in a window counts by how early it is, a window without one costs, every detection outside costs by its
distance from the window before it, and the first 15 % of a series (of at most 5,000 rows) do not count. One threshold serves all series;
it is the best for the profile. 0 is a detector that says nothing, 100 a perfect one.
"""

import csv
import io
import json
import tarfile
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import exp
from pathlib import Path

DATA = Path(__file__).parent / "data" / "nab-part.tar.gz"
PROFILES = ("standard", "reward_low_FP_rate", "reward_low_FN_rate")


@dataclass(frozen=True)
class Series:
    """Measurements, and the windows of anomalies as (first, last) index."""

    values: tuple[float, ...]
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        """The rows at the beginning that do not count."""
        return min(int(0.15 * len(self.values)), int(0.15 * 5000))


@dataclass(frozen=True)
class Score:
    """The score of one profile, and the threshold where it is reached."""

    value: float
    threshold: float


@dataclass(frozen=True)
class _Row:
    """A row that counts: the detector's score, its weight in the sum, the window it lies in (None: outside)."""

    score: float
    weight: float
    window: tuple[str, int] | None


@cache
def series() -> Mapping[str, Series]:
    """Return the series by name, for example `realTraffic/speed_6005.csv`."""
    with tarfile.open(DATA) as packed:
        windows = json.load(_member(packed, "nab/labels/combined_windows.json"))
        return {name: _series(_member(packed, f"nab/data/{name}").read(), spans) for name, spans in windows.items()}


@cache
def costs() -> Mapping[str, tuple[float, float, float]]:
    """Return what a window found, a window missed and a false alarm weigh in each profile."""
    with tarfile.open(DATA) as packed:
        profiles = json.load(_member(packed, "nab/config/profiles.json"))
    weights = {name: profiles[name]["CostMatrix"] for name in PROFILES}
    return {name: (each["tpWeight"], each["fnWeight"], each["fpWeight"]) for name, each in weights.items()}


def score(scores: Mapping[str, Sequence[float]]) -> dict[str, Score]:
    """Return the score of each profile over the series that `scores` has the detector's answers to, one number a row."""
    rows = [row for name in scores for row in _rows(name, series()[name], scores[name])]
    windows = sum(len(series()[name].windows) for name in scores)
    rows.sort(key=lambda row: -row.score)
    return {profile: _best(rows, windows, weights) for profile, weights in costs().items()}


def _best(rows: Sequence[_Row], windows: int, weights: tuple[float, float, float]) -> Score:
    """Lower the threshold row by row and keep the best sum; rows of one score are taken together."""
    found, missed, false = weights
    total, best = 0.0, Score(0.0, 2.0)
    best_of: dict[tuple[str, int], float] = {}
    for row, following in pairwise([*rows, None]):
        assert row is not None
        if row.window is None:
            total += false * row.weight
        else:
            before = best_of.get(row.window)
            best_of[row.window] = max(row.weight, before if before is not None else row.weight)
            total += found * (best_of[row.window] - (before or 0.0)) + (missed if before is None else 0.0)
        if (following is None or following.score != row.score) and total > best.value:
            best = Score(total, row.score)
    return Score(100 * best.value / (windows * (found + missed)), best.threshold)


def _rows(name: str, one: Series, scores: Sequence[float]) -> list[_Row]:
    assert len(scores) == len(one.values), name
    weights: list[tuple[float, tuple[str, int] | None]] = [(-1.0, None)] * len(scores)
    for number, (first, last) in enumerate(one.windows):
        until = one.windows[number + 1][0] if number + 1 < len(one.windows) else len(scores)
        width = last - first + 1
        for at in range(first, last + 1):
            weights[at] = (_sigmoid(-(last - at + 1) / width) / _sigmoid(-1.0), (name, number))
        for at in range(last + 1, until):
            weights[at] = (_sigmoid((at - last) / (width - 1)), None)
    return [_Row(scores[at], *weights[at]) for at in range(one.probation, len(scores))]


def _sigmoid(position: float) -> float:
    """Return NAB's scaled sigmoid: nearly 1 at the left edge of a window (-1), 0 at its right edge, -1 far behind."""
    return -1.0 if position > 3 else 2 / (1 + exp(5 * position)) - 1


def _series(text: bytes, spans: Sequence[tuple[str, str]]) -> Series:
    rows = list(csv.reader(io.StringIO(text.decode())))[1:]
    times = [time for time, _ in rows]  # written so that their order is that of time
    windows = tuple((bisect_left(times, first[:19]), bisect_right(times, last[:19]) - 1) for first, last in spans)
    return Series(tuple(float(value) for _, value in rows), windows)


def _member(packed: tarfile.TarFile, name: str) -> io.BufferedReader:
    found = packed.extractfile(name) or packed.extractfile(f"./{name}")
    assert isinstance(found, io.BufferedReader)
    return found
