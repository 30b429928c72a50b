"""The digest as a value: exact sums, what is compared with what, and what is not told."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import Usage
from mcml.core.schema_cost import Budget, Cost
from mcml.cost.allocate.rules import DEFAULT
from mcml.cost.budget.standing import stand
from mcml.cost.digest.compose import Asked, Entry, Material, asked, build, reference
from mcml.cost.digest.desk import digest
from mcml.cost.digest.parts import drawn, made_of
from mcml.cost.forecast.months import late_until, this_month
from mcml.cost.forecast.series import ASKED
from mcml.store.db import Store
from mcml.store.ledger.book import Group, Ledger
from mcml.store.ledger.exact import total
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.paid import Paid
from tests.cost.focus import row

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)  # a Sunday
ONE_DAY = timedelta(days=1)
TODAY = NOW.replace(hour=0)


def charge(
    back: int, cost: str, provider: str = "Acme", *, source: str = "billed", currency: str = "USD", read: datetime = NOW, rows: int = 24
) -> Group:
    """What a provider charged so many days before today."""
    start = TODAY - back * ONE_DAY
    amount = Decimal(cost)
    return Group(currency, (provider, source, f"{start:%Y-%m-%d}"), amount, amount, rows, None, start, start + ONE_DAY, read)


def days(cost: str, newest: int = 1, oldest: int = 60, **changes: object) -> list[Group]:
    return [charge(back, cost, **changes) for back in range(oldest, newest - 1, -1)]  # type: ignore[arg-type]


def paid(sku: str, quantity: str, price: str, provider: str = "Acme") -> Paid:
    cost, bought = Decimal(quantity) * Decimal(price), Decimal(quantity)
    return Paid("USD", "usage", provider, "db", sku, "h", sku, "Standard", sku, cost, cost, bought, 1, ("db",))


def entry(daily: list[Group], day: str = "", **material: object) -> Entry:
    question = asked("day", day, ("service",), (), NOW)
    made = Material(daily, reference(question, daily), rules=DEFAULT, **material)  # type: ignore[arg-type]
    return build(question, made)[0]


def test_yesterday_the_last_week_and_those_that_hold_a_day() -> None:
    def when(period: str, day: str = "") -> Asked:
        return asked(period, day, ("service",), (), NOW)  # type: ignore[arg-type]

    assert (when("day").span.days, when("day").past, when("day").at) == ("2026-11-21", False, NOW)
    assert (when("week").span.days, when("week").past) == ("2026-11-09 to 2026-11-15", False)
    assert (when("week").before.days, when("week").month.days) == ("2026-11-02 to 2026-11-08", "2026-11-01 to 2026-11-30")
    assert when("week", "2026-11-11").span.days == when("week").span.days
    old = when("day", "2026-11-01")
    assert (old.past, old.at, old.before.days, old.weekday.days, old.month.days) == (
        True, datetime(2026, 11, 2, tzinfo=UTC), "2026-10-31", "2026-10-25", "2026-11-01 to 2026-11-30",
    )  # fmt: skip
    assert when("week", "2026-01-01").span.days == "2025-12-29 to 2026-01-04"


@pytest.mark.parametrize("day", ["2026-11-23", "2026-11", "last-week", "soon"])
def test_what_is_no_day_or_has_not_begun_is_refused(day: str) -> None:
    with pytest.raises(Usage):
        asked("day", day, ("service",), (), NOW)


def test_a_day_against_the_one_before_and_the_same_weekday_with_the_month() -> None:
    daily = days("100.000000000000000000000001")
    daily[-1] = charge(1, "150")
    made = entry(daily)
    assert made.cost == Decimal(150)
    assert [(step.before.days, step.was, step.delta) for step in made.steps] == [
        ("2026-11-20", Decimal("100.000000000000000000000001"), Decimal("49.999999999999999999999999")),
        ("2026-11-14", Decimal("100.000000000000000000000001"), Decimal("49.999999999999999999999999")),
    ]
    assert made.month_cost == Decimal("2150.00000000000000000000002")
    assert made.month_step is not None
    assert made.month_step.before.days == "2026-10-01 to 2026-10-21"
    assert made.month_step.percent == Decimal("2.4")
    assert (len(made.daily), made.daily[-1]) == (31, (TODAY.date() - ONE_DAY, Decimal(150)))


def test_half_a_bill_is_compared_with_nothing_and_left_out_of_what_moved() -> None:
    daily = [*days("100"), *days("50", newest=2, provider="Late"), *days("7", currency="EUR", provider="Euro")]
    question = asked("day", "", ("service",), (), NOW)
    sides = ([paid("a", "100", "1"), paid("b", "50", "1", "Late")], [paid("a", "120", "1")])
    euro, dollar = build(question, Material(daily, reference(question, daily), paid=sides))
    assert dollar.cost == Decimal(100), "what is booked is told"
    assert dollar.steps == ()
    late = "2026-11-21 is not complete for Late, so it is not compared; the newest complete day is 2026-11-20"
    assert (dollar.omitted["compared"], "compared_weekday" in dollar.omitted) == (late, False)
    assert dollar.why is not None
    assert [(change.key, change.delta, dict(change.parts)) for change in dollar.why.changes] == [
        (("db",), Decimal(20), {"volume": Decimal(20)})
    ]
    assert dollar.without == ("Late",)
    assert dollar.month_step is not None
    assert dollar.month_step.span.days == "2026-11-01 to 2026-11-20"
    assert (len(euro.steps), euro.without) == (2, ()), "a bill in another currency has nothing to do with it"
    assert "not complete for Acme" in entry([*days("1", newest=2), charge(1, "1", rows=3)]).omitted["compared"]


def test_a_provider_that_ended_long_ago_is_not_waited_for() -> None:
    made = entry([*days("100"), *days("50", newest=20, provider="Gone")])
    assert ("compared" in made.omitted, len(made.steps)) == (False, 2)


def test_a_measured_day_is_complete_once_it_is_over_and_was_read() -> None:
    assert len(entry(days("1", source="measured")).steps) == 2
    idle = [each for each in days("1", source="measured") if each.first != TODAY - ONE_DAY]
    assert entry(idle).omitted["cost"] == "the ledger has no costs of 2026-11-21; the newest are of 2026-11-20"
    early = days("1", source="measured", read=TODAY - timedelta(hours=5))
    assert "is not complete" in entry(early).omitted["compared"]


def test_what_the_ledger_does_not_reach_is_said_and_is_no_zero() -> None:
    young = entry(days("10", oldest=1))
    assert (young.cost, young.steps, young.why, young.forecast) == (Decimal(10), (), None, None)
    assert young.omitted["compared"] == "nothing to compare with: the ledger begins on 2026-11-21"
    assert young.omitted["forecast"].startswith("too little history for a forecast")
    assert young.omitted["anomalies"] == "1 day of history, more than 28 are needed to tell what is unusual"
    assert "no budget in USD" in young.omitted["budgets"]
    three = entry(days("10", oldest=3))
    assert [step.before.days for step in three.steps] == ["2026-11-20"]
    assert three.omitted["compared_weekday"] == "nothing to compare with: the ledger begins on 2026-11-19"
    assert build(asked("day", "", (), (), NOW), Material((), asked("day", "", (), (), NOW).before)) == []


def test_a_past_day_is_complete_when_later_charges_say_so() -> None:
    """A provider that charges now and then charged later: nothing of the days between is to come."""
    rare = [charge(back, "1", "Rare") for back in (3, 6, 20, 40)]
    known = sorted([*days("10"), *rare], key=lambda group: group.first)
    daily = [group for group in known if str(group.key[2]) < "2026-11-18"]
    before, after = (entry(daily, "2026-11-17", **more) for more in ({}, {"known": known}))
    assert before.omitted["compared"].startswith("2026-11-17 is not complete for Rare")
    assert [(step.before.days, step.delta) for step in after.steps] == [("2026-11-16", Decimal(-1)), ("2026-11-10", Decimal(0))]
    assert after.month_step is not None
    assert after.month_step.span.days == "2026-11-01 to 2026-11-17"


def test_its_forecast_is_that_of_cost_forecast(tmp_path: Path) -> None:
    """Also of a fee that is booked for a later day, and of more history than the digest draws."""
    month = NOW.replace(day=1, hour=0)
    noise = random.Random(5)
    costs = [(TODAY - back * ONE_DAY, str(noise.randint(50, 150)), "Usage-Based") for back in range(1, 600)]
    rows = [
        {**row(cost), "ChargePeriodStart": start, "ChargePeriodEnd": start + ONE_DAY, "ChargeFrequency": frequency}
        for start, cost, frequency in [*costs, (month + 27 * ONE_DAY, "20", "Recurring")]
    ]
    Intake(tmp_path / "cost", clock=lambda: NOW).rows(rows, origin="bill")
    ledger, question = Ledger(tmp_path / "cost"), asked("day", "", ("service",), (), NOW)
    with Store(f"sqlite:///{tmp_path}/mcml.db") as store:
        (entry,) = digest(ledger, store, Cost(), question)
    late = late_until(ledger.totals(("provider", "day")), NOW.date())
    (scoped,) = this_month(ledger.totals(ASKED), NOW.date(), late)
    assert entry.forecast == scoped.forecast
    assert entry.forecast is not None
    assert entry.forecast.fees == Decimal(20)


def test_two_spans_are_not_compared_by_time() -> None:
    with pytest.raises(Usage, match="costs by day cannot be compared"):
        asked("week", "", ("service", "day"), (), NOW)


def test_a_budget_without_costs_and_the_past() -> None:
    budget = Budget(amount=100, currency="CHF")
    standing = stand("all", budget, (TODAY.date().replace(day=1), TODAY.date()), TODAY.date(), ())
    (only,) = build(asked("day", "", (), (), NOW), Material((), asked("day", "", (), (), NOW).before, budgets=[standing]))
    assert (only.currency, only.cost, only.budgets) == ("CHF", None, [standing])
    old = entry(days("10"), "2026-11-05")
    assert (old.month_cost, "budgets" in old.omitted, "anomalies" in old.omitted) == (Decimal(50), True, True)


MONEY = st.decimals(min_value=-(10**6), max_value=10**6, places=24)
CHARGES = st.lists(
    st.builds(lambda back, cost, source: charge(back, str(cost), source=source),
              st.integers(1, 40), MONEY, st.sampled_from(["billed", "measured", "estimate"])),
    min_size=1, max_size=30,
)  # fmt: skip


@given(CHARGES)
def test_the_sources_and_the_days_add_up_to_the_cost(daily: list[Group]) -> None:
    made = entry(daily)
    mine = [each for each in daily if each.key[2] == "2026-11-21"]
    assert made.cost == (total(each.effective for each in mine) if mine else None)
    assert ("cost" in made.omitted) == (not mine)
    assert total(each.cost for each in made_of(daily, asked("day", "", (), (), NOW).span)) == (made.cost or 0)
    points = dict(drawn(daily, TODAY.date() - ONE_DAY))
    assert points.get(TODAY.date() - ONE_DAY) == made.cost
    assert len(points) == min(31, max((TODAY - each.first).days for each in daily))
    for step in made.steps:
        assert total((step.was, step.delta)) == step.cost
