"""A FOCUS file of every version, with all its columns, is booked as FOCUS, whatever formats of bills are known."""

from pathlib import Path

import pytest

from mcml.cost.intake.bills import native
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.schema import FOCUS
from tests.cost.bill_files import formats
from tests.cost.focus import text_row, write_csv

NEW_IN = {
    "1.1": "CapacityReservationId CapacityReservationStatus CommitmentDiscountQuantity CommitmentDiscountUnit ServiceSubcategory SkuMeter "
    "SkuPriceDetails",
    "1.2": "BillingAccountType InvoiceId PricingCurrency PricingCurrencyContractedUnitPrice PricingCurrencyEffectiveCost "
    "PricingCurrencyListUnitPrice SubAccountType",
    "1.3": "AllocatedMethodDetails AllocatedMethodId AllocatedResourceId AllocatedResourceName AllocatedTags ContractApplied "
    "HostProviderName ServiceProviderName",
    "1.4": "CommitmentProgramEligibilityDetails InvoiceDetailId",
}
VERSIONS = {"1.0": 43, "1.1": 50, "1.2": 57, "1.3": 65, "1.4": 65}
"""How many columns Cost and Usage has; the two that 1.3 deprecates are gone in 1.4."""


def columns_of(version: str) -> list[str]:
    later = {name for known, names in NEW_IN.items() if known > version for name in names.split()}
    return [name for name in FOCUS if name not in later] + ([] if version == "1.4" else ["ProviderName", "PublisherName"])


def focus_value(name: str) -> str:
    kind = FOCUS.get(name, "text")
    known = {**text_row(), "Tags": '{"team": "risk"}', "ProviderName": "Acme Cloud", "PublisherName": "Acme Books"}
    return known.get(name) or {"decimal": "1.5", "time": "2026-10-05T10:00:00Z", "json": '{"a": "b"}'}.get(kind, f"a {name}")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_focus_file_of_every_version_with_all_its_columns(tmp_path: Path, version: str) -> None:
    names = columns_of(version)
    assert len(names) == VERSIONS[version]
    path = write_csv(tmp_path / f"focus-{version}.csv", [{name: focus_value(name) for name in names}])
    assert native([path], formats) == ([], [path])
    done = Intake(tmp_path / "ledger").files([path])
    assert (done.delivery.rows, done.delivery.refused) == (1, ())
    with Ledger(tmp_path / "ledger").opened("cannot look") as connection:
        wanted = (f"{name}::VARCHAR" for name in (*FOCUS, "x_Team", "x_Extra"))
        found = connection.execute(f"SELECT {', '.join(wanted)} FROM cost").fetchall()
    row = dict(zip([*FOCUS, "x_Team", "x_Extra"], found[0], strict=True))
    told = {name for name in names if name in FOCUS}
    assert {name for name, value in row.items() if value is not None} == told | {"ServiceProviderName", "x_Team"}
    assert (row["ServiceProviderName"], row["x_Team"]) == ("Acme Cloud", "risk")
