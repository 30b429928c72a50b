"""Metrics of this machine's model servers and instances, from their usage logs."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mcml.core.errors import InvalidRequest, NotFound, did_you_mean, unknown
from mcml.providers.api.metrics import MACHINE_METRICS, Point, SeriesQuery, Statistic, Window
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.layout import LocalResource, root_of
from mcml.providers.local.machine_usage import METRICS as OF_MACHINES
from mcml.providers.local.machine_usage import machine_uses
from mcml.providers.local.scope import resources_in_scope
from mcml.providers.local.usage import MICROSECOND, Segment, UsageRun, microseconds, moment, segments, usage_runs
from mcml.providers.machine_series import machine_of

MOST_POINTS = 100_000
LABELS = ("target", "model", "version", "run")
Sample = tuple[float, int]
"""A value and its weight in an average: how many microseconds it stands for."""


def _cores(used: Segment) -> float:
    return used.cpu / (used.end - used.start) if used.end > used.start else 0.0


METRICS: Mapping[str, Callable[[Segment], float]] = {
    "cpu_utilization": _cores,  # cores busy: 1.5 is one and a half
    "memory_bytes": lambda used: used.rss,
    "requests": lambda used: used.requests,  # since the sample before: ask for the sum
    "errors": lambda used: used.errors,  # answers 5xx
    "client_errors": lambda used: used.client_errors,  # answers 4xx
}
GAUGES = frozenset({"cpu_utilization", "memory_bytes"})


def open_metrics(ctx: ProviderContext) -> "LocalMetrics":
    """Return the metrics of the context's target, or of all targets when it names none."""
    return LocalMetrics(ctx)


@dataclass(frozen=True)
class LocalMetrics:
    """Samples are the lines of the usage logs: one a second under load, one a minute when idle.

    Of the machine metrics, machine.cpu and machine.memory are measured: the processes of an instance as shares of its type as it was then.
    Its file system and network are the whole machine's, and it has no GPU: the others are NotFound.
    """

    ctx: ProviderContext

    def query(self, series: SeriesQuery, window: Window) -> list[Point]:
        """Fold the samples of every run that matches the labels (target, model, version, run) into one point a step.

        The average of a gauge (cpu_utilization, memory_bytes) weighs each sample by the time it stands for; percentiles are by nearest
        rank. Samples of several runs are pooled: name a run to see it alone. A machine metric has the label `instance` alone.
        """
        if series.metric in MACHINE_METRICS:
            return self._of_machine(series, window)
        if series.metric not in METRICS:
            raise unknown("metric", series.metric, self.names(), next_step="ask for one of these")
        wrong = [label for label in series.labels if label not in LABELS]
        if wrong:
            raise InvalidRequest(f"no label named {wrong[0]!r}", why=did_you_mean(wrong[0], LABELS))
        steps = _steps(window)
        labels = {**({"target": self.ctx.target} if self.ctx.target else {}), **series.labels}
        start, step = microseconds(window.start), window.step // MICROSECOND
        end, value = microseconds(window.end), METRICS[series.metric]
        samples: list[list[Sample]] = [[] for _ in range(steps)]
        for run in usage_runs(root_of(self.ctx), since=window.start):
            if _matches(run, labels):
                for used in segments(run.log):
                    if start <= used.end < end:
                        weight = used.end - used.start if series.metric in GAUGES else 1
                        samples[(used.end - start) // step].append((value(used), weight))
        return [Point(moment(start + number * step), fold(series.statistic, found)) for number, found in enumerate(samples)]

    def names(self) -> list[str]:
        """Return the names of the metrics."""
        return sorted((*METRICS, *OF_MACHINES))

    def _of_machine(self, series: SeriesQuery, window: Window) -> list[Point]:
        """Fold what an instance used; a sample counts in every step that it reaches into, by the time that it is in it."""
        about, steps = self._instance(series), _steps(window)
        fields = next((fields for name, fields in OF_MACHINES.items() if name == series.metric), None)
        if fields is None:
            why = "what an instance here uses is measured by its processes: CPU and memory"
            raise NotFound(f"no metric {series.metric!r} on this machine", why=why, next_step=f"ask for {' or '.join(OF_MACHINES)}")
        start, step, end = microseconds(window.start), window.step // MICROSECOND, microseconds(window.end)
        mean, peak = fields
        samples: list[list[Sample]] = [[] for _ in range(steps)]
        peaks: list[float] = [0.0] * steps
        for used in machine_uses(about.folder):
            first, last = max(used.start, start), min(used.end, end)
            for number in range((first - start) // step, -((start - last) // step) if first < last else 0):
                inside = min(last, start + (number + 1) * step) - max(first, start + number * step)
                samples[number].append((getattr(used, mean), inside))
                peaks[number] = max(peaks[number], getattr(used, peak))
        points = [Point(moment(start + number * step), fold(series.statistic, found)) for number, found in enumerate(samples)]
        if series.statistic != "maximum":
            return points
        return [point if point.value is None else Point(point.at, max(peaks[number], point.value)) for number, point in enumerate(points)]

    def _instance(self, series: SeriesQuery) -> LocalResource:
        name = machine_of(series)
        found = [about for about in resources_in_scope(self.ctx, "instances") if about.id == name]
        if not found:
            raise NotFound(f"no instance {name!r}", why="it was never made on this target, or it is terminated")
        return found[0]


def _steps(window: Window) -> int:
    if window.start.tzinfo is None or window.end.tzinfo is None:
        raise InvalidRequest("the window has no time zone", why="a time without one means something else on every machine")
    if window.step < MICROSECOND or window.end <= window.start:
        raise InvalidRequest("the window is empty", why=f"{window.start} to {window.end} in steps of {window.step}")
    steps = -((window.start - window.end) // window.step)
    if steps > MOST_POINTS:
        raise InvalidRequest(f"the window has {steps} steps", why=f"at most {MOST_POINTS} are answered", next_step="take a longer step")
    return steps


def _matches(run: UsageRun, labels: Mapping[str, str]) -> bool:
    has = {"target": run.target, "model": run.model, "version": run.version, "run": run.id}
    return all(has[label] == wanted for label, wanted in labels.items())


def fold(statistic: Statistic, samples: list[Sample]) -> float | None:
    """Fold (value, weight) samples into one number; None without any."""
    if not samples:
        return None
    values = sorted(value for value, _ in samples)
    if statistic in ("p50", "p90", "p99"):
        return float(values[math.ceil(int(statistic[1:]) * len(values) / 100) - 1])
    weight = sum(weight for _, weight in samples)
    average = sum(value * weight for value, weight in samples) / weight if weight else sum(values) / len(values)
    simple: dict[Statistic, float] = {
        "average": average,
        "sum": sum(values),
        "minimum": values[0],
        "maximum": values[-1],
        "count": len(values),
    }
    return float(simple[statistic])
