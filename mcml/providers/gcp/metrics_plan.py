"""How Cloud Monitoring folds samples, and how we do where it cannot.

https://cloud.google.com/monitoring/api/v3/kinds-and-types and https://cloud.google.com/monitoring/api/ref_v3/rest/v3/projects.alertPolicies#Aligner
(which aligner takes which kind and type of metric).

| metric | in Monitoring | from the samples |
| --- | --- | --- |
| number, GAUGE | average, sum, minimum, maximum, count | p50, p90, p99 (nearest rank; Monitoring has no p90) |
| number, DELTA or CUMULATIVE | sum: how much it grew | all others: over what it grew each minute |
| distribution | the step's distribution | everything, from its count, mean and buckets (minimum and maximum: a bucket's bound) |
| truth, GAUGE | - | everything, over 0 and 1 |
| text | - | refused |
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from mcml.core.errors import InvalidRequest
from mcml.providers.api.metrics import Statistic

MINUTE = timedelta(minutes=1)
"""The shortest step that Monitoring folds."""
_GAUGE, _BOOL, _STRING, _DISTRIBUTION = 1, 1, 4, 5
_PERCENTILES = ("p50", "p90", "p99")


@dataclass(frozen=True)
class Kind:
    """What a metric's samples are: `gauge` or else a growth, `distribution`, `truth`, or else numbers."""

    metric: str
    gauge: bool
    distribution: bool
    truth: bool

    @classmethod
    def of(cls, descriptor: Any) -> "Kind":
        """Read a metric's descriptor. Raises InvalidRequest for one whose samples are text."""
        if descriptor.value_type == _STRING:
            raise InvalidRequest(f"metric {descriptor.type!r} has no numbers", why="its samples are text")
        return cls(
            descriptor.type, descriptor.metric_kind == _GAUGE, descriptor.value_type == _DISTRIBUTION, descriptor.value_type == _BOOL
        )


@dataclass(frozen=True)
class Aggregation:
    """How Monitoring folds each series in time (aligner) and all of them together (reducer); `distribution`: into distributions."""

    aligner: str
    reducer: str = "REDUCE_NONE"
    period: timedelta | None = None
    distribution: bool = False

    def request(self, step: timedelta) -> dict[str, Any]:
        """Return it as a request has it; `step` is the period unless it has its own."""
        if self.aligner == "ALIGN_NONE":
            return {}
        return {"alignment_period": self.period or step, "per_series_aligner": self.aligner, "cross_series_reducer": self.reducer}


_OF_GAUGES: dict[Statistic, Aggregation] = {
    "average": Aggregation("ALIGN_MEAN", "REDUCE_MEAN"),
    "sum": Aggregation("ALIGN_SUM", "REDUCE_SUM"),
    "minimum": Aggregation("ALIGN_MIN", "REDUCE_MIN"),
    "maximum": Aggregation("ALIGN_MAX", "REDUCE_MAX"),
    "count": Aggregation("ALIGN_COUNT", "REDUCE_SUM"),
}
_GROWTH = Aggregation("ALIGN_DELTA", "REDUCE_SUM")


def plan(kind: Kind, statistic: Statistic) -> Aggregation | None:
    """Return how Monitoring folds a step; None: from the samples."""
    if kind.distribution:
        return Aggregation("ALIGN_SUM" if kind.gauge else "ALIGN_DELTA", "REDUCE_SUM", distribution=True)
    if kind.truth:
        return None
    if kind.gauge:
        return _OF_GAUGES.get(statistic)
    return _GROWTH if statistic == "sum" else None


def alarm_plan(kind: Kind, statistic: Statistic) -> Aggregation:
    """Return how Monitoring folds a step for an alarm, which it has to do alone. Raises InvalidRequest where it cannot."""
    of_distributions: dict[Statistic, str] = {"average": "REDUCE_MEAN", "p50": "REDUCE_PERCENTILE_50", "p99": "REDUCE_PERCENTILE_99"}
    if kind.distribution and statistic in of_distributions:
        return Aggregation("ALIGN_SUM" if kind.gauge else "ALIGN_DELTA", of_distributions[statistic])
    found = None if kind.distribution else plan(kind, statistic)
    if found is None:
        raise InvalidRequest(f"no alarm on the {statistic} of {kind.metric}", why="Cloud Monitoring does not fold this metric so")
    return found


def statistic_of(aligner: str, reducer: str) -> Statistic | None:
    """Return the statistic that `alarm_plan` makes so; None for a rule that is not ours."""
    known: dict[tuple[str, str], Statistic] = {(how.aligner, how.reducer): name for name, how in _OF_GAUGES.items()}
    known[(_GROWTH.aligner, _GROWTH.reducer)] = "sum"
    for first in ("ALIGN_SUM", "ALIGN_DELTA"):
        known |= {(first, "REDUCE_MEAN"): "average", (first, "REDUCE_PERCENTILE_50"): "p50", (first, "REDUCE_PERCENTILE_99"): "p99"}
    return known.get((aligner, reducer))


def sampling(kind: Kind) -> Aggregation:
    """Return how to get samples: as they are, or for what grows its growth each minute."""
    return Aggregation("ALIGN_NONE") if kind.gauge else Aggregation("ALIGN_DELTA", period=MINUTE)


def fold(statistic: Statistic, samples: Sequence[float]) -> float | None:
    """Fold samples into one number, percentiles by nearest rank; None without any."""
    if not samples:
        return None
    if statistic in _PERCENTILES:
        return sorted(samples)[math.ceil(int(statistic[1:]) * len(samples) / 100) - 1]
    total = math.fsum(samples)
    simple = {"average": total / len(samples), "sum": total, "minimum": min(samples), "maximum": max(samples), "count": len(samples)}
    return float(simple[statistic])


def fold_distribution(statistic: Statistic, found: Any) -> float | None:
    """Fold a distribution (`google.api.Distribution`) into one number; None when it counts nothing.

    Percentiles are interpolated within a bucket; what lies beyond the outermost bounds counts as those bounds.
    """
    if not found.count:
        return None
    if statistic in ("count", "sum", "average"):
        return float({"count": found.count, "sum": found.count * found.mean, "average": found.mean}[statistic])
    bounds = _bounds(found.bucket_options)
    filled = [(number, count) for number, count in enumerate(found.bucket_counts) if count]
    if not bounds or not filled:
        return float(found.mean)
    if statistic == "minimum":
        return min(_edges(bounds, filled[0][0])[0], float(found.mean))
    if statistic == "maximum":
        return max(_edges(bounds, filled[-1][0])[1], float(found.mean))
    wanted, seen = int(statistic[1:]) / 100 * float(found.count), 0
    for number, count in filled:
        if seen + count >= wanted:
            low, high = _edges(bounds, number)
            return low + (high - low) * (wanted - seen) / float(count)
        seen += count
    return _edges(bounds, filled[-1][0])[1]


def _edges(bounds: Sequence[float], bucket: int) -> tuple[float, float]:
    return bounds[max(bucket - 1, 0)], bounds[min(bucket, len(bounds) - 1)]


def _bounds(options: Any) -> list[float]:
    """Return the finite bounds between the buckets, as https://cloud.google.com/monitoring/api/ref_v3/rest/v3/TypedValue has them."""
    kind = options.WhichOneof("options")
    if kind == "linear_buckets":
        linear = options.linear_buckets
        return [linear.offset + linear.width * number for number in range(linear.num_finite_buckets + 1)]
    if kind == "exponential_buckets":
        growing = options.exponential_buckets
        return [growing.scale * growing.growth_factor**number for number in range(growing.num_finite_buckets + 1)]
    return list(options.explicit_buckets.bounds) if kind else []
