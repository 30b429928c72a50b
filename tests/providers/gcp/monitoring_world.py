"""A small Cloud Monitoring behind the gRPC stub: samples in memory, folded as its documentation says; alert policies as they were put.

It refuses what the service refuses: an aligner that the metric's kind does not take, a period below a minute, a filter it cannot read.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from google.api import distribution_pb2, label_pb2, metric_pb2
from google.cloud import monitoring_v3
from google.protobuf.empty_pb2 import Empty

from mcml.testing.stubs.google_grpc import Call, GrpcError, GrpcStub

PROJECT = "stub-project"
METRICS = "/google.monitoring.v3.MetricService/"
POLICIES = "/google.monitoring.v3.AlertPolicyService/"
GAUGE, DELTA = 1, 2
BOOL, INT64, DOUBLE, STRING, DISTRIBUTION = 1, 2, 3, 4, 5
BOUNDS = [0.0, 10.0, 20.0, 40.0]
MINUTE = timedelta(minutes=1)
_TERM = re.compile(r'(metric\.type|resource\.type|(?:metric|resource)\.labels\.\w+|display_name) = "((?:[^"\\]|\\.)*)"')
_ONE_OF = re.compile(r'(resource\.type) = one_of\(("\w+"(?:, "\w+")+)\)')
_TAKES = {
    "ALIGN_NONE": "gd", "ALIGN_MEAN": "g", "ALIGN_SUM": "gdD", "ALIGN_MIN": "g", "ALIGN_MAX": "g", "ALIGN_COUNT": "gd",
    "ALIGN_DELTA": "dD",
}  # fmt: skip
_FOLDS: dict[str, Callable[[list[float]], float]] = {
    "MEAN": lambda found: math.fsum(found) / len(found), "SUM": math.fsum, "MIN": min, "MAX": max, "COUNT": len, "DELTA": math.fsum,
}  # fmt: skip


@dataclass
class Series:
    metric: dict[str, str]
    resource: dict[str, str]
    samples: list[tuple[datetime, float]] = field(default_factory=list)


class MonitoringWorld:
    """`page` items are in a page; `metrics` by type, `policies` by name; `applied` counts changes of policies."""

    def __init__(self, stub: GrpcStub) -> None:
        self.page = 100
        self.metrics: dict[str, Any] = {}
        self.series: dict[str, list[Series]] = defaultdict(list)
        self.policies: dict[str, Any] = {}
        self.applied = 0
        for name in ("ListMetricDescriptors", "GetMetricDescriptor", "ListTimeSeries"):
            stub.on(METRICS + name, getattr(self, f"_{name}"))
        for name in ("ListAlertPolicies", "CreateAlertPolicy", "UpdateAlertPolicy", "DeleteAlertPolicy"):
            stub.on(POLICIES + name, getattr(self, f"_{name}"))

    def add_metric(
        self,
        name: str,
        kind: int = GAUGE,
        value: int = DOUBLE,
        labels: tuple[str, ...] = (),
        resources: tuple[str, ...] = ("gce_instance",),
        late: timedelta = timedelta(),
    ) -> None:
        """`late` is how long its samples may take to arrive."""
        made = metric_pb2.MetricDescriptor(type=name, metric_kind=kind, value_type=value, monitored_resource_types=resources)
        made.labels.extend(label_pb2.LabelDescriptor(key=key) for key in labels)
        made.metadata.ingest_delay.FromTimedelta(late)
        self.metrics[name] = made

    def add(self, name: str, samples: list[tuple[datetime, float]], metric: dict[str, str] | None = None, **resource: str) -> None:
        self.series[name].append(Series(metric or {}, resource, samples))

    def _GetMetricDescriptor(self, call: Call) -> Any:  # noqa: N802 - Google's names
        name = call.request.name.partition("/metricDescriptors/")[2]
        if name not in self.metrics:
            raise GrpcError("NOT_FOUND", f"Could not find descriptor for metric '{name}'.")
        return self.metrics[name]

    def _ListMetricDescriptors(self, call: Call) -> Any:  # noqa: N802
        part, token = self._part(call, list(self.metrics.values()))
        return monitoring_v3.ListMetricDescriptorsResponse(metric_descriptors=part, next_page_token=token)

    def _ListTimeSeries(self, call: Call) -> Any:  # noqa: N802
        assert call.request.name == f"projects/{PROJECT}"
        terms = _terms(call.request.filter)
        name = terms.pop("metric.type")
        terms.pop("resource.type", None)
        if name not in self.metrics:
            raise GrpcError("NOT_FOUND", f"Cannot find metric {name}")
        matching = [one for one in self.series[name] if _matches(one, terms)]
        folded = self._fold(self.metrics[name], matching, call.request)
        part, token = self._part(call, folded)
        return monitoring_v3.ListTimeSeriesResponse(time_series=part, next_page_token=token)

    def _fold(self, descriptor: Any, found: list[Series], request: Any) -> list[Any]:
        start, end, aggregation = request.interval.start_time, request.interval.end_time, request.aggregation
        if start > end:
            raise GrpcError("INVALID_ARGUMENT", "Field interval.startTime had an invalid value: later than the end.")
        aligner, reducer = aggregation.per_series_aligner.name, aggregation.cross_series_reducer.name
        what = ("D" if descriptor.value_type == DISTRIBUTION else "") or ("g" if descriptor.metric_kind == GAUGE else "d")
        if what not in _TAKES.get(aligner, ""):
            raise GrpcError("INVALID_ARGUMENT", f"{aligner} cannot be applied to metrics of this kind and type.")
        if aligner == "ALIGN_NONE":
            kept = [[(at, [value]) for at, value in one.samples if start < at <= end] for one in found]
            return [_answer(descriptor, samples, "MEAN", one.metric) for one, samples in zip(found, kept, strict=True)]
        period = aggregation.alignment_period
        if period < MINUTE:
            raise GrpcError("INVALID_ARGUMENT", "The alignment period must be at least 60 seconds.")
        aligned: list[dict[datetime, list[float]]] = []
        for one in found:
            steps: dict[datetime, list[float]] = defaultdict(list)
            for at, value in one.samples:
                if start < at <= end:
                    steps[end - (end - at) // period * period].append(value)
            aligned.append(steps)
        how = aligner.removeprefix("ALIGN_")
        if reducer == "REDUCE_NONE":
            return [_answer(descriptor, sorted(steps.items()), how, one.metric) for one, steps in zip(found, aligned, strict=True)]
        if descriptor.value_type == DISTRIBUTION:
            return [_answer(descriptor, sorted(steps.items()), how) for steps in _merged(aligned)]
        reduced: dict[datetime, list[float]] = defaultdict(list)
        for steps in aligned:
            for at, values in steps.items():
                reduced[at].append(_FOLDS[how](values))
        return [_answer(descriptor, sorted(reduced.items()), reducer.removeprefix("REDUCE_"))]

    # policies

    def _ListAlertPolicies(self, call: Call) -> Any:  # noqa: N802
        wanted = _terms(call.request.filter).get("display_name") if call.request.filter else None
        found = [policy for policy in self.policies.values() if wanted in (None, policy.display_name)]
        part, token = self._part(call, found)
        return monitoring_v3.ListAlertPoliciesResponse(alert_policies=part, next_page_token=token)

    def _CreateAlertPolicy(self, call: Call) -> Any:  # noqa: N802
        policy = _checked(call.request.alert_policy)
        policy.name = f"projects/{PROJECT}/alertPolicies/{len(self.policies) + 1_000 + self.applied}"
        self.policies[policy.name] = policy
        self.applied += 1
        return policy

    def _UpdateAlertPolicy(self, call: Call) -> Any:  # noqa: N802
        policy = _checked(call.request.alert_policy)
        if policy.name not in self.policies:
            raise GrpcError("NOT_FOUND", f"Could not find {policy.name}")
        for path in call.request.update_mask.paths:
            setattr(self.policies[policy.name], path, getattr(policy, path))
        self.applied += 1
        return self.policies[policy.name]

    def _DeleteAlertPolicy(self, call: Call) -> Any:  # noqa: N802
        if self.policies.pop(call.request.name, None) is None:
            raise GrpcError("NOT_FOUND", f"Could not find {call.request.name}")
        self.applied += 1
        return Empty()

    def _part(self, call: Call, found: list[Any]) -> tuple[list[Any], str]:
        start = int(call.request.page_token or 0)
        end = start + min(self.page, call.request.page_size or 100)
        return found[start:end], str(end) if end < len(found) else ""


def minutes(start: datetime, *values: float) -> list[tuple[datetime, float]]:
    """Samples that end a minute, two minutes, ... after the start."""
    return [(start + number * MINUTE, value) for number, value in enumerate(values, 1)]


def _answer(descriptor: Any, steps: list[tuple[datetime, list[float]]], how: str, labels: dict[str, str] | None = None) -> Any:
    points = [
        {"interval": {"start_time": at, "end_time": at}, "value": _value(descriptor, values, how)}
        for at, values in sorted(steps, key=lambda step: step[0], reverse=True)
    ]
    return monitoring_v3.TimeSeries(metric={"type": descriptor.type, "labels": labels or {}}, points=points)


def _value(descriptor: Any, values: list[float], how: str) -> dict[str, Any]:
    if descriptor.value_type == DISTRIBUTION:
        return {"distribution_value": distribution(values)}
    if descriptor.value_type == BOOL:
        return {"bool_value": bool(values[0])}
    number = _FOLDS[how](values)
    return {"int64_value": int(number)} if descriptor.value_type == INT64 and how != "MEAN" else {"double_value": number}


def distribution(values: list[float]) -> Any:
    counts = [0] * (len(BOUNDS) + 1)
    for value in values:
        counts[next((number for number, bound in enumerate(BOUNDS) if value < bound), len(BOUNDS))] += 1
    explicit = distribution_pb2.Distribution.BucketOptions.Explicit(bounds=BOUNDS)
    options = distribution_pb2.Distribution.BucketOptions(explicit_buckets=explicit)
    mean = math.fsum(values) / len(values)
    return distribution_pb2.Distribution(count=len(values), mean=mean, bucket_options=options, bucket_counts=counts)


def _merged(aligned: list[dict[datetime, list[float]]]) -> list[dict[datetime, list[float]]]:
    merged: dict[datetime, list[float]] = defaultdict(list)
    for steps in aligned:
        for at, values in steps.items():
            merged[at] += values
    return [merged]


def _terms(text: str) -> dict[str, str]:
    found = [_TERM.fullmatch(term) or _ONE_OF.fullmatch(term) for term in text.split(" AND ")]
    if not all(found):
        raise GrpcError("INVALID_ARGUMENT", f"The supplied filter does not specify a valid combination: {text}")
    return {term[1]: term[2].replace('\\"', '"') for term in found if term}


def _matches(one: Series, terms: dict[str, str]) -> bool:
    has = {f"metric.labels.{key}": value for key, value in one.metric.items()}
    has |= {f"resource.labels.{key}": value for key, value in one.resource.items()}
    return all(has.get(key) == value for key, value in terms.items())


def _checked(policy: Any) -> Any:
    for key, value in policy.user_labels.items():
        if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", key) or not re.fullmatch(r"[a-z0-9_-]{0,63}", value):
            raise GrpcError("INVALID_ARGUMENT", f"Field alert_policy.user_labels had an invalid value: {key}")
    for condition in policy.conditions:
        threshold = condition.condition_threshold
        assert threshold.comparison.name in ("COMPARISON_GT", "COMPARISON_LT")
        assert threshold.duration % MINUTE == timedelta(0)
        if threshold.evaluation_missing_data and not threshold.duration:
            raise GrpcError("INVALID_ARGUMENT", "Conditions setting evaluation_missing_data must have a non-zero duration.")
        if "resource.type" not in _terms(threshold.filter):
            raise GrpcError("INVALID_ARGUMENT", 'must specify a restriction on "resource.type" in the filter')
    return policy


LONG_AGO = datetime(2026, 11, 20, 12, tzinfo=UTC)
