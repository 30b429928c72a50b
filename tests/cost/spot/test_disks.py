"""What is left of a job when its command has ended: stopped from here too, told, and deleted when somebody says so."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mcml.core.errors import Conflict, ProviderCannot
from mcml.cost.spot import disks, views
from mcml.cost.spot.site import Site
from mcml.providers.api.inventory import Blocker, Resource
from mcml.store.db import Store
from tests.cost.spot.cloud import BEGAN, FALLBACK, Cloud
from tests.cost.spot.test_supervise import ORDER, cloud, finished, store, supervisor

__all__ = ["store"]


class Bin:
    """An inventory of the machines of a cloud."""

    def __init__(self, place: Cloud) -> None:
        self.place = place

    def find_by_tag(self, tags: object) -> list[Resource]:
        return [Resource("instance", one.id, "r", one.tags) for one in self.place.list(tags)]  # type: ignore[arg-type]

    def blockers(self, resources: object) -> list[Blocker]:
        return []

    def delete(self, resource: Resource) -> bool:
        return self.place.machines.pop(resource.id, None) is not None


def test_a_machine_that_shut_itself_down_is_told_to_stop_for_it_may_be_charged_for(store: Store) -> None:
    """As on Azure: stopped from inside is not deallocated."""
    place = cloud([True])
    stopped: list[str] = []

    class Told(Cloud):
        def stop(self, instance: str) -> object:  # type: ignore[override]
            stopped.append(instance)
            return super().stop(instance)

    place = Told(place.up, place.work, place.restart, place.checkpoint)

    def ends(seconds: float) -> None:
        place.sleep(seconds)
        for one in place.running():
            place.machines[one.id] = replace(one, state="stopped")

    at_work = replace(supervisor(store, place), sleep=ends)
    record = at_work.run(at_work.begin("train", ORDER))
    assert (record.state, record.failures, record.leaving) == ("failed", 3, ())
    assert stopped == list(place.tokens.values())


def test_what_is_left_is_said_and_deleted_and_the_fallback_that_is_somebodys_own_is_not(store: Store) -> None:
    place = cloud([True] * 10 + [False] * 5 + [True] * 1000)
    record = finished(store, place)
    for number, one in enumerate([one for one in place.machines.values() if one.spot]):
        place.machines[one.id] = replace(one, state="stopped" if number else "interrupted", disks=("disk/a", "disk/b"))
    spot = sorted(one.id for one in place.machines.values() if one.spot)
    sites = {"eu-1": Site(place, "local", "r", Bin(place)), "eu-2": Site(place, "local", "r", Bin(place))}
    found = disks.deletable(record, sites)
    assert sorted(one.instance.id for one in found) == spot, "two targets list each once"
    many = "s are" if len(spot) > 1 else " is"
    told = f"{len(spot)} stopped machine{many} left of train, and {2 * len(spot)} disks cost on: mcml cost spot clean train deletes them"
    assert disks.said("train", found) == told
    (first, *_) = views.left(found).items
    assert isinstance(first, dict)
    assert list(first) == ["name", "machine", "state", "disks", "since"]
    assert (first["name"], first["machine"], first["disks"]) == (found[0].name, "m1", 2)
    disks.delete(record, found, sites, store, place.clock)
    assert list(place.machines) == [FALLBACK]
    assert [entry.facts["id"] for entry in store.entries() if entry.kind == "cost.spot_deleted"] == [one.instance.id for one in found]
    assert disks.said("train", disks.left("train", sites)) == ""


def test_nothing_of_a_job_that_runs_is_deleted_and_what_cannot_be_is_said(store: Store) -> None:
    place = cloud([True])
    at_work = supervisor(store, place)
    record = at_work.look(at_work.begin("train", ORDER))
    with pytest.raises(Conflict, match="is not over") as running:
        disks.deletable(record, at_work.sites)
    assert running.value.next_step == "mcml cost spot stop train"
    over = at_work.stop("train")
    found = disks.deletable(over, at_work.sites)
    assert len(found) == 1
    assert found[0].since - BEGAN < timedelta(minutes=1)
    with pytest.raises(ProviderCannot, match="cannot be deleted"):
        disks.delete(over, found, at_work.sites, store, place.clock)
