"""What is refused before a job begins, and its record as it is written and read."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound, Unavailable
from mcml.cost.spot.decide import advanced, on_demand_cost, seen_at
from mcml.cost.spot.job import Choice
from mcml.cost.spot.market import Memory, ranked
from mcml.cost.spot.order import Fallback, Order, Place, Record, read
from mcml.cost.spot.progress import of_file
from mcml.cost.spot.site import Site, fallback
from mcml.store.db import Store
from tests.cost.spot.cloud import BEGAN, FALLBACK, Warned
from tests.cost.spot.rig import ORDER, cloud, events, store, supervisor

__all__ = ["store"]


def test_a_fallback_is_a_machine_or_a_type_of_machine() -> None:
    site = Site(cloud([True]), "local", "r")
    assert fallback(site, "eu-1", FALLBACK) == Fallback("eu-1", FALLBACK)
    assert fallback(site, "eu-1", "m2") == Fallback("eu-1", machine="m2")
    with pytest.raises(NotFound, match="neither a machine nor a machine type of eu-1, and no group") as neither:
        fallback(site, "eu-1", "m3")
    assert "did you mean 'm1'?" in neither.value.why
    assert "--fallback eu-1/MACHINE_TYPE" in neither.value.next_step


def test_what_cannot_be_kept_is_refused_before_anything_is_started(store: Store) -> None:
    place = cloud([True])
    wrong: list[tuple[Order, type[McmlError]]] = [
        (replace(ORDER, deadline=3600), InvalidRequest),
        (replace(ORDER, fallback=Fallback("eu-1", "none")), NotFound),
    ]
    for order, error in wrong:
        with pytest.raises(error):
            supervisor(store, place).begin("train", order)
    place.machines[FALLBACK] = replace(place.machines[FALLBACK], spot=True)
    with pytest.raises(InvalidRequest, match="spot machine"):
        supervisor(store, place).begin("train", ORDER)
    assert (events(store), place.tokens) == ([], {})


def test_the_same_name_twice_is_a_conflict_while_the_first_runs(store: Store) -> None:
    place = cloud([True])
    supervisor(store, place).begin("train", ORDER)
    with pytest.raises(Conflict, match="runs already"):
        supervisor(store, place).begin("train", ORDER)


def test_a_place_that_is_taken_away_often_is_asked_later_than_a_dearer_calm_one() -> None:
    prices = {"eu-1/m1": Decimal("1.00"), "eu-1/m2": Decimal("1.05")}
    often = Memory(seconds=7200, interrupted=30)
    assert [one.machine for one in ranked(ORDER, prices, {})] == ["m1", "m2"]
    assert [one.machine for one in ranked(ORDER, prices, {"eu-1/m1": often, "eu-1/m2": Memory()})] == ["m2", "m1"]
    assert [one.machine for one in ranked(ORDER, {"eu-1/m2": Decimal(9)}, {})] == ["m2"]


def test_a_record_is_read_back_as_it_was_written(store: Store) -> None:
    place = cloud([True])
    at_work = supervisor(store, place)
    record = at_work.look(at_work.begin("train", ORDER))
    assert record.place is not None
    assert record.place.choice == Choice.SPOT
    assert supervisor(store, place).resume("train") == record
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read({"name": "train"})


def test_a_record_of_before_machines_were_launched_is_read(store: Store) -> None:
    """A fallback had an instance and nothing else, and a place no notice."""
    place = cloud([True])
    at_work = supervisor(store, place)
    record = at_work.look(at_work.begin("train", ORDER))
    old = json.loads(json.dumps(record.document, default=str))
    del old["order"]["fallback"]["machine"], old["place"]["noticed"]
    assert read(old) == record


def test_nothing_is_known_of_a_job_that_was_never_begun(store: Store) -> None:
    with pytest.raises(NotFound):
        supervisor(store, cloud([True])).resume("train")


def test_a_job_that_is_done_already_or_whose_progress_cannot_be_read_is_not_begun(store: Store, tmp_path: Path) -> None:
    place = cloud([True])
    place.saved = 1.0
    with pytest.raises(InvalidRequest, match="done already") as done:
        supervisor(store, place).begin("train", ORDER)
    assert "another --progress" in done.value.next_step
    at_work = replace(supervisor(store, place), progress=of_file(tmp_path))
    with pytest.raises(Unavailable, match="cannot read"):
        at_work.begin("train", ORDER)
    assert (events(store), place.tokens) == ([], {})


def test_a_progress_that_cannot_be_read_any_more_ends_nothing(store: Store, tmp_path: Path) -> None:
    place = cloud([True])
    at_work = supervisor(store, place)
    at_work.look(at_work.begin("train", ORDER))
    later = replace(at_work, progress=of_file(tmp_path))
    assert later.look(later.resume("train")).state == "running"


def test_what_was_saved_before_a_job_began_is_no_saving_of_it(store: Store) -> None:
    place = cloud([True])
    place.saved = 0.5
    at_work = supervisor(store, place)
    begun = at_work.begin("train", ORDER)
    assert (begun.found, begun.saved, on_demand_cost(begun)) == (0.5, 0.5, Decimal(0))
    assert on_demand_cost(replace(begun, saved=0.75)) == Decimal(3 * (900 + 60))
    assert store.entries()[-1].facts["saved"] == "0"


@pytest.mark.parametrize("warned", [False, True])
def test_a_clock_that_is_set_back_makes_nobody_sleep_longer(store: Store, *, warned: bool) -> None:
    """By a day, after ten minutes: each tick is as long as before, and no start takes longer than it does."""
    place = Warned([True], ORDER.work, ORDER.restart, ORDER.checkpoint) if warned else cloud([True])
    slept: list[float] = []

    def clock() -> datetime:
        return place.now - timedelta(days=place.now >= BEGAN + timedelta(minutes=10))

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        place.sleep(seconds)

    at_work = replace(supervisor(store, place), clock=clock, sleep=sleep)
    record = at_work.run(at_work.begin("train", ORDER))
    assert (record.state, record.late, place.running()) == ("done", False, [])
    assert max(slept) <= ORDER.tick
    assert place.now - BEGAN < timedelta(seconds=ORDER.work + ORDER.restart + 3 * ORDER.tick)
    assert record.pace >= 0


def test_a_start_that_lies_ahead_takes_no_longer_than_a_start() -> None:
    place = Place(Choice.SPOT, "eu-1", "m1", "i-1", "t", Decimal(1), BEGAN + timedelta(hours=5))
    record = Record("train", ORDER, BEGAN, BEGAN, place=place, on_demand=Decimal(3))
    assert int(seen_at(record, BEGAN, up=True).pending[0]) == ORDER.restart
    saved = replace(record, saved=0.1, saved_at=BEGAN + timedelta(hours=6))
    assert advanced(saved, 0.2, BEGAN).pace == pytest.approx(0.7), "no negative pace, which would hide a slow machine for hours"
