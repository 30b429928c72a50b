"""How a supervised job ends: by itself, from outside, twice at once, with a cloud that does not answer; and nothing is left running."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

import pytest

from mcml.core.errors import Conflict, InvalidRequest, NotAuthenticated, Unavailable
from mcml.cost.spot.order import Fallback, Record
from mcml.cost.spot.site import Site, tags_of
from mcml.cost.spot.supervise import Supervisor
from mcml.providers.api.instances import Instance, MachineRequest
from mcml.providers.api.inventory import Blocker, Resource
from mcml.store.db import Store
from tests.cost.spot.cloud import BEGAN, FALLBACK, Cloud
from tests.cost.spot.rig import ORDER, Told, cloud, events, store, supervisor

__all__ = ["store"]


def test_who_is_told_to_leave_off_leaves_the_job_as_it_is_and_a_stop_is_heard_first(store: Store) -> None:
    place = cloud([True])
    at_work = replace(supervisor(store, place), sleep=lambda _: True)
    record = at_work.run(at_work.begin("train", ORDER))
    assert (record.state, len(place.running())) == ("running", 1)

    def stopped_meanwhile(_: float) -> bool:
        supervisor(store, place).stop("train")
        return True

    later = replace(supervisor(store, place), sleep=stopped_meanwhile)
    assert later.run(later.resume("train")).state == "stopped"
    assert place.running() == []


def test_a_command_that_never_saves_is_given_up(store: Store) -> None:
    place = cloud([True])

    def fails(seconds: float) -> None:
        place.sleep(seconds)
        for one in place.running():
            place.machines[one.id] = replace(one, state="terminated")

    at_work = replace(supervisor(store, place), sleep=fails)
    record = at_work.run(at_work.begin("train", ORDER))
    assert (record.state, record.failures, len(place.tokens), place.running()) == ("failed", 3, 3, [])


def test_a_stop_from_elsewhere_ends_it_and_a_second_one_who_looks_after_it_leaves_off(store: Store) -> None:
    place = cloud([True])
    first, second = supervisor(store, place), supervisor(store, place)
    record = first.look(first.begin("train", ORDER))
    taken_up = second.look(second.resume("train"))
    with pytest.raises(Conflict, match="changed meanwhile"):
        first.look(record)
    third = supervisor(store, place)
    third.end(third.resume("train"), "stopped")
    assert place.running() == []
    place.request(MachineRequest("m1", "asked for meanwhile", tags=tags_of(record)))
    assert len(place.running()) == 1
    assert second.run(taken_up).state == "stopped"
    assert place.running() == []


class Behind(Supervisor):
    """Always reads the record a moment before the one who looks after the job writes it, so often."""

    def resume(self, name: str) -> Record:
        record = super().resume(name)
        if self.busy:  # type: ignore[attr-defined]
            self.busy.pop()()  # type: ignore[attr-defined]
        return record


def test_a_stop_is_heard_however_busy_the_one_is_who_looks_after_the_job(store: Store) -> None:
    place = cloud([True])
    at_work = supervisor(store, place)
    at_work.look(at_work.begin("train", ORDER))
    behind = Behind(**{name: getattr(supervisor(store, place), name) for name in ("store", "sites", "progress", "clock", "reporter")})
    behind.busy = [lambda: at_work.look(at_work.resume("train"))] * 5  # type: ignore[attr-defined]
    stopped = behind.stop("train")
    assert (stopped.state, stopped.leaving, place.running()) == ("stopped", (), [])
    assert events(store).count("ended") == 1
    assert at_work.run(at_work.resume("train")).state == "stopped"
    assert behind.stop("train").state == "stopped", "twice is as once"


class Meddled(Cloud):
    """While a machine is being stopped, somebody else does the same."""

    meanwhile: ClassVar[list[Callable[[], object]]] = []

    def stop(self, instance: str) -> Instance:
        if self.meanwhile:
            self.meanwhile.pop()()
        return super().stop(instance)


def test_two_who_end_the_same_job_do_not_trip_over_each_other(store: Store) -> None:
    place = Meddled([True], ORDER.work, ORDER.restart, ORDER.checkpoint)
    first, second = supervisor(store, place), supervisor(store, place)
    taken_up = first.look(first.begin("train", ORDER))
    Meddled.meanwhile.append(lambda: first.run(first.look(taken_up)))
    stopped = second.stop("train")
    assert (stopped.state, stopped.leaving, place.running()) == ("stopped", (), [])
    assert events(store).count("ended") == 1


@dataclass
class Outage:
    """A cloud that answers nothing from a moment on."""

    place: Cloud
    since: datetime

    def __getattr__(self, name: str) -> Any:
        """Return what the cloud does, or a way to be refused."""
        if self.place.now < self.since or name == "notices":
            return getattr(self.place, name)
        raise Unavailable("the cloud does not answer")


@pytest.mark.parametrize("stays", [False, True])
def test_a_cloud_that_goes_silent_with_the_job_on_it_does_not_make_it_late(store: Store, *, stays: bool) -> None:
    """Its machine is lost too, or works on unheard; either way no price, no list, no request and no stop is answered there any more."""
    place = cloud([True] * 20 + [stays] * 200)
    order = replace(ORDER, fallback=Fallback("us-1", FALLBACK))
    sites = {"eu-1": Site(Outage(place, BEGAN + timedelta(minutes=20)), "local", "r"), "us-1": Site(place, "local", "r")}
    at_work = replace(supervisor(store, place), sites=sites)
    record = at_work.run(at_work.begin("train", order))
    assert (record.state, record.late) == ("done", False)
    assert (record.on_demand_seconds > 0) is not stays
    if not stays:
        assert [one.target for one in record.leaving] == ["eu-1"], "what could not be stopped is not forgotten, once"
        sites["eu-1"] = sites["us-1"]
        assert at_work.run(record).leaving == ()


class Once(Cloud):
    """A cloud whose spot machines are never stopped, only deleted; it is its own inventory."""

    def stop(self, instance: str) -> Instance:
        """Stop one that is on demand."""
        if self.machines[instance].spot:
            raise InvalidRequest("a spot machine that was asked for once is not stopped")
        return super().stop(instance)

    def find_by_tag(self, tags: Mapping[str, str]) -> list[Resource]:
        """The machines with these tags, by the names that an inventory has for them."""
        return [Resource("instance", f"arn:instance/{one.id}", "r", one.tags) for one in self.list(tags)]

    def blockers(self, resources: Sequence[Resource]) -> list[Blocker]:
        """None."""
        return []

    def delete(self, resource: Resource) -> bool:
        """Delete one."""
        del self.machines[resource.id.rpartition("/")[2]]
        return True


def test_a_machine_that_its_cloud_never_stops_is_deleted_or_said_to_run_on(store: Store) -> None:
    place = Once([True], ORDER.work, ORDER.restart, ORDER.checkpoint)
    at_work = replace(supervisor(store, place), sites={"eu-1": Site(place, "local", "r", place)})
    at_work.end(at_work.look(at_work.begin("train", ORDER)), "stopped")
    assert list(place.machines) == [FALLBACK]

    place.sleep(60)
    told: list[str] = []
    alone = replace(supervisor(store, place), reporter=Told(told))
    alone.end(alone.look(alone.begin("train", ORDER)), "stopped")
    assert len(place.running()) == 1
    assert any("still runs" in sentence for sentence in told)


def test_a_machine_whose_cloud_refuses_our_login_stays_on_the_list_until_it_is_stopped(store: Store) -> None:
    class Locked(Cloud):
        """Takes no stop while the login has expired."""

        locked = False

        def stop(self, instance: str) -> Instance:
            if self.locked:
                raise NotAuthenticated("the token has expired")
            return super().stop(instance)

    place = Locked([True] * 60, ORDER.work, ORDER.restart, ORDER.checkpoint)
    at_work = supervisor(store, place)
    at_work.look(at_work.begin("train", ORDER))
    place.locked = True
    ended = supervisor(store, place).stop("train")
    assert (ended.state, len(ended.leaving)) == ("stopped", 1)
    place.locked = False
    assert supervisor(store, place).stop("train").leaving == ()
    assert place.running() == []


def test_an_end_that_was_cut_off_is_made_whole(store: Store) -> None:
    place = cloud([True], silent=frozenset({2}))
    at_work = supervisor(store, place)
    record = at_work.look(at_work.begin("train", ORDER))
    assert at_work.end(record, "stopped").leaving != ()
    assert len(place.running()) == 1
    later = supervisor(store, place)
    assert later.run(later.resume("train")).state == "stopped"
    assert place.running() == []
