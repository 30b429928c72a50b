"""The last quarter of an hour, in memory."""

from datetime import timedelta

from mcml.route.show.history import FIELDS, SECONDS, STEP, History
from tests.route.seen import NOW, backend, status


def test_points_of_every_backend_are_as_long_as_the_times() -> None:
    history = History()
    assert history.add(status(backend("eu-1")))
    assert not history.add(status(backend("eu-1", weight=1), at=NOW + timedelta(seconds=1)))
    assert history.add(status(backend("eu-1", p99_ms=None), backend("us-1", weight=7), at=NOW + timedelta(seconds=STEP)))
    assert history.add(status(backend("us-1", window_s=0.0), at=NOW + timedelta(seconds=2 * STEP)))
    told = history.json()
    assert told["at"] == [NOW.timestamp() + step * STEP for step in range(3)]
    assert set(told["routes"]["fraud"]["fraud@eu-1"]) == set(FIELDS)
    assert told["routes"]["fraud"]["fraud@eu-1"]["p99_ms"] == [9.5, None, None]
    assert told["routes"]["fraud"]["fraud@us-1"]["weight"] == [None, 7, 50]
    assert told["routes"]["fraud"]["fraud@us-1"]["errors_per_s"] == [None, 0.5, 0.0]
    assert history.json(since=told["at"][1])["at"] == told["at"][2:]
    assert history.json(most=1)["at"] == told["at"][2:]


def test_it_forgets_after_a_quarter_of_an_hour() -> None:
    history = History()
    for number in range(400):
        history.add(status(backend("eu-1"), at=NOW + timedelta(seconds=number * STEP)))
    at = history.json()["at"]
    assert len(at) == SECONDS / STEP
    assert at[-1] - at[0] == SECONDS - STEP


def test_a_clock_that_was_put_back_starts_it_anew() -> None:
    history = History()
    history.add(status(backend("eu-1")))
    history.add(status(backend("eu-1"), at=NOW - timedelta(hours=1)))
    assert history.json()["at"] == [(NOW - timedelta(hours=1)).timestamp()]


def test_points_are_left_out_where_there_are_many_values() -> None:
    history = History()
    for number in range(300):
        history.add(status(*(backend(f"eu-{place}") for place in range(20)), at=NOW + timedelta(seconds=number * STEP)))
    whole, thin = history.json(), history.json(values=3000)
    assert (len(whole["at"]), len(thin["at"])) == (300, 150)
    assert thin["at"][-1] == whole["at"][-1]
    assert {len(fields["rps"]) for fields in thin["routes"]["fraud"].values()} == {150}
    assert history.json(values=10**6) == whole
