"""What a schedule decides: a table of cases, and the promise that everything comes back as it was, whenever a run is missed or dies."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.core.errors import NotFound, Unavailable
from mcml.core.schema_cost import Schedule
from mcml.cost.schedule import run
from mcml.cost.schedule.hours import Calendar, parse
from mcml.cost.schedule.idle import Idleness, Signal, judge
from mcml.cost.schedule.plan import Keep, Stopped, Thing, keep_until, plan, saved
from mcml.providers.api.groups import Group
from mcml.providers.api.instances import Instance, MachinePrice
from mcml.providers.api.metrics import Point, SeriesQuery, Window
from mcml.store.db import Store

OFFICE = Calendar((parse("mon-fri 08:00-18:00"),), "UTC")
DAY, NIGHT, NEXT_DAY = (datetime(2026, 11, 19, 12, tzinfo=UTC) + timedelta(hours=hours) for hours in (0, 10, 24))
BOX = Thing("eu-1", "instance", "i-1", "m5.large", 1, hourly=Decimal("0.096"), currency="USD")
POOL = Thing("eu-1", "group", "workers", "m5.large", 5)


def off(thing: Thing, at: datetime, **changes: object) -> Stopped:
    return replace(Stopped(thing.key, "office", thing.size, thing.floor, at, thing.hourly, thing.currency), **changes)  # type: ignore[arg-type]


def decided(thing: Thing, now: datetime, before: Stopped | None = None, *keeps: Keep) -> tuple[object, str]:
    (step,) = plan("office", OFFICE, [thing], {thing.key: before} if before else {}, keeps, now).steps
    return step.values.get("to"), step.reason


IDLE = Idleness(True, "idle for 2h")


@pytest.mark.parametrize(
    ("thing", "now", "before", "to", "why"),
    [
        (BOX, DAY, None, None, "in its hours"),
        (BOX, NIGHT, None, 0, "outside its hours"),
        (replace(BOX, size=0), NIGHT, None, None, "outside its hours; it is off"),
        (replace(BOX, size=0), DAY, None, None, "in its hours; we did not turn it off"),
        (replace(BOX, size=0), NEXT_DAY, off(BOX, NIGHT), 1, "in its hours"),
        (replace(BOX, size=0), NIGHT, off(BOX, NIGHT), None, "outside its hours; it is off"),
        (BOX, NEXT_DAY, off(BOX, NIGHT), None, "in its hours; it is on again"),
        (replace(BOX, spot=True), NIGHT, None, None, "outside its hours; a spot machine that is stopped may not come back"),
        (BOX, NIGHT, off(BOX, NIGHT - timedelta(hours=1)), None, "outside its hours; somebody turned it on since we turned it off"),
        (BOX, NIGHT, off(BOX, NIGHT - timedelta(hours=1), done=False), 0, "outside its hours"),  # we died while we turned it off
        (BOX, NIGHT, off(BOX, NIGHT - timedelta(days=1)), 0, "outside its hours"),  # turned on by hand yesterday, and a new night
        (POOL, NIGHT, None, 0, "outside its hours"),
        (replace(POOL, floor=2), NIGHT, None, 2, "outside its hours"),
        (replace(POOL, size=2, floor=2), NIGHT, None, None, "outside its hours; it is at its minimum of 2"),
        (replace(POOL, size=0), NEXT_DAY, off(POOL, NIGHT), 5, "in its hours"),
        (replace(POOL, size=3), NEXT_DAY, off(POOL, NIGHT), None, "in its hours; it is on again"),  # somebody wanted three
        (replace(BOX, idle=IDLE), DAY, None, 0, "idle for 2h"),
        (replace(BOX, idle=Idleness(False, "busy")), DAY, None, None, "in its hours"),
        (replace(BOX, size=0), DAY, off(BOX, DAY - timedelta(hours=1), idle=True), None, "it was idle at 11:00 UTC: off until its next"),
        (replace(BOX, size=0), NEXT_DAY, off(BOX, DAY, idle=True), 1, "in its hours"),
        (replace(BOX, tags={"MCML-Keep-Until": "2026-11-20"}), NIGHT, None, None, "kept on until 2026-11-21 00:00 UTC by its tag"),
        (replace(BOX, tags={"mcml-keep-until": "2026-11-18"}), NIGHT, None, 0, "outside its hours"),
        (replace(BOX, tags={"mcml-keep-until": "soon"}), NIGHT, None, None, "its tag mcml-keep-until says 'soon', which is no time"),
    ],
)
def test_what_is_decided(thing: Thing, now: datetime, before: Stopped | None, to: int | None, why: str) -> None:
    decision, reason = decided(thing, now, before)
    assert decision == to
    assert reason.startswith(why)


def test_kept_on_by_somebody_until_a_time() -> None:
    keep = Keep("office", NIGHT + timedelta(hours=1), who="ann", reason="release")
    assert decided(BOX, NIGHT, None, keep) == (None, "kept on until 2026-11-19 23:00 UTC by ann: release")
    assert decided(replace(BOX, size=0), NIGHT, off(BOX, NIGHT), keep)[0] == 1, "what is off already is turned on"
    assert decided(BOX, NIGHT + timedelta(hours=1), None, keep)[0] == 0, "and then it is over"
    assert decided(BOX, NIGHT, None, replace(keep, schedule="other"))[0] == 0
    assert decided(BOX, NIGHT, None, replace(keep, key=POOL.key))[0] == 0


def test_another_schedules_memory_is_not_ours() -> None:
    assert decided(replace(BOX, size=0), NEXT_DAY, off(BOX, NIGHT, schedule="other"))[0] is None


@pytest.mark.parametrize(
    ("text", "until"),
    [
        ("2026-12-01", "2026-12-02T00:00:00+00:00"),
        ("2026-12-01t10:00:00z", "2026-12-01T10:00:00+00:00"),
        ("tomorrow", None),
        ("2026-13-01", None),
        ("", None),
    ],
)
def test_the_tag_of_what_is_kept(text: str, until: str | None) -> None:
    found = keep_until(text)
    assert (found.isoformat() if found else None) == until


def test_what_a_stop_saved_is_counted_by_machines_and_hours() -> None:
    assert saved(off(BOX, NIGHT), NIGHT + timedelta(minutes=90)) == (Decimal("1.5"), Decimal("0.144"))
    assert saved(off(POOL, NIGHT), NIGHT + timedelta(hours=2)) == (Decimal(10), None), "nobody knows its price"
    assert saved(off(BOX, NIGHT), NIGHT - timedelta(hours=1)) == (Decimal(0), Decimal(0)), "the clock went back"


def points(*values: float | None) -> list[Point]:
    return [Point(DAY, value) for value in values]


@pytest.mark.parametrize(
    ("signals", "idle", "why"),
    [
        ([("cpu", points(1, 2, 3)), ("net", points(0, 0, 0))], True, "idle for 2h: cpu below 5 and net below 5"),
        ([("cpu", points(1, 2, 5)), ("net", points(0, 0, 0))], False, "cpu reached 5, the limit is 5"),
        ([("cpu", points(1, None, 3)), ("net", points(0, 0, 0))], False, "cpu is not known for long enough"),
        ([("cpu", points(1, 2, 3)), ("net", [])], False, "net is not known for long enough"),
        ([("cpu", points(float("nan"), 90, 3)), ("net", points(0, 0, 0))], False, "cpu is not known for long enough"),
        ([("cpu", points(*[1] * 11, float("nan"))), ("net", points(*[0] * 11, None))], True, "idle for 2h: cpu below 5 and net below 5"),
        ([("cpu", points(1, 2, 3))], False, "one signal alone proves nothing"),
    ],
)
def test_idle_is_what_all_signals_say(signals: list[tuple[str, list[Point]]], idle: bool, why: str) -> None:
    told = judge([Signal(name, 5, found) for name, found in signals], timedelta(hours=2))
    assert told == Idleness(idle, why, window=timedelta(hours=2 if idle else 0))


class Cloud:
    """Machines and groups in memory, that can be cut off before or after a change."""

    def __init__(self) -> None:
        self.on = {"i-1": True, "i-2": False}
        self.sizes = {"workers": 4}
        self.breaks = ""

    def list(self, tags: object = None) -> list[Instance]:
        return [Instance(key, "m5.large", "z", "running" if on else "stopped", DAY - timedelta(days=1)) for key, on in self.on.items()]

    def prices(self, machines: object = ()) -> Sequence[MachinePrice]:
        return [MachinePrice("m5.large", "eu", Decimal(2), Decimal(8), Decimal("0.1"), None, "USD", DAY)]

    def _change(self, change: object) -> Instance:
        if self.breaks == "before":
            raise Unavailable("cut off")
        change()  # type: ignore[operator]
        if self.breaks == "after":
            raise Unavailable("cut off")
        return self.list()[0]

    def start(self, instance: str) -> Instance:
        return self._change(lambda: self.on.update({instance: True}))

    def stop(self, instance: str) -> Instance:
        return self._change(lambda: self.on.update({instance: False}))


class Pools:
    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def list(self, tags: object = None) -> list[Group]:
        return [Group(name, "m5.large", size, size, 0, 9) for name, size in self.cloud.sizes.items()]

    def resize(self, group: str, desired: int) -> None:
        self.cloud._change(lambda: self.cloud.sizes.update({group: desired}))


def one_pass(store: Store, cloud: Cloud, now: datetime, breaks: str = "") -> list[run.Done]:
    site = run.Site("eu-1", cloud, Pools(cloud))  # type: ignore[arg-type]
    schedule = Schedule(hours=("mon-fri 08:00-18:00",), zone="UTC", match={"environment": "dev"})
    things = run.look(site, schedule, now)
    stopped, keeps = run.remembered(store)
    cloud.breaks = breaks
    work = run.Work("office", {"eu-1": site}, {thing.key: thing for thing in things}, stopped, store, lambda: now)
    done = work.carry_out(plan("office", run.calendar_of(schedule), things, stopped, keeps, now))
    cloud.breaks = ""
    return done


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with nothing in it: to make one takes longer than all that is done with it."""
    path: Path = tmp_path_factory.mktemp("blank") / "mcml.db"
    with Store(f"sqlite:///{path}") as store, store.writing():
        pass
    return path


PASSES = st.lists(st.tuples(st.integers(1, 30), st.sampled_from(["", "", "before", "after"])), max_size=12)


@settings(max_examples=25, deadline=None)
@given(PASSES)
def test_all_comes_back_as_it_was_whenever_a_run_is_missed_or_cut_off(
    tmp_path_factory: pytest.TempPathFactory, blank: Path, passes: list[tuple[int, str]]
) -> None:
    cloud, now = Cloud(), DAY
    with Store(f"sqlite:///{shutil.copy(blank, tmp_path_factory.mktemp('schedule') / 'mcml.db')}") as store:
        for hours, breaks in passes:
            now += timedelta(hours=hours)
            one_pass(store, cloud, now, breaks)
        workday = now + timedelta(days=7 - now.weekday(), hours=12 - now.hour)
        one_pass(store, cloud, workday)
        assert (cloud.on, cloud.sizes) == ({"i-1": True, "i-2": False}, {"workers": 4})
        one_pass(store, cloud, workday + timedelta(hours=1))
        assert run.remembered(store)[0] == {}, "and nothing is remembered"
        one_pass(store, cloud, workday + timedelta(hours=10))
        assert (cloud.on, cloud.sizes) == ({"i-1": False, "i-2": False}, {"workers": 0})
        assert not plan_of(store, cloud, workday + timedelta(hours=11)), "a plan carried out and planned again is empty"


def plan_of(store: Store, cloud: Cloud, now: datetime) -> list[object]:
    site = run.Site("eu-1", cloud, Pools(cloud))  # type: ignore[arg-type]
    schedule = Schedule(hours=("mon-fri 08:00-18:00",), zone="UTC", match={"environment": "dev"})
    stopped, keeps = run.remembered(store)
    return list(plan("office", run.calendar_of(schedule), run.look(site, schedule, now), stopped, keeps, now).changes)


def test_the_journal_tells_what_was_turned_off_and_what_it_saved(store: Store) -> None:
    cloud = Cloud()
    one_pass(store, cloud, NIGHT)
    back = one_pass(store, cloud, NIGHT + timedelta(hours=10))
    assert [(done.step.name, str(done.hours), str(done.saved)) for done in back] == [
        ("workers", "40.0000", "4.000000"),
        ("i-1", "10.0000", "1.000000"),
    ]
    told = [(entry.kind, entry.target, entry.facts["id"], entry.facts.get("saved")) for entry in store.entries()]
    assert told == [
        ("cost.turned_off", "eu-1", "workers", None),
        ("cost.turned_off", "eu-1", "i-1", None),
        ("cost.turned_on", "eu-1", "workers", "4.000000"),
        ("cost.turned_on", "eu-1", "i-1", "1.000000"),
    ]


def test_a_price_that_is_too_old_claims_no_saving(store: Store) -> None:
    site, schedule = run.Site("eu-1", Cloud()), Schedule(hours=("daily 08:00-09:00",), zone="UTC", match={"a": "b"})  # type: ignore[arg-type]
    for days, hourly in ((90, Decimal("0.1")), (91, None)):
        assert {thing.hourly for thing in run.look(site, schedule, DAY + timedelta(days=days))} == {hourly}


class Dials:
    """Metrics that are known by the label `name`; the busy one is only said to be of one machine."""

    def query(self, series: SeriesQuery, window: Window) -> list[Point]:
        if series.metric == "missing":
            raise NotFound("no metric")
        value = 9.0 if series.labels == {"name": "busy"} else 1.0
        return [Point(window.start + window.step * step, value) for step in range(12)]


@pytest.mark.parametrize(
    ("instance", "second", "idle", "why"),
    [
        ("zone/calm", "net", True, "idle for 2h: cpu below 5 and net below 5"),
        ("zone/busy", "net", False, "cpu reached 9, the limit is 5"),
        ("zone/calm", "missing", False, "there is no metric missing"),
    ],
)
def test_the_signals_of_a_machine_are_asked_by_its_label(instance: str, second: str, idle: bool, why: str) -> None:
    cloud = Cloud()
    cloud.on = {instance: True, "zone/off": False}
    site = run.Site("eu-1", cloud, None, Dials())  # type: ignore[arg-type]
    signals = [{"metric": metric, "below": 5, "label": "name", "value": "name"} for metric in ("cpu", second)]
    schedule = Schedule(hours=("daily 00:00-24:00",), zone="UTC", match={"a": "b"}, idle={"signals": signals})  # type: ignore[arg-type]
    found = {thing.id: thing.idle for thing in run.look(site, schedule, DAY)}
    assert found == {instance: Idleness(idle, why, window=timedelta(hours=2 if idle else 0)), "zone/off": None}


def test_what_was_deleted_while_it_was_off_is_forgotten(store: Store) -> None:
    cloud = Cloud()
    one_pass(store, cloud, NIGHT)
    stopped, _ = run.remembered(store)
    run.Work("office", {}, {}, stopped, store, lambda: NIGHT + timedelta(hours=1)).forget(list(stopped))
    assert run.remembered(store)[0] == {}
    assert [entry.facts["reason"] for entry in store.entries()][-2:] == ["it is gone"] * 2


def test_keeping_and_releasing(store: Store) -> None:
    keep = Keep("office", NIGHT, BOX.key, "ann", "release")
    run.keep(store, keep, DAY)
    assert run.remembered(store)[1] == [keep]
    assert run.release(store, "office", BOX.key)
    assert not run.release(store, "office", BOX.key)
    assert run.remembered(store)[1] == []
    assert [entry.kind for entry in store.entries()] == ["cost.kept_on", "cost.released"]


