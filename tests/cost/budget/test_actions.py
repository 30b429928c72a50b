"""The actions of budgets: when they begin, hold and end, which machines are stopped and given back, and what is written down of it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mcml.core.clock import midnight
from mcml.core.errors import Unavailable
from mcml.core.plan import Plan
from mcml.core.schema_cost import Budget, BudgetAction, Schedule
from mcml.cost.budget import act
from mcml.cost.budget.actions import KIND, Memory, Turn, orphans, turns
from mcml.cost.budget.standing import Standing, changes
from mcml.cost.budget.stop import returns, stops
from mcml.cost.schedule import run
from mcml.cost.schedule.hours import Calendar, parse
from mcml.cost.schedule.idle import Idleness
from mcml.cost.schedule.plan import Keep, Stopped, Thing, plan
from mcml.providers.api.instances import Instance, MachinePrice
from mcml.store import documents, refusals
from mcml.store.db import Store

START, END = date(2026, 10, 1), date(2026, 11, 1)
NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)
STOP = BudgetAction(at=100, do="stop-idle", match={"environment": "dev"})
REFUSE = BudgetAction(at=120, do="refuse-gpu-deploys")
BUDGET = Budget(amount=1000, currency="USD", where=("team=risk",), actions=(STOP, REFUSE))
STOP_KEY, REFUSE_KEY = "risk/stop-idle@100", "risk/refuse-gpu-deploys@120"


def standing(spent: int, start: date = START, amount: float = 1000, budget: Budget = BUDGET) -> Standing:
    end = (start + timedelta(days=31)).replace(day=1)
    changed = budget.model_copy(update={"amount": amount})
    return Standing("risk", changed, start, end, Decimal(spent), Decimal(0), {}, None, None, None)


def memory(key: str, state: Any, period: date = START, amount: str = "1000") -> Memory:
    return Memory(key, period.isoformat(), amount, state, NOW, "103% of 1000 USD is spent")


def moves(found: Sequence[Turn]) -> dict[str, str]:
    return {turn.key: turn.move for turn in found}


@pytest.mark.parametrize(
    ("spent", "known", "does", "move"),
    [
        (999, None, True, None),
        (1000, None, True, "begin"),
        (1000, None, False, "announce"),
        (1000, memory(STOP_KEY, "announced"), False, "announced"),
        (1000, memory(STOP_KEY, "announced"), True, "begin"),
        (1000, memory(STOP_KEY, "on"), True, "hold"),
        (1000, memory(STOP_KEY, "on"), False, "hold"),
        (900, memory(STOP_KEY, "on"), True, "end"),
        (900, memory(STOP_KEY, "announced"), False, "forget"),
        (1000, memory(STOP_KEY, "lifted"), True, "lifted"),
        (900, memory(STOP_KEY, "lifted"), True, None),
        (1000, memory(STOP_KEY, "lifted", amount="800"), True, "begin"),
        (1000, memory(STOP_KEY, "lifted", date(2026, 9, 1)), True, "begin"),
        (1000, memory(STOP_KEY, "on", date(2026, 9, 1)), True, "begin"),
        (900, memory(STOP_KEY, "on", date(2026, 9, 1)), True, "end"),
    ],
)
def test_what_becomes_of_an_action(spent: int, known: Memory | None, does: bool, move: str | None) -> None:
    found = turns(standing(spent), [known] if known else [], act=does)
    assert moves(found).get(STOP_KEY) == move


@pytest.mark.parametrize(("state", "move"), [("on", "hold"), ("announced", "announced"), ("lifted", "lifted")])
def test_nothing_ends_because_a_rate_is_missing(state: str, move: str) -> None:
    """What is spent is then known in part only; a new period ends it all the same."""
    blind = replace(standing(0), unconverted="no rate from USD to EUR")
    assert moves(turns(blind, [memory(STOP_KEY, state)], act=True))[STOP_KEY] == move
    assert moves(turns(blind, [memory(STOP_KEY, state, date(2026, 9, 1))], act=True)).get(STOP_KEY) in ("end", "forget")
    alert = {"actual-100": "103% of 1000 USD is spent"}
    assert changes(blind, alert, START.isoformat()) == []
    assert [one.name for one in changes(standing(0), alert, START.isoformat())] == ["actual-100"]


def test_why_it_began_and_why_it_ended() -> None:
    (begun,) = turns(standing(1030), [], act=True)
    assert begun.text == "103% of 1000 USD is spent"
    (raised,) = turns(standing(1030, amount=2000), [memory(STOP_KEY, "on")], act=True)
    assert (raised.move, raised.text) == ("end", "51.5% of 2000 USD is spent, less than 100%")
    (later,) = turns(standing(10, date(2026, 11, 1)), [memory(STOP_KEY, "on")], act=True)
    assert later.text == "a new period has begun"


def test_a_budget_of_another_profile_is_not_taken_for_one_that_is_no_more() -> None:
    held = Memory("risk/refuse-gpu-deploys@100", "2026-10-01", "20", "on", NOW, "it holds", "prod")
    assert Memory.of(held.key, held.document()) == held
    assert orphans([held], {}) == []
    assert [turn.move for turn in orphans([held], {}, "prod")] == ["end"]
    before = {key: value for key, value in held.document().items() if key != "profile"}
    assert orphans([Memory.of(held.key, before)], {}) == [], "whose it was before that was kept, nobody knows"


def test_an_action_that_is_no_more_ends() -> None:
    bare = standing(1500, budget=Budget(amount=1000, currency="USD"))
    known = [memory(STOP_KEY, "on"), memory("other/stop-idle@100", "on")]
    assert moves(turns(bare, known, act=True)) == {STOP_KEY: "end"}


def test_settings_that_say_nothing_are_refused() -> None:
    tags = {"match": {"a": "b"}}
    for wrong in ({"do": "stop-idle"}, {"do": "refuse-gpu-deploys", **tags}, {"do": "stop-idle", "at": 0, **tags}):
        with pytest.raises(ValidationError):
            BudgetAction.model_validate({"at": 100, **wrong})
    with pytest.raises(ValidationError, match="two actions"):
        Budget(amount=1, currency="USD", actions=(REFUSE, REFUSE))


def held(store: Store, now: datetime = NOW) -> list[refusals.Refusal]:
    with store.reading() as connection:
        return refusals.in_force(connection, refusals.GPU_DEPLOYS, now)


def settle(store: Store, found: Standing, now: datetime = NOW, *, acting: bool = True) -> list[str]:
    due = act.due(store, [found], {"risk": found.budget}, ["risk"] if acting else [])
    return [each.turn.move for each in act.settle(store, due, now)]


def told(store: Store) -> list[tuple[str, object]]:
    return [(entry.kind.removeprefix("cost.budget_"), entry.facts.get("action")) for entry in store.entries()]


def test_each_action_is_told_once_with_its_undo_and_ends_with_its_period(store: Store) -> None:
    assert settle(store, standing(1200), acting=False) == ["announce", "announce"]
    assert settle(store, standing(1200), acting=False) == ["announced", "announced"]
    assert held(store) == []
    assert settle(store, standing(1200)) == ["begin", "begin"]
    assert settle(store, standing(1250)) == ["hold", "hold"]
    (refusal,) = held(store)
    assert (refusal.by, refusal.why, refusal.where) == ("budget:risk", "125% of 1000 USD is spent", ("team=risk",))
    assert refusal.lift == "mcml cost budgets lift risk"
    assert held(store, midnight(END) - timedelta(seconds=1)) == [refusal]
    assert held(store, midnight(END)) == [], "it ends with the period, although nobody checked"
    assert settle(store, standing(5, END), midnight(END)) == ["end", "end"]
    assert told(store) == [
        ("would_act", "stop-idle"), ("would_act", "refuse-gpu-deploys"), ("acted", "stop-idle"), ("acted", "refuse-gpu-deploys"),
        ("action_ended", "stop-idle"), ("action_ended", "refuse-gpu-deploys"),
    ]  # fmt: skip
    assert store.entries()[2].facts["undo"] == "mcml cost budgets undo risk"
    assert store.verify().broken_at == 0


def test_what_is_lifted_stays_lifted_until_the_amount_changes(store: Store) -> None:
    settle(store, standing(1200))
    assert act.lift(store, "risk", NOW, act.REFUSE) == [REFUSE_KEY]
    assert act.lift(store, "risk", NOW, act.REFUSE) == []
    assert held(store) == []
    assert settle(store, standing(1300)) == ["hold", "lifted"]
    assert held(store) == []
    assert settle(store, standing(2500, amount=2000)) == ["hold", "begin"]
    assert [refusal.why for refusal in held(store)] == ["125% of 2000 USD is spent"]
    assert ("lifted", None) in told(store)


def test_a_refusal_that_was_lost_is_made_good_and_one_of_two_that_ends_leaves_the_other(store: Store) -> None:
    both = Budget(amount=1000, currency="USD", actions=(REFUSE, BudgetAction(at=100, do="refuse-gpu-deploys")))
    settle(store, standing(1200, budget=both))
    with store.writing() as connection:
        assert refusals.remove(connection, refusals.GPU_DEPLOYS, "budget:risk")
    settle(store, standing(1200, budget=both))
    assert len(held(store)) == 1
    assert settle(store, standing(1100, budget=both)) == ["end", "hold"]
    assert len(held(store)) == 1


def test_of_two_checks_at_once_one_is_told(store: Store) -> None:
    due = act.due(store, [standing(1200)], {"risk": BUDGET}, ["risk"])
    assert len(act.settle(store, due, NOW)) == 2
    assert act.settle(store, due, NOW) == []
    assert len(told(store)) == 2


def test_a_budget_that_is_no_more_refuses_nothing(store: Store) -> None:
    settle(store, standing(1200))
    due = act.due(store, [], {}, [])
    assert {each.turn.text for each in due} == {"the budget is no more"}
    act.settle(store, due, NOW)
    assert (held(store), act.remembered(store)) == ([], [])


def test_an_action_of_before_profiles_were_kept_is_that_of_the_profile_that_holds_it(store: Store) -> None:
    settle(store, standing(1200))
    with store.writing() as connection:
        for kept in documents.every(connection, KIND):
            documents.put(connection, KIND, kept.key, {key: value for key, value in kept.content.items() if key != "profile"}, NOW)
    assert act.due(store, [], {}, []) == [], "it may be another profile's"
    settle(store, standing(1200))
    act.settle(store, act.due(store, [], {}, []), NOW)
    assert (held(store), act.remembered(store)) == ([], [])


SPENDING = st.lists(st.tuples(st.integers(0, 2000), st.booleans(), st.booleans()), max_size=15)


@given(SPENDING)
def test_after_any_story_what_was_told_adds_up_to_what_holds(story: list[tuple[int, bool, bool]]) -> None:
    """A pure walk through turns: begun and ended alternate, and an action holds exactly while its last turn says so."""
    known: dict[str, Memory] = {}
    on, start = set[str](), START
    for spent, acting, new_period in story:
        start = (start + timedelta(days=32)).replace(day=1) if new_period else start
        now = standing(spent, start)
        for turn in turns(now, list(known.values()), act=acting):
            if turn.move == "end":
                on.remove(turn.key)
            if turn.move in ("end", "forget"):
                del known[turn.key]
            if turn.move in act.WRITTEN:
                known[turn.key] = memory(turn.key, act.WRITTEN[turn.move], start)
            if turn.move == "begin":
                on.add(turn.key)
            assert (turn.move != "hold") or turn.key in on
        due = {STOP_KEY: 1000, REFUSE_KEY: 1200}
        over = {key for key, limit in due.items() if spent >= limit}
        assert set(known) <= over
        assert on == {key for key, kept in known.items() if kept.state == "on"}
        again = turns(now, list(known.values()), act=acting)
        assert {turn.move for turn in again} <= {"hold", "announced", "announce"}, "nothing begins or ends twice"


IDLE = Idleness(True, "idle for 2h: cpu below 5 and net below 5")
BOX = Thing("eu-1", "instance", "i-1", "m5.large", 1, tags={"environment": "dev"}, hourly=Decimal("0.1"), currency="USD", idle=IDLE)
OFFICE = Schedule(hours=("mon-fri 08:00-18:00",), zone="UTC", match={"environment": "dev"})


def decided(thing: Thing, before: Stopped | None = None, keeps: Sequence[Keep] = (), schedules: Any = None) -> tuple[object, str]:
    found = stops("risk", [thing], {thing.key: before} if before else {}, keeps, schedules or {}, midnight(START), NOW)
    return found.steps[0].values.get("to"), found.steps[0].reason


def taken(at: datetime = NOW, **changes: Any) -> Stopped:
    return replace(Stopped(BOX.key, "budget:risk", 1, 0, at, BOX.hourly, "USD", by="budget:risk"), **changes)


@pytest.mark.parametrize(
    ("thing", "before", "to", "why"),
    [
        (BOX, None, 0, "idle for 2h: cpu below 5 and net below 5; budget risk"),
        (replace(BOX, size=0, idle=None), None, None, "it is off"),
        (replace(BOX, idle=Idleness(False, "cpu reached 9, the limit is 5")), None, None, "cpu reached 9"),
        (replace(BOX, idle=None), None, None, "nobody can tell whether it idles"),
        (replace(BOX, spot=True), None, None, "a spot machine"),
        (replace(BOX, tags={"mcml-keep-until": "2026-10-25"}), None, None, "kept on until 2026-10-26 00:00 UTC by its tag"),
        (BOX, taken(NOW - timedelta(days=1)), None, "somebody turned it on since we turned it off: left alone until the next period"),
        (BOX, taken(NOW - timedelta(days=30)), 0, "idle"),
        (replace(BOX, kind="group", id="pool", size=5, floor=1), None, 1, "idle for 2h"),
        (replace(BOX, kind="group", id="pool", size=1, floor=1), None, None, "it is at its minimum of 1"),
        (BOX, taken(NOW - timedelta(days=1), done=False), 0, "idle"),
        (BOX, taken(NOW - timedelta(days=1), by="", schedule="office"), 0, "idle"),
    ],
)
def test_which_machines_are_stopped(thing: Thing, before: Stopped | None, to: int | None, why: str) -> None:
    found, reason = decided(thing, before)
    assert found == to
    assert reason.startswith(why)


def test_who_keeps_a_schedule_on_keeps_its_machines_from_the_budget() -> None:
    keeps = [Keep("office", NOW + timedelta(hours=1), who="ann")]
    assert decided(BOX, keeps=keeps, schedules={"office": OFFICE})[0] is None
    assert decided(BOX, keeps=keeps)[0] == 0, "without that schedule it is nobody's"


class Cloud:
    """Two machines in memory that idle; a call can be cut off before or after its change."""

    def __init__(self) -> None:
        self.on = {"i-1": True, "i-2": True}
        self.breaks = ""

    def list(self, tags: object = None) -> list[Instance]:
        kind = {"tags": {"environment": "dev"}}
        return [Instance(key, "m5.large", "z", "running" if on else "stopped", NOW, **kind) for key, on in self.on.items()]  # type: ignore[arg-type]

    def prices(self, machines: object = ()) -> Sequence[MachinePrice]:
        return []

    def stop(self, instance: str) -> None:
        self._set(instance, on=False)

    def start(self, instance: str) -> None:
        self._set(instance, on=True)

    def _set(self, instance: str, *, on: bool) -> None:
        if self.breaks == "before":
            raise Unavailable("cut off")
        self.on[instance] = on
        if self.breaks == "after":
            raise Unavailable("cut off")


def one_pass(store: Store, cloud: Cloud, now: datetime, *, back: bool = False, schedules: Any = None, breaks: str = "") -> list[run.Done]:
    site = run.Site("eu-1", cloud)  # type: ignore[arg-type]
    things = {thing.key: replace(thing, idle=IDLE) for thing in run.machines(site, {}, None, now)}
    stopped, keeps = run.remembered(store)
    if back:
        made = returns("risk", things.values(), stopped, now)
    else:
        made = stops("risk", things.values(), stopped, keeps, schedules or {}, midnight(START), now)
    cloud.breaks = breaks
    done: list[run.Done] = []
    for step in made.steps:
        work = run.Work(str(step.values.get("schedule", "")), {"eu-1": site}, things, stopped, store, lambda: now, "budget:risk")
        done += work.carry_out(Plan("cost", (step,)))
    cloud.breaks = ""
    return done


@pytest.mark.parametrize("breaks", ["", "before", "after"])
def test_what_was_stopped_comes_back_as_it_was_wherever_it_was_cut_off(store: Store, breaks: str) -> None:
    cloud = Cloud()
    assert bool([done for done in one_pass(store, cloud, NOW, breaks=breaks) if done.error]) == bool(breaks)
    one_pass(store, cloud, NOW + timedelta(hours=1))
    assert cloud.on == {"i-1": False, "i-2": False}
    first = [entry for entry in store.entries() if entry.kind == "cost.turned_off"]
    assert {(entry.facts["by"], entry.facts["undo"]) for entry in first} <= {("budget:risk", "mcml cost budgets undo risk")}
    one_pass(store, cloud, NOW + timedelta(hours=2), back=True, breaks=breaks)
    one_pass(store, cloud, NOW + timedelta(hours=3), back=True)
    assert cloud.on == {"i-1": True, "i-2": True}
    assert run.remembered(store)[0] == {}
    assert not one_pass(store, cloud, NOW + timedelta(hours=4), back=True), "undone once more it does nothing"


def test_a_machine_that_may_be_on_its_way_down_is_not_forgotten(store: Store) -> None:
    """EC2 says of one that is stopping that it runs."""
    cloud = Cloud()
    one_pass(store, cloud, NOW)
    cloud.on = {"i-1": True, "i-2": True}
    one_pass(store, cloud, NOW + timedelta(minutes=1), back=True)
    assert len(run.remembered(store)[0]) == 2
    cloud.on = {"i-1": False, "i-2": False}
    one_pass(store, cloud, NOW + timedelta(minutes=2), back=True)
    assert cloud.on == {"i-1": True, "i-2": True}
    assert run.remembered(store)[0] == {}


def test_a_machine_with_a_schedule_is_turned_on_by_its_next_hours(store: Store) -> None:
    """Stopped on a Tuesday at noon it is off for the rest of the day; on Wednesday morning its schedule turns it on."""
    cloud, calendar = Cloud(), Calendar((parse("mon-fri 08:00-18:00"),), "UTC")
    one_pass(store, cloud, NOW, schedules={"office": OFFICE})
    assert {one.schedule for one in run.remembered(store)[0].values()} == {"office"}
    for now, on in ((NOW + timedelta(hours=1), False), (NOW + timedelta(hours=10), False), (NOW + timedelta(hours=21), True)):
        site = run.Site("eu-1", cloud)  # type: ignore[arg-type]
        things = {thing.key: thing for thing in run.look(site, OFFICE, now)}
        stopped, keeps = run.remembered(store)
        work = run.Work("office", {"eu-1": site}, things, stopped, store, lambda now=now: now)  # type: ignore[misc]
        work.carry_out(plan("office", calendar, things.values(), stopped, keeps, now))
        assert set(cloud.on.values()) == {on}
    assert not one_pass(store, cloud, NOW + timedelta(hours=22), back=True), "nothing is left for undo"
