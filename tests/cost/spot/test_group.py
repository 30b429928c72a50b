"""A spot job whose fallback is a group: it has one member while the job is on demand, and none before and after."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, Unavailable
from mcml.cost.spot.order import Fallback
from mcml.cost.spot.site import Site, fallback
from mcml.cost.spot.supervise import Supervisor
from mcml.providers.api.groups import Group
from mcml.providers.api.instances import Instance
from mcml.store.db import Store
from tests.cost.spot.cloud import FALLBACK, Cloud
from tests.cost.spot.rig import LAUNCHED, ORDER, Told, cloud, events, store, supervisor

__all__ = ["store"]
MEMBER = "trainers-1"
GROUPED = replace(ORDER, fallback=Fallback("eu-1", group="trainers"))
URGENT = replace(GROUPED, deadline=3600 + 60 + 120 + 60)
"""On demand from its first tick on where there is no spot."""


@dataclass
class Trainers:
    """A group of a cloud whose template runs the job. `refuses`: what the next resizes to 1 raise, though the wanted size stands; while it
    is `full`, the wanted size is taken, and no member comes."""

    place: Cloud
    desired: int = 0
    sizes: list[int] = field(default_factory=list)
    refuses: list[McmlError] = field(default_factory=list)
    full: bool = False

    def list(self, tags: Mapping[str, str] | None = None) -> "list[Group]":
        return [self.size("trainers")]

    def size(self, group: str) -> Group:
        if group != "trainers":
            raise NotFound(f"no group {group}")
        running = sum(one.id == MEMBER for one in self.place.running())
        return Group("trainers", "m1", self.desired, running, 0, 3)

    def resize(self, group: str, desired: int) -> Group:
        self.sizes.append(desired)
        self.desired = desired
        if desired and self.refuses:
            raise self.refuses.pop()
        if desired and self.full:
            return self.size(group)
        self.place.busy.pop(MEMBER, None)
        machine = Instance(MEMBER, "m1", "z", "running" if desired else "stopped", self.place.now, group="trainers")
        self.place.machines[MEMBER] = machine
        self.place.most = max(self.place.most, len(self.place.running()))
        return self.size(group)


def supervised(store: Store, place: Cloud, group: Trainers) -> Supervisor:
    return replace(supervisor(store, place), sites={"eu-1": Site(place, "local", "r", groups=group)})


def test_a_job_falls_back_on_a_group_that_grows_the_third_time_and_leaves_it_empty(store: Store) -> None:
    quick = replace(ORDER, restart=4, checkpoint=6, fallback=Fallback("eu-1", group="trainers"))
    place = cloud([True] * 20 + [False] * 70 + [True] * 100, quick)
    group = Trainers(place, refuses=[QuotaExceeded("no room"), Unavailable("no answer")])
    at_work = supervised(store, place, group)
    record = at_work.run(at_work.begin("train", quick))
    assert (record.state, record.late, record.leaving, place.running(), group.desired) == ("done", False, (), [], 0)
    assert record.on_demand_seconds > 0
    assert events(store).count("moved") >= 2
    moved = [entry.facts["place"] for entry in store.entries() if entry.kind == "cost.spot_moved" and entry.facts["market"] == "on-demand"]
    assert set(moved) == {"eu-1/trainers"}
    assert set(group.sizes) == {0, 1}
    assert place.machines[FALLBACK].state == "stopped", "nobody has asked for it"


def test_a_stop_empties_the_group(store: Store) -> None:
    place = cloud([False], URGENT)
    group = Trainers(place)
    at_work = supervised(store, place, group)
    record = at_work.look(at_work.begin("train", URGENT))
    assert (record.place and record.place.word, group.size("trainers").running) == ("on-demand", 1)
    assert at_work.resume("train") == record
    assert at_work.stop("train").leaving == ()
    assert (place.running(), group.desired) == ([], 0)


def test_a_group_with_members_or_without_room_for_one_is_no_fallback() -> None:
    place = cloud([True])
    group = Trainers(place)
    site = Site(place, "local", "r", groups=group)
    assert fallback(site, "eu-1", "trainers") == Fallback("eu-1", group="trainers")
    group.desired = 1
    with pytest.raises(InvalidRequest, match="is no fallback") as full:
        fallback(site, "eu-1", "trainers")
    assert full.value.why == "its size is 1, its limits are 0 to 3"
    with pytest.raises(NotFound, match="and no group"):
        fallback(Site(place, "local", "r"), "eu-1", "trainers")


def test_two_jobs_do_not_fall_back_on_one_group_or_one_machine(store: Store) -> None:
    """The one that ends first would end the machine of the other."""
    place = cloud([False], URGENT)
    group = Trainers(place)
    first = supervised(store, place, group)
    record = first.look(first.begin("train", URGENT))
    with pytest.raises(Conflict, match="eu-1/trainers is taken") as taken:
        supervised(store, place, group).begin("eval", GROUPED)
    assert taken.value.next_step == "name another --fallback, or mcml cost spot stop train"
    supervisor(store, place).begin("other", ORDER)
    with pytest.raises(Conflict, match=f"eu-1/{FALLBACK} is taken"):
        supervisor(store, place).begin("eval", ORDER)
    assert (first.resume("train"), group.desired) == (record, 1)
    first.stop("train")
    assert supervised(store, place, group).begin("eval", GROUPED).state == "running", "once it is over, another may have it"


def test_jobs_that_launch_their_fallback_have_one_each(store: Store) -> None:
    place = cloud([True])
    assert [supervisor(store, place).begin(name, LAUNCHED).state for name in ("train", "eval")] == ["running"] * 2


def test_the_members_of_others_stay_whoever_stops_the_job(store: Store) -> None:
    """A job that never used its group is stopped from elsewhere while its supervisor looks."""
    place = cloud([True], GROUPED)
    group = Trainers(place)
    at_work = supervised(store, place, group)
    record = at_work.look(at_work.begin("train", GROUPED))
    group.desired = 3
    supervised(store, place, group).stop("train")
    over = at_work.run(record)
    assert (over.state, over.leaving, group.sizes, group.desired, place.running()) == ("stopped", (), [], 3, [])


def test_a_group_that_others_have_grown_by_then_is_no_place_to_go(store: Store) -> None:
    place = cloud([False], URGENT)
    group = Trainers(place)
    at_work = supervised(store, place, group)
    begun = at_work.begin("train", URGENT)
    group.desired = 3
    record = at_work.look(begun)
    assert (record.place, record.leaving, group.sizes, group.desired) == (None, (), [], 3)


def test_a_group_whose_cloud_has_no_room_is_waited_for_and_no_failure(store: Store) -> None:
    """The wanted size stands at once; three times the start of a machine, and more, pass until its member comes."""
    place = cloud([False], URGENT)
    group = Trainers(place, full=True)
    told: list[str] = []
    at_work = replace(supervised(store, place, group), reporter=Told(told))
    record = at_work.begin("train", URGENT)
    for _ in range(20):
        record = at_work.look(record)
        place.sleep(60)
    assert (record.state, record.failures, record.place and record.place.name) == ("running", 0, "eu-1/trainers")
    assert (events(store).count("moved"), group.sizes, told[-1]) == (1, [1], "eu-1/trainers has no member yet")
    group.full = False
    group.resize("trainers", 1)
    over = at_work.run(record)
    assert (over.state, over.late, over.failures, place.running(), group.desired) == ("done", True, 0, [], 0)


def test_a_group_that_somebody_emptied_is_asked_again(store: Store) -> None:
    place = cloud([False], URGENT)
    group = Trainers(place)
    at_work = supervised(store, place, group)
    record = at_work.look(at_work.begin("train", URGENT))
    group.resize("trainers", 0)
    place.sleep(120)
    record = at_work.look(record)
    assert (record.place and record.place.name, record.failures, group.desired, len(place.running())) == ("eu-1/trainers", 0, 1, 1)


REFUSALS = [NotAuthenticated("no right to see groups"), InvalidRequest("no name of a group")]


@pytest.mark.parametrize("refusal", REFUSALS, ids=["closed", "no name"])
def test_a_machine_type_needs_no_right_to_see_groups(refusal: McmlError) -> None:
    class Closed(Trainers):
        def size(self, group: str) -> Group:
            raise refusal

    place = cloud([True])
    assert fallback(Site(place, "local", "r", groups=Closed(place)), "eu-1", "m1") == Fallback("eu-1", machine="m1")
