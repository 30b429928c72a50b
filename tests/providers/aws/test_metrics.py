"""Metrics of CloudWatch: the contract on the stub (moto server has no percentiles), what moto server has on moto server."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from mcml.core.errors import InvalidRequest, NotAuthenticated, NotFound, Unavailable
from mcml.providers.api.metrics import MACHINE_METRICS, Metrics, SeriesQuery, Statistic, Window
from mcml.providers.aws.metrics import CloudWatchMetrics
from mcml.providers.aws.session import Session
from mcml.testing.contracts.metrics import MetricsContract
from tests.providers.aws.cloudwatch_stub import CloudWatch, serving
from tests.providers.aws.conftest import MakeSession

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
def soon() -> datetime:
    """A time at which CloudWatch still has what was measured at noon in all its steps."""
    return NOON + timedelta(hours=1)


HOUR = Window(NOON, NOON + 5 * MINUTE, MINUTE)
LATENCY = "AWS/ApplicationELB:TargetResponseTime"


@pytest.fixture
def cloudwatch() -> CloudWatch:
    kept = CloudWatch(NOON)
    kept.measure(LATENCY, {NOON + 10 * SECOND: 5, NOON + 50 * SECOND: 1, NOON + 130 * SECOND: 3}, LoadBalancer="a", Zone="1")
    kept.measure(LATENCY, {NOON + 20 * SECOND: 10, NOON + 70 * SECOND: 20}, LoadBalancer="b", Zone="1")
    kept.measure("acme:Jobs", {NOON: 7})
    kept.measure("acme:Jobs", {NOON: 4}, queue="large")
    return kept


@pytest.fixture
def metrics(make_session: MakeSession, cloudwatch: CloudWatch) -> Iterator[CloudWatchMetrics]:
    with serving(cloudwatch) as stub:
        yield CloudWatchMetrics(make_session(endpoint_url=stub.url, clock=soon), page=2)


class TestCloudWatch(MetricsContract):
    @pytest.fixture
    def metrics(self, metrics: CloudWatchMetrics) -> Metrics:
        return metrics

    @pytest.fixture
    def measured(self) -> tuple[SeriesQuery, Window]:
        return SeriesQuery(LATENCY, {"LoadBalancer": "a"}), Window(NOON, NOON + timedelta(seconds=150), MINUTE)


def values(metrics: Metrics, metric: str, statistic: Statistic, window: Window = HOUR, **labels: str) -> list[float | None]:
    return [point.value for point in metrics.query(SeriesQuery(metric, labels, statistic), window)]


def test_series_that_carry_the_labels_are_put_together(metrics: CloudWatchMetrics) -> None:
    assert values(metrics, LATENCY, "sum", Zone="1") == [16, 20, 3, None, None]
    assert values(metrics, LATENCY, "count", Zone="1") == [3, 1, 1, None, None]
    assert values(metrics, LATENCY, "average", Zone="1") == [pytest.approx(16 / 3), 20, 3, None, None]
    assert values(metrics, LATENCY, "minimum") == [1, 20, 3, None, None]
    assert values(metrics, LATENCY, "maximum") == [10, 20, 3, None, None]
    assert values(metrics, LATENCY, "sum", LoadBalancer="b") == [10, 20, None, None, None]
    assert values(metrics, LATENCY, "sum", LoadBalancer="c") == [None] * 5


def test_exactly_these_dimensions_are_taken_alone(metrics: CloudWatchMetrics) -> None:
    """CloudWatch has totals as series of their own: they are not added to their parts."""
    assert values(metrics, "acme:Jobs", "sum")[0] == 7
    assert values(metrics, "acme:Jobs", "sum", queue="large")[0] == 4


def test_percentiles_do_not_add_up(metrics: CloudWatchMetrics) -> None:
    assert values(metrics, LATENCY, "p50", LoadBalancer="a") == [1, None, 3, None, None]
    with pytest.raises(InvalidRequest, match="p50") as many:
        values(metrics, LATENCY, "p50", Zone="1")
    assert "2 series match" in many.value.why
    odd = Window(NOON + MINUTE, NOON + 21 * MINUTE, 5 * MINUTE)
    with pytest.raises(InvalidRequest) as begins:
        values(metrics, LATENCY, "p50", odd, LoadBalancer="a")
    assert begins.value.next_step == "begin the window at 2026-05-01T12:00:00+00:00"


def test_a_window_that_begins_between_steps_is_put_together(metrics: CloudWatchMetrics) -> None:
    """Of minutes here; a start within a minute counts from the minute on."""
    for seconds in (0, 37):
        start = NOON - 4 * MINUTE + timedelta(seconds=seconds)
        window = Window(start, start + 15 * MINUTE, 5 * MINUTE)
        assert values(metrics, LATENCY, "sum", window, Zone="1") == [16, 23, None]
        assert values(metrics, LATENCY, "average", window, Zone="1") == [pytest.approx(16 / 3), 23 / 2, None]
    assert metrics.query(SeriesQuery(LATENCY, {}, "sum"), window)[0].at == start


def test_short_steps(metrics: CloudWatchMetrics) -> None:
    window = Window(NOON, NOON + MINUTE, 10 * SECOND)
    assert values(metrics, LATENCY, "sum", window, LoadBalancer="a") == [None, 5, None, None, None, 1]


@pytest.mark.parametrize(("days", "grain"), [(1, 60), (14, 60), (16, 300), (62, 300), (64, 3600), (400, 3600)])
def test_of_old_times_there_are_long_steps_only(make_session: MakeSession, cloudwatch: CloudWatch, days: int, grain: int) -> None:
    """Asked for shorter ones CloudWatch answers nothing: a window that begins between two must not be put together of them."""
    with serving(cloudwatch) as stub:
        metrics = CloudWatchMetrics(make_session(endpoint_url=stub.url, clock=lambda: NOON + timedelta(days=days)))
        start = NOON - timedelta(hours=3) + timedelta(minutes=7, seconds=37)
        window = Window(start, start + timedelta(hours=6), timedelta(hours=2))
        points = metrics.query(SeriesQuery(LATENCY, {"Zone": "1"}, "sum"), window)
        (asked, *_) = stub.requests("cloudwatch", "GetMetricData")
        assert asked["MetricDataQueries"][0]["MetricStat"]["Period"] % grain == 0
        assert [point.at for point in points] == [start, start + timedelta(hours=2), start + timedelta(hours=4)]
        assert [point.value for point in points] == [None, 39, None]
        if grain > 60:
            with pytest.raises(InvalidRequest, match="the step of 0:01:00") as short:
                metrics.query(SeriesQuery(LATENCY), Window(NOON, NOON + timedelta(hours=1), MINUTE))
            assert f"multiples of {timedelta(seconds=grain)}" in short.value.why


@pytest.mark.parametrize(("status", "kind"), [("InternalError", Unavailable), ("Forbidden", NotAuthenticated)])
def test_what_was_not_read_is_not_nothing(make_session: MakeSession, status: str, kind: type[Exception]) -> None:
    with serving(CloudWatch(NOON)) as stub:
        told = {"Id": "m0", "StatusCode": status, "Timestamps": [], "Values": [], "Messages": [{"Code": "x", "Value": "no access to m0"}]}
        stub.on("cloudwatch", "GetMetricData", {"MetricDataResults": [told]})
        with pytest.raises(kind, match="cannot read the metric acme:Jobs") as failed:
            CloudWatchMetrics(make_session(endpoint_url=stub.url, clock=soon)).query(SeriesQuery("acme:Jobs", {}, "sum"), HOUR)
        assert str(failed.value.why) == "no access to m0"  # type: ignore[attr-defined]


def test_all_pages_are_read(make_session: MakeSession) -> None:
    kept = CloudWatch(NOON, page=3)
    kept.measure("acme:Jobs", {NOON + number * MINUTE: number for number in range(60)}, queue="large")
    for number in range(10):
        kept.measure(f"acme:Other{number}", {NOON: 1})
    with serving(kept) as stub:
        metrics = CloudWatchMetrics(make_session(endpoint_url=stub.url, clock=soon), page=7)
        window = Window(NOON, NOON + timedelta(hours=1), MINUTE)
        assert values(metrics, "acme:Jobs", "average", window, queue="large") == list(range(60))
        assert len(stub.requests("cloudwatch", "GetMetricData")) == 9
        assert len(metrics.names()) == 11 + len(MACHINE_METRICS)


def test_many_series_are_asked_for_at_once(make_session: MakeSession) -> None:
    """500 in a call, CloudWatch's most: not a call for each of them."""
    kept = CloudWatch(NOON, page=500)
    for number in range(600):
        kept.measure("acme:Jobs", {NOON: number}, queue=str(number))
    with serving(kept) as stub:
        metrics = CloudWatchMetrics(make_session(endpoint_url=stub.url, clock=soon))
        assert values(metrics, "acme:Jobs", "sum")[0] == sum(range(600))
        assert [len(asked["MetricDataQueries"]) for asked in stub.requests("cloudwatch", "GetMetricData")] == [500, 100]
        assert values(metrics, "acme:Jobs", "average")[0] == pytest.approx(299.5)
        assert [len(asked["MetricDataQueries"]) for asked in stub.requests("cloudwatch", "GetMetricData")[2:]] == [500, 500, 200]


def test_wrong_questions_are_answered_with_the_right_word(metrics: CloudWatchMetrics) -> None:
    with pytest.raises(NotFound) as absent:
        metrics.query(SeriesQuery("acme:Job"), HOUR)
    assert absent.value.why == "did you mean 'acme:Jobs'?"
    with pytest.raises(InvalidRequest, match="no time zone"):
        metrics.query(SeriesQuery("acme:Jobs"), Window(datetime(2026, 5, 1), NOON, MINUTE))
    with pytest.raises(InvalidRequest) as step:
        metrics.query(SeriesQuery("acme:Jobs"), Window(NOON, NOON + MINUTE, 45 * SECOND))
    assert "whole minutes" in step.value.why
    with pytest.raises(InvalidRequest, match="525600 steps"):
        metrics.query(SeriesQuery("acme:Jobs"), Window(NOON, NOON + timedelta(days=365), MINUTE))


def test_on_moto_server(session: Session) -> None:
    """The same answers over the other road: samples that are put there (moto has no percentiles, and counts steps from the start)."""
    cloudwatch, namespace = session.client("cloudwatch"), f"acme-{uuid4().hex}"
    now = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=1)
    data = [
        {"MetricName": "Latency", "Dimensions": [{"Name": "model", "Value": model}], "Timestamp": now + number * MINUTE, "Value": value}
        for model, number, value in (("fraud", 0, 5.0), ("fraud", 0, 1.0), ("fraud", 2, 3.0), ("other", 0, 10.0))
    ]
    cloudwatch.put_metric_data(Namespace=namespace, MetricData=data)
    metrics, window = CloudWatchMetrics(session), Window(now, now + 4 * MINUTE, MINUTE)
    name = f"{namespace}:Latency"
    assert values(metrics, name, "average", window, model="fraud") == [3, None, 3, None]
    assert values(metrics, name, "count", window, model="fraud") == [2, None, 1, None]
    assert values(metrics, name, "sum", window) == [16, None, 3, None]
    assert values(metrics, name, "maximum", window) == [10, None, 3, None]
    assert name in metrics.names()
