"""Metrics on Azure: Azure Monitor's platform metrics. https://learn.microsoft.com/rest/api/monitor/metrics/list

A series names its resource by the label `resource` (an Azure id); its other labels are the metric's dimensions. A metric is named as in
https://learn.microsoft.com/azure/azure-monitor/reference/metrics-index, with its namespace before it or without: "Percentage CPU",
"Microsoft.Compute/virtualMachines/Percentage CPU". Numbers are kept 93 days. Azure keeps no percentiles of them.

The metrics that all providers have of machines (`machine_metrics`) are made of these: their resource is the label `instance`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.metrics import MACHINE_METRICS, Metrics, Point, SeriesQuery, Statistic, Window
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure import machine_metrics
from mcml.providers.azure.arm import locate, pages, parse_id, plain_region
from mcml.providers.azure.session import Session
from mcml.providers.machine_series import machine_of
from mcml.providers.resilience import Policy

RESOURCE = "resource"
KEPT = timedelta(days=93)
MOST_POINTS = 100_000
STEPS: Mapping[timedelta, str] = {
    timedelta(minutes=1): "PT1M",
    timedelta(minutes=5): "PT5M",
    timedelta(minutes=15): "PT15M",
    timedelta(minutes=30): "PT30M",
    timedelta(hours=1): "PT1H",
    timedelta(hours=6): "PT6H",
    timedelta(hours=12): "PT12H",
    timedelta(days=1): "P1D",
}
AGGREGATIONS: Mapping[Statistic, str] = {
    "average": "Average",
    "sum": "Total",
    "minimum": "Minimum",
    "maximum": "Maximum",
    "count": "Count",
}
_NO_METRIC = "failed to find metric configuration"


def open_metrics(ctx: ProviderContext) -> Metrics:
    """Return the metrics of the subscription."""
    return AzureMetrics(Session(ctx, policy=Policy(budget=ctx.budget)), ctx.region)


@dataclass(frozen=True)
class AzureMetrics:
    """Platform metrics."""

    session: Session
    region: str = ""

    def query(self, series: SeriesQuery, window: Window) -> list[Point]:
        """Return one point a step; None where Azure has no number, also for all that is older than it keeps.

        A metric of machines is told as its average, minimum and maximum. Raises NotFound for a metric or resource that does not exist (of
        machines, what only an agent sees: GPUs and file systems), InvalidRequest for a window or step that cannot be, a percentile, or a
        series without the label `resource`.
        """
        if series.metric in MACHINE_METRICS:
            return self._of_machine(series, window)
        aggregation, resource = aggregation_of(series.statistic), resource_of(series)
        values = self._values(series.metric, resource, aggregation, window, dimension_filter(series.labels))
        return [Point(at, values.get(at)) for at in steps_of(window)]

    def _of_machine(self, series: SeriesQuery, window: Window) -> list[Point]:
        made_of = machine_metrics.made_of(series)
        resource = str(locate(self.session, machine_of(series), machine_metrics.MACHINES, "machine"))
        parts = [self._values(name, resource, made_of.aggregation, window) for name in made_of.names]
        now = self.session.clock()
        return [
            Point(at, machine_metrics.value_of(made_of, [part.get(at) for part in parts], min(window.step, window.end - at, now - at)))
            for at in steps_of(window)
        ]

    def _values(self, metric: str, resource: str, aggregation: str, window: Window, wanted: str | None = None) -> dict[datetime, float]:
        """Return the numbers of the steps that have one. Raises NotFound, InvalidRequest."""
        kept = [at for at in steps_of(window) if at + window.step > self.session.clock() - KEPT]
        if not kept:
            return {}
        namespace, name = split_name(metric)
        options = {
            "timespan": f"{_utc(kept[0])}/{_utc(window.end)}",
            "interval": STEPS[window.step],
            "metricnames": name.replace(",", "%2"),  # a comma in a name is written so: it separates names
            "aggregation": aggregation,
            "filter": wanted,
            "metricnamespace": namespace or None,
        }
        what = f"read metric {metric!r} of {resource.rpartition('/')[2]}"
        try:
            answer = self.session.call(what, lambda: self._monitor.metrics.list(resource, **options))
        except InvalidRequest as refused:
            if _NO_METRIC not in refused.why.lower():
                raise
            step = f"az monitor metrics list-definitions --resource {resource}"
            raise NotFound(f"no metric {metric!r} of {resource}", why=refused.why, next_step=step) from refused
        return values_of(answer, aggregation.lower(), window)

    def names(self) -> list[str]:
        """Return the metrics of machines, and those of each type of resource that is here, with their namespace: one of each type is asked.

        https://learn.microsoft.com/rest/api/monitor/metric-definitions/list. Types that have none are left out.
        """
        from azure.mgmt.resource.resources import ResourceManagementClient

        here, of_type = plain_region(self.region), dict[str, str]()
        resources = self.session.management(ResourceManagementClient).resources
        for found in pages(self.session, "list resources", resources.list()):
            if here in ("", plain_region(found.location or "")):
                of_type.setdefault(str(found.type).lower(), found.id)
        names = {name for resource in sorted(of_type.values()) for name in self._names(resource)}
        return sorted({*names, *machine_metrics.METRICS})

    @cached_property
    def _monitor(self) -> Any:
        from azure.mgmt.monitor import MonitorManagementClient

        return self.session.management(MonitorManagementClient)

    def _names(self, resource: str) -> list[str]:
        what = f"list the metrics of {resource.rpartition('/')[2]}"
        try:
            found = list(pages(self.session, what, self._monitor.metric_definitions.list(resource)))
        except (InvalidRequest, NotFound):  # a type without metrics, or one that went meanwhile
            return []
        return [f"{one.namespace}/{one.name.value}" for one in found if one.name is not None]


def steps_of(window: Window) -> list[datetime]:
    """Return the start of each step. Raises InvalidRequest for a window or a step that Azure cannot answer."""
    if window.step <= timedelta(0) or window.end <= window.start:
        raise InvalidRequest("cannot read metrics", why=f"from {window.start} to {window.end} in steps of {window.step} is no window")
    if window.step not in STEPS:
        known = ", ".join(str(step) for step in STEPS)
        raise InvalidRequest("cannot read metrics", why=f"Azure has no steps of {window.step}", next_step=f"one of {known}")
    count = -((window.start - window.end) // window.step)
    if count > MOST_POINTS:
        raise InvalidRequest("cannot read metrics", why=f"{count} steps are too many", next_step="ask for longer steps")
    return [window.start + number * window.step for number in range(count)]


def aggregation_of(statistic: Statistic) -> str:
    """Return Azure's name of a statistic. Raises InvalidRequest for a percentile."""
    if statistic not in AGGREGATIONS:
        why = "Azure Monitor keeps the average, total, minimum, maximum and count of a step, and no percentiles"
        raise InvalidRequest(f"cannot read the {statistic} of a metric", why=why, next_step="ask for the average or the maximum")
    return AGGREGATIONS[statistic]


def resource_of(series: SeriesQuery) -> str:
    """Return the id of the resource that a series is of. Raises InvalidRequest without one."""
    named = series.labels.get(RESOURCE, "")
    found = parse_id(named)
    if found is None:
        why = f"the label {RESOURCE!r} must be the id of an Azure resource, and is {named[:200]!r}"
        raise InvalidRequest(f"cannot read metric {series.metric!r}", why=why, next_step="az resource list --query '[].id' --output tsv")
    return str(found)


def split_name(metric: str) -> tuple[str, str]:
    """Return the namespace ("" where there is none) and the name of a metric: a namespace has a dot before its first slash."""
    namespace, _, name = metric.rpartition("/")
    return (namespace, name) if "." in namespace.partition("/")[0] else ("", metric)


def dimension_filter(labels: Mapping[str, str]) -> str | None:
    """Return the OData filter of all labels but the resource; None for none."""
    parts = [f"{name} eq '{value.replace(chr(39), chr(39) * 2)}'" for name, value in sorted(labels.items()) if name != RESOURCE]
    return " and ".join(parts) or None


def values_of(answer: Any, field: str, window: Window) -> dict[datetime, float]:
    """Return the number of each step that has one, by the start of the step."""
    found: dict[datetime, float] = {}
    for point in _data(answer):
        value, number = getattr(point, field), (point.time_stamp - window.start) // window.step
        if value is not None and number >= 0:
            found[window.start + number * window.step] = float(value)
    return found


def _data(answer: Any) -> Iterable[Any]:
    metric = next(iter(answer.value or ()), None)
    series = next(iter(metric.timeseries or ()), None) if metric is not None else None
    return (series.data or ()) if series is not None else ()


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
