"""The real bill that ships with mcml: the split of the change between its two halves, and the ledger's own sums."""

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.cost.intake.ingest import SAMPLE
from mcml.cost.why.split import explain
from mcml.store.ledger.book import Ledger, Scope
from mcml.store.ledger.exact import total
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.paid import paid


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    folder: Path = tmp_path_factory.mktemp("real")
    Intake(folder, clock=lambda: datetime(2024, 10, 6, tzinfo=UTC)).files([SAMPLE])
    return Ledger(folder)


HALVES = tuple(
    Scope(datetime(2024, 9, first, tzinfo=UTC), datetime(2024, month, last, tzinfo=UTC)) for first, month, last in ((1, 9, 16), (16, 10, 1))
)


@pytest.mark.parametrize("by", [(), ("service",), ("provider", "resource"), ("sku", "tag:application", "day")])
def test_every_part_of_the_change_is_in_one_line(ledger: Ledger, by: Sequence[str]) -> None:
    before, after = ([group.effective for group in ledger.totals(by, half)] for half in HALVES)
    (why,) = explain(*(paid(ledger, by, half) for half in HALVES))
    delta = total([*after, *(amount.copy_negate() for amount in before)])
    assert delta == Decimal("8.52081099156")
    assert why.whole.delta == total(change.delta for change in why.changes) == delta
    assert total(amount for change in why.changes for amount in change.parts.values()) == delta


def test_its_parts_by_service(ledger: Ledger) -> None:
    (why,) = explain(*(paid(ledger, ("service",), half) for half in HALVES))
    assert why.whole.parts == {
        "volume": Decimal("0.410798056107491910772306"),
        "mix": Decimal("4.783095670291091249994229"),
        "rate": Decimal("-0.193830472198583160766535"),
        "commitment": Decimal("-0.0000790222"),
        "new": Decimal("6.7436708"),
        "gone": Decimal("-0.22272255586"),
        "credit": Decimal(-3),
        "no_quantity": Decimal("-0.00012148458"),
    }
