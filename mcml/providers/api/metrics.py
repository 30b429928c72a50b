"""Metrics: numbers over time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

Statistic = Literal["average", "sum", "minimum", "maximum", "count", "p50", "p90", "p99"]


@dataclass(frozen=True)
class SeriesQuery:
    """Which numbers: the metric's name, the labels that must match, how to fold a step's samples into one number."""

    metric: str
    labels: Mapping[str, str] = field(default_factory=dict)
    statistic: Statistic = "average"


@dataclass(frozen=True)
class Window:
    """From when (inclusive) to when (exclusive), in steps of which length."""

    start: datetime
    end: datetime
    step: timedelta


@dataclass(frozen=True)
class Point:
    """A number at the start of a step; None where nothing was measured (never zero)."""

    at: datetime
    value: float | None


class Metrics(Protocol):
    """Ask for series."""

    def query(self, series: SeriesQuery, window: Window) -> list[Point]:
        """Return one point a step. Raises NotFound for a metric that does not exist, InvalidRequest for a bad window."""

    def names(self) -> list[str]:
        """Return the names of the metrics that can be asked for."""
