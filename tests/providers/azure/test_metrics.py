"""Azure Monitor's metrics against the ARM stub."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.metrics import MACHINE as INSTANCE
from mcml.providers.api.metrics import MACHINE_METRICS, Metrics, Point, SeriesQuery, Statistic, Window
from mcml.providers.azure.machine_metrics import FREE_MEMORY, METRICS, RECEIVED, SENT
from mcml.providers.azure.metrics import AzureMetrics, dimension_filter, split_name
from mcml.providers.azure.session import Session
from mcml.testing.contracts.metrics import MachineMetricsContract, MetricsContract
from mcml.testing.stubs.azure_arm import ArmStub
from tests.providers.azure.compute_world import id_of
from tests.providers.azure.monitor_world import CPU, MACHINE, MonitorWorld

HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)
SERIES = SeriesQuery(f"{MACHINE}/{CPU}", {"resource": id_of(MACHINE, "m1")})
WINDOW = Window(HOUR, HOUR + timedelta(hours=2), timedelta(minutes=30))


@pytest.fixture
def world(arm: ArmStub) -> MonitorWorld:
    return MonitorWorld(arm, {"m1": samples((1, 10.0), (2, 30.0), (40, 0.0), (95, 50.0))}, others={
        FREE_MEMORY: {"m1": samples((1, 90.0), (2, 30.0), (40, 75.0))},
        RECEIVED: {"m1": samples((1, 6e6), (2, 12e6), (40, 0.0), (95, 60.0))},
        SENT: {"m1": samples((1, 3e6), (2, 6e6), (40, 0.0))},
    })  # fmt: skip


def samples(*numbers: tuple[float, float]) -> list[tuple[datetime, float]]:
    return [(HOUR + timedelta(minutes=minute), value) for minute, value in numbers]


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


class TestMachineMetrics(MachineMetricsContract):
    """The contract."""

    answered = tuple(METRICS)

    @pytest.fixture
    def metrics(self, metrics: AzureMetrics) -> Metrics:
        return metrics

    @pytest.fixture
    def machine(self) -> tuple[str, Window]:
        return id_of(MACHINE, "m1"), WINDOW


@pytest.mark.parametrize(
    ("metric", "statistic", "expected"),
    [
        ("machine.cpu", "average", [0.2, 0.0, None, 0.5]),
        ("machine.cpu", "maximum", [0.3, 0.0, None, 0.5]),
        ("machine.memory", "average", [0.4, 0.25, None, None]),
        ("machine.memory", "maximum", [0.7, 0.25, None, None]),
        ("machine.memory", "minimum", [0.1, 0.25, None, None]),
        ("machine.network", "average", [27e6 / 1800, 0.0, None, None]),
        ("machine.network", "maximum", [18e6 / 60, 0.0, None, None]),
    ],
)
def test_numbers_of_a_machine(metrics: AzureMetrics, metric: str, statistic: Statistic, expected: list[float | None]) -> None:
    """The least free memory is the most used; what came in without what went out is no number of both."""
    points = metrics.query(SeriesQuery(metric, {INSTANCE: id_of(MACHINE, "m1")}, statistic), WINDOW)
    assert [point.value if point.value is None else round(point.value, 9) for point in points] == [
        value if value is None else round(value, 9) for value in expected
    ]


def test_a_step_that_is_cut_is_a_shorter_one(metrics: AzureMetrics) -> None:
    window = Window(HOUR, HOUR + timedelta(minutes=10), timedelta(minutes=30))
    (point,) = metrics.query(SeriesQuery("machine.network", {INSTANCE: "m1"}), window)
    assert point.value == 27e6 / 600


def test_questions_about_machines_that_cannot_be(metrics: AzureMetrics, arm: ArmStub) -> None:
    about = {INSTANCE: id_of(MACHINE, "m1")}
    for name in set(MACHINE_METRICS) - set(METRICS):
        with pytest.raises(NotFound) as missing:
            metrics.query(SeriesQuery(name, about), WINDOW)
        assert missing.value.next_step == "ask for machine.cpu, machine.memory, machine.network"
    with pytest.raises(InvalidRequest, match="cannot read the sum"):
        metrics.query(SeriesQuery("machine.cpu", about, "sum"), WINDOW)
    for wrong in (id_of("Microsoft.Compute/disks", "m1"), "../m1"):
        with pytest.raises(NotFound):
            metrics.query(SeriesQuery("machine.cpu", {INSTANCE: wrong}), WINDOW)
    assert arm.requests == []


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
    assert metrics.names() == [f"{MACHINE}/Disk Read Bytes", f"{MACHINE}/Network In Total", f"{MACHINE}/{CPU}", *METRICS]
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
