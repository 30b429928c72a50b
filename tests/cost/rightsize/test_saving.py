"""What a change saves: by the list, at the rate of the bill, with commitments; exact, and refused on stale prices."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.cost.rightsize.saving import LIST, Rate, monthly, rate_of
from mcml.store.ledger.machines import MachineBill
from tests.cost.rightsize.made import M2, M4, NOW

MONEY = st.decimals(0, 1000, places=12)


def bill(covered: str, other: str, effective: str, currency: str = "USD") -> MachineBill:
    return MachineBill("i-1", currency, Decimal(covered), Decimal(other), Decimal(effective), 720, NOW)


@pytest.mark.parametrize(
    ("bills", "saved", "codes"),
    [
        ([], "73", ["ListPrice"]),
        ([bill("0", "100", "100")], "73", []),
        ([bill("0", "100", "80")], "58.4", []),
        ([bill("100", "0", "0")], "0", ["CommitmentCovered"]),
        ([bill("25", "75", "60")], "43.8", ["CommitmentCovered"]),
        ([bill("0", "0", "0")], "73", ["ListPrice"]),
        ([bill("0", "5", "5"), bill("0", "5", "5", "EUR")], "73", ["ListPrice"]),
    ],
)
def test_a_month_at_the_rate_of_the_bill(bills: list[MachineBill], saved: str, codes: list[str]) -> None:
    found = monthly(M4, M2, rate_of(bills), NOW)
    assert (found.effective, found.listed, [reason.code for reason in found.reasons]) == (Decimal(saved), Decimal(73), codes)


def test_what_grows_costs_what_is_not_covered() -> None:
    found = monthly(M2, M4, rate_of([bill("50", "50", "40")]), NOW)
    assert (found.effective, found.listed, found.reasons) == (Decimal("-58.4"), Decimal(-73), ())


def test_stale_prices_save_nothing_that_can_be_claimed() -> None:
    for days, codes in ((90, ["ListPrice"]), (91, ["PricesStale"])):
        found = monthly(M4, replace(M2, as_of=NOW - timedelta(days=days)), LIST, NOW)
        assert [reason.code for reason in found.reasons] == codes
        assert (found.effective is None) is (found.listed is None) is (days > 90)


def test_without_a_price_nothing_is_claimed() -> None:
    found = monthly(replace(M4, on_demand=None), M2, LIST, NOW)
    assert (found.effective, found.listed, found.reasons[0].code) == (None, None, "PriceUnknown")


@given(MONEY, MONEY, MONEY, MONEY, MONEY)
def test_it_is_exact_to_the_scale_of_the_ledger(
    before: Decimal, after: Decimal, covered: Decimal, other: Decimal, effective: Decimal
) -> None:
    rate = rate_of([MachineBill("i-1", "USD", covered, other, effective, 1, NOW)])
    found = monthly(replace(M4, on_demand=before), replace(M2, on_demand=after), rate, NOW)
    listed = (Fraction(before) - Fraction(after)) * 730
    assert found.listed is not None and found.effective is not None
    assert Fraction(found.listed) == listed
    free = 1 - Fraction(rate.covered) if listed > 0 else 1
    assert abs(Fraction(found.effective) - listed * free * Fraction(rate.paid)) <= Fraction(1, 2 * 10**24)
    assert 0 <= rate.covered <= 1
    assert isinstance(rate, Rate)
