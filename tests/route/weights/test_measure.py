"""What is counted of a backend: nothing invented when Envoy starts counting anew, means between the extremes, a window that slides."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.route.weights.measure import HALF_LIFE, Counters, Recent, Window, mean, quantile

histograms = st.dictionaries(st.floats(0, 1000), st.tuples(st.floats(0.01, 10), st.integers(1, 50)), max_size=8)


def counted(attempts: int, failed: int = 0, latencies: dict[float, tuple[float, int]] | None = None) -> Counters:
    return Counters(attempts, attempts - failed, failed, latencies=latencies or {})


@given(histograms, st.floats(0, 1))
def test_a_quantile_lies_within_the_histogram(latencies: dict[float, tuple[float, int]], share: float) -> None:
    found = quantile(latencies, share)
    if not latencies:
        assert found is None
        return
    assert found is not None
    assert min(latencies) <= found <= max(lower + width for lower, (width, _) in latencies.items())
    assert quantile(latencies, 0.0) == min(latencies)


@given(histograms)
def test_the_mean_lies_within_the_histogram(latencies: dict[float, tuple[float, int]]) -> None:
    found = mean(latencies)
    if found is not None:
        assert min(latencies) <= found <= max(lower + width for lower, (width, _) in latencies.items())


def test_quantiles_by_hand() -> None:
    latencies = {0.0: (1.0, 50), 10.0: (2.0, 50)}
    assert quantile(latencies, 0.5) == 1.0
    assert quantile(latencies, 0.75) == 11.0
    assert quantile(latencies, 1.0) == 12.0
    assert mean(latencies) == 5.75


def test_what_was_added() -> None:
    earlier = Counters(10, 8, 2, refused=1, timed_out=1, latencies={1.0: (0.1, 8)})
    later = Counters(25, 20, 5, refused=2, timed_out=1, latencies={1.0: (0.1, 10), 2.0: (0.1, 10)})
    assert later.since(earlier) == Counters(15, 12, 3, refused=1, timed_out=0, latencies={1.0: (0.1, 2), 2.0: (0.1, 10)})


def test_a_proxy_that_restarted_counts_from_zero() -> None:
    fresh = counted(3, latencies={1.0: (0.1, 3)})
    assert fresh.since(counted(1000, failed=20, latencies={1.0: (0.1, 980)})) == fresh


def test_a_backend_that_moved_keeps_the_latencies_of_its_cluster() -> None:
    """The counters are of the address and begin at zero; the histogram is of the cluster and goes on."""
    moved = counted(2, latencies={1.0: (0.1, 102)})
    assert moved.since(counted(100, latencies={1.0: (0.1, 100)})) == counted(2, latencies={1.0: (0.1, 2)})


@given(st.lists(st.tuples(st.floats(0, 60), st.integers(0, 100), st.integers(0, 100), st.floats(1, 500)), max_size=20))
def test_recent_figures_stay_within_what_was_seen(turns: list[tuple[float, int, int, float]]) -> None:
    recent = Recent()
    seen = [milliseconds for _, succeeded, _, milliseconds in turns if succeeded]
    for seconds, succeeded, failed, milliseconds in turns:
        latencies = {milliseconds: (0.0, succeeded)} if succeeded else {}
        recent = recent.after(seconds, Counters(succeeded + failed, succeeded, failed, latencies=latencies))
    if recent.latency_ms is not None:
        assert min(seen) * 0.999 <= recent.latency_ms <= max(seen) * 1.001
    assert recent.error_rate is None or 0 <= recent.error_rate <= 1


def test_an_attempt_counts_half_after_the_half_life() -> None:
    recent = Recent().after(0.0, counted(40, failed=40)).after(HALF_LIFE, counted(0))
    assert recent.failed == 20
    assert recent.error_rate == 0.5  # 20 failed of 20 seen and 20 assumed


def test_one_failure_is_not_a_failing_backend() -> None:
    assert Recent().after(0.0, counted(1, failed=1)).error_rate == pytest.approx(1 / 21)


def test_without_traffic_the_latency_stays_and_errors_are_forgiven() -> None:
    recent = Recent().after(0.0, counted(100, failed=100, latencies={8.0: (0.0, 100)})).after(600.0, counted(0))
    assert recent.latency_ms == pytest.approx(8.0)
    assert recent.error_rate is not None
    assert recent.error_rate < 1e-9


def test_a_good_answer_takes_the_time_of_the_failed_attempts_too() -> None:
    recent = Recent().after(0.0, counted(40, failed=30, latencies={1.0: (0.0, 30), 9.0: (0.0, 10)}))
    assert recent.latency_ms == pytest.approx(3.0)
    assert recent.answer_ms == pytest.approx(27.0)  # 30 x (1 + 5) + 10 x 9 over 10
    assert recent.after(600.0, counted(0)).answer_ms == pytest.approx(27.0)  # silence makes it no better
    assert recent.back().answer_ms == pytest.approx(recent.latency_ms)  # an outage that is over is not held against it


def test_a_refusal_within_a_millisecond_is_not_for_nothing() -> None:
    """Envoy writes 0 ms: a backend with one good answer in a hundred must not be the quickest of all."""
    recent = Recent().after(0.0, counted(101, failed=100, latencies={0.0: (0.0, 101)}))
    assert recent.answer_ms == pytest.approx(500.0)


@pytest.mark.parametrize(("attempts", "failed", "takes"), [(0, 0, None), (1, 1, math.inf), (100, 100, math.inf), (3, 0, 2.0)])
def test_what_never_succeeded_takes_forever_until_it_is_forgiven(attempts: int, failed: int, takes: float | None) -> None:
    recent = Recent().after(0.0, counted(attempts, failed, {2.0: (0.0, attempts)} if attempts else {}))
    assert recent.answer_ms == takes
    assert recent.after(120.0, counted(0)).answer_ms == (takes if takes == 2.0 else None)


def test_the_window_slides() -> None:
    window = Window()
    for tick in range(101):  # 20 s at five a second, ten attempts a second
        window = window.with_mark(tick / 5, counted(tick * 2))
    seconds, added = window.span
    assert 9.0 <= seconds <= 10.0
    assert added.attempts == round(seconds * 10)
    assert len(window.marks) <= 27  # thinned out: two or three a second


def test_the_window_starts_anew_with_the_counters() -> None:
    window = Window().with_mark(0.0, counted(500)).with_mark(1.0, counted(600)).with_mark(2.0, counted(3))
    assert window.span == (0.0, Counters())


def test_two_roads_to_one_backend_add_up() -> None:
    one = Counters(3, 2, 1, 1, 0, {1.0: (1.0, 2), 5.0: (2.0, 1)})
    other = Counters(4, 3, 1, 0, 1, {5.0: (2.0, 4)})
    assert one.plus(other) == other.plus(one) == Counters(7, 5, 2, 1, 1, {1.0: (1.0, 2), 5.0: (2.0, 5)})
    assert one.plus(Counters()) == one


def test_an_answer_that_breaks_off_takes_its_success_back() -> None:
    """It counts as one from its first byte on; that is no restart of the proxy, after which everything would be new."""
    begun, broken = Counters(100, 100), Counters(100, 99, 1, broken=1)
    added = broken.since(begun)
    assert (added.attempts, added.succeeded, added.failed, added.broken) == (0, -1, 1, 1)
    recent = Recent().after(1.0, Counters(1, 1)).after(60.0, added)
    assert recent.succeeded == 0
    assert recent.failed == 1


def test_a_handful_of_latencies_moves_no_mean_and_many_do_at_once() -> None:
    """One attempt in three seconds, five quick ones and five slow ones in turns: that is one place, not a quick and a slow one."""
    recent, seen = Recent(), []
    for number in range(400):
        milliseconds = 10.0 if number // 5 % 2 else 100.0
        recent = recent.after(3.0, Counters(1, 1, latencies={milliseconds: (0.0, 1)}))
        seen.append(recent.latency_ms or 0.0)
    assert max(seen[100:]) - min(seen[100:]) < 10
    for _ in range(30):
        recent = recent.after(1.0, Counters(50, 50, latencies={10.0: (0.0, 50)}))
    assert (recent.latency_ms or 0.0) < 13


def test_a_backend_that_refuses_everything_is_noticed_soon_also_with_few_requests() -> None:
    """It answered one request in a second for minutes, in 10 ms. One failure may be chance, ten in a row are not."""
    recent, after = Recent(), []
    for _ in range(300):
        recent = recent.after(1.0, Counters(1, 1, latencies={10.0: (0.0, 1)}))
    for _ in range(10):
        recent = recent.after(1.0, Counters(1, 0, 1))
        after.append(recent.answer_ms or 0.0)
    assert after[0] < 10.5
    assert after[-1] > 20
    assert recent.latency_ms == pytest.approx(10.0)
