"""What a machine did since it has its present type: the six machine metrics, and since when that is.

Since when (`resized`), the latest of

- the last change of its type that our own journal has, for the moment of it;
- the end of the newest charge period in which the bill, a meter or an estimate has another type of it, or the moment at which our
  schedules turned it off or on as another;
- its start, when that is later than the last such period or moment with its present type, or when there is none: nobody knows
  what it was before, and a type is changed between a stop and a start. (Azure tells when a machine was made, not when it was started.)

What was measured before tells how full another machine was.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from mcml.core.errors import InvalidRequest, NotFound
from mcml.cost.rightsize.values import Step, Usage
from mcml.providers.api.instances import Instance
from mcml.providers.api.metrics import MACHINE, MACHINE_METRICS, MachineMetric, Metrics, Point, SeriesQuery, Window
from mcml.store import journal
from mcml.store.db import Store
from mcml.store.journal import Query
from mcml.store.ledger.machines import Typed

STEPS = (timedelta(minutes=5), timedelta(hours=1))
"""How long a step is; the next one where a provider does not answer for so long a time in such steps."""
FEWEST = 12
"""Steps in the shortest time that is judged: what is watched for minutes only is looked at in finer steps."""
CHANGES = ("cost.rightsize_resized", "cost.rightsize_rolled_back")
"""The facts after which a machine has another type; they are about TARGET/ID."""
SHARES = frozenset(MACHINE_METRICS) - {"machine.network"}


def changes(store: Store) -> dict[str, datetime]:
    """Return when the type of each machine was last changed by us, by TARGET/ID."""
    with store.reading() as connection:
        return {entry.target: entry.at for entry in journal.read(connection, Query(kinds=CHANGES))}


def resized(instance: Instance, changed: datetime | None, seen: Iterable[Typed]) -> datetime | None:
    """Return since when a machine has its present type at the earliest (see the head of this file); None where nothing speaks for a
    change."""
    mine: list[datetime] = []
    others: list[datetime] = []
    for typed in seen:
        (mine if _plain(typed.type) == _plain(instance.machine) else others).append(typed.last)
    if changed is not None:
        others.append(changed)
    if not mine or instance.launched > max(mine):
        others.append(instance.launched)
    return max(others, default=None)


def _plain(type: str) -> str:
    """Return a type's name as all write it: Azure's `Standard_D2s_v3` is `D2s v3` elsewhere."""
    return "".join(filter(str.isalnum, type.lower().removeprefix("standard_")))


def measure(
    metrics: Metrics, instance: str, start: datetime, end: datetime, names: Collection[str] = MACHINE_METRICS, least: timedelta = STEPS[-1]
) -> Usage:
    """Return what a machine did in whole steps within [start, end), of those metrics that are among `names`; `least` is the shortest time
    that will be judged.

    Raises what the provider raises; a machine, or a number of it, that it does not know is not measured.
    """
    steps = dict.fromkeys((min(STEPS[0], least / FEWEST), *STEPS))
    for step in list(steps)[:-1]:
        try:
            return _measure(metrics, instance, start, end, step, names)
        except InvalidRequest:  # too many steps, or too fine for what is that long ago
            continue
    return _measure(metrics, instance, start, end, STEPS[-1], names)


def _measure(metrics: Metrics, instance: str, start: datetime, end: datetime, step: timedelta, names: Collection[str]) -> Usage:
    begin, until = _whole(start, step, up=True), _whole(end, step)
    if begin >= until:
        return Usage(begin, begin, step, {})
    window = Window(begin, until, step)
    found: dict[MachineMetric, tuple[Step, ...]] = {}
    for measure in MACHINE_METRICS:
        if measure not in names:
            continue
        try:
            averages, highest = (_query(metrics, measure, instance, statistic, window) for statistic in ("average", "maximum"))
        except NotFound:
            continue
        if steps := _steps(measure, averages, highest):
            found[measure] = steps
    return Usage(begin, until, step, found)


def _query(metrics: Metrics, measure: MachineMetric, instance: str, statistic: str, window: Window) -> Sequence[Point]:
    return metrics.query(SeriesQuery(measure, {MACHINE: instance}, "average" if statistic == "average" else "maximum"), window)


def _steps(measure: MachineMetric, averages: Sequence[Point], highest: Sequence[Point]) -> tuple[Step, ...]:
    """Join both series. A share above 1 (a burst, or noise of the meter) is 1: a machine does not have more than all it has."""
    peaks: Mapping[datetime, float] = {point.at: point.value for point in highest if point.value is not None}
    most = 1.0 if measure in SHARES else math.inf
    found = []
    for point in averages:
        peak = peaks.get(point.at)
        if point.value is None or peak is None or not (0 <= point.value < math.inf and 0 <= peak < math.inf):
            continue
        average = min(point.value, most)
        found.append(Step(point.at, average, max(min(peak, most), average)))
    return tuple(found)


def _whole(moment: datetime, step: timedelta, *, up: bool = False) -> datetime:
    """Round to a whole step of the clock."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    count = (moment - epoch) // step
    return epoch + (count + (up and epoch + count * step < moment)) * step
