"""What every Billing promises."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from mcml.providers.api.billing import Billing, FocusRow, Period

NEVER_NULL = (
    "BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "BillingCurrency",
    "ChargePeriodStart", "ChargePeriodEnd", "BillingPeriodStart", "BillingPeriodEnd",
    "BillingAccountId", "InvoiceIssuerName", "ServiceProviderName", "ChargeCategory", "ServiceCategory", "ServiceName",
)  # fmt: skip
"""The FOCUS 1.4 columns that are mandatory and never null."""
NULLABLE = ("BillingAccountName", "HostProviderName", "ChargeClass", "ChargeDescription", "PricingQuantity", "PricingUnit")
"""The FOCUS 1.4 columns that are mandatory, but may be null."""
CATEGORIES = ("Usage", "Purchase", "Tax", "Credit", "Adjustment")
LONG_AGO = Period(datetime(2001, 1, 1, tzinfo=UTC), datetime(2001, 2, 1, tzinfo=UTC))


class BillingContract:
    """Give `billing`, and `billed`: a period with at least one row, in which nothing changes while the test runs."""

    @pytest.fixture
    def billing(self) -> Billing:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def billed(self) -> Period:
        """Return a period with at least one row."""
        raise NotImplementedError

    def test_rows_are_focus_rows(self, billing: Billing, billed: Period) -> None:
        """Every mandatory column is there, with a value where FOCUS asks for one; only FOCUS columns and `x_` columns are there."""
        rows = list(billing.rows(billed))
        assert rows
        for row in rows:
            assert [column for column in NEVER_NULL if row.get(column) is None] == []
            assert [column for column in NULLABLE if column not in row] == []
            assert [column for column in row if not column.startswith("x_") and not column[0].isupper()] == []
            assert row["ChargeCategory"] in CATEGORIES

    def test_numbers_are_exact_and_times_have_a_zone(self, billing: Billing, billed: Period) -> None:
        """No float anywhere; a time without a zone is a bug waiting."""
        for row in billing.rows(billed):
            for column, value in row.items():
                assert value is None or isinstance(value, str | Decimal | datetime), (column, value)
                assert not isinstance(value, datetime) or value.tzinfo is not None, column
                assert not column.endswith("Cost") or isinstance(value, Decimal), column
            assert len(str(row["BillingCurrency"])) == 3

    def test_cost_is_quantity_times_price(self, billing: Billing, billed: Period) -> None:
        """To the last digit, for usage that has both."""
        for row in billing.rows(billed):
            quantity, price = row.get("PricingQuantity"), row.get("ListUnitPrice")
            if row["ChargeCategory"] == "Usage" and isinstance(quantity, Decimal) and isinstance(price, Decimal):
                assert row["ListCost"] == quantity * price

    def test_a_period_holds_the_charges_that_start_in_it(self, billing: Billing, billed: Period) -> None:
        """Start inclusive, end exclusive; so two halves hold together what the whole holds, and the same when asked again."""
        middle = billed.start + (billed.end - billed.start) / 2
        whole = list(billing.rows(billed))
        for row in whole:
            start, end = row["ChargePeriodStart"], row["ChargePeriodEnd"]
            assert isinstance(start, datetime)
            assert isinstance(end, datetime)
            assert billed.start <= start < min(billed.end, end)
        halves = [*billing.rows(Period(billed.start, middle)), *billing.rows(Period(middle, billed.end))]
        assert sorted(map(_key, halves)) == sorted(map(_key, whole)) == sorted(map(_key, billing.rows(billed)))

    def test_nothing_was_billed_long_ago(self, billing: Billing) -> None:
        """An empty period is an empty bill."""
        assert list(billing.rows(LONG_AGO)) == []

    def test_freshness_lies_in_the_past(self, billing: Billing) -> None:
        """No bill is complete before its time."""
        fresh = billing.freshness()
        soon = datetime.now(UTC) + timedelta(minutes=1)
        assert fresh.complete_until <= soon
        assert fresh.changed_at <= soon

    def test_unit_prices_say_where_they_come_from(self, billing: Billing) -> None:
        """Each has a unit, a currency, a source and a date; a region's prices are those of all that have this region."""
        prices = billing.unit_prices()
        assert prices
        for price in prices:
            assert price.price >= 0
            assert isinstance(price.price, Decimal)
            assert price.sku
            assert price.unit
            assert price.source
            assert len(price.currency) == 3
            assert price.as_of.tzinfo is not None
        region = prices[0].region
        assert {p.sku for p in billing.unit_prices(region)} == {p.sku for p in prices if p.region == region}


def _key(row: FocusRow) -> str:
    return repr(sorted((column, str(value)) for column, value in row.items()))
