"""How a change ends that others disturb: restarts without end, no room for the type before, and a person who keeps it as it is."""

import builtins
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from mcml.core.errors import Conflict, InvalidRequest, McmlError, PartlyDone, QuotaExceeded, StillRunning
from mcml.core.fact import Fact
from mcml.cost.rightsize.change import Change, OtherName, every, keepable, known, undoable
from mcml.cost.rightsize.planned import Planned
from mcml.providers.api.instances import Instance
from mcml.store import documents
from mcml.store.db import Store
from tests.cost.rightsize.cloud import BEGAN, Cloud
from tests.cost.rightsize.rig import KEY, PLANNED, events, facts, finished, full, store, work

__all__ = ["store"]


def reboots(every_minutes: int, told: Callable[[Cloud], None] = lambda _: None) -> Callable[[Cloud], None]:
    """Something starts the machine again and again while it is watched."""

    def asleep(cloud: Cloud) -> None:
        if cloud.machine.machine == "m2" and cloud.machine.state == "running":
            told(cloud)
            if cloud.now - cloud.machine.launched >= timedelta(minutes=every_minutes):
                cloud.machine = replace(cloud.machine, launched=cloud.now)

    return asleep


def test_a_machine_that_something_starts_again_and_again_goes_back(store: Store) -> None:
    cloud = Cloud(asleep=reboots(20))
    done = finished(store, cloud)
    assert (done.stage, done.restarts, cloud.machine.machine) == ("rolled back", 3, "m4")
    assert done.reason == "something started it again 4 times within its watch"
    assert cloud.now - BEGAN < timedelta(hours=3)


def test_a_machine_that_schedules_turn_off_more_often_than_its_watch_is_long_is_done_some_day(store: Store) -> None:
    def told(cloud: Cloud) -> None:
        if cloud.now - cloud.machine.launched >= timedelta(minutes=20):
            store.append(Fact("cost.turned_off", "cost", "eu-1", {"kind": "instance", "id": "i-1"}, at=cloud.now))

    cloud = Cloud(asleep=reboots(20, told))
    done = finished(store, cloud)
    assert (done.stage, done.restarts, cloud.machine.machine) == ("done", 3, "m2")


@pytest.mark.parametrize(("target", "ends"), [("eu-1", "done"), ("all", "done"), ("eu-2", "rolled back")])
def test_what_turned_it_off_counts_under_each_of_its_names(store: Store, target: str, ends: str) -> None:
    """A twin lists the same machine; elsewhere the same id is another machine."""

    def told(cloud: Cloud) -> None:
        if cloud.now - cloud.machine.launched >= timedelta(minutes=20):
            store.append(Fact("cost.turned_off", "cost", target, {"kind": "instance", "id": "i-1"}, at=cloud.now))

    at_work = replace(work(store, Cloud(asleep=reboots(20, told))), twins=["all"])
    assert at_work.run(at_work.begin(Planned(PLANNED))).stage == ends


def test_one_stop_by_a_schedule_does_not_excuse_the_restarts_after_it(store: Store) -> None:
    def told(cloud: Cloud) -> None:
        if cloud.now - BEGAN > timedelta(minutes=5) and "cost.turned_off" not in [entry.kind for entry in store.entries()]:
            store.append(Fact("cost.turned_off", "cost", "eu-1", {"kind": "instance", "id": "i-1"}, at=cloud.now))

    cloud = Cloud(asleep=reboots(20, told))
    done = finished(store, cloud)
    assert (done.stage, done.restarts, cloud.machine.machine) == ("rolled back", 3, "m4")


def test_a_schedule_that_stopped_it_under_another_name_is_no_failure(store: Store) -> None:
    def office(cloud: Cloud) -> None:
        if cloud.now > BEGAN + timedelta(minutes=9) and cloud.machine.machine == "m2":
            with store.writing() as connection:
                documents.put(connection, "cost.stopped", "all/instance/i-1", {"schedule": "office"}, cloud.now)
            cloud.machine = replace(cloud.machine, state="stopped")

    at_work = replace(work(store, Cloud(asleep=office)), twins=["all"])
    with pytest.raises(StillRunning, match="is not watched to the end") as off:
        at_work.run(at_work.begin(Planned(PLANNED)))
    assert "the schedule office has stopped it" in off.value.why


def test_room_for_the_type_before_is_asked_for_ever_more_slowly_while_it_would_be_watched(store: Store) -> None:
    cloud = Cloud(dies=frozenset({"m2"}), refuses={"start m4": QuotaExceeded("no room")})

    def room(cloud: Cloud) -> None:
        if cloud.calls.count("start m4") == 12:
            cloud.refuses.clear()

    cloud.asleep = room
    done = finished(store, cloud)
    assert (done.stage, cloud.machine.machine, cloud.machine.state) == ("rolled back", "m4", "running")
    assert cloud.calls.count("start m4") == 13
    assert "stuck" not in events(store)

    never = Cloud(dies=frozenset({"m2"}), refuses={"start m4": QuotaExceeded("no room")})
    at_work = work(store, never)
    with pytest.raises(McmlError, match="is stuck, and may not run") as stuck:
        at_work.run(at_work.begin(Planned(replace(PLANNED, id="rs-2"))))
    assert f"mcml cost rightsize keep {KEY} starts it as it is" in stuck.value.next_step
    assert timedelta(minutes=28) < never.now - BEGAN < timedelta(minutes=32), "for as long as it would be watched"
    assert never.calls.count("start m4") < 40
    assert facts(store, "stuck")["problem"] == "no room"


def test_room_is_asked_for_for_days_and_once_by_who_does_not_wait(store: Store) -> None:
    cloud = Cloud(dies=frozenset({"m2"}), refuses={"start m4": QuotaExceeded("no room")})
    at_work = work(store, cloud)
    with pytest.raises(PartlyDone, match="on its way back to m4") as left:
        at_work.run(at_work.begin(Planned(replace(PLANNED, watch=8 * 3600))), wait=False)
    assert (left.value.why, left.value.next_step) == ("no room", f"mcml cost rightsize apply {KEY}")
    assert (cloud.calls.count("start m4"), known(store, KEY).stage) == (1, "start")
    assert cloud.now - BEGAN < timedelta(minutes=1)

    never = Cloud(dies=frozenset({"m2"}), refuses={"start m4": QuotaExceeded("no room")})
    at_work = work(store, never)
    with pytest.raises(McmlError, match="is stuck, and may not run"):
        at_work.run(at_work.begin(Planned(replace(PLANNED, id="rs-2", key="eu-1/i-2", watch=20 * 3600))))
    assert never.calls.count("start m4") > 1024
    assert never.now - BEGAN > timedelta(hours=19)


class Slow(Cloud):
    """As EC2, where a machine that stops runs for a minute and a half more by what it says."""

    off: datetime | None = None

    def stop(self, instance: str) -> Instance:
        self._called(f"stop {self.machine.machine}")
        self.off = self.off or self.now + timedelta(seconds=90)
        return self.machine

    def list(self, tags: Mapping[str, str] | None = None) -> builtins.list[Instance]:
        if self.off and self.now >= self.off:
            self.machine, self.off = replace(self.machine, state="stopped"), None
        return super().list(tags)


def test_one_that_is_kept_while_it_is_being_stopped_runs_in_the_end(store: Store) -> None:
    ended: list[Change] = []

    def kept(cloud: Cloud) -> None:
        if not ended and cloud.calls[-1] == "stop m2":
            other = work(store, cloud)
            change = other.taken_up(KEY)
            ended.append(change)
            ended[0] = other.run(other.keep(change))

    cloud = Slow(measures={"machine.memory": full}, asleep=kept)
    at_work = work(store, cloud)
    with pytest.raises(McmlError):
        at_work.run(at_work.begin(Planned(PLANNED)))
    (done,) = ended
    assert (done.stage, done.kept) == ("done", "machine.memory was 0.99, above 0.98")
    cloud.now += timedelta(minutes=5)
    (machine,) = cloud.list()
    assert (machine.machine, machine.state, known(store, KEY).stage) == ("m2", "running", "done")
    assert cloud.calls[-1] == "start m2"


def test_a_stuck_machine_is_kept_as_it_is(store: Store) -> None:
    cloud = Cloud(measures={"machine.memory": full}, refuses={"resize m4": QuotaExceeded("no room")})
    at_work = work(store, cloud)
    with pytest.raises(McmlError, match="is stuck"):
        at_work.run(at_work.begin(Planned(PLANNED)))
    assert cloud.machine.state == "stopped"
    assert keepable(store, KEY).stage == "stuck"
    cloud.refuses = {"start m2": InvalidRequest("it is locked")}
    again = work(store, cloud)
    with pytest.raises(McmlError, match="is stuck") as stuck:
        again.run(again.keep(again.taken_up(KEY)))
    assert stuck.value.why == "it is locked; it is kept"
    cloud.refuses = {}
    done = finished(store, cloud)
    assert (done.stage, cloud.machine.machine, cloud.machine.state) == ("done", "m2", "running"), "apply goes on with what was wished last"
    assert done.kept == "machine.memory was 0.99, above 0.98"
    assert facts(store, "done")["kept"] == done.kept
    assert [entry.facts["well"] for entry in store.entries() if entry.kind == "cost.rightsize_watched"] == [False]
    with pytest.raises(Conflict, match="there is nothing to keep"):
        keepable(store, KEY)
    assert undoable(store, KEY) == done


def test_a_watch_that_is_ended_by_hand_and_a_machine_that_has_gone_back_already(store: Store) -> None:
    cloud = Cloud()
    at_work = work(store, cloud)
    at_work.run(at_work.begin(Planned(PLANNED)), wait=False)
    other = work(store, cloud)
    done = other.keep(other.taken_up(KEY))
    assert (done.stage, done.kept, done.ended) == ("done", "its watch was ended by hand", cloud.now)
    assert events(store)[-1] == "done"

    back = Cloud(dies=frozenset({"m2"}), refuses={"start m4": InvalidRequest("it is locked")})
    at_work = work(store, back)
    with pytest.raises(McmlError, match="is stuck"):
        at_work.run(at_work.begin(Planned(replace(PLANNED, id="rs-2"))))
    with pytest.raises(Conflict, match="there is nothing to keep"):
        other = work(store, back)
        other.keep(other.taken_up(KEY))


def test_a_machine_that_two_targets_list_has_its_changes_under_one_name(store: Store) -> None:
    cloud = Cloud()
    first = replace(work(store, cloud), twins=["eu-2"])
    assert first.run(first.begin(Planned(PLANNED))).stage == "done"
    named = replace(PLANNED, id="rs-2", key="eu-2/i-1", target="eu-2", before="m2", after="m1", told="m2")
    second = replace(work(store, cloud), twins=["eu-1"])
    with pytest.raises(OtherName, match="eu-2/i-1 is eu-1/i-1") as refused:
        second.begin(Planned(named))
    assert refused.value.next_step == "mcml cost rightsize apply eu-1/i-1"
    assert [change.key for change in every(store)] == ["eu-1/i-1"]
    far = work(store, cloud)
    assert far.begin(Planned(named)).key == "eu-2/i-1", "elsewhere the same id is another machine"


def test_a_change_that_ended_while_somebody_was_asked_is_not_opened_again(store: Store) -> None:
    cloud = Cloud()
    at_work = work(store, cloud)
    at_work.run(at_work.begin(Planned(PLANNED)), wait=False)
    finished(store, cloud)
    other = work(store, cloud)
    with pytest.raises(Conflict, match="there is nothing to keep"):
        other.keep(other.taken_up(KEY))
    assert events(store).count("done") == 1


def test_one_that_is_kept_before_its_stop_was_sent_runs_on(store: Store) -> None:
    """Its way back is written down, and mcml is killed: nobody has told it to stop."""
    cloud = Cloud()
    at_work = work(store, cloud)
    back = at_work.undo(at_work.run(at_work.begin(Planned(PLANNED)), wait=False))
    assert (back.stage, back.stopping) == ("stop", False)
    other = work(store, cloud)
    kept = other.run(other.keep(other.taken_up(KEY)))
    assert (kept.stage, cloud.machine.machine, cloud.machine.state) == ("done", "m2", "running")
    assert [call for call in cloud.calls if call.startswith(("stop", "start"))] == ["stop m4", "start m2"]


def test_one_that_is_kept_and_that_a_person_has_started_is_not_stopped_again(store: Store) -> None:
    cloud = Cloud(measures={"machine.memory": full}, refuses={"resize m4": QuotaExceeded("no room")})
    at_work = work(store, cloud)
    with pytest.raises(McmlError, match="is stuck"):
        at_work.run(at_work.begin(Planned(PLANNED)))
    cloud.refuses = {"start m2": QuotaExceeded("no room")}
    at_work = work(store, cloud)
    with pytest.raises(McmlError, match="is stuck"):
        at_work.run(at_work.keep(at_work.taken_up(KEY)))
    cloud.machine, calls = replace(cloud.machine, state="running"), len(cloud.calls)
    at_work = work(store, cloud)
    done = at_work.run(at_work.resume(KEY))
    assert (done.stage, cloud.machine.state, cloud.calls[calls:]) == ("done", "running", [])
