"""One outage is one `out` and one `up`, whatever the readings do in between."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.route.weights.health import TRIAL_QUIET_SECONDS, TRIAL_SECONDS, Health, step
from mcml.route.weights.measure import Counters
from mcml.route.weights.observe import Endpoint, Seen

NOTHING = Counters()
TICK = 0.2


def seen(*, failing: bool = False, ejected: bool = False, pending: bool = False, active: int = 0) -> Seen:
    return Seen((Endpoint("127.0.0.1:1", pending, failing, ejected),), NOTHING, active)


def failed(count: int, *, refused: int = 0, timed_out: int = 0) -> Counters:
    return Counters(count, 0, count, refused, timed_out)


def succeeded(count: int) -> Counters:
    return Counters(count, count)


UP = Health("up", 0.0)


def walk(health: Health, readings: list[tuple[Seen, Counters]], begin: float = 10.0) -> list[Health]:
    found = []
    for number, (look, added) in enumerate(readings):
        health = step(health, look, added, begin + number * TICK)
        found.append(health)
    return found


def test_a_new_backend_joins_when_its_first_check_passed() -> None:
    assert step(Health(), seen(pending=True), NOTHING, 1.0).place == "joining"
    assert step(Health(), seen(), NOTHING, 1.0).place == "up"


def test_a_backend_that_is_dead_from_the_start_is_out() -> None:
    health = step(Health(), seen(failing=True), NOTHING, 1.0)
    assert (health.place, health.reason) == ("out", "its health check fails")


def test_failed_answers_alone_do_not_take_it_out() -> None:
    """One 500, or many: it is Envoy that decides, by failures in a row."""
    assert step(UP, seen(), failed(50), 1.0) == UP


def test_the_reason_names_what_was_seen() -> None:
    health = step(UP, seen(ejected=True), failed(10, refused=6, timed_out=1), 1.0)
    assert health.reason == "ejected after failures in a row (6 refused connections, 1 attempts over the time limit, 3 failed answers)"
    assert step(UP, seen(failing=True, ejected=True), failed(2, refused=2), 1.0).reason == "its health check fails (2 refused connections)"
    assert step(UP, seen(ejected=True), NOTHING, 1.0).reason == "ejected after failures in a row"


def test_a_killed_backend_that_comes_back_is_up_after_a_quiet_trial() -> None:
    out = step(UP, seen(failing=True, ejected=True), failed(9), 10.0)
    still = step(out, seen(ejected=True), NOTHING, 14.0)  # its check passes again, the ejection lasts a little longer
    assert still.place == "out"
    trial = step(still, seen(), NOTHING, 15.0)
    assert trial.place == "trial"
    assert step(trial, seen(), NOTHING, 15.0 + TRIAL_SECONDS - 0.1).place == "trial"
    up = step(trial, seen(), NOTHING, 15.0 + TRIAL_SECONDS)
    assert (up.place, up.out_since) == ("up", 10.0)


def test_a_backend_with_bad_answers_must_answer_well_before_it_is_up() -> None:
    """Its health check never failed, so that check proves nothing."""
    trial = step(step(UP, seen(ejected=True), failed(3), 10.0), seen(), NOTHING, 15.0)
    assert step(trial, seen(), NOTHING, 15.0 + TRIAL_SECONDS + 1).place == "trial"
    proved = step(trial, seen(), succeeded(3), 15.0 + TRIAL_SECONDS)
    assert proved.place == "up"
    assert step(trial, seen(), NOTHING, 15.0 + TRIAL_QUIET_SECONDS).place == "up"


def test_a_failure_on_trial_starts_the_trial_again() -> None:
    trial = step(step(UP, seen(failing=True), failed(3), 10.0), seen(), NOTHING, 15.0)
    again = step(trial, seen(), failed(1), 16.9)
    assert step(again, seen(), NOTHING, 17.1).place == "trial"
    assert step(again, seen(), NOTHING, 16.9 + TRIAL_SECONDS).place == "up"


def test_ejected_again_on_trial_is_the_same_outage() -> None:
    out = step(UP, seen(ejected=True), failed(3), 10.0)
    trial = step(out, seen(), NOTHING, 15.0)
    again = step(trial, seen(ejected=True), failed(3), 15.4)
    assert (again.place, again.out_since, again.reason) == ("out", 10.0, out.reason)


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(0, 3), st.integers(0, 3)), max_size=60))
def test_downs_and_ups_alternate(readings: list[tuple[bool, bool, int, int]]) -> None:
    health, events = UP, []
    for number, (failing, ejected, good, bad) in enumerate(readings):
        before = health.place
        health = step(health, seen(failing=failing, ejected=ejected), Counters(good + bad, good, bad), number * TICK)
        if before in ("joining", "up") and health.place == "out":
            events.append("down")
        if before == "trial" and health.place == "up":
            events.append("up")
        assert health.place != "joining"
        assert (health.place in ("out", "trial")) == (events[-1:] == ["down"])
    assert events == [("down", "up")[number % 2] for number in range(len(events))]


def test_with_two_addresses_one_is_enough() -> None:
    both = Seen((Endpoint("127.0.0.1:1", False, True, False), Endpoint("127.0.0.1:2", False, False, False)), NOTHING)
    assert step(UP, both, NOTHING, 1.0) == UP


def broke(count: int, *, whole: int = 0) -> Counters:
    """What is counted of answers that broke off, and of some that did not."""
    return Counters(count + whole, whole, count, broken=count)


def test_answers_that_break_off_in_a_row_take_a_backend_out_and_one_among_whole_ones_does_not() -> None:
    readings = [(seen(), broke(1)), (seen(), NOTHING), (seen(), broke(2))]
    health = walk(UP, readings)[-1]
    assert (health.place, health.reason) == ("out", "its answers break off (3 in a row)")
    assert {one.place for one in walk(UP, [(seen(), broke(1)), (seen(), succeeded(1))] * 20)} == {"up"}
    assert {one.place for one in walk(UP, [(seen(), broke(9, whole=1))] * 20)} == {"up"}, "that is for the score to tell"


def test_it_is_tried_again_after_a_while_and_each_broken_answer_on_trial_doubles_that() -> None:
    health, now, pauses = walk(UP, [(seen(), broke(3))])[-1], 10.0, []
    for _ in range(6):
        since = now
        while health.place == "out":
            now += TICK
            health = step(health, seen(), NOTHING, now)
        pauses.append(round(now - since))
        assert health.place == "trial"
        health = step(health, seen(), broke(1), now)
        assert (health.place, health.out_since) == ("out", 10.0), "the same outage goes on"
    assert pauses == [5, 10, 20, 40, 60, 60]
    now += 61
    health = step(health, seen(), NOTHING, now)
    for _ in range(60):
        now += TICK
        health = step(health, seen(), succeeded(1), now)
    assert (health.place, health.pause) == ("up", 0.0)


def timed(count: int) -> Counters:
    """What is counted of answers that began a while ago, and ended."""
    return Counters(latencies={900.0: (10.0, count)})


BREAKS = Counters(0, -1, 1, broken=1)
"""What is counted when an answer breaks off that was a success until then."""


def test_a_first_byte_between_two_breaks_is_no_whole_answer() -> None:
    """A reading has the first byte, a later one the break."""
    readings = [(seen(active=1), succeeded(1)), (seen(), BREAKS)] * 3
    places = [one.place for one in walk(UP, readings)]
    assert places == ["up"] * 5 + ["out"]
    whole = [(seen(active=1), succeeded(1)), (seen(), timed(1)), (seen(active=1), succeeded(1)), (seen(), BREAKS)]
    assert {one.place for one in walk(UP, whole * 9)} == {"up"}


@pytest.mark.parametrize("rate", [0.5, 2.0, 5.0, 50.0])
@pytest.mark.parametrize("seconds", [0.05, 1.0, 5.0, 20.0])
def test_where_every_answer_breaks_off_few_are_lost_whenever_they_break(rate: float, seconds: float) -> None:
    """Ten minutes; it gets all requests while it is up, and one in twenty on trial."""
    chance, health, ends, before, now = random.Random(1), UP, [], NOTHING, 0.0
    began, next_one, pauses = 0, chance.expovariate(rate), []
    while now < 600:
        now += 0.25
        while next_one <= now:
            if chance.random() < {"up": 1.0, "trial": 0.05}.get(health.place, 0.0):
                ends.append(next_one + seconds * chance.uniform(0.5, 1.5))
            next_one += chance.expovariate(rate)
        began, gone = len(ends), sum(end <= now for end in ends)
        totals, place = Counters(began, began - gone, gone, broken=gone), health.place
        health, before = step(health, seen(active=began - gone), totals.since(before), now), totals
        if health.place == "out" and place != "out":
            pauses.append(health.pause)
    assert pauses == [min(5.0 * 2**number, 60.0) for number in range(len(pauses))], "for longer each time"
    # until the first ones break, whatever was begun; then one at each trial, and three where nobody asked within 15 s of it
    assert began <= 60 + rate * (2 * seconds + 2)


def test_breaks_among_many_slow_answers_take_nothing_out() -> None:
    """A hundred a second of a second each: in no reading more are begun than are under way, and each second Envoy tells who ended."""
    reading = seen(active=100)
    begins = Counters(25, 23, 2, broken=2)
    told = Counters(25, 23, 2, broken=2, latencies={900.0: (10.0, 92)})
    assert {one.place for one in walk(UP, [(reading, one) for one in (begins, begins, begins, told)] * 20)} == {"up"}
    assert walk(UP, [(reading, begins)] * 12)[-1].place == "out", "none of them ended well"


def test_three_first_bytes_prove_nothing() -> None:
    trial = step(step(UP, seen(ejected=True), failed(3), 10.0), seen(), NOTHING, 15.0)
    begun = step(trial, seen(active=3), succeeded(3), 17.0)
    assert begun.place == "trial"
    assert step(begun, seen(), NOTHING, 17.2).place == "up", "they ended, and none failed"
    assert step(begun, seen(active=3), timed(3), 17.2).place == "up", "others are under way now"
    assert step(begun, seen(active=3), NOTHING, 15.0 + TRIAL_QUIET_SECONDS).place == "trial", "they may break off"
    assert step(begun, seen(), BREAKS, 17.2).place == "out"


def test_the_times_of_failed_answers_prove_nothing() -> None:
    """An answer of 500 is timed as others are, up to a second after it was counted."""
    trial = step(step(UP, seen(ejected=True), failed(3), 10.0), seen(), NOTHING, 15.0)
    last = walk(trial, [(seen(), failed(3)), (seen(), timed(3)), *[(seen(active=1), NOTHING)] * 20], 16.0)[-1]
    assert last.place == "trial"


def test_a_whole_answer_ends_the_pause() -> None:
    """Every backend is out, so all are asked: one bad request must not keep a router away that answers all others well."""
    out = walk(UP, [(seen(), broke(3))])[-1]
    assert (out.place, out.until) == ("out", 15.0)
    assert step(out, seen(active=1), succeeded(1), 11.0).place == "out"
    assert step(out, seen(), succeeded(1), 11.0).place == "trial"
    assert step(out, seen(), timed(1), 11.0).place == "out", "it may have ended before the others broke off"
    trial = step(out, seen(), timed(1), 13.0)
    assert trial.place == "trial"
    assert step(trial, seen(), succeeded(3), 15.0).place == "up"
