"""Arithmetic on money is exact, or rounded once where it has to be."""

from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.store.ledger.exact import apportion, percent, plain, product, quotient, tidy, total

MONEY = st.decimals(min_value=-(10**14) + 1, max_value=10**14 - 1, places=24)


@given(st.lists(MONEY, max_size=20))
def test_a_sum_is_exact_where_python_would_round(amounts: list[Decimal]) -> None:
    assert Fraction(total(amounts)) == sum(map(Fraction, amounts))


@given(MONEY, MONEY)
def test_a_product_is_exact(left: Decimal, right: Decimal) -> None:
    assert Fraction(product(left, right)) == Fraction(left) * Fraction(right)


@given(MONEY, MONEY.filter(bool), st.integers(0, 30))
def test_a_quotient_is_rounded_once(numerator: Decimal, denominator: Decimal, places: int) -> None:
    found = quotient(numerator, denominator, places=places)
    assert abs(Fraction(found) - Fraction(numerator) / Fraction(denominator)) <= Fraction(1, 2 * 10**places)
    assert found.as_tuple().exponent == -places


@given(MONEY)
def test_tidy_and_plain_change_the_form_and_not_the_value(amount: Decimal) -> None:
    assert tidy(amount) == amount
    assert Decimal(plain(amount)) == amount
    assert "e" not in plain(amount).lower()


def test_known_values() -> None:
    assert quotient(Decimal(1), 3, places=4) == Decimal("0.3333")
    assert quotient(Decimal("0.5"), 1, places=0) == 0
    assert quotient(Decimal("1.5"), 1, places=0) == 2
    assert plain(Decimal("0E-24")) == "0"
    assert plain(Decimal("1500.000")) == "1500"
    assert plain(Decimal("0.100")) == "0.1"
    tiny, huge = Decimal("1e-24"), Decimal(10**14)
    with localcontext() as context:
        context.prec = 3
        assert plain(total([huge, tiny])) == "100000000000000.000000000000000000000001"


def test_percent_of_nothing_is_unknown() -> None:
    assert percent(Decimal(1), Decimal(8)) == Decimal("12.5")
    assert percent(Decimal(1), Decimal(0)) is None
    assert percent(Decimal(1), Decimal(-5)) is None


def test_division_by_zero_is_an_error() -> None:
    with pytest.raises(ZeroDivisionError):
        quotient(Decimal(1), 0)


@given(MONEY, st.lists(st.fractions(min_value=-100, max_value=100), min_size=1, max_size=9).filter(sum), st.sampled_from([24, 30]))
def test_shares_are_rounded_and_still_add_up(amount: Decimal, weights: list[Fraction], places: int) -> None:
    shares = [Fraction(amount) * weight / sum(weights) for weight in weights]
    found = apportion(shares, places=places)
    assert total(found) == amount
    assert all(abs(Fraction(rounded) - share) < Fraction(1, 10**places) for rounded, share in zip(found, shares, strict=True))


def test_the_last_digit_goes_where_most_was_lost() -> None:
    assert apportion([Fraction(1, 3)] * 3, places=2) == [Decimal("0.34"), Decimal("0.33"), Decimal("0.33")]
    assert apportion([Fraction(-1, 3), Fraction(-2, 3)], places=0) == [Decimal(0), Decimal(-1)]
    assert apportion([Fraction(1, 3)], places=2) == [Decimal("0.33")]
    assert apportion([Fraction("0.333")] * 3, places=2) == [Decimal("0.34"), Decimal("0.33"), Decimal("0.33")]
    assert apportion([], places=2) == []
