"""The daily detector: rule by rule, and beside two simple rivals on series with planted anomalies."""

import random
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.cost.anomaly.daily import Day, Finding, Limits, find
from mcml.store.ledger.exact import total
from tests.cost.daily_series import FIRST, measure, month_three_sigma, ours, series, week_plus_40


def days(costs: Sequence[float], *, unripe: int = 0) -> list[Day]:
    """Consecutive days; the last `unripe` are not complete."""
    ripe = len(costs) - unripe
    return [Day(FIRST + timedelta(days=at), Decimal(str(round(cost, 4))), at < ripe) for at, cost in enumerate(costs)]


def week(length: int, *, level: float = 100.0) -> list[float]:
    """A quiet series: half as much on weekends, and 3 % noise."""
    draw = random.Random(1)
    return [level * (0.5 if at % 7 >= 5 else 1) * draw.uniform(0.97, 1.03) for at in range(length)]


def from_day_60(factor: float) -> list[float]:
    """The same with a new level."""
    return [cost * factor if at >= 60 else cost for at, cost in enumerate(week(120))]


def told(found: Sequence[Finding]) -> list[tuple[str, int, int]]:
    return [(each.kind, (each.first - FIRST).days, (each.last - FIRST).days) for each in found]


def test_it_beats_two_rules_of_thumb_on_planted_anomalies() -> None:
    """240 series of 120 days, 96 planted: 94 caught, precision 0.91, 0.015 false alerts a series and month."""
    all_series = series()
    result = measure(ours, all_series)
    assert (result.planted, result.caught >= 88) == (96, True)
    assert result.precision > 0.87
    assert result.false_per_month < 0.025
    for rival, caught, precision in ((week_plus_40, 80, 0.1), (month_three_sigma, 80, 0.35)):
        theirs = measure(rival, all_series)
        assert theirs.caught < caught < result.caught
        assert theirs.precision < precision < result.precision


@pytest.mark.parametrize("seed", [1, 2])
def test_so_it_does_with_other_numbers(seed: int) -> None:
    result = measure(ours, series(120, seed))
    assert result.caught >= 0.85 * result.planted
    assert result.precision > 0.85


def test_weekends_are_no_news() -> None:
    assert find(days(week(120))) == []


def test_a_spike_says_what_was_expected_and_what_it_cost() -> None:
    costs = week(80)
    costs[70] = 250.0
    (spike,) = find(days(costs))
    assert told([spike]) == [("spike", 70, 70)]
    assert spike.actual == 250
    assert Decimal(95) < spike.expected < Decimal(105)
    assert spike.impact == spike.actual - spike.expected
    assert spike.low < spike.expected < spike.high < spike.actual


def test_a_weekend_that_costs_as_much_as_a_weekday_is_unusual() -> None:
    costs = week(80)
    costs[75] = 100.0
    assert told(find(days(costs))) == [("spike", 75, 75)]


def test_a_new_level_is_told_once_and_as_a_rise_or_a_drop() -> None:
    assert told(find(days(from_day_60(2.2)))) == [("shift", 60, 62)]
    assert told(find(days(from_day_60(0.4)))) == [("drop", 60, 62)]
    gone = week(60) + [0.0] * 60
    assert told(find(days(gone))) == [("drop", 60, 62)]


def test_the_same_anomaly_on_every_later_day() -> None:
    costs = from_day_60(2.2)
    assert {told(find(days(costs[:length])))[0] for length in range(63, 120)} == {("shift", 60, 62)}
    assert told(find(days(costs[:61]))) == [("spike", 60, 60)], "on its first day nobody knows that it will stay"


def test_a_monthly_fee_is_news_once() -> None:
    costs = week(150)
    for at in range(len(costs)):
        if (FIRST + timedelta(days=at)).day == 1:
            costs[at] += 300
    assert find(days(costs)) == [], "the first ones fell into the days of learning"
    late = [cost if at < 80 else costs[at] for at, cost in enumerate(week(150))]
    assert [kind for kind, _, _ in told(find(days(late)))] == ["spike"]


def test_jobs_that_run_now_and_then_are_no_news_until_one_is_dear() -> None:
    draw = random.Random(3)
    costs = [draw.uniform(80, 120) if draw.random() < 0.3 else 0.0 for _ in range(120)]
    assert find(days(costs)) == []
    costs[100] = 400.0
    assert told(find(days(costs))) == [("spike", 100, 100)]


def test_slow_growth_that_no_day_shows_is_a_leak() -> None:
    costs = [cost * 1.008 ** max(0, at - 60) for at, cost in enumerate(week(100))]
    found = told(find(days(costs)))
    assert [kind for kind, _, _ in found] == ["leak"]
    assert 70 <= found[0][2] <= 95


def test_a_day_that_lacks_rows_is_no_drop_but_may_be_too_much() -> None:
    costs = [*week(77), 5.0, 4.0, 3.0]
    assert told(find(days(costs))) == [("drop", 77, 79)]
    assert find(days(costs, unripe=3)) == []
    assert told(find(days([*week(77), 5.0, 300.0], unripe=2))) == [("spike", 78, 78)]


def test_small_money_is_not_worth_telling() -> None:
    costs = [cost / 100 for cost in week(80)]
    costs[70] = 9.0
    assert find(days(costs)) == []
    assert told(find(days(costs), Limits(minimum=Decimal(5)))) == [("spike", 70, 70)]


def test_a_short_history_is_silent() -> None:
    assert find(days([*week(27), 1000.0])) == []


def test_credits_and_zeros_break_nothing() -> None:
    assert find(days([0.0] * 100)) == []
    assert find(days([-50.0] * 100)) == []
    assert isinstance(find(days([*[-50.0] * 60, *[50.0] * 60])), list)


@given(st.lists(st.decimals(-(10**6), 10**6, places=6), max_size=90), st.integers(0, 5))
def test_what_is_told_is_in_order_and_adds_up(costs: list[Decimal], unripe: int) -> None:
    all_days = [Day(FIRST + timedelta(days=at), cost, at < len(costs) - unripe) for at, cost in enumerate(costs)]
    found = find(all_days)
    assert [each.first for each in found] == sorted(each.first for each in found)
    for each in found:
        assert each.first <= each.last
        assert each.impact == total((each.actual, each.expected.copy_negate()))
        assert each.low <= max(each.expected, Decimal(0)) <= max(each.high, Decimal(0))
