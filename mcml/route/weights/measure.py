"""What was measured of a backend: counters that forget (for the score) and a short window (for people); pure values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

HALF_LIFE = 10.0
"""Seconds after which an attempt counts half."""

REMEMBERED, SLOW_HALF_LIFE = 100.0, 120.0
"""So many latencies are remembered longer, with this half-life in seconds: the mean of ten is noise, and weights would follow it."""

ERRORS_PRIOR = 20.0
"""Successful attempts assumed before the first one is seen: one failure among few requests is not a failing backend."""

FORGOTTEN, LATENCY_FORGOTTEN = 1e-100, 1e-7
"""A count that has become this small, in about an hour, is no longer known."""

FORGIVEN = 0.2
"""Fewer failures than this say nothing of a backend without a good answer: a single one is forgiven after 23 s."""

SINGLE = 2.0
"""So many failures may be chance, and move the time of a good answer slowly; those beyond them count as soon as they are seen."""

RETRY_MS = 5.0
"""What a failed attempt costs beside its own time: Envoy measures whole milliseconds, and a refusal may take none of them."""

WINDOW_SECONDS = 10.0
Histogram = Mapping[float, tuple[float, int]]
"""Attempts by latency: lower bound of the bucket in milliseconds -> (its width, how many)."""


@dataclass(frozen=True)
class Counters:
    """Totals since Envoy knows the backend: attempts, those that failed (also where a retry hid it), by cause, and latencies.

    `broken` are failures that no retry could hide: the answer had begun when it broke off.
    """

    attempts: int = 0
    succeeded: int = 0
    failed: int = 0
    refused: int = 0
    timed_out: int = 0
    latencies: Histogram = field(default_factory=dict)
    broken: int = 0

    @property
    def timed(self) -> int:
        """Attempts whose answers ended, as far as they were timed."""
        return sum(count for _, count in self.latencies.values())

    def plus(self, other: "Counters") -> "Counters":
        """Return both together."""
        latencies = dict(self.latencies)
        for lower, (width, count) in other.latencies.items():
            latencies[lower] = (width, count + latencies.get(lower, (width, 0))[1])
        return Counters(
            self.attempts + other.attempts,
            self.succeeded + other.succeeded,
            self.failed + other.failed,
            self.refused + other.refused,
            self.timed_out + other.timed_out,
            latencies,
            self.broken + other.broken,
        )

    def since(self, earlier: "Counters") -> "Counters":
        """Return what was added. Envoy counts from zero again when it restarts or a backend moves: then all of it is new.

        Successes may become fewer: an answer counts as one from its first byte on, until it breaks off.
        """
        restarted = self.attempts < earlier.attempts or self.failed < earlier.failed
        before = Counters() if restarted else earlier
        return Counters(
            self.attempts - before.attempts,
            self.succeeded - before.succeeded,
            self.failed - before.failed,
            max(0, self.refused - before.refused),
            max(0, self.timed_out - before.timed_out),
            _subtract(self.latencies, earlier.latencies),
            max(0, self.broken - before.broken),
        )


def _subtract(now: Histogram, earlier: Histogram) -> Histogram:
    if any(count > now.get(lower, (0.0, 0))[1] for lower, (_, count) in earlier.items()):
        return now
    difference = {lower: (width, count - earlier.get(lower, (width, 0))[1]) for lower, (width, count) in now.items()}
    return {lower: bucket for lower, bucket in difference.items() if bucket[1]}


def quantile(latencies: Histogram, share: float) -> float | None:
    """Return a quantile in milliseconds, interpolated within its bucket; None without a single value."""
    total = sum(count for _, count in latencies.values())
    if not total:
        return None
    wanted, seen = share * total, 0
    for lower, (width, count) in sorted(latencies.items()):
        if seen + count >= wanted:
            return lower + width * (wanted - seen) / count
        seen += count
    return None


def mean(latencies: Histogram) -> float | None:
    """Return the mean in milliseconds, each value taken at the middle of its bucket; None without a single value."""
    total = sum(count for _, count in latencies.values())
    return sum((lower + width / 2) * count for lower, (width, count) in latencies.items()) / total if total else None


@dataclass(frozen=True)
class Recent:
    """Attempts with a half-life of ten seconds: an exponentially weighted mean over attempts, not over time. The last hundred latencies
    are remembered for longer.

    A backend without traffic keeps its last latency (for an hour), while its errors are forgiven. `wasted` are the failed attempts since it
    last came back: those of an outage say nothing of how long a good answer takes now. What is remembered `_slowly` is so as the latencies
    are: they are of these attempts.
    """

    latency_sum: float = 0.0
    latency_count: float = 0.0
    succeeded: float = 0.0
    failed: float = 0.0
    wasted: float = 0.0
    answered_slowly: float = 0.0
    wasted_slowly: float = 0.0

    def after(self, seconds: float, added: Counters) -> "Recent":
        """Return the state `seconds` later, with what was added in between."""
        keep = 0.5 ** (max(0.0, seconds) / HALF_LIFE)
        count = added.timed
        total = (mean(added.latencies) or 0.0) * count
        slowly = min(0.5 ** (max(0.0, seconds) / SLOW_HALF_LIFE), REMEMBERED / max(self.latency_count, REMEMBERED))
        hold = max(keep, slowly)
        return Recent(
            self.latency_sum * hold + total, self.latency_count * hold + count, max(0.0, self.succeeded * keep + added.succeeded),
            self.failed * keep + added.failed, self.wasted * keep + added.failed,
            max(0.0, self.answered_slowly * hold + added.succeeded), self.wasted_slowly * hold + added.failed,
        )  # fmt: skip

    def back(self) -> "Recent":
        """Return the state of a backend that has come back from an outage."""
        return replace(self, wasted=0.0, wasted_slowly=0.0)

    @property
    def latency_ms(self) -> float | None:
        """Mean latency of an attempt in milliseconds; None before the first."""
        return self.latency_sum / self.latency_count if self.latency_count > LATENCY_FORGOTTEN else None

    @property
    def answer_ms(self) -> float | None:
        """Milliseconds that one good answer takes, with the attempts that failed on the way to it; infinite where all failed lately,
        None before the first.

        By the ratio as it was, not by `error_rate`: that assumes successes, and forgives in silence while the latency stays.
        """
        if self.succeeded <= FORGOTTEN:
            return math.inf if self.wasted > FORGIVEN else None
        wasted = max((self.wasted - SINGLE) / self.succeeded, self.wasted_slowly / max(self.answered_slowly, FORGOTTEN))
        return None if self.latency_ms is None else self.latency_ms * (1.0 + wasted) + RETRY_MS * wasted

    @property
    def error_rate(self) -> float | None:
        """Share of attempts that failed, between 0 and 1; None before the first."""
        seen = self.succeeded + self.failed
        return self.failed / (seen + ERRORS_PRIOR) if seen > 0 else None


@dataclass(frozen=True)
class Window:
    """The counters of the last ten seconds, as (monotonic seconds, totals), oldest first."""

    marks: tuple[tuple[float, Counters], ...] = ()

    def with_mark(self, now: float, totals: Counters) -> "Window":
        """Add a reading, two or three a second are kept; a reset of the counters starts the window anew."""
        kept = tuple(mark for mark in self.marks if now - mark[0] <= WINDOW_SECONDS)
        if kept and totals.attempts < kept[-1][1].attempts:
            kept = ()
        if len(kept) > 1 and now - kept[-2][0] < 0.5:
            kept = kept[:-1]
        return Window((*kept, (now, totals)))

    @property
    def span(self) -> tuple[float, Counters]:
        """The seconds that the window covers, and what was counted in them."""
        if len(self.marks) < 2:
            return 0.0, Counters()
        (begin, first), (end, last) = self.marks[0], self.marks[-1]
        return end - begin, last.since(first)
