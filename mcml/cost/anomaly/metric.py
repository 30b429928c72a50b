"""Unusual values of a metric, as a provider measured it: points in, those that the streaming detector tells out. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from math import isfinite

from mcml.core.view import Column, Document, listing
from mcml.cost.anomaly.stream import THRESHOLD, Detector
from mcml.providers.api.metrics import Point


@dataclass(frozen=True)
class Unusual:
    """A value that is unusual after all before it: its score (THRESHOLD to 1), and the range of nine in ten of the values before."""

    at: datetime
    value: float
    score: float
    low: float
    high: float


def unusual(points: Iterable[Point], threshold: float = THRESHOLD) -> list[Unusual]:
    """Return the unusual points, oldest first. Where nothing was measured, nothing is judged."""
    detector, found = Detector(), []
    for point in points:
        if point.value is None or not isfinite(point.value):
            continue
        low, high = detector.usual() if detector.seen else (point.value, point.value)
        score = detector.update(point.value)
        if score >= threshold:
            found.append(Unusual(point.at, point.value, score, low, high))
    return found


def view(metric: str, target: str, found: Iterable[Unusual]) -> Document:
    """Show unusual values, oldest first."""
    columns = (
        Column("at", "Time", "time"),
        Column("value", "Value", "number"),
        Column("usual_low", "Usual from", "number"),
        Column("usual_high", "To", "number"),
        Column("score", "Score", "number"),
    )
    rows = [
        {
            "name": f"{target}/{metric}/{each.at:%Y-%m-%dT%H:%M:%SZ}",
            "target": target,
            "metric": metric,
            "at": each.at,
            "value": each.value,
            "usual_low": each.low,
            "usual_high": each.high,
            "score": each.score,
        }
        for each in found
    ]
    return listing("UnusualValueList", columns, rows, empty="nothing unusual")
