"""A change of a machine's type in a cloud by script: whoever is killed when, it ends as it should, and nothing is done twice."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mcml.core.errors import (
    Conflict,
    Interrupted,
    InvalidRequest,
    McmlError,
    NotAuthenticated,
    NotFound,
    PartlyDone,
    QuotaExceeded,
    StillRunning,
    TimeUp,
    Unavailable,
)
from mcml.core.fact import Fact
from mcml.core.report import Silent
from mcml.core.schema_cost import HealthSignal
from mcml.cost.rightsize import copies
from mcml.cost.rightsize.apply import Site, Work
from mcml.cost.rightsize.change import (
    Change,
    Overtaken,
    every,
    identified,
    keep,
    known,
    latest,
    read,
    undoable,
    unfinished,
)
from mcml.cost.rightsize.planned import Planned
from mcml.store import documents
from mcml.store.db import Store
from mcml.store.journal import Query
from tests.cost.rightsize.cloud import BEGAN, MACHINE, Cloud, Disks, Killed, Meter

KEY = "eu-1/i-1"
PLANNED = replace(
    Change(identified(KEY, BEGAN), KEY, "eu-1", "i-1", "m4", "m2", "m4", BEGAN, disks=MACHINE.disks),
    watch=1800.0,
    saving=Decimal("1460"),
    currency="USD",
)
SHORT = replace(PLANNED, watch=20.0)
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""A change writes its state down at each step, each with fsync."""
WELL = ["planned", "snapshot", "snapshot", "resized", "watched", "done"]


@pytest.fixture
def store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, Store(f"sqlite:///{folder}/mcml.db") as store:
        yield store


def work(store: Store, cloud: Cloud, health: tuple[HealthSignal, ...] = ()) -> Work:
    return Work(store, Site(cloud, Disks(cloud), Meter(cloud)), health, cloud.clock, Silent(), cloud.sleep)


def finished(store: Store, cloud: Cloud, planned: Change = PLANNED) -> Change:
    """Run a change to its end, by as many mcml as it takes."""
    for _ in range(5):
        at_work = work(store, cloud)
        try:
            found, _ = latest(store, planned.key)
            return at_work.run(at_work.resume(planned.key) if found else at_work.begin(Planned(planned)))
        except Killed:
            cloud.sleep(30)
    raise AssertionError("it never ends")


def events(store: Store, key: str = KEY) -> list[str]:
    return [entry.kind.removeprefix("cost.rightsize_") for entry in store.entries(Query(target=key))]


def facts(store: Store, event: str) -> dict[str, object]:
    return next(dict(entry.facts) for entry in store.entries()[::-1] if entry.kind == f"cost.rightsize_{event}")


def test_a_machine_is_copied_stopped_resized_started_and_watched(store: Store) -> None:
    cloud = Cloud(measures={"machine.memory": lambda *_: 0.5})
    done = finished(store, cloud)
    assert (done.stage, cloud.machine.machine, cloud.machine.state) == ("done", "m2", "running")
    assert cloud.calls == ["snapshot disk/root", "snapshot disk/data", "stop m4", "resize m2", "start m2"]
    assert events(store) == WELL
    assert (done.answered, done.asked) == (1, 2), "its CPU is not measured"
    assert [one.snapshot for one in done.taken] == ["snap-0", "snap-1"]
    assert done.ended is not None
    assert done.began is not None
    assert timedelta(minutes=30) <= done.ended - done.began < timedelta(minutes=32)
    told = store.entries()[0]
    assert (told.target, told.facts["from"], told.facts["to"], told.facts["saving"]) == (KEY, "m4", "m2", "1460")
    resized = facts(store, "resized")
    assert (resized["from"], resized["to"], resized["target"]) == ("m4", "m2", "eu-1")
    assert facts(store, "watched")["answered"] == 1
    assert known(store, KEY) == done


def full(machine: str, _: object) -> float:
    """Memory that m2 does not hold."""
    return 0.99 if machine == "m2" else 0.5


@pytest.mark.parametrize("ends", ["done", "rolled back"])
def test_whenever_mcml_is_killed_the_next_one_goes_on_and_does_nothing_twice(store: Store, ends: str) -> None:
    """At each moment on the way there and back: before and after each call, and before each state is written down; at some of a watch."""

    def build(kill: int = 0) -> Cloud:
        return Cloud(kill, measures={"machine.memory": full if ends == "rolled back" else lambda *_: 0.5})

    wanted, machine = (WELL, "m2") if ends == "done" else ([*WELL[:4], "watched", "resized", "rolled_back"], "m4")
    whole = build()
    finished(store, whole, SHORT)
    watched = whole.labels.index("start m2 done")
    kills = range(1, whole.moments) if ends == "rolled back" else range(watched, whole.moments, 9)
    assert len(kills) > (40 if ends == "rolled back" else 5)
    for kill in kills:
        cloud, key = build(kill), f"eu-1/{kill}"
        done = finished(store, cloud, replace(SHORT, key=key, id=identified(key, BEGAN)))
        assert (done.stage, cloud.machine.machine, cloud.machine.state) == (ends, machine, "running"), kill
        assert events(store, key) == wanted, kill
        assert sorted(one.source for one in cloud.copies.values()) == ["disk/data", "disk/root"], kill


def test_no_capacity_for_the_new_type_leads_back(store: Store) -> None:
    cloud = Cloud(refuses={"start m2": QuotaExceeded("no capacity", why="InsufficientInstanceCapacity")})
    done = finished(store, cloud)
    assert (done.stage, cloud.machine.machine, cloud.machine.state) == ("rolled back", "m4", "running")
    assert cloud.calls[-3:] == ["start m2", "resize m4", "start m4"]
    assert events(store) == ["planned", "snapshot", "snapshot", "resized", "resized", "rolled_back"]
    assert facts(store, "rolled_back")["reason"] == "no capacity (InsufficientInstanceCapacity)"
    last = facts(store, "resized")
    assert (last["from"], last["to"]) == ("m2", "m4")


def test_what_cannot_be_taken_back_is_stuck_and_each_run_tries_again(store: Store) -> None:
    cloud = Cloud(refuses={"start m2": QuotaExceeded("no capacity"), "start m4": QuotaExceeded("none for m4 either")})
    with pytest.raises(McmlError, match="is stuck, and may not run") as first:
        finished(store, cloud)
    assert first.value.next_step.startswith(f"mcml cost rightsize apply {KEY} tries again, ")
    assert known(store, KEY).stage == "stuck"
    assert facts(store, "stuck")["needs"] == "a person"
    with pytest.raises(McmlError, match="is stuck"):
        finished(store, cloud)
    cloud.refuses.clear()
    done = finished(store, cloud)
    assert (done.stage, cloud.machine.machine, cloud.machine.state) == ("rolled back", "m4", "running")
    assert events(store)[-3:] == ["stuck", "stuck", "rolled_back"]
    with pytest.raises(Conflict, match="another type"):
        work(store, cloud).begin(Planned(replace(PLANNED, id="rs-2", before="m1")))


def test_a_type_that_is_refused_and_a_disk_that_cannot_be_copied(store: Store) -> None:
    cloud = Cloud(refuses={"resize m2": InvalidRequest("not with this image")})
    done = finished(store, cloud)
    assert (done.stage, cloud.machine.machine, cloud.machine.state) == ("rolled back", "m4", "running")
    assert events(store) == ["planned", "snapshot", "snapshot", "rolled_back"], "it never had another type"

    cloud = Cloud(refuses={"snapshot disk/data": QuotaExceeded("too many snapshots")})
    at_work = work(store, cloud)
    failed = at_work.run(at_work.begin(Planned(replace(PLANNED, id="rs-2"))))
    assert (failed.stage, failed.problem, cloud.calls) == ("failed", "too many snapshots", ["snapshot disk/root", "snapshot disk/data"])
    assert [change.id for change in every(store)] == [PLANNED.id, "rs-2"]


@pytest.mark.parametrize(
    ("call", "refused"),
    [
        ("start m2", NotFound("no key of its disk", why="KMS")),
        ("resize m2", NotFound("no such type here")),
        ("resize m2", NotAuthenticated("not allowed to resize")),
        ("stop m4", NotAuthenticated("not allowed to stop")),
    ],
)
def test_nothing_but_the_end_of_the_machine_leaves_it_stopped(store: Store, call: str, refused: McmlError) -> None:
    """A right that is missing, and a 404 of something else: it runs again as it was."""
    cloud = Cloud(refuses={call: refused})
    done = finished(store, cloud)
    assert (done.stage, cloud.machine.machine, cloud.machine.state) == ("rolled back", "m4", "running")
    assert refused.message in done.reason


def test_a_cloud_that_is_away_for_minutes_while_the_machine_is_off_is_waited_for(store: Store) -> None:
    cloud = Cloud(refuses={"start m2": Unavailable("no route to host")})

    def back(cloud: Cloud) -> None:
        if cloud.calls.count("start m2") > 40:
            cloud.refuses.clear()

    cloud.asleep = back
    done = finished(store, cloud)
    assert (done.stage, cloud.machine.machine, cloud.machine.state) == ("done", "m2", "running")


def test_a_change_whose_snapshot_never_ends_can_be_undone_and_nothing_was_changed(store: Store) -> None:
    cloud = Cloud(refuses={"snapshot disk/root": Unavailable("away")})
    with pytest.raises(StillRunning, match="its disks are being copied"):
        finished(store, cloud)
    assert undoable(store, KEY).stage == "snapshot"
    at_work = work(store, cloud)
    undone = at_work.run(at_work.undo(at_work.resume(KEY)))
    assert (undone.stage, cloud.machine.machine, cloud.machine.state) == ("rolled back", "m4", "running")
    assert not [call for call in cloud.calls if call.startswith(("stop", "resize"))]


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


def test_ctrl_c_and_a_cloud_that_is_silent_say_what_is_half_done(store: Store) -> None:
    def interrupts(stop: type[BaseException]) -> Callable[[Cloud], None]:
        def asleep(cloud: Cloud) -> None:
            if cloud.machine.machine == "m2":
                raise stop

        return asleep

    cloud = Cloud(asleep=interrupts(KeyboardInterrupt))
    with pytest.raises(Interrupted, match="it runs as m2, and is not watched to the end") as left:
        finished(store, cloud)
    assert left.value.next_step == f"mcml cost rightsize apply {KEY}"
    cloud.asleep = interrupts(TimeUp)
    with pytest.raises(StillRunning, match="is not watched"):
        finished(store, cloud)
    cloud.asleep = lambda _: None
    assert finished(store, cloud).stage == "done"

    silent = Cloud(refuses={"stop m4": Unavailable("the cloud does not answer")})
    at_work = work(store, silent)
    with pytest.raises(PartlyDone, match="it is being stopped"):
        at_work.run(at_work.begin(Planned(replace(PLANNED, id="rs-2"))))
    assert silent.calls.count("stop m4") == 3
    silent.refuses.clear()
    assert finished(store, silent).stage == "done"


def test_a_cloud_that_is_silent_for_a_while_ends_no_watch(store: Store) -> None:
    def asleep(cloud: Cloud) -> None:
        minutes = (cloud.now - BEGAN) / timedelta(minutes=1)
        cloud.refuses = {"list": Unavailable("the cloud does not answer")} if 10 < minutes < 20 else {}

    assert finished(store, Cloud(asleep=asleep)).stage == "done"


def test_a_machine_that_is_gone_and_one_that_others_start_again(store: Store) -> None:
    cloud = Cloud()

    def terminated(cloud: Cloud) -> None:
        if cloud.machine.machine == "m2":
            cloud.machine = replace(cloud.machine, state="terminated")

    cloud.asleep = terminated
    gone = finished(store, cloud)
    assert (gone.stage, gone.problem) == ("failed", "eu-1/i-1 is gone (it was terminated)")

    class Restless(Cloud):
        def resize(self, instance: str, machine: str) -> object:  # type: ignore[override]
            if self.calls.count(f"resize {machine}") < 2:
                self.machine = replace(self.machine, state="running")
            return super().resize(instance, machine)

    restless = Restless()
    at_work = work(store, restless)
    assert at_work.run(at_work.begin(Planned(replace(PLANNED, id="rs-2")))).stage == "rolled back", "its resize was refused with a Conflict"


def test_snapshots_are_kept_until_they_are_deleted(store: Store) -> None:
    cloud = Cloud()
    at_work = work(store, cloud)
    watched = at_work.run(at_work.begin(Planned(PLANNED)), wait=False)
    with pytest.raises(Conflict, match="is being changed"):
        copies.kept(store, Disks(cloud), KEY)
    done = at_work.run(watched)
    assert len(cloud.copies) == 2
    assert [one.snapshot for one in copies.kept(store, Disks(cloud), KEY)] == [one.snapshot for one in done.taken] == ["snap-0", "snap-1"]
    copies.clean(store, Disks(cloud), KEY, cloud.clock)
    assert (cloud.copies, copies.kept(store, Disks(cloud), KEY), known(store, KEY).taken) == ({}, [], ())
    assert facts(store, "snapshot_deleted") == {"snapshot": "snap-1", "source": "disk/data", "size_bytes": 1000}


def test_nothing_is_known_of_a_machine_that_was_never_changed(store: Store) -> None:
    with pytest.raises(NotFound, match="no change of a machine named"):
        known(store, KEY)


def test_only_one_begins_and_what_cannot_be_read_is_said(store: Store) -> None:
    first, second = replace(PLANNED, id="rs-1"), replace(PLANNED, id="rs-2")
    assert keep(store, first, 0, BEGAN) == 1
    with pytest.raises(Overtaken, match="another mcml goes on"):
        keep(store, second, 0, BEGAN)
    with pytest.raises(Conflict, match="is being changed"):
        unfinished(store, KEY, "m1")
    assert unfinished(store, KEY, "m2") == first
    keep(store, replace(first, stage="rolled back"), 1, BEGAN)
    assert unfinished(store, KEY) is None
    with pytest.raises(Conflict, match="nothing to undo"):
        undoable(store, KEY)
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read({"id": "rs-1"})


@given(
    refused=st.frozensets(st.sampled_from(["snapshot disk/data", "stop m4", "resize m2", "start m2", "start m4"]), max_size=3),
    lost=st.frozensets(st.sampled_from(["snapshot disk/root", "stop m4", "resize m2", "start m2", "stop m2", "start m4"])),
    dies=st.booleans(),
    kill=st.integers(0, 30),
)
@example(refused=frozenset(), lost=frozenset({"stop m4"}), dies=False, kill=0)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_is_refused_or_lost_it_runs_again_or_says_that_it_does_not(
    refused: frozenset[str], lost: frozenset[str], dies: bool, kill: int
) -> None:
    cloud = Cloud(kill, refuses={call: QuotaExceeded("no") for call in refused}, loses=lost, dies=frozenset({"m2"} if dies else ()))
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, Store(f"sqlite:///{folder}/mcml.db") as store:
        try:
            done = finished(store, cloud, SHORT)
        except McmlError:
            assert known(store, KEY).stage == "stuck"
            assert "start m4" in refused
            return
        fine = not refused - {"start m4"} and not dies
        assert done.stage == ("done" if fine else "failed" if "snapshot disk/data" in refused else "rolled back")
        assert (cloud.machine.machine, cloud.machine.state) == ("m2" if fine else "m4", "running")
        told = [entry.facts["to"] for entry in store.entries() if entry.kind == "cost.rightsize_resized"]
        assert ["m4", *told][-1] == cloud.machine.machine, "the journal has the type that it has"
