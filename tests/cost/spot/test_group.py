"""A spot job whose fallback is a group: it has one member while the job is on demand, and none before and after."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from mcml.core.errors import InvalidRequest, McmlError, NotFound, QuotaExceeded, Unavailable
from mcml.cost.spot.order import Fallback
from mcml.cost.spot.site import Site, fallback
from mcml.cost.spot.supervise import Supervisor
from mcml.providers.api.groups import Group
from mcml.providers.api.instances import Instance
from mcml.store.db import Store
from tests.cost.spot.cloud import FALLBACK, Cloud
from tests.cost.spot.rig import ORDER, cloud, events, store, supervisor

__all__ = ["store"]
MEMBER = "trainers-1"


@dataclass
class Trainers:
    """A group of a cloud whose template runs the job. `refuses`: what the next resizes to 1 raise, though the wanted size stands."""

    place: Cloud
    desired: int = 0
    sizes: list[int] = field(default_factory=list)
    refuses: list[McmlError] = field(default_factory=list)

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
    order = replace(ORDER, deadline=3600 + 60 + 120 + 60, fallback=Fallback("eu-1", group="trainers"))
    place = cloud([False], order)
    group = Trainers(place)
    at_work = supervised(store, place, group)
    record = at_work.look(at_work.begin("train", order))
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
