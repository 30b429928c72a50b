"""The time limit of one attempt follows what was measured, keeps still while it may, and never chokes everybody."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mcml.core.backend import Backend
from mcml.core.schema_routes import Route
from mcml.route.weights.decide import Reading, State, turn
from mcml.route.weights.measure import WINDOW_SECONDS, Counters
from mcml.route.weights.observe import Endpoint, Observation, Seen
from mcml.route.weights.patience import ENOUGH, LEAST, UNMEASURED, Limit, patience


def counted(milliseconds: float, count: int = ENOUGH, timed_out: int = 0) -> Counters:
    return Counters(count + timed_out, count, timed_out, 0, timed_out, {milliseconds: (0.0, count)} if count else {})


def after(before: float, timeout: float, *seen: Counters, waited: float = WINDOW_SECONDS) -> float:
    return patience(Limit(before, 100.0), 100.0 + waited, timeout, seen).seconds


def test_two_seconds_until_it_is_measured() -> None:
    assert patience(None, 5.0, 30.0, [counted(10)]) == Limit(UNMEASURED, 5.0)
    assert after(UNMEASURED, 30.0) == UNMEASURED
    assert after(UNMEASURED, 30.0, counted(10, ENOUGH - 1)) == UNMEASURED


def test_three_times_the_slowest_p99_within_bounds() -> None:
    assert after(2.0, 30.0, counted(100), counted(1500)) == 4.5
    assert after(2.0, 30.0, counted(1)) == LEAST
    assert after(2.0, 6.0, counted(2500)) == 3.0
    assert patience(None, 0.0, 0.3, []).seconds == 0.15
    assert after(0.15, 0.3, counted(1)) == 0.15


def test_small_moves_change_nothing() -> None:
    for milliseconds in (350, 600, 790):
        assert patience(Limit(2.0, 1.0), 99.0, 30.0, [counted(milliseconds)]) == Limit(2.0, 1.0)
    assert after(2.0, 30.0, counted(810)) == 2.43
    assert after(2.0, 30.0, counted(330)) == 0.99


def test_it_rises_at_once_and_falls_after_a_window() -> None:
    assert after(2.0, 30.0, counted(1500), waited=0.2) == 4.5
    assert after(2.0, 30.0, counted(10), waited=0.2) == 2.0


def test_one_hung_backend_raises_nothing_but_a_limit_that_chokes_all_doubles_once_a_window() -> None:
    hung, well = counted(0, 0, ENOUGH), counted(100)
    assert after(0.5, 30.0, hung, well) == 0.5
    assert after(0.5, 30.0, hung, hung) == 1.0
    assert after(0.5, 30.0, hung, hung, waited=0.2) == 0.5
    assert after(0.5, 30.0, counted(400, 80, 20), counted(450, 50, 60)) == 1.0
    assert after(14.0, 30.0, hung) == 15.0


windows = st.builds(counted, st.floats(0.1, 60_000), st.integers(0, 500), st.integers(0, 500))


@given(st.none() | st.floats(0.01, 100), st.floats(0.1, 3600), st.lists(windows, max_size=4))
def test_always_within_bounds_and_then_it_stays(before: float | None, timeout: float, seen: list[Counters]) -> None:
    found = patience(None if before is None else Limit(before, 0.0), 20.0, timeout, seen)
    assert min(LEAST, timeout / 2) - 0.001 <= found.seconds <= timeout / 2 + 0.001
    if not seen or not all(one.timed_out > 0 for one in seen):
        again = patience(found, 40.0, timeout, seen)
        assert patience(again, 60.0, timeout, seen) == again


def test_the_loop_tells_the_proxy_only_when_it_moves_far_enough() -> None:
    """Two backends, the second one slow; a route with a limit of its own keeps that."""
    backends = tuple(Backend(target, "fraud", "127.0.0.1", port, "local", "x") for target, port in (("a", 1), ("b", 2)))
    routes = {"fraud": Route(), "fixed": Route(model="fraud", per_try_timeout=7.0)}
    state, limits = State(), list[float]()
    for tick in range(60):
        done = 20 * tick
        counters = [Counters(done, done, 0, latencies={latency: (0.0, done)} if done else {}) for latency in (5.0, 200.0)]
        seen = {
            one.name: Seen((Endpoint(f"127.0.0.1:{one.port}", False, False, False),), counted)
            for one, counted in zip(backends, counters, strict=True)
        }
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=tick)
        state, outcome = turn(state, routes, Reading(float(tick), at, Observation(seen), backends))
        found = {plan.name: plan.per_try_timeout for plan in outcome.plans}
        assert found["fixed"] == 7.0
        if not limits or limits[-1] != found["fraud"]:
            limits.append(found["fraud"])
    assert limits == [UNMEASURED, 0.6]
