"""What counts as bad after a change: metrics, and trouble that the journal tells of."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import InvalidRequest, Unavailable
from mcml.core.schema_cost import HealthSignal
from mcml.cost.rightsize.change import Change
from mcml.cost.rightsize.watch import FULL, Signal, judged, look, signals, step, tick, troubled
from mcml.providers.api.metrics import Point, SeriesQuery, Window
from mcml.store.journal import Entry
from tests.cost.rightsize.cloud import BEGAN

MINUTE = timedelta(minutes=1)
DOWN, UP = "route.backend_down", "route.backend_up"
CHANGE = replace(Change("rs-1", "eu-1/z/i-1", "eu-1", "z/i-1", "m4", "m2", "m2", BEGAN), watch=1800.0, began=BEGAN, down=BEGAN - 2 * MINUTE)


def points(*values: float | None) -> list[Point]:
    return [Point(BEGAN + number * MINUTE, value) for number, value in enumerate(values)]


def test_what_is_asked() -> None:
    errors = HealthSignal(metric="app.errors", above=1, label="host", value="name")
    health = (HealthSignal(metric="machine.disk", above=0.9, value="name"), errors)
    asked = {signal.name: signal for signal in signals(CHANGE, health)}
    assert list(asked) == ["machine.memory", "machine.cpu", "machine.disk", "app.errors"]
    assert asked["machine.cpu"] == Signal("machine.cpu", SeriesQuery("machine.cpu", {"instance": "z/i-1"}, "average"), 0.95, 3)
    assert asked["machine.disk"].query.labels == {"instance": "z/i-1"}
    assert asked["app.errors"].query == SeriesQuery("app.errors", {"host": "i-1"}, "maximum")
    assert "machine.cpu" not in [signal.name for signal in signals(replace(CHANGE, cpu=False), ())]
    lengths = {60.0: (2, 2), 1800.0: (60, 60), 86400.0: (60, 180), 604800.0: (60, 1260), 3.0: (0.1, 1)}
    for length, seconds in lengths.items():
        change = replace(CHANGE, watch=length)
        assert (tick(change).total_seconds(), step(change).total_seconds()) == seconds


@pytest.mark.parametrize(
    ("values", "bad"),
    [
        ([0.96, 0.97, 0.99], True),
        ([0.96, None, 0.97, 0.99], True),
        ([0.96, 0.97, 0.5, 0.99, 0.99], False),
        ([None, None, None], False),
        ([0.95, 0.95, 0.95], False),
        ([], False),
    ],
)
def test_cpu_is_bad_in_three_measured_steps_in_a_row(values: list[float | None], bad: bool) -> None:
    (signal,) = [one for one in signals(CHANGE, ()) if one.in_a_row == 3]
    assert bool(judged(signal, points(*values))) is bad


@given(st.lists(st.none() | st.floats(0, 1.2)))
def test_memory_is_bad_as_soon_as_one_step_is_full_and_what_is_unknown_never_is(values: list[float | None]) -> None:
    signal = signals(CHANGE, ())[0]
    assert bool(judged(signal, points(*values))) is any(value is not None and value > FULL for value in values)


class Coarse:
    """Metrics that answer in steps of five minutes only, or not at all."""

    def __init__(self, *, silent: bool = False) -> None:
        self.silent = silent

    def query(self, series: SeriesQuery, window: Window) -> list[Point]:
        if self.silent:
            raise Unavailable("no answer")
        if window.step < 5 * MINUTE:
            raise InvalidRequest("steps of five minutes at least")
        return [Point(window.start, 0.99 if series.metric == "machine.memory" else None)]

    def names(self) -> list[str]:
        return []


def test_what_does_not_answer_is_neither_good_nor_bad() -> None:
    asked = signals(CHANGE, ())
    found = look(Coarse(), asked, BEGAN, BEGAN + 6 * MINUTE, MINUTE)
    assert (found.bad, found.answered, found.asked) == ("machine.memory was 0.99, above 0.98", 1, 2)
    for metrics in (None, Coarse(silent=True)):
        assert look(metrics, asked, BEGAN, BEGAN + 6 * MINUTE, MINUTE) == replace(found, bad="", answered=0)


def entry(kind: str, minutes: float, **facts: object) -> Entry:
    return Entry(1, BEGAN + minutes * MINUTE, "a", kind.partition(".")[0], "eu-1", kind, facts, "", "")


@pytest.mark.parametrize(
    ("told", "now", "said"),
    [
        ([entry(DOWN, 5, backend="fraud@eu-1", reason="no answer")], 6, ""),
        ([entry(DOWN, 5, backend="fraud@eu-1", reason="no answer")], 8, "the backend fraud@eu-1 is out: no answer"),
        ([entry(DOWN, 5, backend="fraud@eu-1"), entry(UP, 6, backend="fraud@eu-1")], 30, ""),
        ([entry(DOWN, -1, backend="fraud@eu-1")], 29, ""),
        ([entry(DOWN, -1, backend="fraud@eu-1")], 30, "the backend fraud@eu-1 is out: no reason given"),
        ([entry(DOWN, 1, backend="a", reason="x"), entry(UP, 2, backend="b")], 9, "the backend a is out: x"),
        ([entry("incident.opened", 1, incident=3, title="slow")], 9, "incident 3 is open: slow"),
        ([entry("incident.opened", 1, incident=3), entry("incident.resolved", 2, incident=3)], 30, ""),
    ],
    ids=["young", "stays", "back", "of the stop", "of the stop, stays", "another", "incident", "resolved"],
)  # fmt: skip
def test_trouble_that_stays_is_bad(told: list[Entry], now: int, said: str) -> None:
    moment: datetime = BEGAN + now * MINUTE
    assert troubled(told, CHANGE, moment) == said
