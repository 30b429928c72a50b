"""The bill of AWS: Cost Explorer on a stub of its model that filters, groups and pages the seeded ledger; exports in S3 on moto."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from mcml.core.errors import InvalidRequest
from mcml.providers.api.billing import Billing, Period
from mcml.providers.aws.billing import open_billing
from mcml.providers.aws.billing_explorer import ExplorerBilling
from mcml.providers.aws.billing_export import ExportBilling
from mcml.testing.contracts.billing import BillingContract
from mcml.testing.stubs.aws_model import AwsModel
from mcml.testing.stubs.seeded_aws import NAMES, PAYER
from mcml.testing.stubs.seeded_ledger import NOW, Charge
from tests.providers.aws.billing_rig import FEBRUARY, LEDGER, WHOLE, clock, explorer, of_month, stub, sums, wanted
from tests.providers.aws.conftest import MakeContext, MakeSession

__all__ = ["explorer", "stub"]


class TestCostExplorer(BillingContract):
    @pytest.fixture
    def billing(self, explorer: ExplorerBilling) -> Billing:
        return explorer

    @pytest.fixture
    def billed(self) -> Period:
        return Period(datetime(2025, 2, 10, tzinfo=UTC), datetime(2025, 2, 17, tzinfo=UTC))


def test_cost_explorer_says_what_was_billed(explorer: ExplorerBilling, stub: AwsModel) -> None:
    """To the last digit: by month, by service, by account, and what it cost when commitments are spread."""
    rows, charges = list(explorer.rows(WHOLE)), LEDGER.seen()
    assert sums(rows, "BilledCost", "BillingPeriodStart") == wanted(charges, "billed", of_month)
    assert sums(rows, "EffectiveCost", "BillingPeriodStart") == wanted(charges, "effective", of_month)
    assert sums(rows, "BilledCost", "ServiceName") == wanted(charges, "billed", lambda c: (NAMES.services[c.service].name,))
    assert sums(rows, "BilledCost", "SubAccountId", "SubAccountName") == wanted(charges, "billed", lambda c: NAMES.accounts[c.account])
    assert {row["BillingAccountId"] for row in rows} == {PAYER}
    assert {row["x_Estimated"] for row in rows if row["BillingPeriodStart"] == datetime(2025, 3, 1, tzinfo=UTC)} == {"true"}
    assert {row["x_Estimated"] for row in rows if row["BillingPeriodStart"] == datetime(2025, 2, 1, tzinfo=UTC)} == {"false"}
    assert any("NextPageToken" in asked for asked in stub.requests("ce", "GetCostAndUsage"))


def test_commitments_spot_tax_and_credits_are_told_apart(explorer: ExplorerBilling) -> None:
    rows, charges = list(explorer.rows(FEBRUARY)), [one for one in LEDGER.seen() if one.month.month == 2]

    def paid(kinds: tuple[str, ...], column: Any = "billed") -> Decimal:
        return sum((getattr(one, column) for one in charges if one.kind in kinds), Decimal(0))

    categories = sums(rows, "BilledCost", "ChargeCategory")
    assert categories["Purchase",] == paid(("fee",))
    assert categories["Tax",] == paid(("tax",))
    assert categories["Credit",] == paid(("credit",)) < 0
    assert categories["Adjustment",] == paid(("refund",)) < 0
    assert sums(rows, "EffectiveCost", "x_CommitmentStatus")["Unused",] == paid(("unused", "idle"), "effective")
    assert sums(rows, "EffectiveCost", "x_CommitmentStatus")["Used",] == paid(("covered", "reserved"), "effective")
    spot = [row for row in rows if row["PricingCategory"] == "Dynamic"]
    assert sum(Decimal(str(row["BilledCost"])) for row in spot) == paid(("spot",)) > 0
    assert {row["RegionId"] for row in rows if str(row.get("SkuMeter")).startswith("EU-")} == {"eu-west-1"}


def test_a_tag_in_place_of_usage_types(stub: AwsModel, make_session: MakeSession) -> None:
    billing = ExplorerBilling(make_session(endpoint_url=stub.url, clock=clock, billing_tag="team"))
    rows = list(billing.rows(FEBRUARY))
    charges = [one for one in LEDGER.seen() if one.month.month == 2]

    def tagged(charge: Charge) -> tuple[object, ...]:
        return (json.dumps({"team": charge.team}) if charge.team else None,)

    assert sums(rows, "BilledCost", "Tags") == wanted(charges, "billed", tagged)
    assert sums(rows, "EffectiveCost", "Tags") == wanted(charges, "effective", tagged)


def test_what_a_negation_does_not_cancel_is_kept(stub: AwsModel, explorer: ExplorerBilling) -> None:
    """A line that AWS negates tomorrow: today's bill still adds up."""
    from mcml.testing.stubs.seeded_aws import cost_and_usage

    def short(asked: dict[str, Any]) -> dict[str, Any]:
        answer = cost_and_usage(LEDGER.seen(), asked, page=10_000)
        for day in answer["ResultsByTime"]:
            for group in day["Groups"]:
                if "SavingsPlanNegation" in json.dumps(asked.get("Filter", "")) and day["TimePeriod"]["Start"] == "2025-02-11":
                    group["Metrics"]["UnblendedCost"]["Amount"] = "-1.5"
        return answer

    stub.on("ce", "GetCostAndUsage", short)
    rows = [row for row in explorer.rows(FEBRUARY) if row["x_RecordType"] == "SavingsPlanNegation"]
    assert {row["ChargeCategory"] for row in rows} == {"Adjustment"}
    assert {row["ChargePeriodStart"] for row in rows} == {datetime(2025, 2, 11, tzinfo=UTC)}
    assert sum(Decimal(str(row["BilledCost"])) for row in rows) > 0


def test_what_amazon_asks_to_pay(explorer: ExplorerBilling, stub: AwsModel) -> None:
    """A month is some pages: the docstring promises no more than 30 cents for three accounts."""
    list(explorer.rows(FEBRUARY))
    pages = [asked for asked in stub.requests("ce", "GetCostAndUsage") if "NextPageToken" not in asked]
    assert len(pages) <= 25


def test_days_beyond_fourteen_months_are_refused_with_the_way_out(explorer: ExplorerBilling) -> None:
    with pytest.raises(InvalidRequest) as refused:
        list(explorer.rows(Period(datetime(2023, 1, 1, tzinfo=UTC), datetime(2023, 2, 1, tzinfo=UTC))))
    assert "14 months" in str(refused.value.why)
    assert "billing_export" in refused.value.next_step


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (datetime(2025, 2, 10, tzinfo=UTC), datetime(2025, 2, 10, tzinfo=UTC)),
        (datetime(2025, 2, 10, 10, tzinfo=UTC), datetime(2025, 2, 10, 12, tzinfo=UTC)),
        (NOW + timedelta(days=2), NOW + timedelta(days=9)),
        (datetime(2020, 2, 10, tzinfo=UTC), datetime(2020, 2, 20, tzinfo=UTC)),
    ],
)
def test_a_period_without_a_day_is_not_paid_for(explorer: ExplorerBilling, stub: AwsModel, start: datetime, end: datetime) -> None:
    """Amazon refuses a period that is empty."""
    assert list(explorer.rows(Period(start, end))) == []
    assert stub.requests("ce", "GetCostAndUsage") == []


def test_freshness_of_cost_explorer(explorer: ExplorerBilling) -> None:
    fresh = explorer.freshness()
    assert fresh.complete_until == datetime(2025, 3, 28, tzinfo=UTC)
    assert fresh.complete_until <= fresh.changed_at <= NOW


def test_prices_of_what_was_used(explorer: ExplorerBilling, stub: AwsModel) -> None:
    prices = {(price.sku, price.region): price for price in explorer.unit_prices()}
    assert prices[NAMES.skus["vm-small"] + "0", "us-east-1"].price == Decimal("0.1920")
    assert prices[NAMES.skus["vm-small"] + "1", "eu-west-1"].price == Decimal("0.21120")
    assert prices[NAMES.skus["requests"] + "0", "us-east-1"].price == Decimal("0.0000004")
    assert {price.as_of for price in prices.values()} == {NOW}
    assert {price.region for price in explorer.unit_prices("eu-west-1")} == {"eu-west-1"}


def test_the_settings_choose(make_context: MakeContext) -> None:
    assert isinstance(open_billing(make_context()), ExplorerBilling)
    assert isinstance(open_billing(make_context(billing_export="s3://acme-bill/exports/acme")), ExportBilling)
