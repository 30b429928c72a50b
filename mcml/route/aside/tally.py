"""What comparing a shadow has shown so far: counts, quantiles, the worst examples; values, written as JSON and read again. No bodies."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcml.route.aside.tensors import Difference

WORST = 20
RECENT = 2000
"""Values that quantiles are made from, the newest."""

MOST_MISMATCHES = 50
"""Different mismatches that are counted apart."""

OUTCOMES = ("same", "different", "error", "dropped")


@dataclass(frozen=True)
class Pair:
    """One copy that was answered twice: by the route's own model and by the shadow, with milliseconds and, where an answer failed, why."""

    request_id: str
    at: str
    ours_ms: float
    theirs_ms: float
    difference: Difference | None = None
    ours_failed: str = ""
    theirs_failed: str = ""


@dataclass
class Tally:
    """The tally of one route and one shadow model; `tolerance` is what still counts as the same number."""

    route: str
    ours: str
    theirs: str
    tolerance: float
    since: str
    percent: float = 0.0
    ended: str = ""
    outcomes: Counter[str] = field(default_factory=Counter)
    ours_failed: int = 0
    theirs_failed: int = 0
    rows: int = 0
    agreed: int = 0
    unlike: int = 0
    mismatches: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    distances: list[float] = field(default_factory=list)
    ours_ms: list[float] = field(default_factory=list)
    theirs_ms: list[float] = field(default_factory=list)
    worst: list[dict[str, Any]] = field(default_factory=list)

    def drop(self, count: int = 1) -> None:
        """Count copies that were not compared."""
        self.outcomes["dropped"] += count

    def add(self, pair: Pair) -> None:
        """Take one pair."""
        self.ours_failed += bool(pair.ours_failed)
        self.theirs_failed += bool(pair.theirs_failed)
        for who, why in (("route", pair.ours_failed), ("shadow", pair.theirs_failed)):
            if why:
                _count(self.errors, f"{who}: {why}")
        if pair.difference is None:
            self.outcomes["error"] += 1
            return
        self._compared(pair, pair.difference)

    def _compared(self, pair: Pair, difference: Difference) -> None:
        _recent(self.ours_ms, pair.ours_ms)
        _recent(self.theirs_ms, pair.theirs_ms)
        same = difference.same(self.tolerance)
        self.outcomes["same" if same else "different"] += 1
        self.rows += difference.rows
        self.agreed += difference.agreed
        self.unlike += difference.unlike
        for text in difference.mismatches:
            _count(self.mismatches, text)
        if difference.max_abs is not None:
            _recent(self.distances, difference.max_abs)
        if not same:
            size = _size(difference)
            self.worst.append({"request_id": pair.request_id, "at": pair.at, "size": size, "difference": difference.text})
            self.worst.sort(key=lambda one: (-float(one["size"]), one["at"]))
            del self.worst[WORST:]

    @property
    def compared(self) -> int:
        """Copies of which both answers could be compared."""
        return self.outcomes["same"] + self.outcomes["different"]

    def report(self) -> dict[str, Any]:
        """Return the report as JSON values; infinite distances are the text `inf`."""
        return {
            "route": self.route,
            "model": self.ours,
            "shadow": self.theirs,
            "percent": self.percent,
            "tolerance": self.tolerance,
            "since": self.since,
            "ended": self.ended,
            **{name: self.outcomes[name] for name in OUTCOMES},
            "compared": self.compared,
            "same_share": self.outcomes["same"] / self.compared if self.compared else None,
            "top1_agreement": self.agreed / self.rows if self.rows else None,
            "rows": self.rows,
            "values_unlike": self.unlike,
            "max_abs": {name: _written(quantile(self.distances, share)) for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))},
            "model_ms": {name: quantile(self.ours_ms, share) for name, share in (("p50", 0.5), ("p99", 0.99))},
            "shadow_ms": {name: quantile(self.theirs_ms, share) for name, share in (("p50", 0.5), ("p99", 0.99))},
            "model_failed": self.ours_failed,
            "shadow_failed": self.theirs_failed,
            "mismatches": dict(self.mismatches.most_common()),
            "errors": dict(self.errors.most_common()),
            "worst": [{**one, "size": _written(float(one["size"]))} for one in self.worst],
        }

    def as_json(self) -> dict[str, Any]:
        """Return everything, for `from_json`."""
        numbers = {name: [_written(value) for value in getattr(self, name)] for name in ("distances", "ours_ms", "theirs_ms")}
        worst = [{**one, "size": _written(float(one["size"]))} for one in self.worst]
        counts = {name: dict(getattr(self, name)) for name in ("outcomes", "mismatches", "errors")}
        return {**vars(self), **numbers, **counts, "worst": worst}

    @classmethod
    def from_json(cls, about: Mapping[str, Any]) -> "Tally":
        """Read a tally back. Raises KeyError, TypeError or ValueError for anything else."""
        numbers = {name: [float(value) for value in about[name]] for name in ("distances", "ours_ms", "theirs_ms")}
        counts = {name: Counter({str(key): int(one) for key, one in about[name].items()}) for name in ("outcomes", "mismatches", "errors")}
        worst = [{**one, "size": float(one["size"])} for one in about["worst"]]
        return cls(**{**about, **numbers, **counts, "worst": worst})


def quantile(values: Sequence[float], share: float) -> float | None:
    """Return a quantile (the nearest rank); None without values."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def _size(difference: Difference) -> float:
    """Return how bad a difference is, for the order of the worst: what cannot be compared comes first."""
    if difference.mismatches:
        return float("inf")
    return max(difference.max_abs or 0.0, float(difference.unlike))


def _recent(values: list[float], value: float) -> None:
    values.append(round(value, 6) if value != float("inf") else value)
    del values[:-RECENT]


def _count(counts: Counter[str], text: str) -> None:
    counts[text if text in counts or len(counts) < MOST_MISMATCHES else "others"] += 1


def _written(value: float | None) -> float | str | None:
    return "inf" if value == float("inf") else value
