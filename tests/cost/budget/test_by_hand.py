"""What a budget does not decide alone: machines that people turn on again, and groups, which are stopped and given back as a whole."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mcml.cli.cost import budget_pass
from mcml.cli.session import Common, Session
from mcml.core.clock import midnight
from mcml.core.errors import Usage
from mcml.core.schema_cost import Idle, IdleSignal
from mcml.cost.budget.stop import returns, stops
from mcml.cost.rightsize.offs import ON, offs
from mcml.cost.schedule import run
from mcml.providers.api.capability import GROUPS, INSTANCES, METRICS
from mcml.providers.api.groups import Group
from mcml.providers.api.instances import Instance
from mcml.providers.api.metrics import Point, SeriesQuery, Window
from mcml.store.db import Store
from tests.cost.budget.test_actions import NOW, START, Cloud, one_pass, standing


def backs(store: Store) -> list[tuple[object, ...]]:
    return [tuple(entry.facts.get(name) for name in ("id", "machine_hours", "since")) for entry in store.entries() if entry.kind == ON]


class Started(Cloud):
    """Machines that say when they were started."""

    def __init__(self) -> None:
        super().__init__()
        self.launched = NOW - timedelta(days=1)

    def list(self, tags: object = None) -> list[Instance]:
        return [replace(one, launched=self.launched) for one in super().list(tags)]


def test_what_somebody_turns_on_saves_nothing_from_then_on(store: Store) -> None:
    """Stopped at noon, turned on by hand at two, seen at six: two hours; undone, stopped again and found later it says nothing more."""
    cloud = Started()
    one_pass(store, cloud, NOW)
    cloud.on["i-1"], cloud.launched = True, NOW + timedelta(hours=2)
    one_pass(store, cloud, NOW + timedelta(hours=6))
    assert backs(store) == [("i-1", "2.0000", "2026-10-20T14:00:00.000000Z")]
    one_pass(store, cloud, NOW + timedelta(hours=7))
    assert len(backs(store)) == 1, "it is told once"
    off = offs(store, NOW - timedelta(days=1), NOW + timedelta(hours=7))["eu-1/i-1"]
    assert off.spans == ((NOW, NOW + timedelta(hours=2)),), "right-sizing knows it, too"
    kept = run.remembered(store)[0]["eu-1/instance/i-1"]
    assert kept.back == NOW + timedelta(hours=6), "and left alone until the next period"
    one_pass(store, cloud, NOW + timedelta(hours=8), back=True)
    assert sorted(backs(store)[1:], key=str) == [
        ("i-1", "0.0000", "2026-10-20T18:00:00.000000Z"),  # when it was told before, not now
        ("i-2", "8.0000", None),
    ]


def test_what_does_not_say_when_it_was_turned_on_claims_nothing(store: Store) -> None:
    cloud = Cloud()  # it says when it was made, as on Azure
    one_pass(store, cloud, NOW + timedelta(hours=1))
    cloud.on["i-1"] = True
    one_pass(store, cloud, NOW + timedelta(hours=6))
    assert backs(store) == [("i-1", "0.0000", "2026-10-20T13:00:00.000000Z")]


class Pool:
    """A group, of two if nothing else is said."""

    def __init__(self, size: int = 2) -> None:
        self.size = size

    def list(self, tags: object = None) -> list[Group]:
        return [Group("pool", "m5.large", self.size, self.size, 0, 20, {"environment": "dev"})]

    def resize(self, group: str, desired: int) -> None:
        self.size = desired


class Members(Cloud):
    """Its members; the one that is not listed is."""

    def __init__(self, listed: int) -> None:
        super().__init__()
        self.listed = listed

    def list(self, tags: object = None) -> list[Instance]:
        return [Instance(f"i-{one}", "m5.large", "z", "running", NOW - timedelta(days=1), group="pool") for one in range(self.listed)]


class Dials:
    """Metrics of its members: the busy one does something."""

    def __init__(self, busy: str = "") -> None:
        self.busy = busy

    def query(self, series: SeriesQuery, window: Window) -> list[Point]:
        value = 9.0 if self.busy in series.labels.values() else 1.0
        return [Point(window.start + window.step * step, value) for step in range(12)]


@pytest.mark.parametrize(
    ("listed", "busy", "idle", "why"),
    [
        (2, "", True, "idle for 2h: cpu below 5 and net below 5"),
        (2, "i-1", False, "cpu reached 9"),
        (1, "", False, "1 of its 2 machines are listed"),
        (3, "", False, "3 machines say they are of it, and it has 2"),
    ],
)
def test_a_group_idles_when_each_of_its_machines_does(listed: int, busy: str, idle: bool, why: str) -> None:
    site = run.Site("eu-1", Members(listed), Pool(), Dials(busy))  # type: ignore[arg-type]
    rule = Idle(signals=tuple(IdleSignal(metric=name, below=5) for name in ("cpu", "net")))
    (found,) = run.groups(site, {}, rule, NOW)
    assert found.idle is not None
    assert (found.size, found.idle.idle, found.idle.why.startswith(why)) == (2, idle, True)


def test_a_group_that_a_budget_stopped_gets_its_size_back(store: Store) -> None:
    pool, members = Pool(), Members(2)
    site = run.Site("eu-1", members, pool, Dials())  # type: ignore[arg-type]
    rule = Idle(signals=tuple(IdleSignal(metric=name, below=5) for name in ("cpu", "net")))
    for hours, back, size in ((0, False, 0), (1, False, 0), (2, True, 2)):
        now = NOW + timedelta(hours=hours)
        things = {thing.key: thing for thing in run.groups(site, {}, rule, now)}
        stopped, keeps = run.remembered(store)
        if back:
            made = returns("risk", things.values(), stopped, now)
        else:
            made = stops("risk", things.values(), stopped, keeps, {}, midnight(START), now)
        run.Work("budget:risk", {"eu-1": site}, things, stopped, store, lambda now=now: now, "budget:risk").carry_out(made)  # type: ignore[misc]
        assert pool.size == size
        members.listed = size
    assert backs(store) == [("pool", "4.0000", None)]
    assert run.remembered(store)[0] == {}


class Asked(Session):
    """A session whose target has a pool of twenty that idles."""

    pool = Pool(20)

    def open(self, capability: object, target: str) -> Any:
        return {GROUPS: self.pool, INSTANCES: Members(self.pool.size), METRICS: Dials()}[capability]  # type: ignore[index]


def test_who_is_asked_is_told_how_many_machines_a_group_is_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    idle = '{ lasts = "2h", signals = [{ metric = "cpu", below = 5 }, { metric = "net", below = 5 }] }'
    action = f'{{ at = 100, do = "stop-idle", kinds = ["groups"], match = {{ environment = "dev" }}, idle = {idle} }}'
    settings = 'name = "acme"\n[targets.eu-1]\nprovider = "aws"\nregion = "eu-west-1"\n[cost.budgets.risk]\n'
    (tmp_path / "mcml.toml").write_text(f'{settings}amount = 20\ncurrency = "USD"\nactions = [{action}]\n')
    monkeypatch.chdir(tmp_path)
    session = Asked(Common(quiet=True), clock=lambda: NOW)
    try:
        spent = standing(30, amount=20, budget=session.settings.cost.budgets["risk"])
        with pytest.raises(Usage) as asked:
            budget_pass.check(session, [spent], act=True)
        assert "Stop 20 idle machines?" in f"{asked.value} {asked.value.why}"
        assert (session.pool.size, run.remembered(session.store)[0]) == (20, {})
    finally:
        session.close()
