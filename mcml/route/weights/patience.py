"""How long one attempt of a request may take, from what attempts took: the one knob that bounds what a hung backend costs. Pure values.

A limit that is too low loses requests: one that needs longer fails at every backend. So it begins as high as the route's timeout allows,
falls only by what was measured, never below what one attempt in ten thousand needed, and rises when attempts run over it at two backends:
one backend that hangs does that alone.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from mcml.route.weights.measure import WINDOW_SECONDS, Counters, Histogram, quantile

HURRIED = 0.5
"""Seconds of an attempt where every backend is out: they are tried quickly, for all have failed. But the first that is well again must have
the time to answer, so where answers are known to take longer it is twice that, four times and so on."""

LEAST = 0.25
"""Seconds that an attempt always may take: a pause of a busy machine is no failure."""

FACTOR = 3.0
"""Times the 99th percentile of the slowest backend."""

RARE, RARE_FACTOR = 0.9999, 1.5
"""What the slowest of ten thousand attempts took in the last hour or two, times this: a limit does not fall below it."""

ENOUGH = 100
"""Attempts without which a 99th percentile says nothing: of the last window, else of the last hour or two, where requests are few."""

RISE, FALL = 1.2, 0.5
"""How far from the limit in force a new one must be to replace it: each change is a new configuration of the proxy."""

CHOKED = 8.0
"""How far a limit rises that was too low for some request."""

TRIED = 3.0
"""Times the timeout: how long more than half of it is tried, where no answer came that needed it. It leaves no time for another backend."""

HELD_SECONDS = 3600.0
"""How long such a limit does not fall: what needed it may come seldom."""


class Counted(NamedTuple):
    """What was counted of a backend: in the last window, and since the proxy knows it; and how many addresses it has."""

    window: Counters
    totals: Counters
    places: int = 1


@dataclass(frozen=True)
class Mark:
    """What is remembered of a backend: its totals, when (monotonic) one of its attempts last succeeded and last ran over the limit, and the
    totals of an hour or two ago."""

    totals: Counters
    answered_at: float = -math.inf
    late_at: float = -math.inf
    earlier: tuple[Counters, Counters] = (Counters(), Counters())
    turned: float = -math.inf

    def after(self, now: float, totals: Counters) -> "Mark":
        """Return the mark one reading later."""
        found = replace(
            self,
            totals=totals,
            answered_at=now if totals.succeeded > self.totals.succeeded else self.answered_at,
            late_at=now if totals.timed_out > self.totals.timed_out else self.late_at,
        )
        return replace(found, earlier=(self.earlier[1], totals), turned=now) if now - self.turned > HELD_SECONDS else found

    @property
    def rare(self) -> float | None:
        """Seconds that the slowest of ten thousand attempts took."""
        found = quantile(self.totals.since(self.earlier[0]).latencies, RARE)
        return None if found is None else found / 1000


@dataclass(frozen=True)
class Limit:
    """Seconds that an attempt may take, since when and until when it does not fall (monotonic), and what it is judged by: whether it was
    measured, and a mark for each backend."""

    seconds: float
    since: float
    until: float = -math.inf
    measured: bool = True
    marks: Mapping[str, Mark] = field(default_factory=dict)

    @property
    def hurried(self) -> float:
        """Seconds that an attempt may take where every backend is out."""
        needed = RARE_FACTOR * self.rare
        return HURRIED * 2.0 ** max(0, math.ceil(math.log2(needed / HURRIED))) if needed else HURRIED

    @property
    def rare(self) -> float:
        """Seconds that the slowest of ten thousand attempts took at the slowest backend; 0 where none is known."""
        return max((mark.rare or 0.0 for mark in self.marks.values()), default=0.0)


def patience(before: Limit | None, now: float, timeout: float, counted: Mapping[str, Counted]) -> Limit:
    """Return how long an attempt may take. `before`: what is in force (None: nothing yet); `timeout`: seconds of the whole request;
    `counted`: the route's backends by name.

    Half of the timeout at most, so that another address can be tried; all of it where there is no other, or where answers need it: that
    is tried when nobody answers within half of it, and kept while the slowest ones do take longer.
    """
    most = timeout if sum(one.places for one in counted.values()) == 1 else timeout / 2
    if before is None:
        return Limit(round(most, 3), now, measured=False, marks={name: Mark(one.totals) for name, one in counted.items()})
    marks = {name: before.marks.get(name, Mark(one.totals)).after(now, one.totals) for name, one in counted.items()}
    before = replace(before, marks=marks)
    needed = before.rare > most or now - before.since < TRIED * timeout
    held = min(max(before.seconds, min(LEAST, most)), timeout if needed and now < before.until else most)
    if not before.measured and now >= before.until:
        held = most
    if _choked(before, now):
        answers = any(mark.answered_at > max(before.since, mark.late_at) for mark in marks.values())
        seconds = round(max(held, min(CHOKED * held, most if answers else timeout)), 3)
        return replace(before, seconds=seconds, since=now, until=now + HELD_SECONDS)
    wanted = _measured(before, held, most, now, counted)
    seconds = round(held if wanted is None else wanted, 3)
    if seconds == before.seconds:
        return before
    return replace(before, seconds=seconds, since=now, measured=before.measured or wanted is not None)


def _choked(before: Limit, now: float) -> bool:
    """Tell whether attempts run over the limit at two backends, or at the only one that is asked.

    Requests that were begun before this limit was in force say nothing of it.
    """
    after = max(before.since + before.seconds, now - max(WINDOW_SECONDS, 3 * before.seconds))
    late = sum(mark.late_at > after for mark in before.marks.values())
    asked = sum(max(mark.answered_at, mark.late_at) > after for mark in before.marks.values())
    return asked > 0 and late >= min(2, asked)


def _measured(before: Limit, held: float, most: float, now: float, counted: Mapping[str, Counted]) -> float | None:
    """Return what the 99th percentiles make of a limit; None while they say nothing that is worth a change."""
    windows = [one.window.latencies for one in counted.values()]
    hours = [mark.totals.since(mark.earlier[0]).latencies for mark in before.marks.values()]
    enough = [one for one in windows if _count(one) >= ENOUGH] or [one for one in hours if _count(one) >= ENOUGH]
    found = [one for one in (quantile(latencies, 0.99) for latencies in enough) if one is not None]
    if not found:
        return None
    wanted = min(max(FACTOR * max(found) / 1000, min(LEAST, most)), most)
    if wanted > RISE * held:
        return wanted
    settled = now - before.since >= WINDOW_SECONDS or not before.measured
    if wanted < FALL * held and settled and now >= before.until:
        wanted = min(max(wanted, RARE_FACTOR * before.rare), most)
        return wanted if wanted < FALL * held else None
    return None


def _count(latencies: Histogram) -> int:
    return sum(count for _, count in latencies.values())
