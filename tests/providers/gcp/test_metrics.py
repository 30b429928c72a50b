"""Metrics over gRPC against the small Cloud Monitoring."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.metrics import MACHINE_METRICS, Metrics, SeriesQuery, Statistic, Window
from mcml.providers.gcp.metrics import GcpMetrics, open_metrics
from mcml.providers.gcp.metrics_plan import fold_distribution
from mcml.testing.contracts.metrics import MetricsContract
from mcml.testing.stubs.google_grpc import GrpcStub
from tests.providers.gcp.conftest import MakeContext, MakeSession
from tests.providers.gcp.google_stub import GoogleStub
from tests.providers.gcp.monitoring_world import BOOL, DELTA, DISTRIBUTION, GAUGE, INT64, LONG_AGO, MINUTE, STRING, MonitoringWorld, minutes

CPU = "compute.googleapis.com/instance/cpu/utilization"
REQUESTS, LATENCY = "run.googleapis.com/request_count", "run.googleapis.com/request_latencies"
STATISTICS: tuple[Statistic, ...] = ("average", "sum", "minimum", "maximum", "count", "p50", "p90", "p99")


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[GrpcStub]:
    from google.cloud.monitoring_v3 import AlertPolicyServiceClient, MetricServiceClient

    with GrpcStub(MetricServiceClient, AlertPolicyServiceClient, accepts=lambda token: token in google.tokens) as stub:
        yield stub


@pytest.fixture
def world(stub: GrpcStub) -> MonitoringWorld:
    made = MonitoringWorld(stub)
    made.add_metric(CPU, labels=("instance_name",))
    made.add_metric(REQUESTS, DELTA, INT64, labels=("code",))
    made.add_metric(LATENCY, DELTA, DISTRIBUTION)
    made.add_metric("up", GAUGE, BOOL)
    made.add_metric("version", GAUGE, STRING)
    made.add(CPU, minutes(LONG_AGO, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10), {"instance_name": "a"}, zone="b")
    made.add(CPU, minutes(LONG_AGO, 11, 12), {"instance_name": 'b"1'}, zone="c")
    made.add(REQUESTS, minutes(LONG_AGO, 5, 0, 15), {"code": "200"})
    made.add(REQUESTS, minutes(LONG_AGO, 1), {"code": "500"})
    made.add(LATENCY, [(LONG_AGO + timedelta(seconds=number), value) for number, value in enumerate((5, 15, 15, 25, 50), 1)])
    made.add("up", minutes(LONG_AGO, 1, 0, 1, 1))
    return made


@pytest.fixture
def metrics(stub: GrpcStub, world: MonitoringWorld, make_session: MakeSession) -> GcpMetrics:
    return GcpMetrics(make_session(grpc_endpoint=stub.address))


def test_the_kind_of_resource_can_be_asked_for(stub: GrpcStub, metrics: GcpMetrics) -> None:
    metrics.query(SeriesQuery(CPU, {"resource.type": "gce_instance"}), Window(LONG_AGO, LONG_AGO + MINUTE, MINUTE))
    (call,) = stub.calls("ListTimeSeries")
    assert call.request.filter == f'metric.type = "{CPU}" AND resource.type = "gce_instance"'


class TestMetrics(MetricsContract):
    @pytest.fixture
    def metrics(self, stub: GrpcStub, world: MonitoringWorld, make_context: MakeContext) -> Metrics:
        return open_metrics(make_context(grpc_endpoint=stub.address))

    @pytest.fixture(params=[CPU, REQUESTS, LATENCY, "up"])
    def measured(self, request: Any) -> tuple[SeriesQuery, Window]:
        return SeriesQuery(request.param), Window(LONG_AGO - 4 * MINUTE, LONG_AGO + 11 * MINUTE, 4 * MINUTE)


def ask(metrics: GcpMetrics, metric: str, statistic: Statistic, step: timedelta = 5 * MINUTE, **labels: str) -> list[float | None]:
    found = metrics.query(SeriesQuery(metric, labels, statistic), Window(LONG_AGO, LONG_AGO + 10 * MINUTE, step))
    return [point.value for point in found]


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        (CPU, [(3 + 11.5) / 2, 15 + 23, 1, 12, 7, 4, 12, 12]),  # the average of two series' averages
        (REQUESTS, [5.25, 21, 0, 15, 4, 1, 15, 15]),
        (LATENCY, [22, 110, 0, 40, 5, 17.5, 40, 40]),  # minimum and maximum are bounds of buckets
        ("up", [0.75, 3, 0, 1, 4, 1, 1, 1]),
    ],
)
def test_what_a_step_is_folded_into(metrics: GcpMetrics, metric: str, wanted: list[float]) -> None:
    found = dict(zip(STATISTICS, (ask(metrics, metric, name)[0] for name in STATISTICS), strict=True))
    assert found == dict(zip(STATISTICS, wanted, strict=True))


def test_labels_of_the_metric_and_of_its_resource(stub: GrpcStub, metrics: GcpMetrics) -> None:
    assert ask(metrics, CPU, "sum", instance_name="a") == [15, 40]
    assert ask(metrics, CPU, "sum", zone="c") == [23, None]
    assert ask(metrics, CPU, "sum", instance_name='b"1') == [23, None]
    assert stub.calls("ListTimeSeries")[-1].request.filter == f'metric.type = "{CPU}" AND metric.labels.instance_name = "b\\"1"'
    assert ask(metrics, CPU, "sum", zone='" OR zone = "') == [None, None]
    with pytest.raises(InvalidRequest):
        metrics.query(SeriesQuery(CPU, {"a b": "x"}), Window(LONG_AGO, LONG_AGO + MINUTE, MINUTE))


def test_a_last_step_that_is_cut(metrics: GcpMetrics) -> None:
    assert ask(metrics, CPU, "maximum", 4 * MINUTE, instance_name="a") == [4, 8, 10]
    assert ask(metrics, CPU, "count", 4 * MINUTE, instance_name="a") == [4, 4, 2]
    assert ask(metrics, LATENCY, "count", 4 * MINUTE) == [5, None, None]
    assert ask(metrics, REQUESTS, "sum", 4 * MINUTE) == [21, None, None]


def test_steps_that_monitoring_does_not_fold(metrics: GcpMetrics) -> None:
    assert ask(metrics, CPU, "maximum", timedelta(seconds=90), instance_name="a") == [1, 3, 4, 6, 7, 9, 10]
    assert ask(metrics, CPU, "average", timedelta(seconds=30), instance_name="a")[:4] == [None, 1, None, 2]
    with pytest.raises(InvalidRequest) as odd:
        ask(metrics, LATENCY, "p50", timedelta(seconds=90))
    assert odd.value.why == "a distribution is folded over whole minutes only"


def test_all_pages(world: MonitoringWorld, metrics: GcpMetrics) -> None:
    world.page = 2
    for number in range(5):
        world.add(CPU, minutes(LONG_AGO, 100), {"instance_name": f"more{number}"}, zone="z")
    assert ask(metrics, CPU, "p99") == [100, 10]
    assert ask(metrics, CPU, "count", zone="z", step=10 * MINUTE) == [5]
    assert metrics.names() == sorted([CPU, REQUESTS, LATENCY, "up", "version", *MACHINE_METRICS])


def test_a_month_of_minutes_is_one_page(world: MonitoringWorld, stub: GrpcStub, metrics: GcpMetrics) -> None:
    """Monitoring's largest page is asked for: its quota counts calls."""
    assert ask(metrics, CPU, "count", step=10 * MINUTE)
    assert {call.request.page_size for call in stub.calls("ListTimeSeries")} == {100_000}


def test_text_has_no_numbers_and_strange_names_are_not_asked(stub: GrpcStub, metrics: GcpMetrics) -> None:
    with pytest.raises(InvalidRequest) as text:
        ask(metrics, "version", "average")
    assert text.value.why == "its samples are text"
    stub.script()
    with pytest.raises(NotFound):
        ask(metrics, '" OR metric.type = "', "average")
    assert stub.requests == []


@pytest.mark.parametrize("kind", ["linear_buckets", "exponential_buckets"])
def test_bounds_of_every_kind(kind: str) -> None:
    from google.api.distribution_pb2 import Distribution

    options = Distribution.BucketOptions()
    if kind == "linear_buckets":
        options.linear_buckets.MergeFrom(Distribution.BucketOptions.Linear(num_finite_buckets=3, width=10, offset=10))
    else:
        options.exponential_buckets.MergeFrom(Distribution.BucketOptions.Exponential(num_finite_buckets=2, growth_factor=2, scale=10))
    found = Distribution(count=4, mean=17, bucket_options=options, bucket_counts=[0, 4])
    told: Callable[[Statistic], float | None] = lambda statistic: fold_distribution(statistic, found)  # noqa: E731
    assert [told(name) for name in ("minimum", "p50", "maximum")] == [10, 15, 20]
    assert fold_distribution("p50", Distribution()) is None
    assert fold_distribution("p50", Distribution(count=2, mean=3)) == 3
