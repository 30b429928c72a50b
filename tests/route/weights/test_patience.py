"""The time limit of one attempt follows what was measured, keeps still while it may, and never chokes a slow request for long."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mcml.core.backend import Backend
from mcml.core.schema_routes import Route
from mcml.route.weights.decide import Reading, State, turn
from mcml.route.weights.measure import WINDOW_SECONDS, Counters
from mcml.route.weights.observe import Endpoint, Observation, Seen
from mcml.route.weights.patience import ENOUGH, HELD_SECONDS, LEAST, Counted, Limit, patience

IDLE = Counters()


def counters(milliseconds: float, count: int = ENOUGH, timed_out: int = 0) -> Counters:
    return Counters(count + timed_out, count, timed_out, 0, timed_out, {milliseconds: (0.0, count)} if count else {})


def counted(milliseconds: float, count: int = ENOUGH) -> Counted:
    return Counted(counters(milliseconds, count), counters(milliseconds, count))


def after(before: float, timeout: float, *seen: Counted, waited: float = WINDOW_SECONDS) -> float:
    """The limit of a route with these backends, and with one more that nobody asks."""
    named = {f"m@{number}": one for number, one in enumerate((*seen, Counted(IDLE, IDLE)))}
    return patience(Limit(before, 100.0), 100.0 + waited, timeout, named).seconds


def test_half_of_the_timeout_until_it_is_measured_and_all_of_it_where_there_is_one_backend() -> None:
    """A model that takes three seconds is no hung backend: before anything is known, no request may be lost by a guess."""
    one, two = {"m@a": counted(10, 99)}, {"m@a": counted(10, 99), "m@b": counted(10, 99)}
    assert (patience(None, 5.0, 30.0, two).seconds, patience(None, 5.0, 30.0, one).seconds) == (15.0, 30.0)
    first = patience(None, 5.0, 30.0, two)
    assert patience(first, 6.0, 30.0, two).seconds == 15.0
    quick = {"m@a": counted(10), "m@b": counted(10)}
    assert patience(first, 6.0, 30.0, quick).seconds == LEAST, "the first measure counts at once"


def test_three_times_the_slowest_p99_within_bounds() -> None:
    assert after(2.0, 30.0, counted(100), counted(1500)) == 4.5
    assert after(2.0, 30.0, counted(1)) == LEAST
    assert after(2.0, 6.0, counted(2500)) == 3.0
    assert patience(None, 0.0, 0.3, {}).seconds == 0.15
    assert after(0.15, 0.3, counted(1)) == 0.15


def test_small_moves_change_nothing() -> None:
    for milliseconds in (350, 600, 790):
        assert after(2.0, 30.0, counted(milliseconds), waited=99.0) == 2.0
    assert after(2.0, 30.0, counted(810)) == 2.43
    assert after(2.0, 30.0, counted(330)) == 0.99


def test_it_rises_at_once_and_falls_after_a_window() -> None:
    assert after(2.0, 30.0, counted(1500), waited=0.2) == 4.5
    assert after(2.0, 30.0, counted(10), waited=0.2) == 2.0


def test_it_does_not_fall_below_what_one_attempt_in_ten_thousand_needed() -> None:
    window = counters(5, 1000)
    rare = Counters(10_000, 10_000, 0, latencies={5.0: (0.0, 9_998), 1500.0: (0.0, 2)})
    assert after(15.0, 30.0, Counted(window, rare)) == 2.25
    rarer = Counters(100_000, 100_000, 0, latencies={5.0: (0.0, 99_998), 1500.0: (0.0, 2)})
    assert after(15.0, 30.0, Counted(window, rarer)) == LEAST


def run(limit: Limit, timeout: float, *turns: tuple[float, dict[str, Counters]]) -> list[float]:
    """The limits after each turn: seconds since the one before, and the totals by backend."""
    found, now = [], limit.since
    for waited, totals in turns:
        now += waited
        limit = patience(limit, now, timeout, {name: Counted(IDLE, one) for name, one in totals.items()})
        found.append(limit.seconds)
    return found


def ran(answered: int, late: int = 0) -> Counters:
    return Counters(answered + late, answered, late, 0, late)


def test_one_hung_backend_raises_nothing() -> None:
    turns = [(1.0, {"a": ran(0, late), "b": ran(9 * late), "c": ran(9 * late)}) for late in range(40)]
    assert set(run(Limit(0.25, 0.0), 30.0, *turns)) == {0.25}


def test_a_request_that_is_too_slow_at_two_backends_raises_the_limit_for_an_hour() -> None:
    """One in a thousand, so that no 99th percentile tells of it; it ran over the limit at both backends, which are well."""
    both = {"a": ran(1001, 1), "b": ran(1001, 1)}
    before = {"a": ran(1000), "b": ran(1000)}
    assert run(Limit(0.25, 0.0), 30.0, (5.0, before), (1.0, both)) == [0.25, 2.0]
    raised = patience(patience(Limit(0.25, 0.0), 5.0, 30.0, _quiet(before)), 6.0, 30.0, _quiet(both))
    quick = {name: Counted(counters(5, 1000), one) for name, one in both.items()}
    assert patience(raised, 6.0 + HELD_SECONDS - 1, 30.0, quick).seconds == 2.0
    assert patience(raised, 6.0 + HELD_SECONDS + 1, 30.0, quick).seconds == LEAST


def _quiet(totals: dict[str, Counters]) -> dict[str, Counted]:
    return {name: Counted(IDLE, one) for name, one in totals.items()}


def test_a_limit_that_chokes_everybody_rises_to_the_whole_timeout() -> None:
    """A model that takes 20 of 30 seconds: at first half of them may be too little."""
    turns = [(20.0, {"a": ran(0, late), "b": ran(0, late)}) for late in range(1, 5)]
    assert run(Limit(0.25, 0.0), 30.0, *turns) == [0.25, 2.0, 16.0, 30.0], "the first reading is where counting begins"


def test_a_lone_backend_needs_no_second_witness() -> None:
    assert run(Limit(0.25, 0.0), 30.0, (5.0, {"a": ran(10)}), (1.0, {"a": ran(10, 1)})) == [0.25, 2.0]


def test_what_was_begun_under_the_limit_before_says_nothing_of_the_new_one() -> None:
    turns = [(1.5, {"a": ran(0, late), "b": ran(0, late)}) for late in range(1, 4)]
    assert run(Limit(2.0, 0.0), 30.0, *turns) == [2.0, 16.0, 16.0]


def test_where_all_are_out_a_slow_model_still_has_the_time_to_answer() -> None:
    for milliseconds, hurried in ((1.0, 0.5), (200.0, 0.5), (400.0, 1.0), (3000.0, 8.0)):
        totals = counters(milliseconds, 10)
        first = patience(None, 0.0, 30.0, {"m@a": Counted(IDLE, totals)})
        assert first.hurried == hurried
    assert patience(None, 0.0, 30.0, {"m@a": Counted(IDLE, IDLE)}).hurried == 0.5


def test_an_outage_of_all_leaves_no_limit_that_hides_the_other_backend() -> None:
    """Attempts at what is out run over any limit. With all of the timeout for one attempt, a hung backend would be a 504."""
    hung = [(0.25, {"a": ran(1000, tick), "b": ran(1000, tick)}) for tick in range(1, 161)]
    well = [(0.25, {"a": ran(1000 + tick, 160), "b": ran(1000 + tick, 160)}) for tick in range(1, 400)]
    limits = run(Limit(0.25, 0.0), 30.0, *hung, *well)
    assert max(limits) == 30.0, "a model that is that slow would be served"
    assert limits[-1] == 15.0


def test_two_hung_backends_beside_one_that_answers_leave_time_for_it() -> None:
    turns = [(0.25, {"a": ran(1000, tick), "b": ran(1000, tick), "c": ran(1000 + 9 * tick)}) for tick in range(1, 240)]
    assert max(run(Limit(0.25, 0.0), 30.0, *turns)) == 15.0


def test_answers_that_need_more_than_half_of_the_timeout_keep_it() -> None:
    def slow(count: int) -> Counters:
        return Counters(count, count, 0, latencies={20_000.0: (0.0, count)})

    choked = [(20.0, {"a": ran(0, late), "b": ran(0, late)}) for late in range(1, 5)]
    served = [(60.0, {"a": slow(count), "b": slow(count)}) for count in range(5, 20)]
    assert run(Limit(0.25, 0.0), 30.0, *choked, *served)[-1] == 30.0


def test_few_requests_are_measured_over_the_hour() -> None:
    """Five a second of ten milliseconds: never a hundred in a window, and yet no reason to wait 15 s for a backend that hangs."""
    limit, now = patience(None, 0.0, 30.0, {"a": Counted(IDLE, IDLE), "b": Counted(IDLE, IDLE)}), 0.0
    for tick in range(1, 31):
        now = float(tick)
        totals = counters(10, 5 * tick)
        limit = patience(limit, now, 30.0, {name: Counted(counters(10, 50), totals) for name in "ab"})
    assert limit.seconds == LEAST


def test_one_name_with_two_addresses_has_another_place_to_try() -> None:
    one = counted(10, 5)
    assert patience(None, 0.0, 30.0, {"m@a": one._replace(places=2)}).seconds == 15.0


def test_before_it_is_measured_it_follows_its_bounds() -> None:
    few = {"m@a": counted(10, 5)}
    nobody = patience(None, 0.0, 30.0, {})
    assert (nobody.seconds, patience(nobody, 1.0, 30.0, few).seconds) == (15.0, 30.0)
    assert patience(patience(None, 0.0, 10.0, few), 1.0, 120.0, few).seconds == 120.0


windows = st.builds(counted, st.floats(0.1, 60_000), st.integers(0, 500))


@given(st.none() | st.floats(0.01, 100), st.floats(0.1, 3600), st.lists(windows, max_size=4), st.booleans())
def test_always_within_bounds_and_then_it_stays(before: float | None, timeout: float, seen: list[Counted], held: bool) -> None:
    """Also in the hour in which a limit does not fall, where no answer needs the whole timeout."""
    named = {f"m@{number}": one for number, one in enumerate(seen)}
    late = 4 * timeout if held else 20.0
    found = patience(None if before is None else Limit(before, 0.0, until=late + 1 if held else 0.0), late, timeout, named)
    most = timeout if len(seen) == 1 or (held and found.rare > timeout / 2) else timeout / 2
    assert min(LEAST, timeout / 2) - 0.001 <= found.seconds <= most + 0.001
    again = patience(found, late + 20.0, timeout, named)
    assert patience(again, late + 40.0, timeout, named).seconds == again.seconds


def test_the_loop_tells_the_proxy_only_when_it_moves_far_enough() -> None:
    """Two backends, the second one slow; a route with a limit of its own keeps that."""
    backends = tuple(Backend(target, "fraud", "127.0.0.1", port, "local", "x") for target, port in (("a", 1), ("b", 2)))
    routes = {"fraud": Route(), "fixed": Route(model="fraud", per_try_timeout=7.0)}
    state, limits = State(), list[float]()
    for tick in range(60):
        done = 20 * tick
        totals = [Counters(done, done, 0, latencies={latency: (0.0, done)} if done else {}) for latency in (5.0, 200.0)]
        seen = {
            one.name: Seen((Endpoint(f"127.0.0.1:{one.port}", False, False, False),), found)
            for one, found in zip(backends, totals, strict=True)
        }
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=tick)
        state, outcome = turn(state, routes, Reading(float(tick), at, Observation(seen), backends))
        told = {plan.name: plan.per_try_timeout for plan in outcome.plans}
        assert told["fixed"] == 7.0
        if not limits or limits[-1] != told["fraud"]:
            limits.append(told["fraud"])
    assert limits == [15.0, 0.6]
