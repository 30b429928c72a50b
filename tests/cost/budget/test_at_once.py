"""Checks of budgets that meet: in one moment, after one that was killed, and with metrics that do not answer."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mcml.cli.cost import budget_pass
from mcml.cli.main import main
from mcml.cli.session import Common, Session
from mcml.core.errors import McmlError, PartlyDone, Unavailable
from mcml.cost.budget import act, action_views, views
from mcml.cost.schedule import run
from mcml.providers.api.capability import GROUPS, INSTANCES, METRICS
from mcml.providers.api.groups import Group
from mcml.providers.api.instances import Instance
from mcml.providers.api.metrics import Point, SeriesQuery, Window
from mcml.store import documents
from tests.cost.budget.test_actions import NOW, Cloud, standing

ACTION = (
    '{ at = 100, do = "stop-idle", match = { environment = "dev" }, '
    'idle = { lasts = "2h", signals = [{ metric = "cpu", below = 5 }, { metric = "net", below = 5 }] } }'
)
SETTINGS = f"""
name = "acme"
[targets.eu-1]
provider = "aws"
region = "eu-west-1"
[cost.budgets.risk]
amount = 20
currency = "USD"
act = true
actions = [{ACTION}]
"""


class Dials:
    """Metrics of machines that idle, or that cannot be read."""

    def __init__(self, fails: McmlError | None = None) -> None:
        self.fails = fails

    def query(self, series: SeriesQuery, window: Window) -> list[Point]:
        if self.fails:
            raise self.fails
        return [Point(window.start + window.step * step, 1.0) for step in range(12)]


class Old(Cloud):
    """Two machines that were started long ago."""

    def list(self, tags: object = None) -> list[Instance]:
        return [replace(one, launched=NOW - timedelta(days=1)) for one in super().list(tags)]


class NoGroups:
    def list(self, tags: object = None) -> list[Group]:
        return []


class Mine(Session):
    """A session whose target has two machines."""

    def __init__(self, cloud: Cloud, dials: Dials) -> None:
        super().__init__(Common(quiet=True), clock=lambda: NOW)
        self.cloud, self.dials = cloud, dials

    def open(self, capability: object, target: str) -> Any:
        return {GROUPS: NoGroups(), INSTANCES: self.cloud, METRICS: self.dials}[capability]  # type: ignore[index]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mcml.toml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(cloud: Cloud, dials: Dials | None = None) -> tuple[budget_pass.Pass, list[str]]:
    """Make one check of a budget that is over; return what it did, and what the journal has heard by then."""
    session = Mine(cloud, dials or Dials())
    try:
        over = standing(30, amount=20, budget=session.settings.cost.budgets["risk"])
        found = budget_pass.check(session, [over], act=False)
        return found, [entry.kind for entry in session.store.entries()]
    finally:
        session.close()


def test_of_two_checks_in_one_moment_one_tells_what_was_turned_off(project: Path) -> None:
    """The second begins and ends while the first is about to stop its first machine."""
    others: list[budget_pass.Pass] = []

    class Overtaken(Old):
        def stop(self, instance: str) -> None:
            if not others:
                others.append(budget_pass.Pass([]))
                others[0] = check(self)[0]
            super().stop(instance)

    cloud = Overtaken()
    first, told = check(cloud)
    assert sorted(told) == ["cost.budget_acted", "cost.turned_off", "cost.turned_off"]
    assert cloud.on == {"i-1": False, "i-2": False}
    assert [done.left for done in first.done].count("another run is at it") == 1
    shown = action_views.machines(first.due[0], first.done, dry_run=False)
    assert sorted((str(row["name"]), getattr(row["what"], "text", "")) for row in shown) == [("eu-1/i-1", "stopped"), ("eu-1/i-2", "leave")]


def test_a_check_that_was_overtaken_while_it_asked_leaves_it_to_the_other(project: Path) -> None:
    """Another check stops all between the plan of this one and its answer."""
    (project / "mcml.toml").write_text(SETTINGS.replace("act = true\n", ""))
    cloud = Old()

    class Asking(Mine):
        def confirm(self, question: str) -> None:
            (project / "mcml.toml").write_text(SETTINGS)
            check(cloud)

    session = Asking(cloud, Dials())
    over = standing(30, amount=20, budget=session.settings.cost.budgets["risk"])
    found = budget_pass.check(session, [over], act=True)
    told = sorted(entry.kind for entry in session.store.entries())
    session.close()
    assert told == ["cost.budget_acted", "cost.turned_off", "cost.turned_off"]
    assert (found.done, found.due[0].turn.move) == ([], "begin"), "its turn was no longer true"


def test_two_that_undo_at_once_start_and_tell_once(project: Path) -> None:
    cloud = Old()
    check(cloud)
    others: list[budget_pass.Pass] = []

    class Later(Mine):
        """A session some hours later, which somebody overtakes before it has its answer."""

        def __init__(self) -> None:
            super().__init__(cloud, Dials())
            self.clock = lambda: NOW + timedelta(hours=3)

        def confirm(self, question: str) -> None:
            if not others:
                others.append(budget_pass.Pass([]))
                other = Later()
                others[0] = budget_pass.undo(other, "risk")
                other.close()

    session = Later()
    found = budget_pass.undo(session, "risk")
    told = [entry.facts["saved"] for entry in session.store.entries() if entry.kind == "cost.turned_on"]
    session.close()
    assert (len(told), cloud.on) == (2, {"i-1": True, "i-2": True})
    assert [done.left for done in (*others[0].done, *found.done)] == ["", "", "another run is at it", "another run is at it"]


def test_what_a_killed_check_has_stopped_is_told_with_its_undo_by_the_next(project: Path) -> None:
    class Killed(Old):
        def stop(self, instance: str) -> None:
            super().stop(instance)
            raise KeyboardInterrupt

    cloud = Killed()
    with pytest.raises(KeyboardInterrupt):
        check(cloud)
    after = Old()
    after.on = cloud.on
    check(after)
    session = Mine(after, Dials())
    told = {str(entry.facts["id"]): entry.facts for entry in session.store.entries() if entry.kind == "cost.turned_off"}
    session.close()
    assert sorted(told) == ["i-1", "i-2"]
    assert {facts["undo"] for facts in told.values()} == {"mcml cost budgets undo risk"}


def test_what_is_off_because_of_a_budget_is_listed_until_it_is_back(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(Old())
    said = "2 of the machines and groups are off because of risk; back: mcml cost budgets undo risk"
    for words in (["list"], ["show", "risk"]):
        assert main(["cost", "budgets", *words]) == 0
        assert said in capsys.readouterr().out
    session = Mine(Cloud(), Dials())
    assert act.off(session.store) == {"risk": 2}
    one = next(iter(run.remembered(session.store)[0].values()))
    with session.store.writing() as connection:
        documents.put(connection, run.STOPPED, one.key, replace(one, back=NOW).document(), NOW)
    assert act.off(session.store) == {"risk": 1}, "one that somebody has turned on again is not off"
    session.close()


def test_metrics_that_fail_stop_nothing_and_are_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cloud = Old()
    found, _ = check(cloud, Dials(Unavailable("429 of the metrics")))
    assert cloud.on == {"i-1": True, "i-2": True}
    session = Mine(cloud, Dials())
    with pytest.raises(PartlyDone) as told:
        found.ended(session, views.checked([], found.due, found.done, dry_run=False))
    session.close()
    assert "eu-1/i-1: 429 of the metrics" in told.value.why
