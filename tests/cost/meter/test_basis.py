"""The router compares prices of one basis only."""

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from mcml.core.price import PriceInfo
from mcml.cost.meter.basis import ENOUGH, Measured, choose

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def hourly(value: str, currency: str = "USD") -> PriceInfo:
    return PriceInfo(Decimal(value), f"{currency}/hour", currency, "mcml.toml", NOW)


def measured(cost: str, requests: int = ENOUGH, currency: str = "USD") -> Measured:
    return Measured(requests, Decimal(cost), currency, NOW)


def test_measured_when_every_backend_has_served_enough() -> None:
    found = choose(["a", "b"], {"a": measured("2"), "b": measured("8", 2000)}, {"a": hourly("1"), "b": hourly("1")})
    assert {name: (price.value, price.unit) for name, price in found.items()} == {
        "a": (Decimal(2), "USD/1000 requests"),
        "b": (Decimal(4), "USD/1000 requests"),
    }
    assert found["b"].source == "measured over 2000 requests"
    assert found["b"].as_of == NOW


def test_list_prices_while_one_backend_has_not() -> None:
    prices = {"a": hourly("1"), "b": hourly("2")}
    assert choose(["a", "b"], {"a": measured("2"), "b": measured("8", ENOUGH - 1)}, prices) == prices
    assert choose(["a", "b"], {"a": measured("2")}, prices) == prices


def test_a_backend_without_a_price_has_none_and_the_others_keep_theirs() -> None:
    assert choose(["a", "b"], {}, {"a": hourly("1")}) == {"a": hourly("1")}


def test_two_currencies_are_not_compared() -> None:
    both = {"a": hourly("1"), "b": hourly("1", "EUR")}
    assert choose(["a", "b"], {}, both) == {}
    assert choose(["a", "b"], {"a": measured("1"), "b": measured("1", currency="EUR")}, both) == {}
    assert choose([], {}, both) == {}


BACKENDS = st.sampled_from("abcd")
CURRENCIES = st.sampled_from(["USD", "EUR"])


@given(
    st.lists(BACKENDS, unique=True),
    st.dictionaries(BACKENDS, st.builds(measured, st.just("1"), st.integers(0, 3000), CURRENCIES)),
    st.dictionaries(BACKENDS, st.builds(hourly, st.just("1"), CURRENCIES)),
)
def test_all_prices_of_a_model_have_one_unit(names: list[str], costs: dict[str, Measured], prices: dict[str, PriceInfo]) -> None:
    found = choose(names, costs, prices)
    assert set(found) <= set(names)
    assert len({(price.unit, price.currency) for price in found.values()}) <= 1
