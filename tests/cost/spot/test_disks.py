"""What is left of a job when its command has ended: stopped from here too, told, and deleted when somebody says so."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from mcml.cli.cost.spot.supervisor import note_left
from mcml.cli.session import Common, Session
from mcml.core.errors import Conflict, ProviderCannot
from mcml.cost.spot import disks, views
from mcml.cost.spot.site import Site
from mcml.providers.api.instances import Instance
from mcml.providers.api.inventory import Blocker, Resource
from mcml.store.db import Store
from tests.cost.spot.cloud import BEGAN, FALLBACK, Cloud
from tests.cost.spot.rig import ORDER, cloud, finished, store, supervisor

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
    assert record.switches == 0, "what had ended was not left for another"


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
    assert disks.said("train", found) == [told]
    (first, *_) = views.left(found).items
    assert isinstance(first, dict)
    assert list(first) == ["name", "machine", "state", "disks", "since"]
    assert (first["name"], first["machine"], first["disks"]) == (found[0].name, "m1", 2)
    disks.delete(record, found, sites, store, place.clock)
    assert list(place.machines) == [FALLBACK]
    assert [entry.facts["id"] for entry in store.entries() if entry.kind == "cost.spot_deleted"] == [one.instance.id for one in found]
    assert disks.said("train", disks.every(record, sites)) == []


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


def test_what_its_cloud_took_back_with_its_disks_is_not_left(store: Store) -> None:
    """As EC2, which lists a spot machine that it took back for an hour; Azure keeps one with its disks."""
    place = cloud([True])
    record = finished(store, place)
    one = next(one for one in place.machines.values() if one.spot)
    sites = {"eu-1": Site(place, "aws", "r", Bin(place))}
    place.machines[one.id] = replace(one, state="interrupted", disks=())
    assert (disks.deletable(record, sites), disks.said("train", disks.every(record, sites))) == ([], [])
    place.machines[one.id] = replace(one, state="interrupted", disks=("disk/a",))
    assert [found.instance.id for found in disks.deletable(record, sites)] == [one.id]


def test_one_that_cannot_be_deleted_keeps_no_other_from_it(store: Store) -> None:
    place = cloud([True])
    record = finished(store, place)
    spot = next(one for one in place.machines.values() if one.spot)
    place.machines |= {name: replace(spot, id=name, state="stopped") for name in (spot.id, "spot-9")}

    class Half(Bin):
        def find_by_tag(self, tags: object) -> list[Resource]:
            return [one for one in super().find_by_tag(tags) if one.id == "spot-9"]

    sites = {"eu-1": Site(place, "local", "r", Half(place))}
    found = disks.deletable(record, sites)
    assert [one.instance.id for one in found] == [spot.id, "spot-9"]
    with pytest.raises(ProviderCannot, match=f"^eu-1/{spot.id} cannot be deleted"):
        disks.delete(record, found, sites, store, place.clock)
    assert [entry.facts["id"] for entry in store.entries() if entry.kind == "cost.spot_deleted"] == ["spot-9"]
    assert [one.instance.id for one in disks.left(record, sites)] == [spot.id]


class Told(Session):
    """A session at some time, which keeps what is said."""

    def __init__(self, now: datetime) -> None:
        super().__init__(Common(), clock=lambda: now)
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_the_clouds_of_a_job_are_asked_what_is_left_for_a_week(store: Store) -> None:
    place = cloud([True])
    record = finished(store, place)
    assert record.ended is not None
    place.machines |= {one.id: replace(one, state="stopped") for one in place.machines.values() if one.spot}
    asked: list[object] = []

    class Asked(Bin):
        def list(self, tags: object) -> list[Instance]:
            asked.append(tags)
            return self.place.list(tags)  # type: ignore[arg-type]

    at_work = replace(supervisor(store, place), sites={"eu-1": Site(Asked(place), "local", "r")})  # type: ignore[arg-type]
    for days, count in ((6, 1), (8, 0)):
        session = Told(record.ended + timedelta(days=days))
        asked.clear()
        note_left(session, record, at_work)
        assert (len(asked), len(session.said)) == (count, count)
