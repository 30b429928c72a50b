"""Machines on office hours: what our schedules wrote tells when they were off, and that a start was no resize."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mcml.core.clock import rfc3339
from mcml.core.fact import Fact
from mcml.cost.rightsize.measure import resized
from mcml.cost.rightsize.offs import NEVER, Offs, offs
from mcml.cost.rightsize.values import Usage
from mcml.store.db import Store
from tests.cost.rightsize.made import subject

MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(f"sqlite:///{tmp_path}/mcml.db") as store:
        yield store


def turned(
    store: Store, word: str, hour: float, machine: str = "m.4", id: str = "i-1", kind: str = "instance", since: float | None = None
) -> None:
    about = {"kind": kind, "id": id, "machine": machine}
    about |= {} if since is None else {"since": rfc3339(MONDAY + since * HOUR)}
    store.append(Fact(f"cost.turned_{word}", "cost", "eu-1", about, at=MONDAY + hour * HOUR))


def test_what_is_off_and_on_again_is_a_span(store: Store) -> None:
    turned(store, "off", 18)
    turned(store, "on", 32)
    turned(store, "off", 42)
    turned(store, "off", 43)  # told again by a run that was cut off
    turned(store, "off", 5, id="workers", kind="group")
    found = offs(store, MONDAY, MONDAY + 48 * HOUR)
    assert set(found) == {"eu-1/i-1"}
    spans = [((first - MONDAY) / HOUR, (last - MONDAY) / HOUR) for first, last in found["eu-1/i-1"].spans]
    assert spans == [(18, 32), (42, 48)]


def test_what_was_off_before_we_look_counts_from_there(store: Store) -> None:
    turned(store, "off", -6)
    turned(store, "on", 8)
    assert offs(store, MONDAY, MONDAY + 9 * HOUR)["eu-1/i-1"].spans == ((MONDAY, MONDAY + 8 * HOUR),)


def test_what_was_on_again_before_we_look_was_never_off(store: Store) -> None:
    """Turned on by hand at 10, seen and told at 20, and given back by us at 40: both tell since when it is on."""
    turned(store, "off", 5)
    turned(store, "on", 20, since=10)
    turned(store, "on", 40, since=20)
    for look, spans in ((0, [(5, 10)]), (15, []), (30, [])):
        found = offs(store, MONDAY + look * HOUR, MONDAY + 48 * HOUR)["eu-1/i-1"].spans
        assert [((first - MONDAY) / HOUR, (last - MONDAY) / HOUR) for first, last in found] == spans, look


def test_a_stop_that_was_cut_off_counts_from_when_it_was(store: Store) -> None:
    """Turned off at 22, told by the next run at 32, which turns it on: the night is no gap in what was measured."""
    turned(store, "off", 32, since=22)
    turned(store, "on", 32)
    assert offs(store, MONDAY, MONDAY + 48 * HOUR)["eu-1/i-1"].spans == ((MONDAY + 22 * HOUR, MONDAY + 32 * HOUR),)


def test_a_type_is_of_the_id_as_a_bill_has_it(store: Store) -> None:
    turned(store, "off", 5, id="z/Web-1")
    assert [one.machine for one in offs(store, MONDAY, MONDAY + 9 * HOUR)["eu-1/z/Web-1"].typed] == ["z/web-1"]


def test_steps_that_it_was_off_are_no_gap() -> None:
    nights = Offs(tuple((MONDAY + (24 * day + 18) * HOUR, MONDAY + (24 * day + 32) * HOUR) for day in range(7)))
    usage = Usage(MONDAY, MONDAY + 7 * 24 * HOUR, HOUR, {})
    assert usage.steps == 168
    assert replace(usage, off=nights.steps(usage.start, usage.end, usage.step)).steps == 168 - 6 * 14 - 6
    assert NEVER.steps(usage.start, usage.end, usage.step) == 0


def test_a_start_by_a_schedule_is_no_resize_unless_the_type_was_another(store: Store) -> None:
    started = replace(subject().instance, launched=MONDAY + 32 * HOUR)
    turned(store, "off", 18)
    turned(store, "on", 32.01)
    assert resized(started, None, offs(store, MONDAY, MONDAY + 40 * HOUR)["eu-1/i-1"].typed) is None
    assert resized(started, None, ()) == started.launched
    turned(store, "off", 50, machine="m.2")
    assert resized(started, None, offs(store, MONDAY, MONDAY + 60 * HOUR)["eu-1/i-1"].typed) == MONDAY + 50 * HOUR
