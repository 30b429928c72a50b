"""What bills say of single machines: their types, and the rate they are paid at; as each cloud writes ids, types and prices."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from mcml.store.ledger.book import Ledger
from mcml.store.ledger.intake import Intake
from mcml.store.ledger.machines import MachineBill, Typed, bills, typed
from tests.cost.focus import HOUR, START, row

SINCE = START - timedelta(days=1)
HOURS = {"PricingUnit": "Hrs", "PricingCategory": "Standard", "ServiceCategory": "Compute", "RegionId": "eu-1"}
VM = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/Web-1"


def at(hours: int) -> dict[str, datetime]:
    return {"ChargePeriodStart": START + hours * HOUR, "ChargePeriodEnd": START + (hours + 1) * HOUR}


def priced(effective: str, listed: str | None, **changes: object) -> dict[str, object]:
    return row(effective, **{**HOURS, "ListCost": None if listed is None else Decimal(listed), **changes})


DETAILS = json.dumps({"x_SkuDetails": '{"ServiceType": "Standard_D2s_v3"}'})
ROWS = [
    priced("0.08", "0.10", ResourceId="i-0a", x_Extra=json.dumps({"x_UsageType": "EUW1-BoxUsage:m5.large"}), **at(0)),
    priced("0.15", "0.20", ResourceId="arn:aws:ec2:eu-1:1:instance/i-0a", SkuMeter="BoxUsage:m5.xlarge", **at(1)),
    priced("0.15", "0.20", ResourceId="I-0A", SkuPriceDetails=json.dumps({"InstanceType": "m5.xlarge"}), **at(2)),
    priced("0.06", "0.20", ResourceId="i-0a", CommitmentDiscountId="sp", CommitmentDiscountStatus="Used", PricingUnit="Hours", **at(3)),
    priced("0.05", "0.20", ResourceId="i-0a", **{**at(4), "PricingCategory": "Dynamic"}),
    priced("9.00", "9.00", ResourceId="i-0a", SkuMeter="DataTransfer-Out-Bytes", **{**at(4), "PricingUnit": "GB"}),
    priced("9.00", "9.00", ResourceId="i-0a", ChargeCategory="Purchase", **at(4)),
    priced("9.00", "9.00", ResourceId="i-0a", ChargeClass="Correction", **at(4)),
    priced("9.00", "9.00", ResourceId="i-0a", **{**at(4), "RegionId": "us-1"}),
    priced("9.00", "9.00", ResourceId="i-0b", **at(4)),
    priced("0.30", None, ResourceId=VM, BillingCurrency="EUR", x_Extra=DETAILS, **at(0)),
    priced("0.30", None, ResourceId=VM, SkuPriceDetails=json.dumps({"x_ServiceType": "Standard_D4s_v3"}), **at(1)),
    priced("1.00", "2.00", ResourceId="//compute.googleapis.com/projects/1/zones/z/instances/4711", ResourceName="worker", **at(0)),
    priced("1.00", "1.00", ResourceId="i-0c", SkuId="m5.large spot", x_Source="estimate", **at(5)),
    priced("1.00", "1.00", ResourceId="i-0d", x_Extra="[1]", SkuPriceDetails="[]", **at(5)),
]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    folder: Path = tmp_path_factory.mktemp("machines")
    intake = Intake(folder, clock=lambda: datetime(2026, 10, 6, tzinfo=UTC))
    estimates = [one for one in ROWS if one.get("x_Source") == "estimate"]
    intake.rows([one for one in ROWS if one not in estimates], origin="acme")
    intake.rows(estimates, origin="estimate:acme", source="estimate")
    return Ledger(folder)


def hours(found: list[Typed]) -> Mapping[tuple[str, str], tuple[int, int]]:
    return {(one.machine, one.type): ((one.first - START) // HOUR, (one.last - START) // HOUR) for one in found}


def test_types_as_each_cloud_writes_them(ledger: Ledger) -> None:
    found = typed(ledger, ["i-0A", "web-1", "z/worker", "i-0c", "i-0d", "never"], SINCE, "EU-1")
    assert hours(found) == {
        ("i-0a", "m5.large"): (0, 1),
        ("i-0a", "m5.xlarge"): (1, 3),
        ("web-1", "Standard_D2s_v3"): (0, 1),
        ("web-1", "Standard_D4s_v3"): (1, 2),
        ("i-0c", "m5.large"): (5, 6),
    }
    assert hours(typed(ledger, ["i-0a"], START + HOUR)) == {("i-0a", "m5.xlarge"): (1, 3)}, "what ended before does not count"


def test_the_rate_that_a_machine_is_paid_at(ledger: Ledger) -> None:
    found = {(one.machine, one.currency): one for one in bills(ledger, ["i-0a", "WEB-1", "z/worker", "i-0c"], SINCE, "eu-1")}
    assert set(found) == {("i-0a", "USD"), ("web-1", "EUR"), ("web-1", "USD"), ("z/worker", "USD")}, "an estimate is no bill"
    assert found["i-0a", "USD"] == MachineBill(
        "i-0a", "USD", Decimal("0.20"), Decimal("0.50"), Decimal("0.38"), 4, START + 4 * HOUR
    ), "traffic, spot, purchases, corrections and other regions are not in it"
    assert (found["z/worker", "USD"].other_list, found["z/worker", "USD"].other_effective) == (Decimal(2), Decimal(1))
    assert found["web-1", "EUR"].other_list == Decimal("0.30"), "no list cost: what was paid stands for it"
    assert len(bills(ledger, ["i-0a"], SINCE)) == 1, "without a region all regions count"
    assert bills(ledger, ["i-0a"], SINCE)[0].other_list == Decimal("9.50")


def test_a_name_is_never_sql(ledger: Ledger) -> None:
    assert bills(ledger, ["x') OR ('1'='1", "i-0a"], SINCE, "eu-1' OR '1'='1") == []


def test_nothing_is_asked_of_an_empty_ledger(tmp_path: Path) -> None:
    assert typed(Ledger(tmp_path), ["i-0a"], SINCE) == []
    assert bills(Ledger(tmp_path), ["i-0a"], SINCE) == []


def test_machines_of_one_name_never_share_a_cost(tmp_path: Path) -> None:
    """As Azure and Google write them: another resource group, another zone, another project, and what nobody can tell apart."""
    vm = "/subscriptions/s/resourceGroups/{}/providers/Microsoft.Compute/virtualMachines/Web"
    google = {"ResourceId": "//compute.googleapis.com/projects/1/zones/z/instances/4711", "ResourceName": "web"}
    rows = [
        priced("64", "64", ResourceId=None, ResourceName="web", SubAccountId="/subscriptions/s", **at(0)),
        priced("1", "1", ResourceId=vm.format("A"), SubAccountId="/subscriptions/s", **at(0)),
        priced("2", "2", ResourceId=vm.format("b").lower(), SubAccountId="/subscriptions/s", **at(0)),
        priced("4", "4", **google, SubAccountId="Prod", AvailabilityZone="z", **at(0)),
        priced("8", "8", **google, SubAccountId="dev", AvailabilityZone="z", **at(0)),
        priced("16", "16", **google, SubAccountId="prod", AvailabilityZone="y", **at(0)),
        priced("32", "32", **google, SubAccountId="prod", **at(0)),
    ]
    Intake(tmp_path, clock=lambda: datetime(2026, 10, 6, tzinfo=UTC)).rows(rows, origin="acme")
    ledger = Ledger(tmp_path)

    def listed(*machines: str, account: str = "") -> dict[str, Decimal]:
        return {one.machine: one.other_list for one in bills(ledger, machines, SINCE, "eu-1", account)}

    both = listed(vm.format("a"), vm.format("B"))
    assert both == {vm.format("a").lower(): Decimal(1), vm.format("b").lower(): Decimal(2)}, "of a bare name nobody knows whose it is"
    assert listed(vm.format("a")) == {vm.format("a").lower(): Decimal(65)}
    assert listed("z/web", account="prod") == {"z/web": Decimal(36)}
    assert listed("z/web", "y/web", account="prod") == {"z/web": Decimal(4), "y/web": Decimal(16)}
    assert listed("z/web", account="DEV") == {"z/web": Decimal(8)}
    assert listed("z/web", account="other") == {}
