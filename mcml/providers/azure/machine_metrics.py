"""The metrics that all providers have of machines, made of Azure Monitor's platform metrics of virtual machines.

https://learn.microsoft.com/azure/azure-monitor/reference/supported-metrics/microsoft-compute-virtualmachines-metrics: each is sampled once
a minute, "Available Memory Percentage" is what a process could still get, the network's are bytes. GPUs, their memory and file systems are
only seen from inside of a machine: Azure has no platform metric of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.metrics import MachineMetric, SeriesQuery, Statistic

MACHINES = "Microsoft.Compute/virtualMachines"
CPU, FREE_MEMORY, RECEIVED, SENT = "Percentage CPU", "Available Memory Percentage", "Network In Total", "Network Out Total"
_MINUTE = 60.0


@dataclass(frozen=True)
class MadeOf:
    """What a number is made of: the metrics, the aggregation to ask for, and how it is written in Azure."""

    metric: MachineMetric
    names: tuple[str, ...]
    aggregation: str


_SHARE: Mapping[Statistic, str] = {"average": "Average", "minimum": "Minimum", "maximum": "Maximum"}
METRICS: Mapping[MachineMetric, tuple[tuple[str, ...], Mapping[Statistic, str]]] = {
    "machine.cpu": ((CPU,), _SHARE),
    "machine.memory": ((FREE_MEMORY,), {"average": "Average", "minimum": "Maximum", "maximum": "Minimum"}),  # least free is most used
    "machine.network": ((RECEIVED, SENT), {"average": "Total", "minimum": "Minimum", "maximum": "Maximum"}),
}


def made_of(series: SeriesQuery) -> MadeOf:
    """Return what a machine metric is made of. Raises NotFound for one that Azure does not have, InvalidRequest for another statistic."""
    for metric, (names, statistics) in METRICS.items():
        if metric == series.metric:
            if series.statistic not in statistics:
                why = f"a metric of machines is told as its {', '.join(statistics)}"
                raise InvalidRequest(f"cannot read the {series.statistic} of {metric}", why=why, next_step="ask for the average")
            return MadeOf(metric, names, statistics[series.statistic])
    why = "Azure has no platform metric of it: it is only seen from inside of a machine"
    raise NotFound(f"no metric {series.metric!r} of machines on Azure", why=why, next_step=f"ask for {', '.join(METRICS)}")


def value_of(made: MadeOf, told: Sequence[float | None], length: timedelta) -> float | None:
    """Return the number of a step of some length from what Azure tells of it; None where it lacks any of that.

    The peak of the network is that of its busiest minute, in and out each: no less than what it was together.
    """
    known = [value for value in told if value is not None]
    if len(known) < len(told):
        return None
    if made.metric == "machine.network":
        seconds = length.total_seconds() if made.aggregation == "Total" else _MINUTE
        return sum(known) / seconds if seconds > 0 else None
    part = min(known[0] / 100, 1.0)
    return 1 - part if made.metric == "machine.memory" else part
