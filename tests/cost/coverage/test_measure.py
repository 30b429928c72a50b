"""What carries a tag, and what commitments cover."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.cost.coverage import measure, views
from mcml.store.ledger.book import Group, Ledger, Scope
from mcml.store.ledger.commitments import Commitment, commitments, covered_services
from mcml.store.ledger.dimensions import parse
from mcml.store.ledger.exact import total
from mcml.store.ledger.intake import Intake
from mcml.ui import markdown
from tests.cost.focus import row
from tests.cost.test_report import group

PLAN = {"CommitmentDiscountId": "plan", "CommitmentDiscountName": "three years", "CommitmentDiscountType": "Savings Plan"}
USED = {**PLAN, "CommitmentDiscountStatus": "Used", "CommitmentDiscountCategory": "Spend", "PricingCategory": "Committed"}
ROWS = [
    row("0", EffectiveCost=Decimal(6), ContractedCost=Decimal(10), ListCost=Decimal(12), **USED),
    row("0", EffectiveCost=Decimal(2), **{**USED, "CommitmentDiscountStatus": "Unused"}),
    row("100", EffectiveCost=Decimal(0), ChargeCategory="Purchase", **PLAN),
    row("30", PricingCategory="Standard"),
    row("5", PricingCategory="Dynamic"),
    row("7", ServiceName="Storage", PricingCategory="Standard"),
    row("1", EffectiveCost=Decimal(1), BillingCurrency="EUR", ContractedCost=Decimal(0), ListCost=Decimal(3), **USED),
    row("-2", ChargeClass="Correction"),
]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    folder: Path = tmp_path_factory.mktemp("coverage")
    Intake(folder, clock=lambda: datetime(2026, 10, 6, tzinfo=UTC)).rows(ROWS, origin="acme")
    return Ledger(folder)


def test_commitments_are_used_and_left_unused(ledger: Ledger) -> None:
    euro, dollar = commitments(ledger, Scope())
    assert (dollar.id, dollar.name, dollar.type, dollar.category) == ("plan", "three years", "Savings Plan", "Spend")
    assert (int(dollar.used), int(dollar.unused), int(dollar.undiscounted)) == (6, 2, 10)
    assert (measure.utilisation(dollar), measure.saving(dollar)) == (Decimal("75.0"), Decimal(2))
    assert (euro.currency, measure.utilisation(euro), measure.saving(euro)) == ("EUR", Decimal("100.0"), Decimal(2))
    assert [each.currency for each in commitments(ledger, Scope(filters=(parse("charge=Purchase"),)))] == ["USD"]


def test_coverage_is_at_the_price_without_commitments_and_leaves_spot_out(ledger: Ledger) -> None:
    """Neither unused commitment, nor corrections, nor services without any commitment are in it."""
    found = {each.currency: each for each in covered_services(ledger, Scope())}
    dollar = found["USD"]
    assert (dollar.service, int(dollar.covered), int(dollar.spot), int(dollar.on_demand)) == ("Machines", 10, 5, 30)
    assert measure.covered_share(dollar) == Decimal("25.0")
    assert measure.covered_share(found["EUR"]) == Decimal("100.0")


def test_a_commitment_that_nobody_used_cost_what_it_cost() -> None:
    idle = Commitment("USD", "AWS", "plan", None, None, None, Decimal(0), Decimal("3.5"), Decimal(0))
    assert (measure.utilisation(idle), measure.saving(idle)) == (Decimal("0.0"), Decimal("-3.5"))


def test_what_a_commitment_saved_is_not_told_where_the_bill_charges_it_apart() -> None:
    """Google's export: what is covered costs nothing, and the fee names no commitment. All that it took off is no saving."""
    apart = Commitment("USD", "Google Cloud", "cud", None, None, None, Decimal(0), Decimal(0), Decimal("842.64"))
    assert (measure.utilisation(apart), measure.saving(apart)) == (None, None)
    document = views.coverage([], [apart], [])
    assert document.items[0]["saving"] is None
    assert "its use and saving cannot be told" in markdown.render(document.blocks, level=2)


MONEY = st.decimals(min_value=-(10**6), max_value=10**9, places=24)
KEYS = st.tuples(st.sampled_from(["db", "web", None]), st.sampled_from(["risk", "", None]))
GROUPS = st.lists(st.builds(group, KEYS, MONEY, currency=st.sampled_from(["USD", "EUR"])))


@given(GROUPS)
def test_what_carries_a_key_and_what_does_not_add_up(groups: list[Group]) -> None:
    found = measure.keys("team", groups)
    assert {each.currency for each in found} == {each.currency for each in groups}
    for each in found:
        assert total((each.covered, each.uncovered)) == total(one.effective for one in groups if one.currency == each.currency)
        assert all(gap.uncovered > 0 for gap in each.worst)
        assert [gap.uncovered for gap in each.worst] == sorted((gap.uncovered for gap in each.worst), reverse=True)


def test_what_scripts_see(ledger: Ledger) -> None:
    groups = [group(("db", "risk"), "6"), group(("db", None), "1"), group(("web", ""), "3"), group(("web", "ads"), "0")]
    document = views.coverage(measure.keys("team", groups), commitments(ledger, Scope())[1:], covered_services(ledger, Scope())[1:])
    assert document.items == [
        {
            "about": "key",
            "name": "team",
            "currency": "USD",
            "covered_cost": Decimal(6),
            "uncovered_cost": Decimal(4),
            "covered_percent": Decimal("60.0"),
            "worst": [
                {"service": "web", "uncovered_cost": Decimal(3), "uncovered_percent": Decimal("100.0")},
                {"service": "db", "uncovered_cost": Decimal(1), "uncovered_percent": Decimal("14.3")},
            ],
            "where": ["charge=Usage", "team="],
        },
        {
            "about": "commitment",
            "name": "plan",
            "title": "three years",
            "provider": "Acme Cloud",
            "type": "Savings Plan",
            "category": "Spend",
            "currency": "USD",
            "used_cost": Decimal(6),
            "unused_cost": Decimal(2),
            "undiscounted_cost": Decimal(10),
            "utilisation_percent": Decimal("75.0"),
            "saving": Decimal(2),
        },
        {
            "about": "service",
            "name": "Machines",
            "provider": "Acme Cloud",
            "currency": "USD",
            "covered_cost": Decimal(10),
            "spot_cost": Decimal(5),
            "on_demand_cost": Decimal(30),
            "covered_percent": Decimal("25.0"),
        },
    ]
