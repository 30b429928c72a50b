"""Metrics: numbers over time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol

Statistic = Literal["average", "sum", "minimum", "maximum", "count", "p50", "p90", "p99"]

MachineMetric = Literal["machine.cpu", "machine.memory", "machine.gpu", "machine.gpu_memory", "machine.disk", "machine.network"]
MACHINE_METRICS: tuple[MachineMetric, ...] = (
    "machine.cpu",
    "machine.memory",
    "machine.gpu",
    "machine.gpu_memory",
    "machine.disk",
    "machine.network",
)
"""What every provider of Instances and Metrics answers under the same name, with the label MACHINE alone, for average and maximum.

`machine.cpu`, `machine.memory`, `machine.gpu` and `machine.gpu_memory` are shares of what the machine has, 0 to 1: of all vCPUs, of all
memory that processes hold (caches are free), of the busiest GPU, of the fullest GPU. `machine.disk` is how full its fullest file system is,
0 to 1. `machine.network` is bytes a second, in and out together; its maximum is the busiest minute, or what the provider keeps at best.
CPU goes beyond 1 for a while on machines that share cores. A step without a sample, or with an agent that is not installed, is None:
unknown, never zero. NotFound: this provider has no such number for any machine.
"""
MACHINE = "instance"
"""The label of a machine metric: Instance.id."""


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
