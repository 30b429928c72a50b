"""Metrics on Cloud Monitoring (gRPC only): `ListTimeSeries` folds where it can, the rest is folded here from the samples.

https://cloud.google.com/monitoring/api/ref_v3/rpc/google.monitoring.v3. A name is the metric's type
("compute.googleapis.com/instance/cpu/utilization"), its values have the type's own unit. A label is one of the metric's or else of the
monitored resource's ("instance_id"); write "resource.NAME" where both have it, "resource.type" for the kind of resource. All series that
match are folded into one. A sample belongs to the step in which it ends, the step's end included, as Monitoring has it. `metrics_plan` says
what is folded where, `machine_metrics` what the machine metrics ("machine.cpu") are made of.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.metrics import MACHINE_METRICS, Metrics, Point, SeriesQuery, Window
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.compute import Compute
from mcml.providers.gcp.machine_metrics import MachineMetrics
from mcml.providers.gcp.metrics_plan import MINUTE, Aggregation, Kind, fold, fold_distribution, plan, sampling
from mcml.providers.gcp.rpc import rpc, rpc_pages
from mcml.providers.gcp.session import Session
from mcml.providers.resilience import Policy

PAGE = 100_000
"""The most points that a page of ListTimeSeries has, series included; of other listings Monitoring gives fewer."""
MOST_STEPS = 100_000
RESOURCE_TYPE = "resource.type"
"""The label that stands for the kind of monitored resource ("gce_instance")."""
_LABEL = re.compile(r"(?:(metric|resource)\.)?([A-Za-z_]\w*)")


def open_metrics(ctx: ProviderContext) -> Metrics:
    """Return the metrics of the project; machine metrics of machines in the target's region, or in all regions without one."""
    return GcpMetrics(Session(ctx, policy=Policy(budget=ctx.budget)), ctx.region)


class GcpMetrics:
    """Metrics of one project."""

    def __init__(self, session: Session, region: str = "") -> None:
        self._session = session
        self._descriptors: dict[str, Any] = {}
        self._machines = MachineMetrics(Compute(session, region), self._read)

    def query(self, series: SeriesQuery, window: Window) -> list[Point]:
        """Return one point a step; None where no sample ended. Raises NotFound, InvalidRequest (see `metrics_plan` for what cannot be).

        Monitoring folds full steps of a minute or longer; percentiles of plain numbers, shorter steps and a last step that is cut are
        folded from the samples. The average of several series weighs each series the same. Of a machine metric the highest of the machine's
        series counts in each step, and the busiest minute is the maximum of the network; NotFound is for a machine that is not there.
        """
        steps = _check(window)
        if series.metric in MACHINE_METRICS:
            found = self._machines.values(series, window, steps)
            return [Point(window.start + number * window.step, value) for number, value in enumerate(found)]
        kind = Kind.of(self.descriptor(series.metric))
        how = plan(kind, series.statistic)
        whole = (window.end - window.start) // window.step
        if how is None or window.step % MINUTE or not whole:
            values = self._pooled(series, kind, window, steps)
        else:
            values = self._folded(series, how, Window(window.start, window.start + whole * window.step, window.step))
            if steps > whole:
                rest = Window(window.start + whole * window.step, window.end, window.step)
                values += self._pooled(series, kind, rest, 1)
        return [Point(window.start + number * window.step, value) for number, value in enumerate(values)]

    def names(self) -> list[str]:
        """Return the types of the metrics that the project has, and the machine metrics."""
        request = {"name": f"projects/{self._session.project()}"}
        found = self._pages("list the metrics", "list_metric_descriptors", "metric_descriptors", request)
        return sorted({descriptor.type for descriptor in found} | {*MACHINE_METRICS})

    def descriptor(self, metric: str) -> Any:
        """Return what a metric is. Raises NotFound."""
        if metric not in self._descriptors:
            doing, name = f"cannot look at metric {metric!r}", f"projects/{self._session.project()}/metricDescriptors/{metric}"
            if not metric or not re.fullmatch(r"[\w./-]+", metric):
                raise NotFound(f"no metric {metric!r}", why="it is no name of a metric")
            from google.cloud import monitoring_v3

            found = rpc(self._session, doing, monitoring_v3.MetricServiceClient, "get_metric_descriptor", {"name": name})
            self._descriptors[metric] = found
        return self._descriptors[metric]

    def filter_of(self, series: SeriesQuery) -> str:
        """Return what a series is in Monitoring's filter language. Raises NotFound, InvalidRequest for a label that none can have."""
        own = {label.key for label in self.descriptor(series.metric).labels}
        parts = [f"metric.type = {json.dumps(series.metric)}"]
        for label, value in series.labels.items():
            if label == RESOURCE_TYPE:
                parts.append(f"{RESOURCE_TYPE} = {json.dumps(value)}")
                continue
            found = _LABEL.fullmatch(label)
            if found is None:
                raise InvalidRequest(f"no label {label!r}", why=f"a label is letters, digits and _; known: {', '.join(sorted(own))}")
            side = found[1] or ("metric" if found[2] in own else "resource")
            parts.append(f"{side}.labels.{found[2]} = {json.dumps(value, ensure_ascii=False)}")
        return " AND ".join(parts)

    def _folded(self, series: SeriesQuery, how: Aggregation, window: Window) -> list[float | None]:
        values: list[float | None] = [None] * ((window.end - window.start) // window.step)
        for at, value in self._points(series, how, window):
            folded = fold_distribution(series.statistic, value) if how.distribution else float(value)
            values[(at - window.start) // window.step - 1] = folded
        return values

    def _pooled(self, series: SeriesQuery, kind: Kind, window: Window, steps: int) -> list[float | None]:
        """Fold the samples of each step; of a distribution only one step, of a minute or longer. Raises InvalidRequest."""
        how, span = plan(kind, series.statistic), window.end - window.start
        if kind.distribution and how is not None:
            if steps > 1:
                why = "a distribution is folded over whole minutes only"
                raise InvalidRequest(f"cannot fold {series.metric} in steps of {window.step}", why=why, next_step="take whole minutes")
            return [None] if span < MINUTE else self._folded(series, how, Window(window.start, window.end, span))
        samples: list[list[float]] = [[] for _ in range(steps)]
        for at, value in self._points(series, sampling(kind), window):
            samples[-((window.start - at) // window.step) - 1].append(float(value))
        return [fold(series.statistic, found) for found in samples]

    def _points(self, series: SeriesQuery, how: Aggregation, window: Window) -> Iterator[tuple[datetime, Any]]:
        """Return (end, value) of every point in the window, of all series."""
        for _, points in self._read(series.metric, self.filter_of(series), how, window):
            yield from points

    def _read(
        self, metric: str, which: str, how: Aggregation, window: Window
    ) -> Iterator[tuple[Mapping[str, str], Sequence[tuple[datetime, Any]]]]:
        """Return (labels of the metric, points in the window as (end, value)) of every series; a page may end within one."""
        request = {
            "name": f"projects/{self._session.project()}",
            "filter": which,
            "interval": {"start_time": window.start, "end_time": window.end},
            "aggregation": how.request(window.step),
        }
        for found in self._pages(f"read metric {metric!r}", "list_time_series", "time_series", request):
            bare = type(found).pb(found)  # two weeks are thousands of points: without the SDK's wrapping of each
            points = [(point.interval.end_time.ToDatetime(UTC), _value(point.value)) for point in bare.points]
            yield dict(bare.metric.labels), [(at, value) for at, value in points if window.start < at <= window.end]

    def _pages(self, what: str, method: str, items: str, request: dict[str, Any]) -> Iterator[Any]:
        from google.cloud import monitoring_v3

        asked = {**request, "page_size": PAGE}
        return rpc_pages(self._session, f"cannot {what}", monitoring_v3.MetricServiceClient, method, asked, items)


def _value(typed: Any) -> Any:
    """Return the value that is set: a number, a truth, a distribution."""
    return getattr(typed, typed.WhichOneof("value"))


def _check(window: Window) -> int:
    """Return how many steps a window has, the last possibly cut. Raises InvalidRequest."""
    if window.start.tzinfo is None or window.end.tzinfo is None:
        raise InvalidRequest("the window has no time zone", why="a time without one means something else on every machine")
    if window.step <= timedelta(0) or window.end <= window.start:
        raise InvalidRequest("the window is empty", why=f"{window.start} to {window.end} in steps of {window.step}")
    steps = -((window.start - window.end) // window.step)
    if steps > MOST_STEPS:
        raise InvalidRequest(f"the window has {steps} steps", why=f"at most {MOST_STEPS} are answered", next_step="take a longer step")
    return steps
