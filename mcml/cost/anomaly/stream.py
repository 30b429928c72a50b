"""A detector for a stream of measurements: one value in, how unusual it is out, in bounded memory, with one setting for every stream.

A random cut forest isolates a point by cuts at random places: the fewer it takes, the more unusual the point (Guha, Mishra, Roy and
Schrijvers: "Robust Random Cut Forest Based Anomaly Detection on Streams", ICML 2016). For plain numbers no forest has to be grown: the
expected number of cuts above a point, over all forests there could be, is a sum. Let d_1 < d_2 < ... be the distances from the point to
the values on its right. The gap between the j-th and the one before it is cut above the point exactly when the first cut between the
point and d_j falls into that gap, and cuts fall uniformly, so with probability (d_j - d_(j-1)) / d_j. The same holds on the left; the sum
of all is the depth. An equal value can never be cut off: each counts as a cut. The score is 1 / (1 + depth): of no unit, so one threshold
serves all streams.

Two views are averaged: the value itself, and the mean of the last `pace` values, which a shift moves and a lone spike does not. After a
score comes a rest: within `pace` values only a higher one is told, so that one event is one alarm.
"""

import math
from collections import deque

import numpy as np

PACE = 48
"""Values in the short mean and in the rest: four hours of a metric every five minutes."""
MEMORY = 4096
"""Values that a new one is compared with: two weeks of a metric every five minutes."""
LEARN = 32
"""Values before the first score."""
THRESHOLD = 0.14
"""Scores from here on are anomalies, unless somebody knows better what a false alarm costs: where NAB's standard profile puts it."""
LARGEST = 1e300
"""Beyond it, differences would overflow."""
PLACES = 9
"""Decimals of a score: the last bits of a sum differ between processors, and a tie must be one on all of them."""


class Sorted:
    """The last `memory` values in order of size."""

    def __init__(self, memory: int) -> None:
        self._values = np.empty(memory)
        self._arrived: deque[float] = deque()

    def __len__(self) -> int:
        return len(self._arrived)

    def add(self, value: float) -> None:
        """Keep a value; the oldest one goes when there is no room."""
        if len(self) == len(self._values):
            at = int(np.searchsorted(self._values, self._arrived.popleft()))
            self._values[at:-1] = self._values[at + 1 :]
        count = len(self)
        at = int(np.searchsorted(self._values[:count], value))
        self._values[at + 1 : count + 1] = self._values[at:count]
        self._values[at] = value
        self._arrived.append(value)

    def isolation(self, value: float) -> float:
        """Return 1 / (1 + expected cuts above the value in a random cut tree), in (0, 1]; 1 when nothing is there yet."""
        values = self._values[: len(self)]
        left, right = (int(at) for at in (np.searchsorted(values, value, "left"), np.searchsorted(values, value, "right")))
        depth = _cuts(value - values[:left][::-1]) + _cuts(values[right:] - value) + right - left
        return 1 / (1 + depth)

    def middle(self, part: float = 0.9) -> tuple[float, float]:
        """Return the range of this part of the values, as many left out below as above. Raises ValueError when there is none."""
        if not len(self):
            raise ValueError("no value is known")
        out = int((1 - part) / 2 * len(self))
        return float(self._values[out]), float(self._values[len(self) - 1 - out])


class Detector:
    """One stream. `update` in the order of time; the state is `memory` values, whatever the length of the stream."""

    def __init__(self, *, pace: int = PACE, memory: int = MEMORY) -> None:
        self._values, self._means = Sorted(memory), Sorted(memory)
        self._last: deque[float] = deque(maxlen=pace)
        self._scores: deque[float] = deque(maxlen=pace)

    def update(self, value: float) -> float:
        """Return how unusual the value is after all before it: 0 (usual, or in the rest after something as unusual) to 1.

        Raises ValueError for what is no finite number up to 1e300: a gap in a stream is left out, not measured.
        """
        if not abs(value) <= LARGEST:
            raise ValueError(f"{value} is no measurement")
        self._last.append(value)
        mean = math.fsum(self._last) / len(self._last)
        score = round((self._values.isolation(value) + self._means.isolation(mean)) / 2, PLACES) if len(self._values) >= LEARN else 0.0
        self._values.add(value)
        self._means.add(mean)
        rest = score <= max(self._scores, default=0.0)
        self._scores.append(score)
        return 0.0 if rest else score

    @property
    def seen(self) -> int:
        """How many values it remembers."""
        return len(self._values)

    def usual(self) -> tuple[float, float]:
        """Return the range of nine values in ten of those it remembers. Raises ValueError before the first."""
        return self._values.middle()


def _cuts(distances: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> float:
    """Sum the probabilities that a gap is cut above the point; `distances` to the values on one side, nearest first, all positive."""
    if not len(distances):
        return 0.0
    beyond = distances[:-1] / distances[1:]
    return float(len(distances) - beyond.sum())
