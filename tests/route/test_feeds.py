"""Slow and failing sources, a store that is away: the loop never waits, nothing is lost that need not be."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.fact import Fact
from mcml.route import feeds
from mcml.route.feeds import Courier, Feed, to_next_beat
from tests.route.rig import Told, until


def fact(number: int) -> Fact:
    return Fact("route.weights", "route", facts={"number": number})


def numbers(facts: list[Fact]) -> list[object]:
    return [one.facts["number"] for one in facts]


def test_facts_arrive_in_order() -> None:
    arrived: list[Fact] = []
    courier = Courier(arrived.append, Told())
    for number in range(50):
        courier.post(fact(number))
    assert courier.close() == 0
    assert numbers(arrived) == list(range(50))


def test_a_failing_store_is_tried_again_and_said_once() -> None:
    arrived: list[Fact] = []
    left, told = [3], Told()

    def emit(one: Fact) -> None:
        if left[0]:
            left[0] -= 1
            raise RuntimeError("database is locked")
        arrived.append(one)

    courier = Courier(emit, told)
    courier.post(fact(1), fact(2))
    until(lambda: len(arrived) == 2, 5, "the facts did not arrive")
    assert courier.close() == 0
    assert numbers(arrived) == [1, 2]
    assert told.lines == [
        "cannot write to the journal, keeping route.weights for later: database is locked",
        "the journal can be written again",
    ]


def test_posting_does_not_wait_for_a_store_that_hangs() -> None:
    release = threading.Event()
    courier = Courier(lambda _: release.wait(10), Told())
    began = time.monotonic()
    courier.post(*(fact(number) for number in range(100)))
    assert time.monotonic() - began < 5  # the store hangs for 10
    release.set()
    assert courier.close() == 0


def test_what_waits_is_bounded_and_the_loss_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MOST_FACTS", 10)
    release, arrived, told = threading.Event(), [], Told()

    def emit(one: Fact) -> None:
        release.wait(10)
        arrived.append(one)

    courier = Courier(emit, told)
    courier.post(*(fact(number) for number in range(25)))
    release.set()
    assert courier.close() == 15
    assert numbers(arrived)[-10:] == list(range(15, 25))
    assert told.lines == ["15 facts could not be written to the journal"]


def test_a_store_that_stays_away_does_not_hold_up_the_end() -> None:
    def emit(_: Fact) -> None:
        raise OSError("no route to host")

    told = Told()
    courier = Courier(emit, told)
    courier.post(fact(1))
    began = time.monotonic()
    assert courier.close(seconds=0.5) == 1
    assert time.monotonic() - began < 10
    assert told.lines[-1] == "1 facts could not be written to the journal"


def test_a_feed_keeps_the_last_good_value_and_says_a_failure_once() -> None:
    values: list[object] = [1, OSError("gone"), OSError("gone"), 2]
    told = Told()

    def read() -> int:
        value = values.pop(0) if len(values) > 1 else values[0]
        if isinstance(value, OSError):
            raise value
        assert isinstance(value, int)
        return value

    feed = Feed("backends", read, 0, seconds=0.02, reporter=told)
    assert feed.value == 0
    feed.start()
    feed.settle(2.0)
    until(lambda: feed.value == 2, 5, "the feed stopped")
    feed.close()
    assert told.lines == ["cannot read the backends, going on with those of before: gone"]


def test_a_feed_that_was_never_started_can_be_closed() -> None:
    told, reads = Told(), iter([1])
    feed = Feed("prices", lambda: next(reads), 0, seconds=1.0, reporter=told)
    feed.close()
    assert (feed.value, list(reads), told.lines) == (0, [1], [])


def test_only_a_value_that_differs_is_a_change() -> None:
    read, counted = iter([[1], [1], [2], [2], [1]]), 0

    def source() -> list[int]:
        nonlocal counted
        counted += 1
        return next(read)  # then it fails, which changes nothing

    first = [1]
    feed = Feed("numbers", source, first, seconds=0.01, reporter=Told())
    feed.start()
    until(lambda: counted >= 7, 5, "it is not read")
    feed.close()
    assert feed.changes == 2
    assert feed.value == [1]
    assert feed.value is not first


@given(period=st.floats(0.05, 60.0), lag=st.floats(0.0, 0.04))
def test_beats_are_multiples_of_the_period(period: float, lag: float) -> None:
    """Never at once (a wait may end a little early, and would be taken twice), never much later than a period."""
    before = time.monotonic()
    left = to_next_beat(period, lag)
    after = time.monotonic()
    assert 0.1 * period < left <= 1.1 * period
    beats = [(at + left - lag) / period for at in (before, after)]
    assert beats[0] - 1e-6 <= round(beats[1]) <= beats[1] + 1e-6 or round(beats[0]) != round(beats[1])


def test_two_with_one_period_meet() -> None:
    met: list[list[float]] = [[], []]
    told = Told()
    feeds_ = [Feed(f"f{n}", lambda n=n: met[n].append(time.monotonic()), None, seconds=0.2, reporter=told) for n in (0, 1)]  # type: ignore[misc]
    for one in feeds_:
        one.start()
        time.sleep(0.07)

    def meet() -> bool:
        return min(map(len, met)) >= 4 and min(abs(a - b) for a in met[0][1:] for b in met[1]) < 0.03

    until(meet, 10, "they are not read at one time")
    for one in feeds_:
        one.close()
