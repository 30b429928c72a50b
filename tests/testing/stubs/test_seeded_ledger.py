"""The seeded ledger: the same for the same seed, exact, and whole in every vendor's words."""

from decimal import Decimal
from typing import Any, get_args

import pytest

from mcml.testing.stubs import seeded_aws, seeded_azure, seeded_gcp
from mcml.testing.stubs.aws_model import AwsError
from mcml.testing.stubs.azure_arm import ArmError
from mcml.testing.stubs.seeded_ledger import DECIMALS, SKUS, Charge, Kind, SeededLedger, months, total

LEDGER = SeededLedger(seed=11)
JANUARY = {"timeframe": "Custom", "type": "ActualCost", "timePeriod": {"from": "2025-01-01T00:00:00Z", "to": "2025-03-31T00:00:00Z"}}
COST = {"aggregation": {"totalCost": {"name": "Cost", "function": "Sum"}}}


def whole(charges: list[Charge], column: Any = "billed") -> Decimal:
    return sum(total(charges, column, lambda _: ()).values(), Decimal(0))


def test_a_seed_is_a_bill() -> None:
    assert SeededLedger(seed=11).seen() == LEDGER.seen()
    assert SeededLedger(seed=12).seen() != LEDGER.seen()
    assert {charge.kind for charge in LEDGER.seen()} == set(get_args(Kind))
    assert {charge.month for charge in LEDGER.seen()} == set(months())


def test_amounts_are_exact() -> None:
    for charge in LEDGER.every():
        for amount in (charge.billed, charge.effective, charge.listed):
            assert amount == round(amount, DECIMALS)
        assert not charge.sku or charge.listed == charge.quantity * charge.price
        assert charge.sku in {"", *SKUS}


def test_what_a_commitment_costs_is_spread_and_nothing_more() -> None:
    spend = [charge for charge in LEDGER.seen() if charge.commitment == "spend-1"]
    assert whole(spend) == whole(spend, "effective") > 0


def test_restated_charges_replace_what_they_name() -> None:
    seen = {delivery: {charge.id for charge in LEDGER.seen(delivery)} for delivery in (1, 2)}
    for charge in LEDGER.every():
        if charge.restates:
            assert charge.restates in seen[1] - seen[2]
            assert charge.id in seen[2] - seen[1]


@pytest.mark.parametrize("rows", [seeded_aws.focus_rows, seeded_azure.focus_rows])
def test_focus_rows_add_up(rows: Any) -> None:
    said = rows(LEDGER.seen())
    assert sum(Decimal(row["BilledCost"]) for row in said) == whole(LEDGER.seen())
    assert sum(Decimal(row["EffectiveCost"]) for row in said) == whole(LEDGER.seen(), "effective")


def test_line_items_add_up() -> None:
    lines = list(seeded_aws.lines(LEDGER.seen()))
    assert sum(line.unblended for line in lines) == whole(LEDGER.seen())
    assert sum(line.amortized for line in lines) == whole(LEDGER.seen(), "effective")


@pytest.mark.parametrize("delivery", [1, 2])
def test_google_appends(delivery: int) -> None:
    rows = seeded_gcp.export_rows(LEDGER, delivery)
    said = sum(row["cost"] + sum(credit["amount"] for credit in row["credits"]) for row in rows)
    assert abs(Decimal(said) - whole(LEDGER.seen(delivery))) < Decimal("1e-6")


def test_cost_explorer_filters_groups_and_pages() -> None:
    charges = LEDGER.seen()
    asked: dict[str, Any] = {
        "TimePeriod": {"Start": "2025-01-01", "End": "2025-04-01"},
        "Granularity": "MONTHLY",
        "Metrics": ["UnblendedCost"],
        "GroupBy": [{"Type": "TAG", "Key": "team"}],
        "Filter": {"Not": {"Dimensions": {"Key": "RECORD_TYPE", "Values": ["Tax", "Credit", "Refund"]}}},
    }
    found: dict[str, Decimal] = {}
    while True:
        answer = seeded_aws.cost_and_usage(charges, asked, page=2)
        assert sum(len(result["Groups"]) for result in answer["ResultsByTime"]) <= 2
        for result in answer["ResultsByTime"]:
            for group in result["Groups"]:
                (key,) = group["Keys"]
                found[key] = found.get(key, Decimal(0)) + Decimal(group["Metrics"]["UnblendedCost"]["Amount"])
        if "NextPageToken" not in answer:
            break
        asked["NextPageToken"] = answer["NextPageToken"]
    teams = total([one for one in charges if one.kind not in ("tax", "credit", "refund")], "billed", lambda one: one.team)
    for team in ("search", "vision", "ops"):
        paid = teams[team] + sum(one.listed for one in charges if one.kind == "covered" and one.team == team)  # negations have no tag
        assert found[f"team${team}"] == paid
    with pytest.raises(AwsError, match="ValidationException"):
        seeded_aws.cost_and_usage(charges, {**asked, "GroupBy": [{"Type": "DIMENSION", "Key": "SERVICE"}] * 3})


def test_cost_management_cuts_off_at_31_days_without_a_word() -> None:
    charges = LEDGER.seen()
    daily = {**JANUARY, "dataset": {**COST, "granularity": "Daily"}}
    answer, more = seeded_azure.query_answer(charges, seeded_azure.BILLING_ACCOUNT, daily)
    assert not more
    assert [row[1] for row in answer["rows"]] == [20250100 + day for day in range(1, 32)]
    assert sum(Decimal(str(row[0])) for row in answer["rows"]) == total(charges, "billed", lambda one: one.month)[months()[0]]
    with pytest.raises(ArmError, match="BadRequest"):
        seeded_azure.query_answer(charges, "x", {**JANUARY, "timeframe": "MonthToDate", "dataset": COST})
