"""A supervised job in a cloud by script: in time on any market, whoever is killed when, and nothing is left running."""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, Unavailable
from mcml.core.report import Silent
from mcml.cost.spot import market
from mcml.cost.spot.job import Choice
from mcml.cost.spot.market import Memory, ranked
from mcml.cost.spot.order import Candidate, Fallback, Order, Place, Record, read
from mcml.cost.spot.site import Site, fallback
from mcml.cost.spot.supervise import Supervisor
from mcml.providers.api.instances import Instance, MachineRequest
from mcml.providers.api.inventory import Blocker, Resource
from mcml.store.db import Store
from tests.cost.spot.cloud import BEGAN, FALLBACK, Cloud, Killed, Warned

PLACES = (Candidate("eu-1", "m1"), Candidate("eu-1", "m2"))
ORDER = Order(("train",), PLACES, Fallback("eu-1", FALLBACK), 3600, 7200, 60, 120, 60, "progress")
LAUNCHED = replace(ORDER, fallback=Fallback("eu-1", machine="m1"))

MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None
"""A job writes its state down hundreds of times, each with fsync."""


@pytest.fixture
def store() -> Iterator[Store]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, Store(f"sqlite:///{folder}/mcml.db") as store:
        yield store


def cloud(up: list[bool], order: Order = ORDER, launch: int = 0, **calls: Any) -> Cloud:
    return Cloud(up, order.work, order.restart - launch, order.checkpoint, launch=launch, **calls)


def supervisor(store: Store, place: Cloud) -> Supervisor:
    return Supervisor(store, {"eu-1": Site(place, "local", "r")}, lambda: place.saved, place.clock, Silent(), place.sleep)


def finished(store: Store, place: Cloud, order: Order = ORDER) -> Record:
    """Run a job to its end, by as many mcml as are killed on the way; a minute passes until somebody starts the next one."""
    begun = False
    for _ in range(100):
        at_work = supervisor(store, place)
        try:
            if not begun:
                at_work.begin("train", order)
                begun = True
            return at_work.run(at_work.resume("train"))
        except Killed:
            place.sleep(60)
    raise AssertionError("it never ends")


def events(store: Store) -> list[str]:
    return [entry.kind.removeprefix("cost.spot_") for entry in store.entries()]


def test_spot_that_stays_is_kept_to_the_end_and_saves_two_thirds(store: Store) -> None:
    place = cloud([True])
    record = finished(store, place)
    assert (record.state, record.late, record.interruptions, record.on_demand_seconds) == ("done", False, 0, 0)
    assert record.cost == pytest.approx(Decimal(3660), abs=120)  # 1 a second, and up to a tick until it is noticed
    assert place.running() == []
    assert events(store) == ["started", "moved", "ended"]
    told = store.entries()[-1].facts
    assert (told["done"], told["currency"], told["on_demand_cost"]) == (1.0, "USD", "10980")
    assert Decimal(str(told["saved"])) == Decimal("10980") - Decimal(str(told["cost"]))


def test_without_spot_it_waits_while_it_can_and_ends_on_demand_in_time(store: Store) -> None:
    place = cloud([False])
    record = finished(store, place)
    assert (record.state, record.late, record.spot_seconds) == ("done", False, 0)
    assert record.ended is not None
    assert record.ended <= record.due
    assert record.on_demand_seconds < 3600 + 60 + 120 + 60
    assert market.every(store)["eu-1/m1"].refused >= 1


def test_an_interruption_falls_back_in_time_and_comes_back_to_spot(store: Store) -> None:
    quick = replace(ORDER, restart=4, checkpoint=6)
    place = cloud([True] * 20 + [False] * 70 + [True] * 100, quick)
    record = finished(store, place, quick)
    assert (record.state, record.late, record.interruptions) == ("done", False, 1)
    assert record.on_demand_seconds > 0
    assert record.switches >= 1, "from on demand back to spot"
    kinds = events(store)
    assert kinds[:3] == ["started", "moved", "interrupted"]
    assert kinds[-1] == "ended"
    interrupted = next(entry.facts for entry in store.entries() if entry.kind == "cost.spot_interrupted")
    assert (interrupted["place"], interrupted["job"]) == ("eu-1/m1", "train")
    assert Decimal(str(interrupted["cost"])) == pytest.approx(Decimal(1260), abs=120)
    memory = market.every(store)["eu-1/m1"]
    assert (memory.interrupted, len(memory.interruptions), [price for _, price in memory.prices]) == (1, 1, [Decimal(3600)])


@pytest.mark.slow
@given(
    spells=st.lists(st.integers(1, 30), min_size=1, max_size=20),
    first=st.booleans(),
    kills=st.frozensets(st.integers(1, 40), max_size=3),
    silent=st.frozensets(st.integers(1, 40), max_size=3),
    lost=st.frozensets(st.integers(1, 40), max_size=2),
    order=st.sampled_from([ORDER, LAUNCHED]),
    launch=st.sampled_from([0, 20, 50]),
    until=st.sampled_from([1e9, 15.0, 40.0]),
)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_on_any_market_it_ends_in_time_and_leaves_nothing_running(
    spells: list[int],
    first: bool,
    kills: frozenset[int],
    silent: frozenset[int],
    lost: frozenset[int],
    order: Order,
    launch: int,
    until: float,
) -> None:
    """mcml is killed right after some calls, before it hears the answer; others are not answered, or done and not answered; to ask for a
    machine takes up to most of a tick; one type goes away with notice. The deadline allows for all of that."""
    up = [first ^ bool(number % 2) for number, spell in enumerate(spells) for _ in range(spell)]
    calls: dict[str, Any] = {"kills": kills, "silent": silent - kills, "lost": lost - kills - silent}
    place = Warned(up, order.work, order.restart - launch, order.checkpoint, launch=launch, until=until, **calls)
    trouble = len(kills) + len(silent) + len(lost)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, Store(f"sqlite:///{folder}/mcml.db") as store:
        record = finished(store, place, replace(order, restart=order.restart + (60 + launch) * trouble))
        assert (record.state, record.late, place.running()) == ("done", False, [])
        assert record.ended is not None
        assert record.ended <= record.due
        assert place.most <= 2 + len(lost)
        assert len(place.tokens) <= record.attempt
        assert float(record.cost) >= float(place.paid) * 0.9 - 200 - 3 * (60 + launch) * (len(lost) + record.switches)
        assert float(record.cost) <= float(place.paid) + 3 * (60 + launch) * (4 + trouble + record.interruptions)


def test_a_fallback_is_launched_when_it_is_needed_and_ended_when_spot_is_back(store: Store) -> None:
    """Twice, so that each is another machine; to ask for one takes a third of what a start does."""
    quick = replace(LAUNCHED, restart=30, checkpoint=6)
    place = cloud([False] * 70 + [True] * 10 + [False] * 20 + [True] * 100, quick, 10)
    del place.machines[FALLBACK]
    record = finished(store, place, quick)
    assert (record.state, record.late, place.running()) == ("done", False, [])
    launched = [one for one in place.machines.values() if not one.spot]
    assert [one.machine for one in launched] == ["m1", "m1"]
    assert {one.tags["mcml-spot-job"] for one in launched} == {"train"}
    moved = [entry.facts for entry in store.entries() if entry.kind == "cost.spot_moved"]
    assert [told["market"] for told in moved] == ["on-demand", "spot", "on-demand", "spot"]
    assert moved[0]["place"] == "eu-1/m1"
    assert place.most == 2
    assert record.on_demand_seconds + record.spot_seconds == pytest.approx(sum(place.busy.values()) + 30 * 4, abs=60 * 5)


def test_a_launch_whose_answer_is_lost_is_asked_for_again_and_makes_one_machine(store: Store) -> None:
    """Spot is asked for in two places first; the launch is heard the third time."""
    order = replace(LAUNCHED, deadline=3600 + 60 + 120 + 240)
    place = cloud([False], order, lost=frozenset({5, 6}))
    record = finished(store, place, order)
    assert (record.state, record.late, place.running()) == ("done", False, [])
    assert [name for name in place.machines if name != FALLBACK] == ["launched-0"]
    assert place.asked.count("launched-0") == 3


def test_a_launch_that_was_never_heard_of_is_ended_when_spot_comes_first(store: Store) -> None:
    order = replace(LAUNCHED, deadline=3600 + 60 + 120 + 360)
    place = cloud([False] + [True] * 200, order)
    at_work = supervisor(store, place)
    record = at_work.begin("train", order)
    unheard = Place(Choice.ON_DEMAND, "eu-1", "m1", "", "asked-before", Decimal(10800), place.now)
    place.request(MachineRequest("m1", "asked-before", tags={"mcml-spot-job": "train"}, spot=False))
    place.sleep(60)
    record = at_work.look(replace(record, leaving=(unheard,)))
    assert (record.place and record.place.word, record.leaving) == ("spot", ())
    assert [one.id for one in place.running()] == ["spot-1"]


def test_a_notice_moves_the_job_before_its_machine_is_taken_away(store: Store) -> None:
    """Two minutes of notice are seen between two ticks of ten minutes; the next machine is there before the first one dies."""
    order = replace(ORDER, tick=600, deadline=9000)
    place = Warned([True], order.work, order.restart, order.checkpoint, until=25)
    record = finished(store, place, order)
    assert (record.state, record.interruptions, place.most, place.running()) == ("done", 1, 2, [])
    assert events(store) == ["started", "moved", "noticed", "moved", "ended"]
    told = next(entry for entry in store.entries() if entry.kind == "cost.spot_noticed")
    assert (told.facts["place"], told.facts["until"]) == ("eu-1/m1", place.end.isoformat())
    second = place.machines["spot-1"]
    assert second.machine == "m2"
    assert place.end - timedelta(minutes=2) <= second.launched <= place.end - timedelta(seconds=99)
    memories = market.every(store)
    assert [memories[name].interrupted for name in ("eu-1/m1", "eu-1/m2")] == [1, 0]
    assert memories["eu-1/m1"].seconds == pytest.approx(23 * 60, abs=30)


def test_a_machine_with_notice_works_on_where_there_is_no_other_place_and_counts_once(store: Store) -> None:
    order = replace(ORDER, candidates=PLACES[:1], deadline=10_800)
    place = Warned([True], order.work, order.restart, order.checkpoint, until=25)
    record = finished(store, place, order)
    assert (record.state, record.late, record.interruptions, market.every(store)["eu-1/m1"].interrupted) == ("done", False, 1, 1)
    assert events(store)[:4] == ["started", "moved", "noticed", "interrupted"]
    assert place.machines["spot-0"].state == "interrupted", "it was not stopped before its time"


def test_with_notice_and_no_slack_on_demand_is_launched_at_once(store: Store) -> None:
    order = replace(LAUNCHED, candidates=PLACES[:1], deadline=66 * 60)
    place = Warned([True], order.work, order.restart, order.checkpoint, until=25)
    record = finished(store, place, order)
    assert (record.state, record.late, place.running()) == ("done", False, [])
    assert place.end - timedelta(minutes=2) <= place.machines["launched-1"].launched < place.end
    assert place.machines["spot-0"].state == "stopped", "it was given back before it was taken"


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


def test_a_fallback_is_a_machine_or_a_type_of_machine() -> None:
    site = Site(cloud([True]), "local", "r")
    assert fallback(site, "eu-1", FALLBACK) == Fallback("eu-1", FALLBACK)
    assert fallback(site, "eu-1", "m2") == Fallback("eu-1", machine="m2")
    with pytest.raises(NotFound, match="neither a machine nor a machine type of eu-1") as neither:
        fallback(site, "eu-1", "m3")
    assert "did you mean 'm1'?" in neither.value.why
    assert "--fallback eu-1/MACHINE_TYPE" in neither.value.next_step


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
    place.request(MachineRequest("m1", "asked for meanwhile", tags={"mcml-spot-job": "train"}))
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


class Told(Silent):
    """Keeps what it is told."""

    def __init__(self, told: list[str]) -> None:
        self._told = told

    def note(self, text: str) -> None:
        """Keep it."""
        self._told.append(text)


def test_an_end_that_was_cut_off_is_made_whole(store: Store) -> None:
    place = cloud([True], silent=frozenset({2}))
    at_work = supervisor(store, place)
    record = at_work.look(at_work.begin("train", ORDER))
    assert at_work.end(record, "stopped").leaving != ()
    assert len(place.running()) == 1
    later = supervisor(store, place)
    assert later.run(later.resume("train")).state == "stopped"
    assert place.running() == []


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


