"""Metrics of CloudWatch: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html

A metric is named `NAMESPACE:NAME` ("AWS/ApplicationELB:RequestCount"), labels are its dimensions, units are CloudWatch's own. What the
machine metrics ("machine.cpu") are made of: `machine_metrics`.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from mcml.core.errors import InvalidRequest, NotAuthenticated, Unavailable, unknown
from mcml.providers.api.metrics import MACHINE_METRICS, Metrics, Point, SeriesQuery, Statistic, Window
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.error_table import WHO_AM_I
from mcml.providers.aws.machine_metrics import DISK, GPU_MEMORY, INSTANCE, NETWORK, OF_EC2, SAMPLED, SOURCES, Machines, Periods, is_of_disk
from mcml.providers.aws.paging import paged
from mcml.providers.aws.session import Session
from mcml.providers.machine_series import highest, machine_of, ratio, share
from mcml.providers.resilience import NEXT_STEP, Policy

STATISTICS: Mapping[Statistic, str] = {
    "average": "Average",
    "sum": "Sum",
    "minimum": "Minimum",
    "maximum": "Maximum",
    "count": "SampleCount",
    "p50": "p50",
    "p90": "p90",
    "p99": "p99",
}
MOST_POINTS = 100_000
MOST_SERIES = 500
"""How many series one GetMetricData reads."""
SHORT_STEPS = (1, 5, 10, 20, 30)
KEPT = ((timedelta(days=63), 3600), (timedelta(days=15), 300), (timedelta(hours=3), 60))
"""Of what is older, CloudWatch has steps of so many seconds and their multiples only; asked for others it answers nothing at all."""
Dimensions = Mapping[str, str]
Steps = dict[int, float]
"""A number by the seconds since 1970 at which its base step begins."""


def open_metrics(ctx: ProviderContext) -> Metrics:
    """Return the CloudWatch metrics of the context's region."""
    return CloudWatchMetrics(Session(ctx, policy=Policy(budget=ctx.budget)))


@dataclass(frozen=True)
class CloudWatchMetrics:
    """Metrics of one region. `page` is how many points are asked for at once."""

    session: Session
    page: int = MOST_POINTS

    def query(self, series: SeriesQuery, window: Window) -> list[Point]:
        """Return one point a step, over all series that carry the labels; one that has exactly these dimensions is taken alone.

        CloudWatch counts in steps that begin at multiples of their length: a window that begins elsewhere is put together of shorter steps.
        A percentile of several series, or of such a window, cannot be put together: InvalidRequest. A step is 1, 5, 10, 20, 30 seconds or
        whole minutes; short ones are kept for three hours, minutes for 15 days, five minutes for 63, hours for 455:
        InvalidRequest for a step that is not kept from the start on. Raises NotFound for a metric that was not measured for two weeks, nor
        in the window; for a machine metric, for a machine that EC2 does not know.

        Of a machine metric the highest of the machine's series counts in each step, and a percentile is that of the highest; the network is
        known in five minutes at the finest, so its maximum is the busiest five. What the agent measured is found for two weeks after its
        last sample.
        """
        if series.metric in MACHINE_METRICS:
            return self._machine(series, window)
        namespace, name = self._split(series.metric)
        steps = steps_of(window)
        grain = grain_of(window, self.session.ctx.clock())
        base = base_of(window, grain)
        matching = self._matching(namespace, name, series.labels)
        whole = base == int(window.step.total_seconds())
        if series.statistic.startswith("p") and (len(matching) > 1 or not whole):
            raise _no_percentile(series, matching, window)
        parts = self._fetch(namespace, name, matching or [series.labels], series.statistic, window, base)
        values = fold(series.statistic, parts, window, steps, grain)
        if not matching and all(value is None for value in values):
            self._must_exist(series.metric)
        return [Point(window.start + number * window.step, value) for number, value in enumerate(values)]

    def names(self) -> list[str]:
        """Return the names of the metrics that were measured in the last two weeks, as `NAMESPACE:NAME`, and the machine metrics."""
        found = paged(self.session, "cannot list the metrics", "cloudwatch", "list_metrics", "Metrics")
        return sorted({f"{one['Namespace']}:{one['MetricName']}" for one in found} | {*MACHINE_METRICS})

    def _machine(self, series: SeriesQuery, window: Window) -> list[Point]:
        machine, steps = machine_of(series), steps_of(window)
        grain = grain_of(window, self.session.ctx.clock())
        if series.metric == NETWORK:
            values = self._rates(machine, series, Periods(window, max(SAMPLED, grain)), steps)
        else:
            values = self._shares(machine, series, window, steps, grain)
        if all(value is None for value in values):
            self._machines.type_of(machine)  # or else it is not there
        return [Point(window.start + number * window.step, value) for number, value in enumerate(values)]

    def _shares(self, machine: str, series: SeriesQuery, window: Window, steps: int, grain: int) -> list[float | None]:
        base, statistic = base_of(window, grain), series.statistic
        if statistic.startswith("p") and base != int(window.step.total_seconds()):
            raise _no_percentile(series, [series.labels], window)
        found: list[dict[frozenset[tuple[str, str]], list[float | None]]] = []
        for source in SOURCES[series.metric]:
            namespace, _, name = source.partition(":")
            labels = {INSTANCE: machine}
            carrying = [labels] if namespace == OF_EC2 else self._carrying(namespace, name, labels)
            several = [one for one in carrying if series.metric != DISK or is_of_disk(one)]
            parts = self._fetch(namespace, name, several, statistic, window, base)
            columns = [fold(statistic, [part], window, steps, grain) for part in parts]
            found.append({frozenset(one.items()): column for one, column in zip(several, columns, strict=True)})
        if series.metric == GPU_MEMORY:
            used, total = found
            sizes = {gpu: total[gpu] if gpu in total else [self._machines.gpu_mib(dict(gpu))] * steps for gpu in used}
            return highest([ratio(used[gpu], sizes[gpu], statistic) for gpu in used], steps)
        return highest([[share(value, statistic) for value in column] for column in found[0].values()], steps)

    def _rates(self, machine: str, series: SeriesQuery, periods: Periods, steps: int) -> list[float | None]:
        sums: list[Steps] = []
        for source in SOURCES[series.metric]:
            namespace, _, name = source.partition(":")
            ((counted,),) = self._fetch(namespace, name, [{INSTANCE: machine}], "sum", periods.covering, periods.seconds)
            sums.append(counted)
        over = self.session.ctx.clock().timestamp() - periods.seconds  # one that lasts has not all of its bytes
        rates = {at: rate for at, rate in periods.rates(sums).items() if at <= over}
        return periods.fold(rates, series.statistic, steps)

    @cached_property
    def _machines(self) -> Machines:
        return Machines(self.session)

    def _split(self, metric: str) -> tuple[str, str]:
        namespace, colon, name = metric.partition(":")
        if not (colon and namespace and name):
            self._must_exist(metric)
        return namespace, name

    def _must_exist(self, metric: str) -> None:
        known = self.names()
        if metric not in known:
            raise unknown("metric", metric, known, next_step="aws cloudwatch list-metrics   # named NAMESPACE:NAME")

    def _matching(self, namespace: str, name: str, labels: Dimensions) -> Sequence[Dimensions]:
        """Return the dimensions of every series that carries the labels; only those that are meant where one has no others."""
        carrying = self._carrying(namespace, name, labels)
        return [labels] if dict(labels) in carrying else carrying

    def _carrying(self, namespace: str, name: str, labels: Dimensions) -> Sequence[Dimensions]:
        dimensions = [{"Name": key, "Value": value} for key, value in labels.items()]
        asked: dict[str, Any] = {"Namespace": namespace, "MetricName": name, "Dimensions": dimensions}
        listed = paged(self.session, f"cannot find the metric {namespace}:{name}", "cloudwatch", "list_metrics", "Metrics", **asked)
        found = [{one["Name"]: one["Value"] for one in metric.get("Dimensions", ())} for metric in listed]
        return [one for one in found if labels.items() <= one.items()]

    def _fetch(
        self, namespace: str, name: str, several: Sequence[Dimensions], statistic: Statistic, window: Window, base: int
    ) -> list[list[Steps]]:
        """Return the numbers of each series by base step; of an average the sums and the counts. Asked for many at once."""
        metrics = [
            {"Namespace": namespace, "MetricName": name, "Dimensions": [{"Name": key, "Value": value} for key, value in labels.items()]}
            for labels in several
        ]
        wanted = ("Sum", "SampleCount") if statistic == "average" else (STATISTICS[statistic],)
        stats = [{"Metric": metric, "Period": base, "Stat": stat} for metric in metrics for stat in wanted]
        queries = [{"Id": f"m{number}", "MetricStat": stat} for number, stat in enumerate(stats)]
        asked: dict[str, Any] = {"StartTime": window.start, "EndTime": window.end, "MaxDatapoints": self.page}
        found: list[Steps] = [{} for _ in stats]
        for first in range(0, len(queries), MOST_SERIES):
            asked["MetricDataQueries"] = queries[first : first + MOST_SERIES]
            for one in read_results(self.session, f"cannot read the metric {namespace}:{name}", **asked):
                into = found[int(one["Id"][1:])]
                into |= {int(at.timestamp()): value for at, value in zip(one["Timestamps"], one["Values"], strict=True)}
        return [found[first : first + len(wanted)] for first in range(0, len(found), len(wanted))]


def read_results(session: Session, doing: str, region: str = "", **asked: Any) -> Iterator[Any]:
    """Yield the results of GetMetricData, page by page. Raises Unavailable, NotAuthenticated for one that CloudWatch did not read whole."""
    for one in paged(session, doing, "cloudwatch", "get_metric_data", "MetricDataResults", region=region, **asked):
        said = "; ".join(message.get("Value", "") for message in one.get("Messages", ()))
        if one.get("StatusCode") == "InternalError":
            raise Unavailable(doing, why=said or "CloudWatch could not read all of it (InternalError)", next_step=NEXT_STEP)
        if one.get("StatusCode") == "Forbidden":
            raise NotAuthenticated(doing, why=said or "CloudWatch may not show it (Forbidden)", next_step=WHO_AM_I)
        yield one


def steps_of(window: Window) -> int:
    """Return how many steps a window has. Raises InvalidRequest for one that CloudWatch cannot answer."""
    if window.start.tzinfo is None or window.end.tzinfo is None:
        raise InvalidRequest("the window has no time zone", why="a time without one means something else on every machine")
    step = window.step.total_seconds()
    if step <= 0 or window.end <= window.start:
        raise InvalidRequest("the window is empty", why=f"{window.start} to {window.end} in steps of {window.step}")
    if step not in SHORT_STEPS and step % 60:
        why = f"CloudWatch counts in steps of {', '.join(map(str, SHORT_STEPS))} seconds, or of whole minutes"
        raise InvalidRequest(f"the step of {window.step} cannot be answered", why=why, next_step="take whole minutes")
    steps = -((window.start - window.end) // window.step)
    if steps > MOST_POINTS:
        raise InvalidRequest(f"the window has {steps} steps", why=f"at most {MOST_POINTS} are answered", next_step="take a longer step")
    return steps


def grain_of(window: Window, now: datetime) -> int:
    """Return of how many seconds steps must be multiples, by the age of the window. Raises InvalidRequest for a step that is not kept."""
    step, age = int(window.step.total_seconds()), now - window.start
    kept = next((seconds for since, seconds in KEPT if age > since), 1)
    if step % kept:
        why = f"of that time, CloudWatch has kept multiples of {timedelta(seconds=kept)} only"
        raise InvalidRequest(f"the step of {window.step} cannot be answered from {window.start}", why=why, next_step="take a longer step")
    return step if step < 60 else max(kept, 60)


def base_of(window: Window, grain: int) -> int:
    """Return the longest step in seconds, one that CloudWatch has, of which the window's steps can be put together.

    A start within a minute (later: five, an hour) counts from there on, as CloudWatch itself does.
    """
    start = math.floor(window.start.timestamp())
    return math.gcd(int(window.step.total_seconds()), start - start % grain)


def fold(statistic: Statistic, parts: Iterable[Sequence[Steps]], window: Window, steps: int, grain: int) -> list[float | None]:
    """Fold base steps of several series into the window's steps; None where nothing was measured.

    Of each series there is one mapping, and of an average two: sums and counts.
    """
    folded: list[list[Sequence[float]]] = [[] for _ in range(steps)]
    start = window.start.timestamp()
    first = start - start % grain
    for series in parts:
        for at, value in series[0].items():
            number = int((at - first) // window.step.total_seconds())
            if 0 <= number < steps:
                folded[number].append((value, *(other.get(at, 0.0) for other in series[1:])))
    return [_one(statistic, values) for values in folded]


def _one(statistic: Statistic, values: Sequence[Sequence[float]]) -> float | None:
    if not values:
        return None
    firsts = [value[0] for value in values]
    if statistic == "average":
        counts = math.fsum(value[1] for value in values)
        return math.fsum(firsts) / counts if counts else None
    if statistic in ("sum", "count"):
        return math.fsum(firsts)
    return min(firsts) if statistic == "minimum" else max(firsts)


def _no_percentile(series: SeriesQuery, matching: Sequence[Dimensions], window: Window) -> InvalidRequest:
    doing = f"cannot tell the {series.statistic} of {series.metric}"
    if len(matching) > 1:
        some = "; ".join(",".join(f"{key}={value}" for key, value in sorted(one.items())) for one in matching[:3])
        why = f"{len(matching)} series match, and percentiles do not add up: {some}"
        return InvalidRequest(doing, why=why, next_step="name one by its labels")
    seconds = int(window.step.total_seconds())
    whole = datetime.fromtimestamp(window.start.timestamp() // seconds * seconds, UTC)
    why = f"the steps of {window.step} begin at multiples of it, and percentiles do not add up"
    return InvalidRequest(doing, why=why, next_step=f"begin the window at {whole.isoformat()}")
