"""A seeded bill in FOCUS 1.4 that has everything: four providers, commitments used and unused, credits, refunds, taxes, spot, marketplace,
virtual currency, capacity reservations, split cost, tagged and untagged rows. Clean under the rules of 1.2 and 1.4."""

import csv
import json
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from mcml.cost.conformance.rules import load

MONTHS = ((2026, 8), (2026, 9), (2026, 10))
DAYS = (1, 2, 15)
Row = dict[str, Any]

COLUMNS_14 = load("1.4").columns
COLUMNS_12 = load("1.2").columns


@dataclass(frozen=True)
class Provider:
    name: str
    account: str
    regions: tuple[tuple[str, str], ...]
    compute: str
    storage: str
    commitment: str


PROVIDERS = (
    Provider("AWS", "111122223333", (("us-east-1", "US East"), ("eu-west-1", "Ireland")), "Amazon EC2", "Amazon S3", "Savings Plan"),
    Provider("Microsoft", "enrol-77", (("westeurope", "West Europe"),), "Virtual Machines", "Blob Storage", "Reservation"),
    Provider("Google Cloud", "01AB-23CD", (("us-central1", "Iowa"),), "Compute Engine", "Cloud Storage", "Committed Use"),
)


def rows(seed: int = 7) -> list[Row]:
    """About 380 rows, the same for the same seed; a row holds text, Decimal, aware times, and dicts for JSON."""
    dice = random.Random(seed)
    found: list[Row] = []
    for year, month in MONTHS:
        start = datetime(year, month, 1, tzinfo=UTC)
        period = {"BillingPeriodStart": start, "BillingPeriodEnd": (start + timedelta(days=32)).replace(day=1)}
        for provider in PROVIDERS:
            found += [{**row, **period} for row in _of_provider(provider, start, dice)]
        found += [{**row, **period} for row in _of_marketplace(start, dice)]
        found += [{**row, **period} for row in _of_saas(start, dice)]
    return [{name: row.get(name) for name in COLUMNS_14} for row in found]


def as_12(row: Mapping[str, Any]) -> Row:
    """The same row in the columns of FOCUS 1.2."""
    renamed = {**row, "ProviderName": row["ServiceProviderName"], "PublisherName": row["ServiceProviderName"]}
    return {name: renamed[name] for name in COLUMNS_12}


def _base(provider: str, account: str, start: datetime, dice: random.Random) -> Row:
    sub = dice.choice(("prod", "dev"))
    return {
        "ServiceProviderName": provider,
        "HostProviderName": provider,
        "InvoiceIssuerName": provider,
        "InvoiceId": f"{account}-{start:%Y%m}",
        "InvoiceDetailId": f"{account}-{start:%Y%m}-1",
        "BillingAccountId": account,
        "BillingAccountName": f"{provider} main",
        "BillingAccountType": "Organization",
        "BillingCurrency": "USD",
        "PricingCurrency": "USD",
        "SubAccountId": f"{account}-{sub}",
        "SubAccountName": sub,
        "SubAccountType": "Project",
        "ChargePeriodStart": start,
        "ChargePeriodEnd": start + timedelta(days=1),
    }


def _priced(price: str, quantity: int, unit: str, *, contracted: str = "", billed: str = "", effective: str = "") -> Row:
    """Amounts that fit together; billed and effective are the contracted cost unless told."""
    listed, agreed, amount = Decimal(price), Decimal(contracted or price), Decimal(quantity)
    cost = agreed * amount
    return {
        "ListUnitPrice": listed,
        "ContractedUnitPrice": agreed,
        "PricingCurrencyListUnitPrice": listed,
        "PricingCurrencyContractedUnitPrice": agreed,
        "PricingQuantity": amount,
        "PricingUnit": unit,
        "ListCost": listed * amount,
        "ContractedCost": cost,
        "BilledCost": Decimal(billed or cost),
        "EffectiveCost": Decimal(effective or cost),
        "PricingCurrencyEffectiveCost": Decimal(effective or cost),
    }


def _flat(amount: str, *, effective: str | None = None) -> Row:
    """A charge without a price: every cost is the amount."""
    cost, spread = Decimal(amount), Decimal(amount if effective is None else effective)
    costs: Row = dict.fromkeys(("ListCost", "ContractedCost", "BilledCost"), cost)
    return {**costs, "EffectiveCost": spread, "PricingCurrencyEffectiveCost": spread}


def _sku(name: str, *, details: Row | None = None, category: str = "Standard") -> Row:
    sku = {"SkuId": f"sku-{name}", "SkuPriceId": f"sku-{name}-p1", "SkuMeter": name}
    return {**sku, "SkuPriceDetails": details, "PricingCategory": category}


def _usage(quantity: int, unit: str, text: str) -> Row:
    return {
        "ChargeCategory": "Usage",
        "ChargeFrequency": "Usage-Based",
        "ChargeDescription": text,
        "ConsumedQuantity": Decimal(quantity),
        "ConsumedUnit": unit,
    }


def _machine(provider: Provider, number: int, dice: random.Random) -> Row:
    region, name = dice.choice(provider.regions)
    tags = {"Application": dice.choice(("checkout", "search")), "ApplicationId": f"app-{number}"}
    tags |= {"application": tags["Application"], "team": dice.choice(("risk", "growth")), "environment": "prod"}
    return {
        "ServiceName": provider.compute,
        "ServiceCategory": "Compute",
        "ServiceSubcategory": "Virtual Machines",
        "RegionId": region,
        "RegionName": name,
        "AvailabilityZone": f"{region}a",
        "ResourceId": f"{provider.account}/vm-{number}",
        "ResourceName": f"vm-{number}",
        "ResourceType": "Virtual Machine",
        "Tags": tags if dice.random() < 0.7 else None,
    }


_FOUR_CORES = {"CoreCount": 4, "InstanceSeries": "M5"}
_ELIGIBLE = {"CommitmentPrograms": [{"ProgramType": "FlexibleSpendPlan"}, {"ProgramType": "AdvanceResourceCommitment"}]}


def _of_provider(provider: Provider, start: datetime, dice: random.Random) -> Iterator[Row]:
    for day in DAYS:
        at = start + timedelta(days=day - 1)
        for number in range(3):
            base = {**_base(provider.name, provider.account, at, dice), **_machine(provider, number, dice)}
            hours = dice.randint(6, 24)
            yield {
                **base,
                **_usage(hours, "Hours", "on-demand machine"),
                **_sku("vm", details=_FOUR_CORES),
                **_priced("0.2", hours, "Hours", contracted="0.19"),
                "CommitmentProgramEligibilityDetails": _ELIGIBLE if number == 0 else None,
            }
        base = {**_base(provider.name, provider.account, at, dice), **_machine(provider, 7, dice)}
        yield {**base, **_usage(20, "Hours", "spot machine"), **_sku("vm-spot", category="Dynamic"), **_priced("0.06", 20, "Hours")}
        yield {**base, **_usage(40, "GB", "data transfer out"), **_sku("transfer"), **_priced("0.09", 40, "GB"), **_storage(provider)}
        yield from _committed(provider, at, dice)
        yield from _reserved(provider, at, dice)
    yield from _of_month(provider, start, dice)


def _storage(provider: Provider) -> Row:
    kind = {"ServiceName": provider.storage, "ServiceCategory": "Storage", "ServiceSubcategory": "Object Storage"}
    resource = {"ResourceId": f"{provider.account}/bucket", "ResourceName": "bucket", "ResourceType": "Bucket"}
    return {**kind, **resource, "AvailabilityZone": None}


def _commitment(provider: Provider, status: str | None, quantity: int) -> Row:
    spend = provider.commitment == "Savings Plan"
    return {
        "CommitmentDiscountId": f"{provider.account}/commitment-1",
        "CommitmentDiscountName": "three years, nothing upfront",
        "CommitmentDiscountType": provider.commitment,
        "CommitmentDiscountCategory": "Spend" if spend else "Usage",
        "CommitmentDiscountStatus": status,
        "CommitmentDiscountQuantity": Decimal(quantity),
        "CommitmentDiscountUnit": "USD" if spend else "Hours",
    }


def _committed(provider: Provider, at: datetime, dice: random.Random) -> Iterator[Row]:
    base = {**_base(provider.name, provider.account, at, dice), **_machine(provider, 8, dice)}
    used = dice.randint(14, 20)
    priced = _priced("0.2", used, "Hours", billed="0", effective=str(used * Decimal("0.12")))
    covered = {**_usage(used, "Hours", "covered machine"), **_commitment(provider, "Used", used)}
    yield {**base, **covered, **_sku("vm", category="Committed"), **priced}
    left = 24 - used
    unused = _priced("0.12", left, "Hours", billed="0")
    nothing = dict.fromkeys(("ConsumedQuantity", "ConsumedUnit", "Tags"))
    itself = {"ResourceId": f"{provider.account}/commitment-1", "ResourceName": "commitment-1", "ResourceType": "Commitment"}
    wasted = {**_usage(left, "Hours", "commitment not used"), **_commitment(provider, "Unused", left), **nothing, **itself}
    yield {**base, **wasted, **_sku("commitment", category="Committed"), **unused}


def _reserved(provider: Provider, at: datetime, dice: random.Random) -> Iterator[Row]:
    for status in ("Used", "Unused"):
        base = {**_base(provider.name, provider.account, at, dice), **_machine(provider, 9, dice)}
        held = {"CapacityReservationId": f"{provider.account}/cr-1", "CapacityReservationStatus": status}
        yield {
            **base,
            **_usage(12, "Hours", f"reserved capacity, {status.lower()}"),
            **_sku("vm", details=_FOUR_CORES),
            **_priced("0.2", 12, "Hours"),
            **held,
            "CommitmentProgramEligibilityDetails": {"CommitmentPrograms": [{"ProgramType": "ZonalResourceCommitment"}]},
        }


def _of_month(provider: Provider, start: datetime, dice: random.Random) -> Iterator[Row]:
    base = {**_base(provider.name, provider.account, start, dice), **_machine(provider, 0, dice)}
    month = {"ChargePeriodEnd": (start + timedelta(days=32)).replace(day=1)}
    nowhere = dict.fromkeys(("ResourceId", "ResourceName", "ResourceType", "AvailabilityZone", "Tags"))
    bought = {"ChargeCategory": "Purchase", "ChargeFrequency": "Recurring", "ChargeDescription": "commitment, monthly fee"}
    applied = {"Elements": [{"ContractCommitmentID": f"{provider.account}/contract", "ContractCommitmentAppliedCost": 86.4}]}
    yield {
        **base,
        **month,
        **nowhere,
        **bought,
        **_sku("commitment", category="Committed"),
        **_priced("0.12", 720, "Hours", effective="0"),
        **_commitment(provider, None, 720),
        "ContractApplied": applied,
    }
    credit = {"ChargeCategory": "Credit", "ChargeFrequency": "One-Time", "ChargeDescription": "promotional credit"}
    yield {**base, **month, **nowhere, **credit, **_flat("-5")}
    tax = {"ChargeCategory": "Tax", "ChargeFrequency": "Recurring", "ChargeDescription": "sales tax"}
    yield {**base, **month, **nowhere, **tax, **_flat("3.75")}
    rounding = {"ChargeCategory": "Adjustment", "ChargeFrequency": "One-Time", "ChargeDescription": "rounding"}
    yield {**base, **month, **nowhere, **rounding, **_flat("0.01")}
    refund = {**_usage(-2, "Hours", "refund for an outage"), "ChargeClass": "Correction"}
    yield {**base, **refund, **_sku("vm"), **_priced("0.2", -2, "Hours")}
    shared = {
        "AllocatedMethodId": "split-by-core",
        "AllocatedMethodDetails": {"Elements": [{"AllocatedRatio": 0.5, "UsageUnit": "Core"}]},
        "AllocatedResourceId": f"{provider.account}/pod-1",
        "AllocatedResourceName": "pod-1",
        "AllocatedTags": {"team": "risk"},
    }
    yield {**base, **_usage(10, "Hours", "shared node"), **_sku("vm", details=_FOUR_CORES), **_priced("0.2", 10, "Hours"), **shared}


def _of_marketplace(start: datetime, dice: random.Random) -> Iterator[Row]:
    base = _base("DataVendor", "111122223333", start, dice)
    plan = {"ChargeCategory": "Purchase", "ChargeFrequency": "One-Time", "ChargeDescription": "plan"}
    for charge in (_usage(30, "Requests", "vendor API"), plan):
        yield {
            **base,
            "HostProviderName": "AWS",
            "InvoiceIssuerName": "AWS",
            "ServiceName": "Vendor Data",
            "ServiceCategory": "Analytics",
            "ServiceSubcategory": "Analytics Platforms",
            **charge,
            **_sku("vendor"),
            **_priced("0.5", 30, "Requests", billed="0", effective="0" if charge["ChargeCategory"] == "Purchase" else ""),
            "ResourceId": "vendor/plan",
            "ResourceName": "plan",
            "ResourceType": "Subscription",
        }


def _of_saas(start: datetime, dice: random.Random) -> Iterator[Row]:
    base = {**_base("Floe", "floe-1", start, dice), "HostProviderName": "AWS", "BillingAccountType": "Account", "SubAccountType": "Space"}
    kind = {"ServiceName": "Floe Warehouse", "ServiceCategory": "Databases", "ServiceSubcategory": "Data Warehouses"}
    where = {"RegionId": "aws-us-east-1", "RegionName": "AWS US East", "PricingCurrency": "Credits"}
    credit = {"PricingCurrencyListUnitPrice": Decimal(1), "PricingCurrencyContractedUnitPrice": Decimal(1)}
    bought = {"ChargeCategory": "Purchase", "ChargeFrequency": "One-Time", "ChargeDescription": "credits"}
    contract = {"Elements": [{"ContractCommitmentID": "floe/contract", "ContractCommitmentAppliedCost": 300}]}
    yield {
        **base,
        **kind,
        **where,
        **bought,
        **_sku("credits"),
        **_priced("3", 100, "Credits", effective="0"),
        **credit,
        "ContractApplied": contract,
        "PricingCurrencyEffectiveCost": Decimal(0),
    }
    used = dice.randint(20, 40)
    resource = {"ResourceId": "floe/wh-1", "ResourceName": "wh-1", "ResourceType": "Warehouse"}
    tags = {"Tags": {"Application": "search", "team": "growth"}}
    priced = _priced("3", used, "Credits", billed="0")
    spent = {**credit, "PricingCurrencyEffectiveCost": Decimal(used)}
    yield {**base, **kind, **where, **_usage(used, "Hours", "warehouse"), **_sku("warehouse"), **priced, **spent, **resource, **tags}


def text(value: object) -> str:
    match value:
        case None:
            return ""
        case datetime():
            return f"{value:%Y-%m-%dT%H:%M:%SZ}"
        case dict():
            return json.dumps(value, sort_keys=True)
        case Decimal():
            return format(value, "f")
    return str(value)


def write_csv(path: Path, listed: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as CSV with the columns of the first one."""
    found = list(listed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(found[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: text(value) for name, value in row.items()} for row in found)
    return path


def write_parquet(path: Path, listed: Iterable[Mapping[str, Any]], **types: str) -> Path:
    """Write rows as typed Parquet: DECIMAL(38,12), TIMESTAMPTZ, VARCHAR; keywords give a column another type."""
    plain = write_csv(path.with_name(f"{path.name}.csv"), listed)
    kinds = {name: _sql_type(name) for name in next(csv.reader(plain.read_text().splitlines()))} | types
    chosen = ", ".join(f"nullif(\"{name}\", '')::{kind} AS \"{name}\"" for name, kind in kinds.items())
    duckdb.execute(f"COPY (SELECT {chosen} FROM read_csv('{plain}', all_varchar = true)) TO '{path}' (FORMAT parquet)")
    plain.unlink()
    return path


def _sql_type(name: str) -> str:
    kinds = {rule.check["CheckFunction"] for rule in load("1.4").rules.values() if rule.check.get("ColumnName") == name}
    return "DECIMAL(38,12)" if "TypeDecimal" in kinds else "TIMESTAMPTZ" if "TypeDateTime" in kinds else "VARCHAR"
