"""The machine metrics of `mcml.providers.api.metrics` as Cloud Monitoring has them, and how its series become one.

| metric | in Monitoring |
| --- | --- |
| machine.cpu, machine.network | of Compute Engine (https://cloud.google.com/monitoring/api/metrics_gcp_c), once a minute |
| the others | of the Ops Agent (https://cloud.google.com/monitoring/api/metrics_opsagent), in percent; GPU memory in bytes |

CPU is a share of what a machine is given in the long run: one with a shared core bursts above 1. All are found by the machine's number, for
only Compute Engine's own carry its name, and a name may have been another machine's. Of several file systems or GPUs the highest counts in
each step, also when it is an average.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from mcml.core.errors import NotFound
from mcml.providers.api.metrics import SeriesQuery, Statistic, Window
from mcml.providers.gcp.compute import Compute
from mcml.providers.gcp.metrics_plan import MINUTE, Aggregation, Kind, fold, plan, sampling
from mcml.providers.machine_series import highest, machine_of, ratio, share

CPU = "compute.googleapis.com/instance/cpu/utilization"
NETWORK = tuple(f"compute.googleapis.com/instance/network/{way}_bytes_count" for way in ("received", "sent"))
GPU_MEMORY = "agent.googleapis.com/gpu/memory/bytes_used"
PERCENT = {
    "machine.memory": ("agent.googleapis.com/memory/percent_used", "state"),
    "machine.gpu": ("agent.googleapis.com/gpu/utilization", ""),
    "machine.disk": ("agent.googleapis.com/disk/percent_used", "state"),
}
"""The type, and the label that is `used` in those of its series that count: memory that is used is without buffers, caches and slab."""
_NO_DISK = re.compile(r"/dev/loop\d+|tmpfs|devtmpfs|overlay|none|shm")
"""Devices that are no disks: snaps are mounted from loops."""
_STATE = "memory_state"

Labels = frozenset[tuple[str, str]]
Column = list[float | None]
Read = Callable[[str, str, Aggregation, Window], Iterator[tuple[Mapping[str, str], Sequence[tuple[datetime, Any]]]]]
"""Gives (labels, points) of every series: asked for a metric's type, a filter, how to fold each series, and when."""


@dataclass
class MachineMetrics:
    """Answers machine metrics, from what `read` gives."""

    compute: Compute
    read: Read
    _numbers: dict[str, int] = field(default_factory=dict, repr=False)

    def values(self, series: SeriesQuery, window: Window, steps: int) -> Column:
        """Return a number for each step. Raises NotFound for a machine that is not there, InvalidRequest for other labels than that one."""
        where = f'resource.type = "gce_instance" AND resource.labels.instance_id = "{self._number(machine_of(series))}"'
        ask = _Ask(self.read, where, window, steps)
        if series.metric == "machine.network":
            return ask.network(series.statistic)
        if series.metric == "machine.gpu_memory":
            return ask.gpu_memory(series.statistic)
        if series.metric == "machine.cpu":
            return highest(ask.columns(CPU, "", series.statistic).values(), steps)
        metric, state = PERCENT[series.metric]
        found = ask.columns(metric, _used(state), series.statistic)
        disks = [column for labels, column in found.items() if not _NO_DISK.fullmatch(dict(labels).get("device", ""))]
        return [share(value, series.statistic) for value in highest(disks, steps)]

    def _number(self, machine: str) -> int:
        if machine not in self._numbers:
            self._numbers[machine] = self.compute.find("instance", machine, "Instances", "instances")[1].id
        return self._numbers[machine]


@dataclass(frozen=True)
class _Ask:
    """Series of one machine."""

    read: Read
    where: str
    window: Window
    steps: int

    def columns(self, metric: str, which: str, statistic: Statistic) -> dict[Labels, Column]:
        """Return each series of a gauge, folded into steps: full ones by Monitoring where it can, the rest here from the samples."""
        kind, window = Kind(metric, gauge=True, distribution=False, truth=False), self.window
        how = plan(kind, statistic)
        whole = 0 if how is None or window.step % MINUTE else (window.end - window.start) // window.step
        found: dict[Labels, Column] = defaultdict(lambda: [None] * self.steps)
        if how is not None and whole:
            full = replace(window, end=window.start + whole * window.step)
            for labels, points in self._series(metric, which, replace(how, reducer="REDUCE_NONE"), full):
                for at, value in points:
                    found[labels][(at - window.start) // window.step - 1] = float(value)
        if self.steps > whole:
            rest = replace(window, start=window.start + whole * window.step)
            samples: dict[tuple[Labels, int], list[float]] = defaultdict(list)
            for labels, points in self._series(metric, which, sampling(kind), rest):
                for at, value in points:
                    samples[labels, self._step(at)].append(float(value))
            for (labels, step), values in samples.items():
                found[labels][step] = fold(statistic, values)
        return found

    def gpu_memory(self, statistic: Statistic) -> Column:
        """Return the share of the fullest GPU: what is used of what is used and free, in the average of the step."""
        averages = self.columns(GPU_MEMORY, "", "average")
        used = self.columns(GPU_MEMORY, _used(_STATE), statistic) if statistic != "average" else averages
        shares: list[Column] = []
        for labels, column in used.items():
            free = averages.get(labels - {(_STATE, "used")} | {(_STATE, "free")})
            if (_STATE, "used") in labels and labels in averages and free is not None:
                total = [None if a is None or b is None else a + b for a, b in zip(averages[labels], free, strict=True)]
                shares.append(ratio(column, total, statistic))
        return highest(shares, self.steps)

    def network(self, statistic: Statistic) -> Column:
        """Fold the bytes a second of each minute, of both ways; None for a minute of which one is not known."""
        ways: list[dict[datetime, float]] = []
        for metric in NETWORK:
            ways.append(defaultdict(float))
            for _, points in self._series(metric, "", sampling(Kind(metric, gauge=False, distribution=False, truth=False)), self.window):
                for at, value in points:
                    ways[-1][at] += float(value) / MINUTE.total_seconds()
        rates: list[list[float]] = [[] for _ in range(self.steps)]
        for at in sorted(ways[0].keys() & ways[1].keys()):
            rates[self._step(at)].append(ways[0][at] + ways[1][at])
        return [fold(statistic, found) for found in rates]

    def _step(self, at: datetime) -> int:
        """Return the step in which a sample ends, the step's end included."""
        return -((self.window.start - at) // self.window.step) - 1

    def _series(self, metric: str, which: str, how: Aggregation, window: Window) -> Iterator[tuple[Labels, Sequence[tuple[datetime, Any]]]]:
        """Yield the series; none of a metric that Monitoring does not have: no agent has ever written it."""
        try:
            for labels, points in self.read(metric, f'metric.type = "{metric}" AND {self.where}{which}', how, window):
                yield frozenset(labels.items()), points
        except NotFound:
            return


def _used(state: str) -> str:
    return f' AND metric.labels.{state} = "used"' if state else ""
