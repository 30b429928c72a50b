"""Metrics on `local`: usage logs in, points out."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.clock import rfc3339
from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.metrics import Metrics, SeriesQuery, Statistic, Window
from mcml.providers.local.metrics import fold, open_metrics
from mcml.testing.contracts.metrics import MetricsContract
from tests.providers.local.conftest import MakeContext

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = Window(NOON, NOON + timedelta(minutes=5), MINUTE)


def write_log(root: Path, model: str, lines: list[tuple[float, float, int, int]], *, target: str = "eu-1") -> None:
    """Write lines of (seconds after noon, CPU seconds, bytes, requests) of a process that started at noon."""
    log = root / "usage" / target / model / "1" / f"{model}.jsonl"
    log.parent.mkdir(parents=True)
    with log.open("w") as out:
        for seconds, cpu, rss, requests in lines:
            at = rfc3339(NOON + timedelta(seconds=seconds))
            values = {"at": at, "pid": 7, "started": NOON.timestamp(), "cpu_seconds": cpu, "rss_bytes": rss}
            out.write(json.dumps({**values, "requests": requests, "errors": requests // 10, "client_errors": 0}) + "\n")


@pytest.fixture
def metrics(make_context: MakeContext, root: Path) -> Metrics:
    write_log(root, "fraud", [(10, 5, 100, 10), (50, 45, 300, 30), (59, 45, 200, 30), (130, 80.5, 100, 100)])
    write_log(root, "other", [(30, 3, 1000, 1)], target="us-1")
    return open_metrics(make_context())


class TestMetrics(MetricsContract):
    @pytest.fixture
    def metrics(self, metrics: Metrics) -> Metrics:
        return metrics

    @pytest.fixture
    def measured(self) -> tuple[SeriesQuery, Window]:
        return SeriesQuery("memory_bytes", {"model": "fraud"}), Window(NOON, NOON + timedelta(seconds=150), MINUTE)


def values(metrics: Metrics, metric: str, statistic: Statistic, **labels: str) -> list[float | None]:
    return [point.value for point in metrics.query(SeriesQuery(metric, labels, statistic), HOUR)]


def test_counts_are_sums_of_what_came_since_the_line_before(metrics: Metrics) -> None:
    assert values(metrics, "requests", "sum", model="fraud") == [30, None, 70, None, None]
    assert values(metrics, "errors", "sum", model="fraud") == [3, None, 7, None, None]
    assert values(metrics, "requests", "count", model="fraud") == [3, None, 1, None, None]
    assert values(metrics, "requests", "average", model="fraud") == [10, None, 70, None, None]
    assert values(metrics, "client_errors", "sum", model="fraud") == [0, None, 0, None, None]


def test_the_average_of_a_gauge_weighs_by_time(metrics: Metrics) -> None:
    cores = values(metrics, "cpu_utilization", "average", model="fraud")
    assert cores == [pytest.approx(45 / 59), None, pytest.approx(0.5), None, None]
    memory = values(metrics, "memory_bytes", "average", model="fraud")
    assert memory[0] == pytest.approx((100 * 10 + 300 * 40 + 200 * 9) / 59)
    assert values(metrics, "cpu_utilization", "maximum", model="fraud")[0] == 1.0


def test_percentiles_are_by_nearest_rank(metrics: Metrics) -> None:
    assert [values(metrics, "memory_bytes", statistic, model="fraud")[0] for statistic in ("minimum", "p50", "p90", "p99", "maximum")] == [
        100, 200, 300, 300, 300,
    ]  # fmt: skip


def test_labels_narrow_and_the_target_of_the_context_does_too(metrics: Metrics, make_context: MakeContext) -> None:
    assert values(metrics, "memory_bytes", "maximum") == [1000, None, 100, None, None]
    assert values(metrics, "memory_bytes", "maximum", target="us-1") == [1000, None, None, None, None]
    assert values(metrics, "memory_bytes", "maximum", run="fraud", version="1") == [300, None, 100, None, None]
    assert values(metrics, "memory_bytes", "maximum", version="2") == [None] * 5
    assert values(open_metrics(make_context("eu-1")), "memory_bytes", "maximum") == [300, None, 100, None, None]


def test_wrong_questions_are_answered_with_the_right_word(metrics: Metrics) -> None:
    with pytest.raises(NotFound) as unknown:
        metrics.query(SeriesQuery("memory_byte"), HOUR)
    assert unknown.value.why == "did you mean 'memory_bytes'?"
    with pytest.raises(InvalidRequest) as label:
        metrics.query(SeriesQuery("requests", {"modell": "fraud"}), HOUR)
    assert label.value.why == "did you mean 'model'?"
    with pytest.raises(InvalidRequest, match="no time zone"):
        metrics.query(SeriesQuery("requests"), replace(HOUR, start=datetime(2026, 5, 1)))
    with pytest.raises(InvalidRequest, match="300000000 steps"):
        metrics.query(SeriesQuery("requests"), replace(HOUR, step=timedelta(microseconds=1)))


def test_the_last_step_may_be_cut(metrics: Metrics) -> None:
    window = Window(NOON, NOON + timedelta(seconds=131), timedelta(seconds=50))
    points = metrics.query(SeriesQuery("requests", {"model": "fraud"}, "sum"), window)
    assert [(point.at - NOON, point.value) for point in points] == [
        (timedelta(0), 10),
        (timedelta(seconds=50), 20),
        (timedelta(seconds=100), 70),
    ]


@given(st.lists(st.tuples(st.floats(0, 1e12), st.integers(0, 10**9)), min_size=1, max_size=40))
def test_folds_are_ordered(samples: list[tuple[float, int]]) -> None:
    order: tuple[Statistic, ...] = ("minimum", "p50", "p90", "p99", "maximum")
    found = [fold(statistic, samples) for statistic in order]
    assert found == sorted(value for value in found if value is not None)
    average = fold("average", samples)
    assert average is not None
    assert min(samples)[0] - 1e-3 <= average <= max(samples)[0] + 1e-3
    assert fold("count", samples) == len(samples)
