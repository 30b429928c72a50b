"""A change that is watched: what leads back, what does not, machines that were off or are turned off meanwhile."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mcml.core.errors import (
    Conflict,
    StillRunning,
    Unavailable,
)
from mcml.core.fact import Fact
from mcml.core.schema_cost import HealthSignal
from mcml.cost.rightsize.change import (
    Overtaken,
)
from mcml.cost.rightsize.planned import Planned
from mcml.store import documents
from mcml.store.db import Store
from tests.cost.rightsize.cloud import BEGAN, MACHINE, Cloud
from tests.cost.rightsize.rig import KEY, PLANNED, events, facts, finished, full, store, work

__all__ = ["store"]


def test_a_machine_that_was_stopped_is_left_stopped(store: Store) -> None:
    cloud = Cloud(machine=replace(MACHINE, state="stopped"))
    done = finished(store, cloud, replace(PLANNED, ran=False))
    assert (done.stage, cloud.machine.machine, cloud.machine.state, done.began) == ("done", "m2", "stopped", None)
    assert events(store) == ["planned", "snapshot", "snapshot", "resized", "done"]


def test_a_machine_that_others_stop_while_it_is_copied_is_left_stopped(store: Store) -> None:
    def stopped(cloud: Cloud) -> None:
        if not any(call.startswith("stop") for call in cloud.calls):
            cloud.machine = replace(cloud.machine, state="stopped")

    cloud = Cloud(asleep=stopped)
    done = finished(store, cloud)
    assert (done.stage, done.ran, cloud.machine.machine, cloud.machine.state) == ("done", False, "m2", "stopped")
    assert cloud.calls[2:] == ["resize m2"]


def test_a_stopped_machine_that_somebody_starts_meanwhile_runs_again_afterwards(store: Store) -> None:
    def started(cloud: Cloud) -> None:
        if not cloud.calls[-1].startswith("stop") and cloud.machine.machine == "m4":
            cloud.machine = replace(cloud.machine, state="running")

    cloud = Cloud(machine=replace(MACHINE, state="stopped"), asleep=started)
    done = finished(store, cloud, replace(PLANNED, ran=False))
    assert (done.stage, done.ran, cloud.machine.machine, cloud.machine.state) == ("done", True, "m2", "running")


@pytest.mark.parametrize(
    ("cloud", "reason"),
    [
        (Cloud(dies=frozenset({"m2"})), "eu-1/i-1 stopped by itself (it was started as m2, and is stopped again)"),
        (Cloud(measures={"machine.memory": full}), "machine.memory was 0.99, above 0.98"),
        (Cloud(measures={"machine.cpu": lambda *_: 0.97}), "machine.cpu was 0.97 3 times in a row, above 0.95"),
        (Cloud(measures={"app.errors": lambda *_: 7.0}), "app.errors was 7, above 5"),
    ],
    ids=["dies", "memory", "cpu", "health"],
)
def test_a_machine_that_is_not_well_goes_back_by_itself(store: Store, cloud: Cloud, reason: str) -> None:
    cloud = replace(cloud, calls=[], copies={})
    at_work = work(store, cloud, (HealthSignal(metric="app.errors", above=5),))
    done = at_work.run(at_work.begin(Planned(PLANNED)))
    assert (done.stage, done.reason, cloud.machine.machine, cloud.machine.state) == ("rolled back", reason, "m4", "running")
    assert facts(store, "rolled_back")["reason"] == reason


def test_cpu_counts_only_where_there_may_be_less_of_it(store: Store) -> None:
    cloud = Cloud(measures={"machine.cpu": lambda *_: 1.0})
    done = finished(store, cloud, replace(PLANNED, cpu=False))
    assert (done.stage, done.answered, done.asked) == ("done", 0, 1)


def test_a_machine_that_ends_while_it_is_watched_goes_back(store: Store) -> None:
    def ended(cloud: Cloud) -> None:
        if cloud.now > BEGAN + timedelta(minutes=9) and cloud.machine.machine == "m2":
            cloud.machine = replace(cloud.machine, state="stopped")

    done = finished(store, Cloud(asleep=ended))
    assert (done.stage, done.reason) == ("rolled back", "it is stopped")
    assert facts(store, "watched")["well"] is False


def test_trouble_of_the_target_that_stays_leads_back_and_that_of_the_stop_does_not(store: Store) -> None:
    def down(cloud: Cloud) -> None:
        if cloud.machine.state == "stopped":
            store.append(Fact("route.backend_down", "route", "eu-1", {"backend": "fraud@eu-1"}, at=cloud.now))
        elif "route.backend_up" not in [entry.kind for entry in store.entries()]:
            store.append(Fact("route.backend_up", "route", "eu-1", {"backend": "fraud@eu-1"}, at=cloud.now))

    assert finished(store, Cloud(asleep=down)).stage == "done"

    def fails(cloud: Cloud) -> None:
        if cloud.machine.machine == "m2" and "incident.opened" not in [entry.kind for entry in store.entries()]:
            store.append(Fact("incident.opened", "incident", "eu-1", {"incident": 7, "title": "fraud is slow"}, at=cloud.now))

    cloud = Cloud(asleep=fails)
    at_work = work(store, cloud)
    done = at_work.run(at_work.begin(Planned(replace(PLANNED, id="rs-2"))))
    assert (done.stage, done.reason) == ("rolled back", "incident 7 is open: fraud is slow")


def test_a_schedule_that_stops_it_is_no_failure(store: Store) -> None:
    def office(cloud: Cloud) -> None:
        if cloud.now > BEGAN + timedelta(minutes=9) and cloud.machine.machine == "m2":
            with store.writing() as connection:
                documents.put(connection, "cost.stopped", "eu-1/instance/i-1", {"schedule": "office"}, cloud.now)
            cloud.machine = replace(cloud.machine, state="stopped")

    cloud = Cloud(asleep=office)
    with pytest.raises(StillRunning, match="is not watched to the end") as off:
        finished(store, cloud)
    assert "the schedule office has stopped it" in off.value.why
    cloud.now += timedelta(hours=14)
    cloud.asleep = lambda _: None
    cloud.machine = replace(cloud.machine, state="running", launched=cloud.now)
    done = finished(store, cloud)
    assert done.stage == "done"
    assert done.ended is not None
    assert done.ended - cloud.machine.launched >= timedelta(minutes=30), "it is watched anew from its start on"


def test_a_watch_can_be_left_and_gone_on_with_and_only_one_goes_on(store: Store) -> None:
    cloud = Cloud()
    at_work = work(store, cloud)
    left = at_work.run(at_work.begin(Planned(PLANNED)), wait=False)
    assert left.stage == "watch"
    with pytest.raises(Conflict, match="is being changed") as refused:
        work(store, cloud).begin(Planned(replace(PLANNED, id="rs-2", after="m1")))
    assert f"mcml cost rightsize apply {KEY} goes on with it" in refused.value.next_step
    undone = work(store, cloud)
    back = undone.run(undone.undo(undone.resume(KEY)))
    assert (back.stage, back.reason, cloud.machine.machine) == ("rolled back", "it was undone by hand", "m4")
    with pytest.raises(Overtaken):
        at_work.run(left)


def test_a_cloud_that_is_silent_for_a_while_ends_no_watch(store: Store) -> None:
    def asleep(cloud: Cloud) -> None:
        minutes = (cloud.now - BEGAN) / timedelta(minutes=1)
        cloud.refuses = {"list": Unavailable("the cloud does not answer")} if 10 < minutes < 20 else {}

    assert finished(store, Cloud(asleep=asleep)).stage == "done"
