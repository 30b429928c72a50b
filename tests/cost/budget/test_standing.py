"""How budgets stand: what is spent and will be, how fast it burns, which alerts that means, and what changed since the last look."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mcml.core.schema_cost import Budget
from mcml.cost.budget import views
from mcml.cost.budget.standing import Alert, Change, changes, period
from mcml.store.ledger.book import Group
from mcml.store.ledger.exact import total
from tests.cost.budget.rig import MONTH, ONE_DAY, TODAY, daily, group, names, standing


def test_what_is_spent_and_what_will_be() -> None:
    """100 a day for 50 days until yesterday: 20 of them in October, which will have 31."""
    found = standing(daily("100", date(2026, 9, 1), 50))
    assert (found.start, found.end) == MONTH
    assert (found.spent, found.forecast) == (Decimal(2000), Decimal(3100))
    assert (found.fast, found.slow) == (Decimal(1), Decimal(1))
    assert names(found) == ["actual-50", "forecast-100"]
    assert found.level == "warn"
    assert found.alerts[0].text == "64.5% of 3100 USD is spent"


def test_a_forecast_alert_ends_five_percent_below_where_it_began() -> None:
    just_below = daily("98", date(2026, 9, 1), 50)
    assert names(standing(just_below)) == ["actual-50"]
    assert names(standing(just_below, on=("forecast-100",))) == ["actual-50", "forecast-100"]
    assert names(standing(daily("94", date(2026, 9, 1), 50), on=("forecast-100",))) == ["actual-50"]


def test_little_history_has_no_forecast() -> None:
    found = standing(daily("100", date(2026, 10, 1), 20))
    assert (found.forecast, found.spent) == (None, Decimal(2000))


def test_burn_needs_a_dear_day_and_a_dear_week() -> None:
    quiet = Budget(amount=31000, currency="USD")
    cheap = daily("100", date(2026, 9, 1), 48)
    one_day = [*cheap[:-1], group(date(2026, 10, 18), "9000")]
    week = [*cheap[:-7], *daily("2500", date(2026, 10, 12), 7)]
    over = [*cheap[:-8], *daily("2500", date(2026, 10, 11), 7), group(date(2026, 10, 18), "100")]
    assert (standing(one_day, quiet).fast, standing(one_day, quiet).slow) == (Decimal(9), Decimal("1.37"))
    assert "burn" not in names(standing(one_day, quiet))
    assert "burn" in names(standing(week, quiet))
    assert "burn" not in names(standing(over, quiet)), "the last day was cheap again"
    assert "burn" not in names(standing(week, Budget(amount=31000, currency="USD", burn=0)))


def test_what_ended_long_ago_burns_no_budget_and_has_no_forecast() -> None:
    """30 dear days that ended four weeks ago: nothing is spent in this period, and nothing says that anything will be."""
    ended = daily("700", date(2026, 8, 24), 30)
    assert names(standing(ended, today=date(2026, 9, 24))) == ["actual-50", "actual-80", "actual-100", "forecast-100", "burn"]
    found = standing(ended)
    assert (found.spent, found.fast, found.slow, found.forecast, found.level) == (Decimal(0), None, None, None, "ok")


def test_a_bill_that_is_late_hides_no_burn_and_one_in_another_currency_delays_nothing() -> None:
    """Of four dear days, while the bill of another provider ended five days ago."""
    usd = [*daily("100", date(2026, 9, 1), 46), *daily("700", date(2026, 10, 17), 4)]
    plain = standing(usd)
    assert (plain.fast, "burn" in names(plain)) == (Decimal(7), True)
    late = [each._replace(key=(*each.key[:-1], "azure")) for each in daily("5", date(2026, 9, 1), 45)]
    assert plain.slow is not None
    both = standing(usd + late)
    assert (both.fast, "burn" in names(both)) == (Decimal(7), True)
    euros = standing(usd + [each._replace(currency="EUR") for each in late])
    assert replace(euros, other={}) == plain


def test_other_currencies_are_named_and_never_added() -> None:
    groups = [*daily("100", date(2026, 10, 1), 20), group(date(2026, 10, 3), "5000", currency="EUR")]
    found = standing(groups)
    assert (found.spent, found.other) == (Decimal(2000), {"EUR": Decimal(5000)})
    said = str(views.budgets([found]).blocks)
    assert "5000 EUR, because the budget is in USD" in said


def test_estimates_count_and_are_said() -> None:
    found = standing([*daily("100", date(2026, 10, 1), 20), group(date(2026, 10, 21), "1100", source="estimate")])
    assert (found.spent, found.estimated, found.level) == (Decimal(3100), Decimal(1100), "over")
    assert "risk: 35.5 % of what is spent; estimates are not checked by any bill yet" in str(views.budgets([found]).blocks)


@pytest.mark.parametrize(("billed", "estimate"), [("-1100", "1100"), ("-2000", "1100"), ("2000", "-100"), ("-10", "-10")])
def test_an_estimate_that_is_no_share_of_what_is_spent_has_none(billed: str, estimate: str) -> None:
    day = date(2026, 10, 20)
    found = standing([group(day, billed, charge="Credit"), group(day, estimate, source="estimate")])
    said = str(views.budgets([found]).blocks)
    assert "of what is spent" not in said
    assert "None" not in said.partition("estimated")[0]


@pytest.mark.parametrize(
    ("per", "first", "after"),
    [
        ("day", date(2026, 10, 21), date(2026, 10, 22)),
        ("week", date(2026, 10, 19), date(2026, 10, 26)),
        ("month", date(2026, 10, 1), date(2026, 11, 1)),
        ("quarter", date(2026, 10, 1), date(2027, 1, 1)),
    ],
)
def test_periods_are_those_of_the_calendar(per: Any, first: date, after: date) -> None:
    budget = Budget(amount=100, currency="USD", per=per)
    assert period(budget, TODAY) == (first, after)
    found = standing(daily("100", date(2026, 8, 1), 80), budget)
    assert found.spent == 100 * len([day for day in range(80) if first <= date(2026, 8, 1) + day * ONE_DAY < after])
    assert found.forecast == 100 * (after - first).days


@given(st.dates(date(2020, 1, 1), date(2030, 12, 31)), st.sampled_from(["day", "week", "month", "quarter"]))
def test_periods_meet(day: date, per: Any) -> None:
    budget = Budget(amount=1, currency="USD", per=per)
    first, after = period(budget, day)
    assert first <= day < after
    assert period(budget, after)[0] == after
    assert period(budget, first) == (first, after)


MONEY = st.decimals(-(10**9), 10**9, places=24)
GROUPS = st.lists(
    st.builds(group, st.dates(date(2026, 8, 1), date(2026, 10, 31)), MONEY, currency=st.sampled_from(["USD", "EUR"])), max_size=30
)


@given(GROUPS)
@settings(deadline=None)
def test_every_cent_of_the_period_is_counted_once(groups: list[Group]) -> None:
    found = standing(groups)
    inside = [each for each in groups if MONTH[0] <= date.fromisoformat(str(each.key[1])) < MONTH[1]]
    for currency, amount in {"USD": found.spent, **found.other}.items():
        assert amount == total(each.effective for each in inside if each.currency == currency)


def alerts(*on: str) -> tuple[Alert, ...]:
    return tuple(Alert(name, Decimal(1), f"{name} is on") for name in on)


@given(st.lists(st.tuples(st.booleans(), st.frozensets(st.sampled_from(["actual-50", "actual-80", "burn"]))), max_size=20))
def test_alerts_come_on_and_go_off_in_turn(looks: list[tuple[bool, frozenset[str]]]) -> None:
    """After any story what was told adds up to what is on, and an alert of the old period is not taken for one of the new."""
    base, start = standing([]), MONTH[0]
    memory: dict[str, str] = {}
    began, told_on = start.isoformat(), set[str]()
    for new_period, on in looks:
        start = start + 40 * ONE_DAY if new_period else start
        now = replace(base, start=start, alerts=alerts(*sorted(on)))
        for change in changes(now, memory, began):
            assert (change.name in told_on) != change.on
            (told_on.add if change.on else told_on.discard)(change.name)
        memory, began = {alert.name: alert.text for alert in now.alerts}, start.isoformat()
        assert told_on == on


def test_a_new_period_ends_the_alerts_of_the_old_one() -> None:
    now = replace(standing([]), alerts=alerts("burn"))
    assert changes(now, {"burn": "it burned", "actual-80": "80%"}, "2026-09-01") == [
        Change("burn", False, "a new period has begun"),
        Change("actual-80", False, "a new period has begun"),
        Change("burn", True, "burn is on"),
    ]


def test_a_budget_is_in_one_currency() -> None:
    with pytest.raises(ValidationError):
        Budget(amount=1, currency="dollars")
