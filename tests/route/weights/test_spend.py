"""What a burst costs: every attempt counted once, also over restarts of the router and of Envoy, and a new day begins at nothing."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.price import PriceInfo
from mcml.route.weights.measure import Counters
from mcml.route.weights.spend import SPEND_FILE, Spend, ceiling_reached, each, from_json, read_spend, step, write_spend

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
LATER = {"fraud": ["fraud@us-1"]}
PER_THOUSAND = PriceInfo(Decimal(2), "USD/1000 requests", "USD", "a test", NOW)
PER_HOUR = PriceInfo(Decimal("3.6"), "USD/hour", "USD", "a test", NOW)


def counted(attempts: int) -> dict[str, Counters]:
    return {"fraud@us-1": Counters(attempts, attempts)}


def after(spend: Spend, attempts: int, at: datetime = NOW, price: PriceInfo | None = PER_THOUSAND) -> Spend:
    return step(spend, LATER, counted(attempts), {"fraud@us-1": price} if price else {}, at)


@given(st.lists(st.integers(0, 5000), max_size=20))
def test_every_attempt_is_counted_once(added: list[int]) -> None:
    spend, total = Spend(), 0
    for one in added:
        total += one
        spend = from_json(after(spend, total).to_json())
    assert spend.routes.get("fraud", Decimal(0)) == Decimal(total) * 2 / 1000


def test_an_envoy_that_starts_anew_counts_from_nothing() -> None:
    assert after(after(Spend(), 1000), 300).routes["fraud"] == Decimal("2.6")


def test_a_new_day_begins_at_nothing() -> None:
    spend = after(Spend(), 1000)
    tomorrow = after(spend, 1500, NOW + timedelta(days=1))
    assert (spend.day, tomorrow.day) == ("2026-11-21", "2026-11-22")
    assert tomorrow.routes["fraud"] == Decimal(1)


def test_what_was_served_without_a_price_is_not_charged_later() -> None:
    assert after(after(Spend(), 1000, price=None), 1500).routes["fraud"] == Decimal(1)


def test_an_hour_is_charged_for_the_time_that_attempts_take() -> None:
    half_a_second = Counters(10, 10, latencies={480.0: (40.0, 10)})
    assert each(PER_HOUR, half_a_second) == Decimal("0.0005")
    assert each(PER_HOUR, Counters()) == Decimal("0.001")
    assert each(PriceInfo(Decimal(1), "apples", "USD", "a test", NOW), Counters()) is None


@pytest.mark.parametrize(
    ("spent", "price", "said"),
    [
        ("4.99", PER_THOUSAND, ""),
        ("5", PER_THOUSAND, "nothing bursts until midnight UTC: the ceiling of 5 USD a day is reached"),
        ("0", None, "nothing bursts: the price of fraud@us-1 is not known, so the ceiling of 5 cannot be kept"),
    ],
)
def test_the_ceiling(spent: str, price: PriceInfo | None, said: str) -> None:
    assert ceiling_reached(Decimal(5), Decimal(spent), {"fraud@us-1": price}, {}) == said


def test_two_currencies_do_not_add_up() -> None:
    euros = PriceInfo(Decimal(1), "EUR/hour", "EUR", "a test", NOW)
    said = ceiling_reached(Decimal(5), Decimal(0), {"a@1": PER_HOUR, "a@2": euros}, {})
    assert said == "nothing bursts: the next tiers are priced in EUR, USD, so the ceiling cannot be kept"


def test_it_outlives_the_router(tmp_path: Path) -> None:
    spend = after(Spend(), 1000)
    write_spend(tmp_path, spend)
    assert read_spend(tmp_path) == spend
    (tmp_path / SPEND_FILE).write_text('{"day": 3, "rou')
    assert read_spend(tmp_path) == Spend()
    assert read_spend(tmp_path / "nowhere") == Spend()
