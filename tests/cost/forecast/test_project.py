"""A forecast is made of what is booked, usage by weekday and fees; how good it was before is part of it."""

import math
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import McmlError
from mcml.cost.forecast import views
from mcml.cost.forecast.months import LATE, late_until, this_month
from mcml.cost.forecast.project import ENOUGH, Forecast, forecast, past_months, ripe_until, still_to_come
from mcml.cost.forecast.series import DAY, Series, month_of, read
from mcml.store.ledger.book import Group
from mcml.store.ledger.exact import total
from tests.cost.test_report import BOOKED

MONTH = date(2026, 11, 1)
TODAY = date(2026, 11, 18)
UNTIL = date(2026, 11, 16)
BEGIN = date(2026, 1, 1)


def series(cost: Callable[[date], float | int | Decimal], end: date = UNTIL, begin: date = BEGIN) -> Series:
    days = [begin + back * DAY for back in range((end - begin).days)]
    return Series({day: Decimal(str(cost(day))) for day in days})


def made(found: Forecast | None) -> Forecast:
    assert found is not None
    return found


def weekly(day: date) -> int:
    return 100 if day.weekday() < 5 else 20


def test_weekdays_and_fees_are_forecast_to_the_cent() -> None:
    """A pattern that repeats leaves no error; the month-to-date average would be off by the weekends and the fee of the first."""
    known = series(weekly)
    known.fees["Purchase"] = {date(2026, month, 1): Decimal("500.10") for month in range(1, 12)}
    known.fees["Tax"] = {date(2026, month, 28): Decimal(70) for month in range(1, 11)}
    found = made(forecast(known, MONTH, UNTIL))
    november = [MONTH + ahead * DAY for ahead in range(30)]
    assert found.total == total((Decimal(sum(weekly(day) for day in november)), Decimal("500.10"), Decimal(70)))
    assert (found.fees, found.error, found.low, found.high) == (Decimal(70), Decimal("0.0"), found.total, found.total)
    assert found.trials > 30
    past = past_months(known, MONTH, UNTIL)
    assert [(month.month.month, month.error) for month in past[:7]] == [(month, Decimal("0.0")) for month in range(10, 3, -1)]
    average = found.booked / 15 * 30
    assert abs(average - found.total) > 300


def test_what_is_booked_for_a_later_day_is_to_come() -> None:
    """Booked is what `cost report` says of the days before `until`: a licence that is billed for the 28th is none of it."""
    known = series(lambda _: 10)
    known.fees["Purchase"] = {date(2026, month, 28): Decimal(20) for month in range(1, 12)} | {date(2026, 11, 16): Decimal(3)}
    known.fees["Tax"] = {date(2026, month, 1): Decimal(7) for month in range(1, 12)}
    found = made(forecast(known, MONTH, UNTIL))
    assert (found.booked, found.fees, found.total) == (Decimal(150 + 7), Decimal(23), Decimal(300 + 7 + 23))
    early = made(forecast(known, MONTH, MONTH - DAY))
    assert (early.booked, early.fees) == (Decimal(0), Decimal(30)), "on the first days of a month nothing of it is complete"


def test_a_fee_that_came_once_is_not_expected_again() -> None:
    """It is the first fee there ever was, beside usage of ten months; of a ledger that is younger than that one month has to do."""
    once = {date(2026, 10, 15): Decimal(5000)}
    old, young = series(lambda _: 10), series(lambda _: 10, begin=date(2026, 9, 20))
    old.fees["Purchase"], young.fees["Purchase"] = once, dict(once)
    assert made(forecast(old, MONTH, UNTIL)).fees == Decimal(0)
    assert made(forecast(young, MONTH, UNTIL)).fees == Decimal(5000)
    young.fees["Purchase"] |= {date(2026, 9, 30): Decimal(30)}
    assert made(forecast(young, MONTH, UNTIL)).fees == Decimal(30)


def test_costs_that_are_nothing_but_fees_have_a_forecast() -> None:
    """A support plan, or a licence, is a service of its own in `--by service`."""
    support = [group(date(2026, month, 1), "50", "Purchase", "Recurring", key="support") for month in range(1, 12)]
    licence = [group(date(2026, month, 28), "20", "Purchase", "Recurring", key="licence") for month in range(1, 11)]
    usage = [group(UNTIL - back * DAY, "2") for back in range(1, 71)]
    new = [group(TODAY - DAY, "9", "Purchase", "One-Time", key="new")]
    scopes = this_month([*support, *licence, *usage, *new], TODAY)
    parts = {each.key[0]: (each.forecast.booked, each.forecast.fees, each.forecast.high) for each in scopes if each.forecast}
    assert parts["support"] == (Decimal(50), Decimal(0), Decimal(50))
    assert parts["licence"] == (Decimal(0), Decimal(20), Decimal(20))
    assert [each.key[0] for each in scopes if each.forecast is None] == ["new"]
    (alone,) = this_month(support, TODAY)
    assert [month.error for month in alone.past][:3] == [Decimal("0.0")] * 3
    with pytest.raises(McmlError, match="no recent costs"):
        this_month(support[:9], TODAY)


def test_a_new_level_is_followed() -> None:
    """Three weeks ago the cost doubled: the mean of four weeks lies between, the last week does not."""
    found = made(forecast(series(lambda day: weekly(day) * (1 if day < UNTIL - 21 * DAY else 2)), MONTH, UNTIL))
    rest = 2 * sum(weekly(UNTIL + ahead * DAY) for ahead in range(15))
    assert found.usage == rest
    assert found.method in ("last week", "level")


def noisy(seed: int) -> Series:
    draw = random.Random(seed)
    noise = {BEGIN + back * DAY: math.exp(draw.gauss(0, 0.15)) for back in range(400)}
    return series(lambda day: round(weekly(day) * noise[day], 6), end=BEGIN + 365 * DAY)


def test_noise_stays_in_the_range_and_the_average_does_worse() -> None:
    """Twenty noisy series, ten months each: nearer than month to date x days of the month, and mostly inside the range it gives."""
    ours, naive, inside, count = 0.0, 0.0, 0, 0
    for seed in range(20):
        known = noisy(seed)
        for month in range(3, 12):
            start, end = month_of(date(2026, month, 1))
            until = start + 12 * DAY
            found = made(forecast(known.until(until), start, until))
            actual = known.spent(start, end)
            ours += float(abs(found.total - actual) / actual)
            naive += float(abs(found.booked / 12 * (end - start).days - actual) / actual)
            if found.low is not None and found.high is not None:
                count += 1
                inside += found.low <= actual <= found.high
    assert ours < 0.6 * naive
    assert inside / count > 0.6
    assert count >= 100


def test_the_newest_days_grow_and_count_at_least_as_projected() -> None:
    known = series(lambda _: 10, end=UNTIL + 2 * DAY)
    known.usage |= {UNTIL: Decimal(3), UNTIL + DAY: Decimal(90)}
    found = made(forecast(known, MONTH, UNTIL))
    assert (found.booked, found.usage) == (Decimal(150), Decimal(14 * 10 + 90))
    assert ripe_until([known], TODAY) == UNTIL
    assert ripe_until([series(weekly, end=date(2026, 11, 5))], TODAY) == date(2026, 11, 5)
    assert ripe_until([], TODAY) == UNTIL


def test_the_first_of_a_month_is_forecast_from_the_month_before() -> None:
    found = made(forecast(series(weekly, end=date(2026, 10, 31)), MONTH, date(2026, 10, 30)))
    assert (found.booked, found.total) == (Decimal(0), Decimal(sum(weekly(MONTH + ahead * DAY) for ahead in range(30))))


def test_too_little_history_is_refused_and_few_trials_give_no_range() -> None:
    assert forecast(series(weekly, begin=UNTIL - (ENOUGH - 1) * DAY), MONTH, UNTIL) is None
    found = made(forecast(series(weekly, begin=UNTIL - ENOUGH * DAY), MONTH, UNTIL))
    assert (found.trials, found.error, found.low, found.high) == (0, None, None, None)
    assert past_months(series(weekly, begin=UNTIL - ENOUGH * DAY), MONTH, UNTIL) == []


@pytest.mark.parametrize(
    ("booked", "usual", "expected"),
    [
        ("0", ["5", "7"], "5"),
        ("5", ["5", "7"], "0"),
        ("2", ["5"], "3"),
        ("9", ["5"], "0"),
        ("0", ["5", "0"], "0"),
        ("0", ["-5", "-3"], "-3"),
        ("-1", ["-5", "-3"], "-2"),
        ("0", ["-5", "3"], "0"),
        ("0", ["0"], "0"),
    ],
)
def test_fees_are_expected_when_both_months_had_them(booked: str, usual: list[str], expected: str) -> None:
    assert still_to_come(Decimal(booked), [Decimal(amount) for amount in usual]) == Decimal(expected)


@given(st.lists(st.decimals(min_value=-(10**6), max_value=10**9, places=24), min_size=40, max_size=90), st.integers(0, 29))
def test_parts_add_up_and_the_range_holds_the_forecast(costs: list[Decimal], back: int) -> None:
    until = date(2026, 11, 30) - back * DAY
    known = Series({until - (1 + index) * DAY: cost for index, cost in enumerate(costs)})
    found = made(forecast(known, MONTH, until))
    assert found.total == total((found.booked, found.usage, found.fees))
    assert found.booked == known.spent(MONTH, until)
    if found.low is not None and found.high is not None:
        assert found.low <= found.total <= found.high


def test_a_forecast_with_more_history_of_the_same_is_the_same() -> None:
    short, long = (forecast(series(weekly, begin=begin), MONTH, UNTIL) for begin in (date(2026, 5, 4), date(2026, 1, 5)))
    assert made(short).total == made(long).total


def group(day: date, cost: str, charge: str = "Usage", frequency: str | None = "Usage-Based", key: str = "risk") -> Group:
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    values, amount = (key, day.isoformat(), charge, frequency), Decimal(cost)
    return Group("USD", values, amount, amount, 1, None, start, start + timedelta(days=1), BOOKED)


def test_groups_of_the_ledger_become_series() -> None:
    day = date(2026, 10, 1)
    groups = [group(day, "1"), group(day, "2", frequency=None), group(day, "4", frequency="Recurring"), group(day, "-8", "Credit")]
    (found,) = read(groups).items()
    assert found[0] == ("USD", ("risk",))
    assert found[1].usage == {day: Decimal(3)}
    assert found[1].fees == {"Usage": {day: Decimal(4)}, "Credit": {day: Decimal(-8)}}


def test_what_scripts_see_and_which_scopes_are_refused() -> None:
    days = [UNTIL - back * DAY for back in range(1, 71)]
    groups = [*(group(day, "2") for day in days), group(UNTIL - DAY, "1", key="new"), group(date(2026, 11, 2), "9", "Tax")]
    document = views.forecast(("team",), this_month(groups, TODAY))
    (item,) = document.items
    assert document.kind == "CostForecast"
    assert item == {
        "name": "risk/USD",
        "currency": "USD",
        "team": "risk",
        "month": "2026-11",
        "complete_until": "2026-11-16",
        "booked_cost": Decimal(39),
        "expected_usage": Decimal(30),
        "expected_fees": Decimal(0),
        "forecast_cost": Decimal(69),
        "low": Decimal(69),
        "high": Decimal(69),
        "method": "four weeks",
        "trials": 4,
        "usual_error_percent": Decimal("0.0"),
        "past": [{"month": "2026-10", "forecast_cost": Decimal(62), "actual_cost": Decimal(62), "error_percent": Decimal("0.0")}],
        "where": ["team=risk"],
        "rows": "mcml cost report --since 2026-11-01 --until 2026-11-16 --where team=risk --rows",
    }
    assert "new/USD: 1 day of complete history, 28 are needed" in str(document.blocks[-1])
    with pytest.raises(McmlError, match="too little history"):
        this_month(groups[-2:], TODAY)
    with pytest.raises(McmlError, match="too little history"):
        this_month([], TODAY)
    with pytest.raises(McmlError, match="no recent costs"):
        this_month([group(day - 14 * DAY, "2") for day in days], TODAY)


def by_day(provider: str, newest: date, days: int = 70) -> list[Group]:
    """Ten a day by a provider, up to its newest day."""
    made = [group(newest - back * DAY, "10", key=provider) for back in range(days)]
    return [each._replace(key=(provider, each.key[1])) for each in made]


def test_a_bill_that_is_later_than_the_others_makes_no_day_cheaper() -> None:
    """Of the last days that one cloud has, another has nothing yet: half a day's cost would lower every such weekday to come."""
    newest = {"AWS": TODAY - 2 * DAY, "Azure": TODAY - 5 * DAY}
    daily = [each for provider, day in newest.items() for each in by_day(provider, day)]
    assert late_until(daily, TODAY) == TODAY - 4 * DAY
    groups = [each._replace(key=(each.key[1], "Usage", "Usage-Based")) for each in daily]
    (early,), (right,) = this_month(groups, TODAY), this_month(groups, TODAY, late_until(daily, TODAY))
    assert made(right.forecast).total == Decimal(30 * 20)
    assert made(early.forecast).total < made(right.forecast).total
    assert made(right.forecast).booked == Decimal(13 * 20)


def test_who_has_left_is_not_waited_for() -> None:
    daily = [*by_day("AWS", TODAY - 2 * DAY), *by_day("gone", TODAY - 2 * DAY - LATE - DAY), *by_day("ahead", TODAY + 3 * DAY)]
    assert late_until(daily, TODAY) == TODAY - DAY
    assert late_until([], TODAY) == TODAY


def test_who_charges_once_a_month_is_not_waited_for() -> None:
    """A support plan on the 1st says nothing of the days after it."""
    once = by_day("Support", MONTH, days=1)
    assert late_until([*by_day("AWS", MONTH + 3 * DAY), *once], MONTH + 5 * DAY) == MONTH + 4 * DAY


@pytest.mark.parametrize("today", [1, 2, 3, 28])
@pytest.mark.parametrize(("month", "days"), [("2024-02", 29), ("2023-02", 28), ("2026-12", 31), ("2026-01", 31)])
def test_every_month_has_all_its_days_on_each_day_of_it(month: str, days: int, today: int) -> None:
    """Leap years, year ends, and the first days of a month, when what is complete is of the month before."""
    start = date.fromisoformat(f"{month}-01")
    until = start + (today - 3) * DAY
    known = series(lambda _: Decimal("3.000000000000000000000001"), end=until, begin=start - 200 * DAY)
    known.fees["Purchase"] = {month_of(start - back * 28 * DAY)[0]: Decimal(50) for back in range(1, 7)}
    found = made(forecast(known, start, until))
    assert found.total == total((Decimal(50), days * Decimal("3.000000000000000000000001")))
    past = past_months(known, start, until)
    before = month_of(start - DAY)[0]
    assert past[0].month == (before if until >= start else month_of(before - DAY)[0])
    assert past[0].error == Decimal("0.0")
