"""Whether something idles: only when several signals say so for long enough, each of them measured. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import isfinite

from mcml.core.errors import McmlError
from mcml.core.when import span
from mcml.providers.api.metrics import Point


@dataclass(frozen=True)
class Signal:
    """One metric of a thing over the window, and the value below which all its points must lie."""

    metric: str
    below: float
    points: Sequence[Point]


@dataclass(frozen=True)
class Idleness:
    """What the signals of the last `window` say, and why; `error` is why one of them could not be asked."""

    idle: bool
    why: str
    error: McmlError | None = None
    window: timedelta = timedelta(0)


def judge(signals: Sequence[Signal], length: timedelta, *, covered: float = 0.8) -> Idleness:
    """Return idle when there are at least two signals, each has points for `covered` of the window, and none ever reached its limit.

    What was not measured, or is no number, is unknown and never idle.
    """
    if len(signals) < 2:
        return Idleness(False, "one signal alone proves nothing")
    for signal in signals:
        known = [point.value for point in signal.points if point.value is not None and isfinite(point.value)]
        if not known or len(known) < covered * len(signal.points):
            return Idleness(False, f"{signal.metric} is not known for long enough")
        if max(known) >= signal.below:
            return Idleness(False, f"{signal.metric} reached {max(known):g}, the limit is {signal.below:g}")
    said = " and ".join(f"{signal.metric} below {signal.below:g}" for signal in signals)
    return Idleness(True, f"idle for {span(length.total_seconds())}: {said}", window=length)
