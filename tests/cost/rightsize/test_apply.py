"""A change of a machine's type in a cloud by script: whoever is killed when, it ends as it should, and nothing is done twice."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

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
from mcml.cost.rightsize import copies
from mcml.cost.rightsize.change import (
    Overtaken,
    every,
    identified,
    keep,
    known,
    read,
    undoable,
    unfinished,
)
from mcml.cost.rightsize.planned import Planned
from mcml.store.db import Store
from tests.cost.rightsize.cloud import BEGAN, Cloud, Disks
from tests.cost.rightsize.rig import KEY, MEMORY, PLANNED, SHORT, WELL, events, facts, finished, full, store, work

__all__ = ["store"]


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
