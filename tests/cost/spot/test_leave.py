"""Machines that are forgotten cost for ever: what was asked for unheard, is listed late, or belongs to another job of the same name."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mcml.core.errors import Conflict, Unavailable
from mcml.core.fact import Fact
from mcml.core.view import State
from mcml.cost.spot import disks, views
from mcml.cost.spot.order import Order, Record
from mcml.cost.spot.site import RUN_TAG, TAG, Site, tags_of
from mcml.cost.spot.supervise import LEAVE_SECONDS, Supervisor
from mcml.providers.api.instances import Instance, MachineRequest
from mcml.store.db import Store
from tests.cost.spot.cloud import BEGAN, DELAY, Cloud, Killed
from tests.cost.spot.rig import LAUNCHED, MEMORY, ORDER, cloud, events, finished, store, supervisor
from tests.cost.spot.test_group import GROUPED, Trainers, supervised

__all__ = ["store"]


@pytest.fixture
def elsewhere() -> Iterator[Store]:
    """The store of another project."""
    with Store("sqlite:///:memory:") as store:
        yield store


def test_a_machine_that_comes_long_after_its_answer_was_waited_for_is_ended(store: Store) -> None:
    """Its cloud lists it when the job has looked for it twice already."""
    place = cloud([True], delayed=frozenset({1}))
    at_work = supervisor(store, place)
    record = at_work.look(at_work.begin("train", ORDER))
    assert (record.place and record.place.machine, [one.machine for one in record.leaving]) == ("m2", ["m1"])
    for _ in range(4):
        place.sleep(60)
        record = at_work.look(record)
    assert sorted(one.machine for one in place.machines.values() if one.spot) == ["m1", "m2"]
    assert ([one.machine for one in place.running()], record.leaving) == (["m2"], ())


def test_of_two_machines_that_come_late_and_apart_none_is_forgotten(store: Store) -> None:
    """Both answers are lost; the one that is asked for second comes a minute after the first."""
    order = replace(ORDER, deadline=4 * 3600)
    place = cloud([True], order, launch=60, delayed=frozenset({1, 2}))
    at_work = supervisor(store, place)
    record = at_work.look(at_work.begin("train", order))
    assert [(one.machine, one.several) for one in record.leaving] == [("m2", True)], "one search finds both"
    assert at_work.resume("train") == record
    for _ in range(12):
        place.sleep(60)
        record = at_work.look(record)
    late = sorted(one.machine for one in place.machines.values() if one.spot and (record.place is None or one.id != record.place.instance))
    assert late == ["m1", "m2"]
    assert ([one.id for one in place.running()], record.leaving) == ([record.place.instance if record.place else ""], ())


def test_a_stop_between_two_lost_answers_looks_for_both_machines(store: Store) -> None:
    """mcml is killed with its second question, and what is stopped may be listed as running for a while: one machine is not two."""

    class Slow(Cloud):
        def stop(self, instance: str) -> Instance:
            stopping = self.machines[instance]
            told = super().stop(instance)
            self.machines[instance] = stopping if self.now < BEGAN + timedelta(minutes=4) else told
            return told

    place = Slow([True], ORDER.work, ORDER.restart, ORDER.checkpoint, lost=frozenset({1}), kills=frozenset({2}))
    at_work = supervisor(store, place)
    begun = at_work.begin("train", ORDER)
    with pytest.raises(Killed):
        at_work.look(begun)
    second = place.machines.pop(place.asked[1])
    place.sleep(30)
    over = supervisor(store, place).stop("train")
    assert len(over.leaving) == 2
    place.machines[second.id] = second
    over = supervisor(store, place).run(over)
    assert (over.leaving, place.running()) == ((), [])


def test_a_machine_that_one_listing_lacks_at_the_stop_is_stopped_by_its_id(store: Store) -> None:
    place = cloud([True])
    at_work = supervisor(store, place)
    record = at_work.look(at_work.begin("train", ORDER))
    for _ in range(15):
        place.sleep(60)
        record = at_work.look(record)
    place.blind = frozenset({place.listings + 1})
    over = supervisor(store, place).stop("train")
    assert (over.state, over.leaving, place.running()) == ("stopped", (), [])


def test_a_stop_that_comes_before_the_machine_says_so_and_the_next_one_ends_it(store: Store) -> None:
    place = cloud([True], kills=frozenset({1}))
    at_work = supervisor(store, place)
    begun = at_work.begin("train", ORDER)
    place.lag = 90
    with pytest.raises(Killed):
        at_work.look(begun)
    stopped = supervisor(store, place).stop("train")
    assert (stopped.state, len(place.running())) == ("stopped", 1)
    assert views.not_over(stopped) == "its cloud has not stopped eu-1/m1"
    with pytest.raises(Conflict, match="is not over") as refused:
        supervisor(store, place).begin("train", ORDER)
    assert refused.value.next_step == "mcml cost spot stop train", "a new job of the name does not forget the machine of the old one"
    place.sleep(90)
    over = supervisor(store, place).stop("train")
    assert (place.running(), over.leaving, views.not_over(over)) == ([], (), "")


def test_a_machine_that_its_cloud_does_not_list_for_a_while_is_ended_when_it_is_seen_again(store: Store) -> None:
    class Blind(Cloud):
        hidden = ""

        def list(self, tags: Any = None) -> Any:
            return [one for one in super().list(tags) if one.id != self.hidden]

    place = Blind([True], ORDER.work, ORDER.restart, ORDER.checkpoint)
    at_work = supervisor(store, place)
    record = at_work.look(at_work.begin("train", ORDER))
    assert record.place is not None
    first = place.hidden = record.place.instance
    place.sleep(30)
    record = at_work.look(record)
    assert record.place is not None
    assert record.place.instance == first, "so young a machine may just not be listed yet"
    place.sleep(90)
    record = at_work.look(record)
    assert record.place is not None
    assert (record.place.instance != first, record.leaving, len(place.running())) == (True, (), 1), "it is stopped by its id"
    place.hidden = ""
    record = at_work.look(record)
    assert ([one.id for one in place.running()], record.leaving) == ([record.place.instance if record.place else ""], ())


def test_jobs_of_one_name_in_two_projects_of_an_account_do_not_end_each_other(store: Store, elsewhere: Store) -> None:
    """The answer of the second is lost: what it looks for by its tags is not the machine of the first."""
    place = cloud([True], lost=frozenset({2}))
    first, second = supervisor(store, place), supervisor(elsewhere, place)
    ours = first.look(first.begin("train", ORDER))
    place.sleep(1)
    theirs = second.look(second.begin("train", ORDER))
    assert ours.place is not None
    assert place.machines[ours.place.instance].state == "running"
    assert {one.tags[TAG] for one in place.running()} == {"train"}
    assert {one.tags[RUN_TAG] for one in place.running()} == {ours.run, theirs.run}
    assert max(map(len, (ours.run, replace(ours, name="x" * 40).run))) <= 63, "a label of every cloud"
    second.stop("train")
    second.stop("train")
    assert [one.id for one in place.running()] == [ours.place.instance]
    assert [one.instance.tags[RUN_TAG] for one in disks.deletable(second.resume("train"), second.sites)] == [theirs.run] * 2
    assert first.stop("train").leaving == ()


def test_what_earlier_jobs_of_the_name_left_is_cleaned_with_the_last(store: Store) -> None:
    place = cloud([True])
    at_work = supervisor(store, place)
    for _ in range(2):
        place.saved = 0.0
        at_work.look(at_work.begin("train", ORDER))
        place.sleep(1)
        at_work.stop("train")
    record = at_work.resume("train")
    assert len(record.earlier) == 1
    assert len(disks.deletable(record, at_work.sites)) == 2


def test_a_stop_of_a_job_that_has_ended_ends_what_still_runs_of_it(store: Store) -> None:
    place = cloud([True])
    record = finished(store, place)
    leaked = place.request(MachineRequest("m1", "leaked", tags=tags_of(record)))
    other = place.request(MachineRequest("m1", "other", tags={TAG: "train", RUN_TAG: "train-of-others"}))
    told = disks.said("train", disks.every(record, supervisor(store, place).sites))
    assert told[0] == f"eu-1/{leaked.id} of train still runs: mcml cost spot stop train"
    assert supervisor(store, place).stop("train").leaving == ()
    assert [one.id for one in place.running()] == [other.id]


def test_what_an_earlier_job_of_the_name_left_running_is_stopped_as_its_words_say(store: Store) -> None:
    place = cloud([True])
    at_work = supervisor(store, place)
    first = at_work.look(at_work.begin("train", ORDER))
    at_work.stop("train")
    leaked = place.request(MachineRequest("m1", "leaked", tags=tags_of(first)))
    place.sleep(1)
    at_work.begin("train", ORDER)
    over = at_work.stop("train")
    told = disks.said("train", disks.every(over, at_work.sites))
    assert told[0] == f"eu-1/{leaked.id} of train still runs: mcml cost spot stop train"
    assert (at_work.stop("train").leaving, place.running()) == ((), [])


def test_an_ended_job_is_looked_after_until_its_machine_has_ended(store: Store) -> None:
    class Away(Cloud):
        """Takes no stop for five minutes after the end of the job."""

        def stop(self, instance: str) -> Instance:
            self.until = getattr(self, "until", None) or self.now + timedelta(minutes=5)
            if self.now < self.until:
                raise Unavailable("the cloud does not answer")
            return super().stop(instance)

    place = Away([True], ORDER.work, ORDER.restart, ORDER.checkpoint)
    at_work = supervisor(store, place)
    record = at_work.look(at_work.begin("train", ORDER))
    ended = at_work.end(record, "failed")
    assert (len(ended.leaving), len(place.running())) == (1, 1)
    over = at_work.run(ended)
    assert (over.state, over.leaving, place.running()) == ("failed", (), [])

    hopeless = cloud([True], silent=frozenset(range(2, 2000)))
    at_work = supervisor(store, hopeless)
    record = at_work.look(at_work.begin("eval", ORDER))
    began = hopeless.now
    over = at_work.run(at_work.end(record, "stopped"))
    assert ([one.name for one in over.leaving], hopeless.now - began) == (["eu-1/m1"], timedelta(hours=1))
    (item,) = views.jobs([over], {}, {}).items
    assert (item["leaving"], item["state"]) == ([f"eu-1/m1 {over.leaving[0].instance}"], State("stopped", "bad"))
    patient = replace(at_work, sleep=lambda seconds: seconds == LEAVE_SECONDS)
    assert patient.run(over).leaving == over.leaving, "who is told to leave off does"


@dataclass
class Flaky(Store):
    """A store that nobody reaches while `away` says so."""

    place: Cloud
    away: Callable[[Cloud], bool]
    inner: Store
    refused: int = field(default=0)

    @contextmanager
    def _asked(self, how: str) -> Iterator[Any]:
        if self.away(self.place):
            self.refused += 1
            raise Unavailable("cannot use the store", why="connection refused")
        with getattr(self.inner, how)() as connection:
            yield connection

    def reading(self) -> Any:
        return self._asked("reading")

    def writing(self) -> Any:
        return self._asked("writing")

    def append(self, *facts: Fact) -> Any:
        if self.away(self.place):
            raise Unavailable("cannot use the store")
        return self.inner.append(*facts)


@pytest.mark.parametrize("since", [0, 20 * 60 - 1, 20 * 60 + 1])
def test_a_store_that_is_away_for_minutes_ends_no_job_and_doubles_no_machine(store: Store, since: int) -> None:
    """Spot ends after 20 minutes: it is away when the first machine, or the second, was just asked for."""
    place = cloud([True] * 20 + [False] * 2 + [True] * 200)
    supervisor(store, place).begin("train", ORDER)
    calls: list[int] = []

    def away(place: Cloud) -> bool:
        """From the first answer after `since` seconds on, for five minutes."""
        if not calls and place.calls and (place.now - BEGAN).total_seconds() >= since:
            calls.append(int((place.now - BEGAN).total_seconds()))
        return bool(calls) and (place.now - BEGAN).total_seconds() < calls[0] + 300

    flaky = Flaky(place, away, store)
    at_work = supervisor(flaky, place)
    record = at_work.run(at_work.resume("train"))
    assert (record.state, record.late, place.running(), record.leaving) == ("done", False, [], ())
    assert flaky.refused > 0
    assert place.most == 1
    assert len([one for one in place.machines.values() if one.spot]) <= 2


def test_a_store_that_stays_away_is_told_once_the_job_is_late(store: Store) -> None:
    place = cloud([True])
    begun = supervisor(store, place).begin("train", ORDER)
    flaky = Flaky(place, lambda place: place.now > BEGAN + timedelta(minutes=1), store)
    at_work = supervisor(flaky, place)
    with pytest.raises(Unavailable, match="cannot use the store"):
        at_work.run(at_work.resume("train"))
    assert begun.due < place.now < begun.due + timedelta(minutes=3)


def test_a_machine_that_is_asked_for_again_counts_from_its_own_start(store: Store) -> None:
    """mcml is killed before its question leaves; an hour later the next one asks."""
    place = cloud([True])
    at_work = replace(supervisor(store, place), sites={"eu-1": Site(Cut(place), "local", "r")})
    with pytest.raises(Killed):
        at_work.look(at_work.begin("train", replace(ORDER, deadline=14_400)))
    place.sleep(3600)
    later = supervisor(store, place)
    record = later.look(later.resume("train"))
    assert record.place is not None
    assert record.place.since == place.machines[record.place.instance].launched >= BEGAN + timedelta(hours=1)


@dataclass
class Cut:
    """A cloud whose caller is killed before its question leaves."""

    place: Cloud

    def __getattr__(self, name: str) -> Any:
        return getattr(self.place, name)

    def request(self, request: MachineRequest) -> Instance:
        raise Killed


NONE = frozenset[int]()
CALM: dict[str, Any] = {"up": [True], "kills": NONE, "lost": NONE, "delayed": NONE, "lag": 0, "launch": 0, "blind": NONE, "full": False}
GROUP_AT_ONCE = replace(GROUPED, deadline=3900)


@pytest.mark.slow
@example(acts=["first", "minute", "minute", "stop"], order=ORDER, **{**CALM, "launch": 60, "delayed": frozenset({1, 2})})
@example(acts=["first", "others", "stop", "first", "first"], order=GROUPED, **CALM)
@example(acts=["first", "minute"] * 8, order=GROUP_AT_ONCE, **{**CALM, "up": [False], "full": True})
@example(acts=["first", "ten minutes", "stop"], order=ORDER, **{**CALM, "blind": frozenset(range(2, 9))})
@given(
    acts=st.lists(st.sampled_from(["first", "second", "minute", "ten minutes", "stop", "others"]), max_size=16),
    up=st.lists(st.booleans(), min_size=1, max_size=30),
    kills=st.frozensets(st.integers(1, 12), max_size=2),
    lost=st.frozensets(st.integers(1, 12), max_size=2),
    delayed=st.frozensets(st.integers(1, 12), max_size=2),
    lag=st.sampled_from([0, 45, 90]),
    launch=st.sampled_from([0, 60]),
    blind=st.frozensets(st.integers(1, 30), max_size=3),
    full=st.booleans(),
    order=st.sampled_from([replace(one, deadline=deadline) for one in (ORDER, LAUNCHED, GROUPED) for deadline in (7200, 3900)]),
)
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
def test_whoever_does_what_in_which_order_a_stop_leaves_nothing_running(
    acts: list[str],
    up: list[bool],
    kills: frozenset[int],
    lost: frozenset[int],
    delayed: frozenset[int],
    lag: int,
    launch: int,
    blind: frozenset[int],
    full: bool,
    order: Order,
) -> None:
    """Two look after the job by turns, with records that the other has written since; they are killed, and it is stopped at any time.

    Listings that lack all come without lost answers: what nobody has heard of, and no listing shows, nobody can find. Others take
    the group.
    """
    place = cloud(up, order, launch, kills=kills, lost=lost - kills, delayed=delayed - kills - lost, lag=lag)
    if blind:
        place.kills, place.lost, place.delayed, place.blind = frozenset(), frozenset(), frozenset(), blind
    group = Trainers(place, full=full)
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder, Store(f"sqlite:///{folder}/mcml.db") as store:
        supervised(store, place, group).begin("train", order)
        hands: dict[str, tuple[Supervisor, Record]] = {}
        theirs = False
        for act in acts:
            if act in ("minute", "ten minutes"):
                place.sleep(60 if act == "minute" else 600)
                continue
            if act == "others":
                group.desired = group.desired or 3
                theirs = group.desired == 3
                continue
            try:
                if act == "stop":
                    supervised(store, place, group).stop("train")
                    continue
                if act not in hands:
                    fresh = supervised(store, place, group)
                    hands[act] = fresh, fresh.resume("train")
                at_work, record = hands.pop(act)
                hands[act] = at_work, at_work.look(record) if record.state == "running" else at_work.run(record)
            except (Conflict, Killed):
                continue
        place.kills = place.lost = place.delayed = place.blind = frozenset()
        last = supervised(store, place, group)
        if last.resume("train").state == "running":
            last.stop("train")
        over = last.run(last.resume("train"))  # by what is written down alone: another `stop` would look for all tags
        place.sleep(DELAY)
        assert (over.state in ("done", "stopped"), over.leaving, place.running()) == (True, (), [])
        assert group.desired == (3 if theirs else 0)
        assert events(store).count("ended") <= 1
