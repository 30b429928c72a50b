"""What every Metrics promises."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.metrics import MACHINE, MACHINE_METRICS, MachineMetric, Metrics, Point, SeriesQuery, Statistic, Window

LONG_AGO = datetime(2001, 1, 1, tzinfo=UTC)


class MetricsContract:
    """Give `metrics`, and `measured`: a query and a window in which at least one step has a value, and nothing changes any more.

    `percentiles` is False where the provider keeps none: then asking for one is an InvalidRequest.
    """

    percentiles = True

    @pytest.fixture
    def metrics(self) -> Metrics:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def measured(self) -> tuple[SeriesQuery, Window]:
        """Return what was measured, and when."""
        raise NotImplementedError

    def test_names_can_be_asked_for(self, metrics: Metrics, measured: tuple[SeriesQuery, Window]) -> None:
        """Every name is there once, the measured one among them."""
        names = metrics.names()
        assert measured[0].metric in names
        assert len(set(names)) == len(names)

    def test_one_point_a_step(self, metrics: Metrics, measured: tuple[SeriesQuery, Window]) -> None:
        """Each at the start of its step, the last step possibly cut; at least one has a value."""
        series, window = measured
        points = metrics.query(series, window)
        steps = -((window.start - window.end) // window.step)
        assert [point.at for point in points] == [window.start + number * window.step for number in range(steps)]
        assert any(point.value is not None for point in points)

    def test_what_was_not_measured_is_none_and_never_zero(self, metrics: Metrics, measured: tuple[SeriesQuery, Window]) -> None:
        """Long ago nothing ran here, whatever the statistic."""
        hour = timedelta(hours=1)
        statistics: tuple[Statistic, ...] = ("average", "sum", "count", "p99")
        for statistic in statistics if self.percentiles else statistics[:-1]:
            points = metrics.query(replace(measured[0], statistic=statistic), Window(LONG_AGO, LONG_AGO + 2 * hour, hour))
            assert points == [Point(LONG_AGO, None), Point(LONG_AGO + hour, None)]

    def test_statistics_agree_with_each_other(self, metrics: Metrics, measured: tuple[SeriesQuery, Window]) -> None:
        """The minimum is at most the median, and so on; the average lies between minimum and maximum."""
        series, window = measured
        names: tuple[Statistic, ...] = ("minimum", "p50", "p90", "p99", "maximum", "average", "count")
        asked = [name for name in names if self.percentiles or not name.startswith("p")]
        told = {name: [point.value for point in metrics.query(replace(series, statistic=name), window)] for name in asked}
        columns = [told.get(name, [None] * len(told["count"])) for name in names]
        for minimum, p50, p90, p99, maximum, average, count in zip(*columns, strict=True):
            if count is None:
                continue
            assert minimum is not None
            assert maximum is not None
            assert average is not None
            assert count >= 1
            slack = 1e-9 * max(abs(minimum), abs(maximum), 1)
            assert minimum - slack <= average <= maximum + slack
            known = [value for value in (minimum, p50, p90, p99, maximum) if value is not None]
            assert known == sorted(known)

    def test_a_percentile_is_answered_or_refused(self, metrics: Metrics, measured: tuple[SeriesQuery, Window]) -> None:
        """Step by step as any other statistic, or, where the provider keeps none, with an error."""
        series, window = measured
        asked = replace(series, statistic="p99")
        if self.percentiles:
            assert [point.at for point in metrics.query(asked, window)] == [point.at for point in metrics.query(series, window)]
        else:
            with pytest.raises(InvalidRequest):
                metrics.query(asked, window)

    def test_wrong_questions_are_refused(self, metrics: Metrics, measured: tuple[SeriesQuery, Window]) -> None:
        """A metric that does not exist, a window that ends before it starts, a step of no length."""
        series, window = measured
        with pytest.raises(NotFound):
            metrics.query(replace(series, metric="no_such_metric"), window)
        with pytest.raises(InvalidRequest):
            metrics.query(series, Window(window.end, window.start, window.step))
        with pytest.raises(InvalidRequest):
            metrics.query(series, replace(window, step=timedelta(0)))


class MachineMetricsContract:
    """What Metrics promise of machines, beside MetricsContract. Give `metrics`, and `machine`: the id of an instance and a window in
    which each of `answered` has a value in at least one step, and nothing changes any more.

    `answered` are the machine metrics that the provider has at all. `most_cpu` is above 1 where a machine may burst above what it has.
    """

    answered: tuple[MachineMetric, ...] = MACHINE_METRICS
    most_cpu = 1.0

    @pytest.fixture
    def metrics(self) -> Metrics:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def machine(self) -> tuple[str, Window]:
        """Return an Instance.id, and when it was measured."""
        raise NotImplementedError

    def test_the_machine_metrics_that_are_named_are_those_that_are_answered(self, metrics: Metrics, machine: tuple[str, Window]) -> None:
        """The others do not exist here."""
        assert {name for name in metrics.names() if name in MACHINE_METRICS} == set(self.answered)
        for name in set(MACHINE_METRICS) - set(self.answered):
            with pytest.raises(NotFound):
                metrics.query(SeriesQuery(name, {MACHINE: machine[0]}), machine[1])

    def test_a_machine_is_measured(self, metrics: Metrics, machine: tuple[str, Window]) -> None:
        """One point a step; shares lie between 0 and 1, bytes a second are no less than 0, the maximum is at least the average."""
        instance, window = machine
        starts = [window.start + number * window.step for number in range(-((window.start - window.end) // window.step))]
        for name in self.answered:
            averages, maxima = (
                metrics.query(SeriesQuery(name, {MACHINE: instance}, statistic), window) for statistic in ("average", "maximum")
            )
            assert [point.at for point in averages] == [point.at for point in maxima] == starts
            pairs = [(a.value, m.value) for a, m in zip(averages, maxima, strict=True) if a.value is not None and m.value is not None]
            assert pairs, name
            most = {"machine.cpu": self.most_cpu, "machine.network": float("inf")}.get(name, 1.0)
            for average, maximum in pairs:
                assert 0 <= average <= maximum + 1e-9 * max(maximum, 1), name
                assert maximum <= most, name

    def test_a_machine_was_not_measured_long_ago(self, metrics: Metrics, machine: tuple[str, Window]) -> None:
        """Which is None, and never zero."""
        hour = timedelta(hours=1)
        for name in self.answered:
            points = metrics.query(SeriesQuery(name, {MACHINE: machine[0]}), Window(LONG_AGO, LONG_AGO + 2 * hour, hour))
            assert points == [Point(LONG_AGO, None), Point(LONG_AGO + hour, None)]

    def test_a_machine_metric_is_of_one_machine(self, metrics: Metrics, machine: tuple[str, Window]) -> None:
        """One that never was is NotFound; none at all, or another label beside it, is an InvalidRequest."""
        instance, window = machine
        for name in self.answered:
            with pytest.raises(NotFound):
                metrics.query(SeriesQuery(name, {MACHINE: "mcml-never-existed"}), window)
            for labels in ({}, {MACHINE: ""}, {MACHINE: instance, "mcml-no-such-label": "1"}):
                with pytest.raises(InvalidRequest):
                    metrics.query(SeriesQuery(name, labels), window)
