"""Azure Monitor's metrics against the ARM stub."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.metrics import Metrics, Point, SeriesQuery, Window
from mcml.providers.azure.metrics import AzureMetrics, dimension_filter, split_name
from mcml.providers.azure.session import Session
from mcml.testing.contracts.metrics import MetricsContract
from mcml.testing.stubs.azure_arm import ArmStub
from tests.providers.azure.compute_world import id_of
from tests.providers.azure.monitor_world import CPU, MACHINE, MonitorWorld

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
SERIES = SeriesQuery(f"{MACHINE}/{CPU}", {"resource": id_of(MACHINE, "m1")})
WINDOW = Window(HOUR, HOUR + timedelta(hours=2), timedelta(minutes=30))


@pytest.fixture
def world(arm: ArmStub) -> MonitorWorld:
    numbers = [(HOUR + timedelta(minutes=minute), value) for minute, value in ((1, 10.0), (2, 30.0), (40, 0.0), (95, 50.0))]
    return MonitorWorld(arm, {"m1": numbers})


@pytest.fixture
def metrics(arm_session: Session, world: MonitorWorld) -> AzureMetrics:
    return AzureMetrics(arm_session, "westeurope")


class TestMetrics(MetricsContract):
    """The contract."""

    percentiles = False

    @pytest.fixture
    def metrics(self, arm_session: Session, world: MonitorWorld) -> Metrics:
        return AzureMetrics(arm_session)

    @pytest.fixture
    def measured(self) -> tuple[SeriesQuery, Window]:
        return SERIES, WINDOW


def test_numbers_a_step(metrics: AzureMetrics, arm: ArmStub) -> None:
    starts = [HOUR + number * WINDOW.step for number in range(4)]
    assert metrics.query(SERIES, WINDOW) == [Point(at, value) for at, value in zip(starts, (20.0, 0.0, None, 50.0), strict=True)]
    assert [point.value for point in metrics.query(replace(SERIES, statistic="sum"), WINDOW)] == [40.0, 0.0, None, 50.0]
    asked = arm.requests[0].query
    assert (asked["interval"], asked["aggregation"], asked["metricnamespace"], asked["metricnames"]) == ("PT30M", "Average", MACHINE, CPU)
    assert asked["timespan"] == f"{HOUR:%Y-%m-%dT%H:00:00Z}/{HOUR + timedelta(hours=2):%Y-%m-%dT%H:00:00Z}"


def test_what_is_too_old_is_not_asked_for(metrics: AzureMetrics, arm: ArmStub) -> None:
    day = timedelta(days=1)
    start = HOUR.replace(hour=0) - 100 * day
    points = metrics.query(SERIES, Window(start, start + 101 * day, day))
    assert len(points) == 101
    (asked,) = arm.requests
    first = datetime.fromisoformat(asked.query["timespan"].partition("/")[0])
    assert first <= datetime.now(UTC) - 92 * day
    assert first + day > datetime.now(UTC) - 93 * day
    assert points[-1].value is not None


def test_names_of_each_type_once(metrics: AzureMetrics, arm: ArmStub) -> None:
    assert metrics.names() == [f"{MACHINE}/Disk Read Bytes", f"{MACHINE}/Network In Total", f"{MACHINE}/{CPU}"]
    assert len({request.path for request in arm.sent("GET", "metricDefinitions")}) == 2


def test_questions_that_cannot_be(metrics: AzureMetrics) -> None:
    with pytest.raises(InvalidRequest) as caught:
        metrics.query(replace(SERIES, labels={}), WINDOW)
    assert "the label 'resource'" in caught.value.why
    with pytest.raises(InvalidRequest) as caught:
        metrics.query(SERIES, replace(WINDOW, step=timedelta(minutes=7)))
    assert caught.value.why == "Azure has no steps of 0:07:00"
    with pytest.raises(InvalidRequest) as caught:
        metrics.query(replace(SERIES, statistic="p50"), WINDOW)
    assert "no percentiles" in caught.value.why
    with pytest.raises(NotFound) as missing:
        metrics.query(replace(SERIES, metric="Nonsense"), WINDOW)
    assert missing.value.next_step == f"az monitor metrics list-definitions --resource {id_of(MACHINE, 'm1')}"
    with pytest.raises(NotFound):
        metrics.query(replace(SERIES, labels={"resource": id_of(MACHINE, "ghost")}), WINDOW)


def test_names_and_dimensions() -> None:
    blobs = "Microsoft.Storage/storageAccounts/blobServices"
    assert split_name(f"{blobs}/Ingress") == (blobs, "Ingress")
    assert split_name("Bytes Read/sec") == ("", "Bytes Read/sec")
    assert dimension_filter({"resource": "/x", "LUN": "0", "Name": "O'Hara"}) == "LUN eq '0' and Name eq 'O''Hara'"
    assert dimension_filter({"resource": "/x"}) is None
