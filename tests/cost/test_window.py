"""What a window of time cost: each charge by the part of its period that lies inside."""

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from mcml.cost.window import cost_between, prorated
from mcml.store.ledger.book import Ledger, Slice
from mcml.store.ledger.intake import Intake
from tests.cost.focus import HOUR, START, row

MICROSECOND = timedelta(microseconds=1)


def test_an_incident_of_twelve_minutes_costs_a_fifth_of_its_hour(tmp_path: Path) -> None:
    Intake(tmp_path).rows(
        [
            row("3", x_Target="eu-1", EffectiveCost=Decimal("1.5")),
            row("10", x_Target="us-1"),
            row("5", BillingCurrency="EUR", ServiceProviderName="Other"),
            row("100", ChargePeriodStart=START + HOUR, ChargePeriodEnd=START + 2 * HOUR),
        ],
        origin="acme",
    )
    ledger = Ledger(tmp_path)
    start, end = START + timedelta(minutes=20), START + timedelta(minutes=32)
    assert [(cost.currency, cost.billed, cost.rows) for cost in cost_between(ledger, start, end)] == [
        ("EUR", Decimal(1), 1),
        ("USD", Decimal("2.6"), 2),
    ]
    (cost,) = cost_between(ledger, start, end, "eu-1")
    assert (cost.billed, cost.effective, cost.whole_billed, cost.whole_effective) == (
        Decimal("0.6"),
        Decimal("0.3"),
        Decimal(3),
        Decimal("1.5"),
    )
    assert cost_between(ledger, START - HOUR, START) == []
    assert cost_between(ledger, start, end, "nowhere") == []


@given(
    st.decimals(min_value=-(10**9), max_value=10**9, places=24),
    st.integers(1, 10**9).flatmap(lambda length: st.tuples(st.just(length), st.integers(0, length))),
)
def test_two_halves_of_a_period_add_up(amount: Decimal, cut: tuple[int, int]) -> None:
    length, inside = cut
    parts = [
        prorated([Slice("USD", amount, amount, 1, MICROSECOND * overlap, MICROSECOND * length)])[0].billed
        for overlap in (inside, length - inside)
    ]
    assert abs(parts[0] + parts[1] - amount) <= Decimal("1e-24") + abs(amount) * Decimal("1e-27")


def test_a_charge_without_length_counts_whole() -> None:
    assert prorated([Slice("USD", Decimal(1), Decimal(1), 1, timedelta(0), timedelta(0))])[0].billed == 1
