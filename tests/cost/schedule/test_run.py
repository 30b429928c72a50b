"""Runs of schedules that meet something: another run, a killed one, a cloud that does not answer, settings that were changed meanwhile."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from mcml.cli.cost import schedule_pass
from mcml.cli.session import Common, Session
from mcml.core.errors import McmlError, NotAuthenticated, PartlyDone, Unavailable
from mcml.core.plan import Plan
from mcml.core.view import State
from mcml.cost.schedule import run, views
from mcml.cost.schedule.hours import Calendar, parse
from mcml.cost.schedule.plan import Stopped, plan, restored
from mcml.providers.api.capability import GROUPS, INSTANCES, METRICS
from mcml.providers.api.groups import Group
from mcml.providers.api.instances import Instance, InstanceState, MachinePrice
from mcml.providers.api.metrics import Point, SeriesQuery, Window
from mcml.store import documents
from mcml.store.db import Store

NOON = datetime(2026, 11, 19, 12, tzinfo=UTC)
"""A Thursday."""
NIGHT, MORNING = NOON + timedelta(hours=10), NOON + timedelta(hours=21)
KEY = "eu-1/instance/i-1"
OFFICE = '[cost.schedules.office]\nhours = ["mon-fri 08:00-18:00"]\nzone = "UTC"\nmatch = { environment = "dev" }\n'
IDLE = 'idle = { lasts = "2h", signals = [{ metric = "cpu", below = 5 }, { metric = "net", below = 5 }] }\n'


class Cloud:
    """One machine, what was asked of it, and what goes wrong: without a right to ask for prices, with metrics that fail."""

    def __init__(self, prices: McmlError | None = None, metrics: McmlError | None = None) -> None:
        self.state: InstanceState = "running"
        self.tags = {"environment": "dev"}
        self.there, self.asked = True, list[str]()
        self.price_fails, self.metrics_fail = prices, metrics
        self.launched = NOON - timedelta(days=9)

    def list(self, tags: dict[str, str] | None = None) -> list[Instance]:
        meant = self.there and (tags or {}).items() <= self.tags.items()
        return [Instance("i-1", "m5.large", "z", self.state, self.launched, tags=self.tags)] if meant else []

    def prices(self, machines: object = ()) -> Sequence[MachinePrice]:
        if self.price_fails:
            raise self.price_fails
        return [MachinePrice("m5.large", "eu", Decimal(2), Decimal(8), Decimal("0.1"), None, "USD", NOON)]

    def start(self, instance: str) -> Instance:
        self.asked.append("start")
        self.state = "running"
        return self.list()[0]

    def stop(self, instance: str) -> Instance:
        self.asked.append("stop")
        self.state = "stopped"
        return self.list()[0]

    def query(self, series: SeriesQuery, window: Window) -> Sequence[Point]:
        self.asked.append(series.metric)
        if self.metrics_fail:
            raise self.metrics_fail
        return [Point(window.start + window.step * step, 1.0) for step in range(12)]


class NoGroups:
    def list(self, tags: object = None) -> list[Group]:
        return []


@dataclass
class Rig:
    """A project and its one machine, by the hour."""

    folder: Path
    cloud: Cloud
    store: Store

    def settings(self, *schedules: str, targets: str = '[targets.eu-1]\nprovider = "aws"\nregion = "eu-west-1"\n') -> None:
        (self.folder / "mcml.toml").write_text(f'name = "acme"\n{targets}' + "".join(schedules))

    def session(self, now: datetime, profile: str = "") -> Session:
        cloud = self.cloud

        class Mine(Session):
            def open(self, capability: object, target: str) -> Any:
                return {GROUPS: NoGroups(), INSTANCES: cloud, METRICS: cloud}[capability]  # type: ignore[index]

        session = Mine(Common(quiet=True, profile=profile), clock=lambda: now)
        session.__dict__["store"] = self.store  # one for all sessions: to open it takes longer than all that is done with it
        return session

    def run(self, now: datetime, *names: str, profile: str = "") -> list[tuple[str, object, str]]:
        """Make a run; return what it planned for each thing: its schedule, the size and why."""
        session = self.session(now, profile)
        try:
            found = schedule_pass.look(session, names)
            done = found.carry_out(session)
            schedule_pass.ended(session, found, views.passed(found.plans, done), done)
            return [(name, step.values.get("to"), step.reason) for name, each in found.plans.items() for step in each.steps]
        finally:
            session.close()

    def told(self) -> list[tuple[str, object]]:
        return [(entry.kind.partition(".")[2], entry.facts.get("saved")) for entry in self.store.entries()]

    def off(self) -> dict[str, Stopped]:
        return run.remembered(self.store)[0]


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.chdir(tmp_path)
    with Store(f"sqlite:///{tmp_path / '.mcml' / 'mcml.db'}") as store:
        made = Rig(tmp_path, Cloud(), store)
        made.settings(OFFICE)
        yield made


def test_what_a_schedule_stopped_that_has_another_name_now_comes_back_in_its_hours(rig: Rig) -> None:
    rig.run(NIGHT)
    rig.settings(OFFICE.replace("office", "hours"))
    assert rig.run(NIGHT + timedelta(hours=1)) == [("hours", None, "outside its hours; it is off")]
    assert rig.run(MORNING) == [("hours", 1, "in its hours")]
    assert (rig.cloud.state, rig.off()) == ("running", {})


def test_what_a_schedule_stopped_that_is_no_more_is_given_back_and_listed_until_then(rig: Rig) -> None:
    rig.run(NIGHT)
    rig.settings()
    shown = str(views.schedules({}, {}, *run.remembered(rig.store), NIGHT).blocks)
    assert "1 that office turned off, which mcml.toml has no more: mcml cost schedule run gives back" in shown
    assert rig.run(NIGHT + timedelta(hours=2)) == [("office", 1, "the schedule office is no more")]
    assert (rig.cloud.state, rig.off()) == ("running", {})
    assert rig.told() == [("turned_off", None), ("turned_on", "0.200000")]


def test_what_its_schedule_does_not_mean_any_more_is_given_back_and_not_taken_for_gone(rig: Rig) -> None:
    rig.run(NIGHT)
    rig.cloud.tags = {"environment": "prod"}
    assert rig.run(NIGHT + timedelta(hours=2)) == [("office", 1, "office does not mean it any more")]
    assert (rig.cloud.state, rig.off()) == ("running", {})


def test_what_is_gone_is_forgotten(rig: Rig) -> None:
    rig.run(NIGHT)
    rig.cloud.there = False
    assert rig.run(NIGHT + timedelta(hours=2)) == []
    assert rig.off() == {}


def test_the_machines_of_another_profile_are_not_taken_for_gone(rig: Rig) -> None:
    rig.settings(f"[profiles.dev.{OFFICE[1:]}")
    rig.run(NIGHT, profile="dev")
    assert rig.run(NIGHT + timedelta(hours=2)) == []
    assert (rig.cloud.state, list(rig.off())) == ("stopped", [KEY])
    rig.run(MORNING, profile="dev")
    assert rig.cloud.state == "running"


def test_one_schedule_alone_takes_nothing_that_another_one_before_it_means(rig: Rig) -> None:
    never = OFFICE.replace("office", "never").replace("mon-fri 08:00-18:00", "mon 00:00-00:01")
    rig.settings(OFFICE, never)
    assert rig.run(NOON) == [("office", None, "in its hours")]
    assert rig.run(NOON, "never") == []
    assert rig.cloud.state == "running"


@pytest.mark.parametrize("names", [("nights", "office"), ("office", "nights"), ()], ids=["turned", "in order", "all"])
def test_the_file_says_whose_a_thing_is_and_not_the_order_of_the_names(rig: Rig, names: tuple[str, ...]) -> None:
    rig.settings(OFFICE, OFFICE.replace("office", "nights").replace("08:00-18:00", "20:00-06:00"))
    assert rig.run(NOON, *names) == [("office", None, "in its hours")]
    assert rig.cloud.state == "running"


def test_what_another_profiles_schedule_stopped_stays_that_ones(rig: Rig) -> None:
    """Each would turn back what the other does, and tell a saving each time."""
    always = OFFICE.replace("office", "long").replace("mon-fri 08:00-18:00", "mon-sun 00:00-24:00")
    rig.settings(f"[profiles.ops.{OFFICE[1:]}", f"[profiles.ml.{always[1:]}")
    for minutes, profile in ((0, "ops"), (15, "ml"), (30, "ops")):
        rig.run(NIGHT + timedelta(minutes=minutes), profile=profile)
        assert (rig.cloud.state, [one.schedule for one in rig.off().values()]) == ("stopped", ["office"])
    rig.run(MORNING, profile="ops")
    assert (rig.cloud.state, rig.cloud.asked) == ("running", ["stop", "start"])


def test_what_was_stopped_before_profiles_were_kept_is_no_other_profiles(rig: Rig) -> None:
    rig.settings(f"[profiles.ops.{OFFICE[1:]}")
    rig.run(NIGHT, profile="ops")
    with rig.store.writing() as connection:
        kept = documents.get(connection, run.STOPPED, KEY)
        assert kept is not None
        before = {key: value for key, value in kept.content.items() if key != "profile"}
        documents.put(connection, run.STOPPED, KEY, before, NIGHT)
    assert rig.run(NIGHT + timedelta(hours=1)) == []
    assert (rig.cloud.state, list(rig.off())) == ("stopped", [KEY])
    rig.run(MORNING, profile="ops")
    assert (rig.cloud.state, rig.off()) == ("running", {})


def test_what_is_off_on_a_target_that_is_no_more_is_said(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    rig.run(NIGHT)
    rig.settings(OFFICE, targets='[targets.us-1]\nprovider = "aws"\n')
    rig.cloud.there = False
    session = rig.session(NIGHT)
    session.common = Common()
    schedule_pass.look(session)
    session.close()
    assert "1 that schedules have turned off are on target eu-1, which mcml.toml has no more: they stay off" in capsys.readouterr().err
    assert list(rig.off()) == [KEY]


def test_prices_that_nobody_may_ask_for_stop_no_run(rig: Rig) -> None:
    rig.cloud.price_fails = NotAuthenticated("no right to ask for prices")
    assert rig.run(NIGHT) == [("office", 0, "outside its hours")]
    rig.cloud.price_fails = Unavailable("429")
    assert rig.run(MORNING) == [("office", 1, "in its hours")]
    assert rig.told() == [("turned_off", None), ("turned_on", None)]


def test_metrics_that_fail_are_told_and_keep_no_machine_from_its_hours(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    rig.settings(OFFICE + IDLE)
    rig.run(NIGHT)
    assert rig.cloud.asked == ["stop"], "at night nobody asks whether it idles"
    rig.cloud.metrics_fail = Unavailable("429 of the metrics")
    rig.run(MORNING)
    assert rig.cloud.state == "running"
    with pytest.raises(PartlyDone) as told:
        rig.run(MORNING + timedelta(hours=1))
    assert "eu-1/i-1: 429 of the metrics" in told.value.why
    assert "in its hours; whether it idles, nobody can tell: cpu cannot be read" in capsys.readouterr().out
    assert rig.cloud.state == "running"


def test_a_machine_on_its_way_down_is_not_stopped_and_told_again_by_each_run(rig: Rig) -> None:
    """EC2 says of one that is stopping that it runs."""
    rig.settings(OFFICE + IDLE)
    rig.run(NOON)
    for minutes in (1, 2):
        rig.cloud.state = "running"
        assert "may be on its way down" in rig.run(NOON + timedelta(minutes=minutes))[0][2]
    assert (rig.told(), rig.cloud.asked.count("stop")) == ([("turned_off", None)], 1)


@pytest.mark.parametrize("tells", [True, False], ids=["tells when it was started", "does not"])
def test_what_somebody_turns_on_after_it_idled_is_left_on_until_it_idles_anew(rig: Rig, tells: bool) -> None:
    """Azure tells when a machine was made, and not when it was started; the metrics of two hours are those from before the stop."""
    rig.settings(OFFICE + IDLE)
    rig.run(NOON)
    rig.cloud.state = "running"
    by_hand = NOON + timedelta(minutes=15)
    rig.cloud.launched = by_hand if tells else rig.cloud.launched
    for minutes in (16, 21, 119):
        rig.run(NOON + timedelta(minutes=minutes))
    assert rig.cloud.asked.count("stop") == 1
    assert rig.told() == [("turned_off", None), ("turned_on", "0.025000" if tells else "0.000000")], "told once"
    rig.run(NOON + timedelta(minutes=136))
    assert rig.cloud.asked.count("stop") == 2, "it has idled for two hours since"


def test_a_stop_that_was_cut_off_is_told_by_the_next_run_with_its_time(rig: Rig) -> None:
    session = rig.session(NIGHT)
    cloud, stop = rig.cloud, rig.cloud.stop
    try:
        found = schedule_pass.look(session)

        def killed(instance: str) -> Instance:
            stop(instance)
            raise KeyboardInterrupt

        cloud.stop = killed  # type: ignore[method-assign]
        with pytest.raises(KeyboardInterrupt):
            found.carry_out(session)
        cloud.stop = stop  # type: ignore[method-assign]
    finally:
        session.close()
    assert (rig.told(), [one.done for one in rig.off().values()]) == ([], [False])
    rig.run(NIGHT + timedelta(minutes=30))
    assert (rig.told(), [one.done for one in rig.off().values()]) == ([("turned_off", None)], [True])
    rig.run(MORNING)
    assert rig.told() == [("turned_off", None), ("turned_on", "1.100000")]
    (told, _) = rig.store.entries()
    assert (told.facts["since"], told.facts["reason"]) == ("2026-11-19T22:00:00.000000Z", "outside its hours")


def test_a_stop_that_never_was_is_not_told_as_turned_on(rig: Rig) -> None:
    session = rig.session(NIGHT)
    try:
        found = schedule_pass.look(session)
        rig.cloud.stop = lambda instance: (_ for _ in ()).throw(Unavailable("500"))  # type: ignore[method-assign]
        (done,) = found.carry_out(session)
        assert done.error
    finally:
        session.close()
    rig.run(MORNING)
    assert (rig.told(), rig.off(), rig.cloud.state) == ([], {}, "running")


def look(store: Store, cloud: Cloud, now: datetime) -> tuple[run.Work, "Plan"]:
    """Look as a run does, and plan; what it does with that may come later."""
    site = run.Site("eu-1", cloud)  # type: ignore[arg-type]
    things = {thing.key: thing for thing in run.machines(site, {}, None, now)}
    stopped, keeps = run.remembered(store)
    calendar = Calendar((parse("mon-fri 08:00-18:00"),), "UTC")
    work = run.Work("office", {"eu-1": site}, things, stopped, store, lambda: now)
    return work, plan("office", calendar, things.values(), stopped, keeps, now)


def test_of_two_runs_at_once_one_stops_and_tells_and_one_starts_and_saves(store: Store) -> None:
    """Both have looked before either acts, at night and in the morning."""
    cloud = Cloud()
    for now in (NIGHT, MORNING):
        rivals = [look(store, cloud, now) for _ in range(2)]
        first, second = (work.carry_out(made) for work, made in rivals)
        assert [(done.left, done.error) for done in (*first, *second)] == [("", None), (run.FASTER, None)]
        shown = views.passed({"office": rivals[1][1]}, second)
        assert [(row["what"], row["reason"]) for row in shown.items] == [(State("leave", "idle"), run.FASTER)]
        assert "'0 changed, 1 left as they are'" in str(shown.blocks[-1])
    assert cloud.asked == ["stop", "start"]
    assert [(entry.kind, entry.facts.get("saved")) for entry in store.entries()] == [
        ("cost.turned_off", None),
        ("cost.turned_on", "1.100000"),
    ]


@pytest.mark.parametrize(
    ("left", "error", "said"),
    [(run.FASTER, None, "0 changed, 1 left as they are"), ("", Unavailable("gone"), "0 changed, 1 failed, 0 left as they are")],
    ids=["overtaken", "failed"],
)
def test_a_step_that_only_tells_is_no_change(rig: Rig, left: str, error: McmlError | None, said: str) -> None:
    work, _ = look(rig.store, rig.cloud, NOON)
    before = Stopped(KEY, "office", 1, 0, NOON - timedelta(hours=14))
    step = restored(work.things[KEY], before, "in its hours", NOON)
    assert step.action == "keep"
    shown = views.passed({"office": Plan("cost", (step,))}, [run.Done(step, error=error, left=left)])
    assert f"'{said}'" in str(shown.blocks[-1])


@pytest.mark.parametrize("changes", [{"by": "budget:risk"}, {"back": NOON}], ids=["by a budget", "on again"])
def test_what_no_run_gives_back_is_not_listed_as_given_back_by_the_next(changes: dict[str, Any]) -> None:
    one = Stopped(KEY, "office", 1, 0, NOON)
    assert "1 that office turned off" in str(views.schedules({}, {}, {KEY: one}, [], NOON).blocks)
    assert "turned off" not in str(views.schedules({}, {}, {KEY: replace(one, **changes)}, [], NOON).blocks)


def test_who_looked_before_somebody_else_stopped_it_does_not_stop_it_again_after_it_came_back(rig: Rig) -> None:
    store, cloud = rig.store, rig.cloud
    late, made = look(store, cloud, NIGHT)
    for now in (NIGHT, MORNING, MORNING + timedelta(hours=12)):
        work, current = look(store, cloud, now)
        work.carry_out(current)
    (done,) = late.carry_out(made)
    assert (done.left, cloud.asked) == (run.FASTER, ["stop", "start", "stop"])


def test_a_run_that_was_overtaken_in_the_middle_leaves_the_telling_to_the_other(rig: Rig) -> None:
    store, cloud = rig.store, rig.cloud
    work, made = look(store, cloud, NIGHT)
    (step,) = made.steps
    stop = cloud.stop

    def slow(instance: str) -> Instance:
        cloud.stop = stop  # type: ignore[method-assign]
        other, again = look(store, cloud, NIGHT + timedelta(minutes=1))
        other.carry_out(again)
        return stop(instance)

    cloud.stop = slow  # type: ignore[method-assign]
    assert [(done.left, done.error) for done in work.carry_out(Plan("cost", (step,)))] == [("", None)]
    assert [entry.kind for entry in store.entries()] == ["cost.turned_off"]
    assert run.remembered(store)[0][KEY].done


def test_a_clock_that_was_put_back_by_a_day_keeps_nothing_off(rig: Rig) -> None:
    rig.run(NIGHT + timedelta(days=1))
    assert rig.run(NOON) == [("office", 1, "in its hours")]
    assert rig.told() == [("turned_off", None), ("turned_on", "0.000000")]


def test_keeping_needs_a_time_and_something_that_can_be_named(rig: Rig, capsys: pytest.CaptureFixture[str]) -> None:
    from mcml.cli.main import main

    for words, code, said in (
        (["--for", "0h"], 2, "no time at all"),
        (["--for", "4h", "--only", "i-1"], 2, "expected TARGET/instance/ID"),
        (["--for", "4h", "--only", "eu-1/machine/i-1"], 2, "expected TARGET/instance/ID"),
        (["--for", "4h", "--only", "eu-2/instance/i-1"], 5, "did you mean 'eu-1'?"),
        (["--for", "4h", "--only", KEY], 0, "kept on until"),
    ):
        assert main(["cost", "schedule", "keep", "office", *words]) == code
        assert said in capsys.readouterr().err
