"""The rows behind a number, and what was paid for how much."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.store.ledger.book import Ledger, Scope
from mcml.store.ledger.dimensions import parse
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.paid import paid
from mcml.store.ledger.rows import behind, filled
from tests.cost.focus import START, row

USAGE = {"SkuId": "big", "SkuPriceId": "big.1", "PricingUnit": "Hours", "PricingQuantity": Decimal(2), "PricingCategory": "Standard"}
COVERED = {**USAGE, "CommitmentDiscountId": "plan", "CommitmentDiscountStatus": "Used", "PricingCategory": "Committed"}
ROWS = [
    row("10", **USAGE, x_Team="risk"),
    row("4", **COVERED, ContractedCost=Decimal(9), ListCost=Decimal(10)),
    row("3", **COVERED, ContractedCost=Decimal(0), ListCost=Decimal(8)),
    row("2", **COVERED),
    row("7", CommitmentDiscountId="plan", CommitmentDiscountStatus="Unused", **{**USAGE, "PricingQuantity": None}),
    row("100", ChargeCategory="Purchase"),
    row("-5", ChargeCategory="Credit", BillingCurrency="EUR"),
    row("1", ChargeCategory="Tax"),
    row("-1", ChargeCategory="Usage", ChargeClass="Correction", **USAGE),
    row("6", SkuId="big"),
]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    folder: Path = tmp_path_factory.mktemp("questions")
    Intake(folder, clock=lambda: datetime(2026, 10, 6, tzinfo=UTC)).rows(ROWS, origin="acme")
    return Ledger(folder)


def test_each_charge_is_paid_once_and_in_its_kind(ledger: Ledger) -> None:
    found = {(each.currency, str(each.kind), each.pricing): each for each in paid(ledger, (), Scope())}
    assert {key: (int(each.effective), int(each.quantity), each.rows) for key, each in found.items()} == {
        ("USD", "usage", "Standard"): (10, 2, 1),
        ("USD", "usage", "Committed"): (9, 6, 3),
        ("USD", "unused_commitment", None): (7, 0, 1),
        ("USD", "purchase", None): (100, 0, 1),
        ("EUR", "credit", None): (-5, 0, 1),
        ("USD", "tax", None): (1, 0, 1),
        ("USD", "adjustment", None): (-1, 0, 1),
        ("USD", "no_quantity", None): (6, 0, 1),
    }
    covered = found["USD", "usage", "Committed"]
    # the contracted cost, the list cost where that is zero, and the cost itself where a bill has neither
    assert covered.undiscounted == 9 + 8 + 2
    assert (covered.sku, covered.price, covered.unit) == ("big", "big.1", "Hours")
    assert sum(each.effective for each in paid(ledger, ("team", "day"), Scope())) == 127


def test_what_was_paid_obeys_the_scope(ledger: Ledger) -> None:
    (only,) = paid(ledger, ("team",), Scope(filters=(parse("team=risk"),)))
    assert (only.key, int(only.effective)) == (("risk",), 10)
    assert paid(ledger, (), Scope(until=START)) == []


def test_the_rows_behind_a_number_are_all_counted_and_the_dearest_come_first(ledger: Ledger) -> None:
    found = behind(ledger, Scope(filters=(parse("charge=Usage"),)), 2)
    assert [each["EffectiveCost"] for each in found.rows] == [Decimal(10), Decimal(7)]
    assert found.rows[0]["ChargePeriodStart"] == START
    assert (found.count, [(each.currency, each.effective) for each in found.sums]) == (7, [("USD", Decimal(31))])


def test_the_query_can_be_run_again(ledger: Ledger) -> None:
    scope = Scope(since=START, filters=(parse("tag:what's up?!~it's*"), parse("charge=Usage,Tax")))
    found = behind(ledger, scope, 50)
    assert len(found.rows) == found.count == 8
    with ledger.opened("test") as connection:
        (count,) = connection.execute(found.query.replace("SELECT *", "SELECT count(*)").split("ORDER BY")[0]).fetchone()
    assert count == 8


def test_a_question_mark_inside_quotes_is_no_parameter() -> None:
    assert filled("a = ? AND b = 'it''s ?' AND c = ?", ["x", "y'z"]) == "a = 'x' AND b = 'it''s ?' AND c = 'y''z'"


def test_an_empty_ledger_has_no_rows(tmp_path: Path) -> None:
    found = behind(Ledger(tmp_path), Scope(), 5)
    assert (found.rows, found.sums, found.count) == ((), (), 0)
    assert paid(Ledger(tmp_path), ("team",), Scope()) == []
