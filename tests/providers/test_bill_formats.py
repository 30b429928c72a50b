"""The bill formats of the built-in providers keep the contract, and reading a bill loads no SDK."""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcml.providers.api.bill_formats import BillFormats, Record
from mcml.providers.aws.bill_formats import OF_KIND, CostAndUsageReport, column
from mcml.providers.aws.billing_cur import DISCOUNTS
from mcml.providers.aws.billing_lines import CATEGORY
from mcml.providers.azure.bill_formats import CostDetails
from mcml.store.ledger import exact
from mcml.testing.contracts.bill_formats import BillFormatsContract
from mcml.testing.stubs import seeded_aws, seeded_gcp
from mcml.testing.stubs.seeded_ledger import SeededLedger
from tests.cost.bill_files import AWS_REAL, AZURE_REAL, formats, real_rows

LEDGER = SeededLedger(seed=3, per_day=1)
OPENED = """
import json, sys
from tests.cost.bill_files import AWS_REAL, formats, real_rows
(aws,) = [known for known in formats() if known.recognises(list(real_rows(AWS_REAL)[0]))]
assert len(list(aws.rows(real_rows(AWS_REAL)))) == 1281
print(json.dumps(sorted({name.partition(".")[0] for name, module in sys.modules.items() if getattr(module, "__file__", None)})))
"""


class _OfAll(BillFormatsContract):
    @pytest.fixture
    def formats(self) -> BillFormats:
        return formats()


class TestAwsReal(_OfAll):
    @pytest.fixture
    def records(self) -> Sequence[Record]:
        return real_rows(AWS_REAL)


class TestAwsCommitments(_OfAll):
    @pytest.fixture
    def records(self) -> Sequence[Record]:
        return seeded_aws.cur_rows(LEDGER.seen(2))


class TestAzureReal(_OfAll):
    @pytest.fixture
    def records(self) -> Sequence[Record]:
        return real_rows(AZURE_REAL)


class TestGoogle(_OfAll):
    @pytest.fixture
    def records(self) -> Sequence[Record]:
        rows = json.loads(json.dumps(seeded_gcp.export_rows(LEDGER), default=str), parse_float=str, parse_int=str)
        return list(rows)


KINDS = [*CATEGORY, *DISCOUNTS, "SomethingNew"]
COMMITMENTS = (*OF_KIND["SavingsPlanCoveredUsage"], *OF_KIND["SavingsPlanRecurringFee"], *OF_KIND["DiscountedUsage"], *OF_KIND["RIFee"])
money = st.decimals(-1000, 1000, places=10).map(str)


@settings(deadline=None)
@given(lines=st.lists(st.tuples(st.sampled_from(KINDS), money, st.sampled_from(["2026-05-02", "2026-05-03"]), money), max_size=20))
def test_what_aws_billed_is_all_there(lines: list[tuple[str, str, str, str]]) -> None:
    """Whatever lines come in whatever order, also savings plans whose lines and negations do not cancel out."""
    records = [
        {
            "line_item_line_item_type": kind, "line_item_unblended_cost": cost, "line_item_currency_code": "USD",
            "line_item_usage_start_date": f"{day}T00:00:00Z", "line_item_usage_end_date": f"{day}T01:00:00Z",
            "bill_payer_account_id": "1", "bill_billing_period_start_date": "2026-05-01T00:00:00Z", **dict.fromkeys(COMMITMENTS, effective),
        }
        for kind, cost, day, effective in lines
    ]  # fmt: skip
    rows = list(CostAndUsageReport().rows(records))
    assert total([row["BilledCost"] for row in rows]) == total([Decimal(cost) for _, cost, *_ in lines])
    told = [row for row in rows if row.get("x_Diagnostic")]
    assert len(told) == sum(kind == "SomethingNew" for kind, *_ in lines)
    assert {row["ChargeCategory"] for row in told} <= {"Adjustment"}


@settings(deadline=None)
@given(lines=st.lists(st.tuples(st.sampled_from(["Usage", "Purchase", "Tax", "Refund", "Gift"]), money), max_size=20))
def test_what_azure_billed_is_all_there(lines: list[tuple[str, str]]) -> None:
    common = {"billingCurrency": "EUR", "billingAccountId": "1", "date": "05/02/2026"}
    rows = list(CostDetails().rows([{**common, "chargeType": kind, "costInBillingCurrency": cost} for kind, cost in lines]))
    for column_ in ("BilledCost", "EffectiveCost"):
        assert total([row[column_] for row in rows]) == total([Decimal(cost) for _, cost in lines])


def total(amounts: Iterable[object]) -> Decimal:
    return exact.total(amount for amount in amounts if isinstance(amount, Decimal))


@pytest.mark.parametrize(
    ("legacy", "today"),
    [
        ("lineItem/UsageStartDate", "line_item_usage_start_date"),
        ("savingsPlan/SavingsPlanARN", "savings_plan_savings_plan_a_r_n"),
        ("reservation/UnusedAmortizedUpfrontFeeForBillingPeriod", "reservation_unused_amortized_upfront_fee_for_billing_period"),
        ("pricing/publicOnDemandCost", "pricing_public_on_demand_cost"),
        ("product/regionCode", "product_region_code"),
        ("product/servicecode", "product_servicecode"),
        ("resourceTags/user:Cost Centre", "resource_tags_user:Cost Centre"),
        ("line_item_unblended_cost", "line_item_unblended_cost"),
    ],
)
def test_a_legacy_column_is_one_of_today(legacy: str, today: str) -> None:
    assert column(legacy) == today


def test_reading_a_bill_loads_no_sdk() -> None:
    done = subprocess.run([sys.executable, "-c", OPENED], check=True, capture_output=True, text=True, timeout=60)
    assert not {"boto3", "botocore", "google", "azure", "obstore", "requests", "duckdb"} & set(json.loads(done.stdout))
