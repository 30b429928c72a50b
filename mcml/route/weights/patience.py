"""How long one attempt of a request may take, from what attempts took: the one knob that bounds what a hung backend costs. Pure values."""

from collections.abc import Iterable
from dataclasses import dataclass

from mcml.route.weights.measure import WINDOW_SECONDS, Counters, quantile

UNMEASURED = 2.0
"""Seconds before enough was measured."""

LEAST = 0.25
"""Seconds that an attempt always may take: a pause of a busy machine is no failure."""

FACTOR = 3.0
"""Times the 99th percentile of the slowest backend."""

ENOUGH = 100
"""Attempts without which a 99th percentile says nothing."""

CHOKED = 0.05
"""Share of attempts over the limit, at every backend that is asked, from which on the limit itself is what fails."""

RISE, FALL = 1.2, 0.5
"""How far from the limit in force a new one must be to replace it: each change is a new configuration of the proxy."""


@dataclass(frozen=True)
class Limit:
    """Seconds that an attempt may take, and since when (monotonic)."""

    seconds: float
    since: float


def patience(before: Limit | None, now: float, timeout: float, counted: Iterable[Counters]) -> Limit:
    """Return how long an attempt may take. `before`: what is in force (None: nothing yet); `timeout`: seconds of the whole request.

    `counted` is the last window of each backend that is up. Where nobody was asked the limit stays. Attempts over the limit have no
    measured time, so a limit that is too low would never learn better: when every backend has many of them, it doubles, once a window.
    """
    most = timeout / 2
    least = min(LEAST, most)
    if before is None:
        return Limit(min(UNMEASURED, most), now)
    held = min(max(before.seconds, least), most)
    asked = [one for one in counted if sum(count for _, count in one.latencies.values()) + one.timed_out >= ENOUGH]
    settled = now - before.since >= WINDOW_SECONDS
    if asked and all(one.timed_out > CHOKED * one.attempts for one in asked):
        wanted = min(2 * held, most) if settled else held
    elif measured := [found for one in asked if (found := quantile(one.latencies, 0.99)) is not None]:
        wanted = min(max(FACTOR * max(measured) / 1000, least), most)
        wanted = wanted if wanted > RISE * held or (wanted < FALL * held and settled) else held
    else:
        wanted = held
    wanted = round(wanted, 3)
    return before if wanted == before.seconds else Limit(wanted, now)
