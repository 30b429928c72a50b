"""What a machine's bill says day by day, as the three clouds write it."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from mcml.store.ledger.book import Ledger
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.resource_days import Billed, ResourceDay, resource_days
from tests.cost.focus import row

DAY = datetime(2026, 10, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


def usage(start: datetime, length: timedelta, quantity: str, unit: str, cost: str, **more: object) -> dict[str, object]:
    times = {"ChargePeriodStart": start, "ChargePeriodEnd": start + length}
    about = {"ResourceId": "i-1", "PricingQuantity": Decimal(quantity), "PricingUnit": unit, "RegionId": "us-east-1"}
    return row(cost, **{**times, **about, **more})


def booked(folder: Path, rows: Iterable[dict[str, object]], source: str = "billed") -> Ledger:
    Intake(folder, clock=lambda: datetime(2026, 10, 20, tzinfo=UTC)).rows(rows, origin="test", source=source)
    return Ledger(folder)


def days(ledger: Ledger, machine: str = "i-1") -> list[tuple[date, Decimal, Fraction]]:
    return [(one.day, one.cost, one.hours) for one in resource_days(ledger, [machine], DAY, "us-east-1")[machine].days]


def test_hours_of_a_machine_by_the_hour_and_nothing_else(tmp_path: Path) -> None:
    rows = [usage(DAY + number * HOUR, HOUR, "1", "Hrs", "0.4") for number in range(3)]
    rows += [usage(DAY + 3 * HOUR, HOUR, "0.25", "Hrs", "0.1"), usage(DAY, HOUR, "7", "GB", "0.63", SkuId="traffic")]
    rows += [usage(DAY, HOUR, "1", "Hrs", "5", CommitmentDiscountId="c", CommitmentDiscountStatus="Unused")]
    rows += [usage(DAY, HOUR, "1", "Hrs", "9", RegionId="eu-west-1"), usage(DAY, HOUR, "1", "Hrs", "9", ResourceId="i-2")]
    ledger = booked(tmp_path, rows)
    assert days(ledger) == [(DAY.date(), Decimal("1.3"), Fraction(13, 4))]
    found = resource_days(ledger, ["z/i-1", "i-2", "i-none"], DAY, "us-east-1")
    until = DAY + 4 * HOUR
    assert [(name, billed.until) for name, billed in found.items()] == [("z/i-1", until), ("i-2", until), ("i-none", None)]
    assert [one.cost for one in found["i-2"].days] == [Decimal(9)]
    assert resource_days(ledger, [], DAY) == {}
    assert resource_days(Ledger(tmp_path / "empty"), ["i-1"], DAY) == {"i-1": Billed()}


def test_a_bill_reaches_as_far_as_that_of_the_machines_account(tmp_path: Path) -> None:
    rows = [usage(DAY, HOUR, "1", "Hrs", "1"), usage(DAY + 50 * HOUR, HOUR, "1", "Hrs", "1", ResourceId="i-2", SubAccountId="other")]
    rows += [usage(DAY + 9 * HOUR, HOUR, "1", "GB", "1", ResourceId="bucket")]
    found = resource_days(booked(tmp_path, rows), ["i-1", "i-2"], DAY)
    assert (found["i-1"].until, found["i-2"].until) == (DAY + 10 * HOUR, DAY + 51 * HOUR)


def test_cores_and_memory_by_the_hour_are_one_machine(tmp_path: Path) -> None:
    """As Google bills: four core-hours and sixteen GiB-hours in an hour are one hour of a machine."""
    rows = [usage(DAY + number * HOUR, HOUR, "4", "hour", "0.126", SkuId="core") for number in range(24)]
    rows += [usage(DAY + number * HOUR, HOUR, "16", "gibibyte hour", "0.068", SkuId="ram") for number in range(24)]
    assert days(booked(tmp_path, rows)) == [(DAY.date(), Decimal("4.656"), Fraction(24))]


def test_a_day_in_one_row_and_units_of_many_hours(tmp_path: Path) -> None:
    """As Azure bills: a row a day, in units of 1 or 100 hours, the resource as a path."""
    path = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/I-1"
    rows = [usage(DAY, 24 * HOUR, "12.5", "1 Hour", "2.5", ResourceId=path), usage(DAY + 24 * HOUR, 24 * HOUR, "0.1", "100 Hours", "2")]
    assert days(booked(tmp_path, rows)) == [
        (DAY.date(), Decimal("2.5"), Fraction(25, 2)),
        (DAY.date() + timedelta(days=1), Decimal(2), Fraction(10)),
    ]


def test_estimates_are_no_bill_and_currencies_are_apart(tmp_path: Path) -> None:
    booked(tmp_path, [usage(DAY, HOUR, "1", "Hours", "3")], source="estimate")
    assert resource_days(Ledger(tmp_path), ["i-1"], DAY) == {"i-1": Billed()}
    rows = [usage(DAY, HOUR, "1", "Hrs", "1"), usage(DAY, HOUR, "1", "Hrs", "2", BillingCurrency="EUR")]
    ledger = booked(tmp_path, rows)
    found = resource_days(ledger, ["i-1"], DAY)["i-1"].days
    assert found == (ResourceDay("EUR", DAY.date(), Decimal(2), Fraction(1)), ResourceDay("USD", DAY.date(), Decimal(1), Fraction(1)))
