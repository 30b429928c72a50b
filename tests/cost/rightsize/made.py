"""Machines, types and what machines did, made for tests."""

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from mcml.core.errors import InvalidRequest, NotFound
from mcml.core.schema_cost import Rightsizing
from mcml.cost.rightsize.values import Step, Subject, Usage
from mcml.providers.api.instances import Instance, MachinePrice, MachineRequest
from mcml.providers.api.metrics import MACHINE_METRICS, MachineMetric, Point, SeriesQuery, Window

NOW = datetime(2026, 11, 20, tzinfo=UTC)
DAY = timedelta(days=1)
STEPS = 14
DEFAULT = Rightsizing()
EAGER = Rightsizing(saving=0)
"""Proposes whatever is cheaper."""


def kind(name: str, vcpus: int, gib: int, price: str | None, **changes: object) -> MachinePrice:
    """A type for x86_64, without a GPU."""
    on_demand = None if price is None else Decimal(price)
    plain = MachinePrice(name, "r", Decimal(vcpus), Decimal(gib), on_demand, None, "USD", NOW, "x86_64")
    return replace(plain, **changes)  # type: ignore[arg-type]


M2, M4, M8 = kind("m.2", 2, 8, "0.1"), kind("m.4", 4, 16, "0.2"), kind("m.8", 8, 32, "0.4")
C4, R4 = kind("c.4", 4, 8, "0.17"), kind("r.4", 4, 32, "0.25")
FAMILY = (M2, M4, M8, C4, R4)


def subject(type: MachinePrice = M4, **changes: object) -> Subject:
    """A machine of that type that runs for long."""
    plain = Instance("i-1", type.machine, "z", "running", NOW - 100 * DAY, architecture=type.architecture)
    return Subject("eu-1", "aws", "r", replace(plain, **changes), type)  # type: ignore[arg-type]


def usage(measured: Mapping[Any, Any], length: timedelta = STEPS * DAY) -> Usage:
    """What it did up to now, a step a day: (average, highest) of each day, or one number that is both on every day."""
    start = NOW - length
    found: dict[MachineMetric, tuple[Step, ...]] = {}
    for measure, told in measured.items():
        pairs = [(told, told)] * (length // DAY) if isinstance(told, float) else told
        found[measure] = tuple(Step(start + place * DAY, low, high) for place, (low, high) in enumerate(pairs))
    return Usage(start, NOW, DAY, found)


@dataclass
class Meter:
    """Metrics that answer what `said` says of a query and a moment; at most `most` steps at once; `missing` metrics do not exist."""

    said: Callable[[SeriesQuery, datetime], float | None] = lambda *_: 0.5
    most: int = 10_000
    missing: tuple[str, ...] = ()
    asked: list[tuple[str, str, timedelta]] = field(default_factory=list)

    def query(self, series: SeriesQuery, window: Window) -> list[Point]:
        count = -((window.start - window.end) // window.step)
        if count > self.most:
            raise InvalidRequest("too many steps")
        if series.metric in self.missing:
            raise NotFound("no such metric")
        assert set(series.labels) == {"instance"}
        self.asked.append((series.metric, series.statistic, window.step))
        moments = [window.start + place * window.step for place in range(count)]
        return [Point(at, self.said(series, at)) for at in moments]

    def names(self) -> list[str]:
        return [name for name in MACHINE_METRICS if name not in self.missing]


@dataclass
class Fleet:
    """Machines of a target that can only be looked at."""

    machines: Sequence[Instance]
    types: Sequence[MachinePrice] = FAMILY

    def list(self, tags: Mapping[str, str] | None = None) -> builtins.list[Instance]:
        return [one for one in self.machines if not tags or tags.items() <= one.tags.items()]

    def prices(self, machines: Sequence[str] = ()) -> builtins.list[MachinePrice]:
        return [type for type in self.types if not machines or type.machine in machines]

    def start(self, instance: str) -> Instance:
        raise NotImplementedError

    def stop(self, instance: str) -> Instance:
        raise NotImplementedError

    def resize(self, instance: str, machine: str) -> Instance:
        raise NotImplementedError

    def request(self, request: MachineRequest) -> Instance:
        raise NotImplementedError
