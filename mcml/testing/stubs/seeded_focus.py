"""The seeded ledger as rows of the FinOps Open Cost and Usage Specification 1.2, under a cloud's names; and as the CSV files of exports.

FOCUS 1.2 (https://focus.finops.org) still has ProviderName and PublisherName, and no ServiceProviderName. Values are texts, as in a CSV.
"""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from mcml.testing.stubs.seeded_ledger import SKUS, Charge, Kind

Row = dict[str, str]
CATEGORY: Mapping[Kind, str] = {
    "tax": "Tax", "credit": "Credit", "refund": "Adjustment", "fee": "Purchase", "upfront": "Purchase",
}  # fmt: skip
FREQUENCY: Mapping[Kind, str] = {"fee": "Recurring", "upfront": "One-Time", "tax": "Recurring", "credit": "One-Time", "refund": "One-Time"}
COMMITTED: Mapping[Kind, str] = {"covered": "Used", "reserved": "Used", "unused": "Unused", "idle": "Unused"}


@dataclass(frozen=True)
class Service:
    """A service as a cloud calls it: the name on its bill, and the FOCUS category and subcategory."""

    name: str
    category: str
    subcategory: str


@dataclass(frozen=True)
class Names:
    """What a cloud calls the accounts, regions, services, units and commitments of the neutral ledger."""

    provider: str
    publisher: str
    payer: tuple[str, str]
    accounts: Sequence[tuple[str, str]]
    account_type: str
    regions: Sequence[tuple[str, str]]
    services: Mapping[str, Service]
    skus: Mapping[str, str]
    units: Mapping[str, str]
    commitments: Mapping[str, tuple[str, str, str]]
    resource: str

    def service_of(self, name: str) -> str:
        """Return the neutral name of a service on this cloud's bill. Raises KeyError."""
        return {service.name: neutral for neutral, service in self.services.items()}[name]


def focus_row(charge: Charge, names: Names) -> Row:
    """Return a charge as a row of FOCUS 1.2; an empty text is null."""
    service = names.services[charge.service]
    account, account_name = names.accounts[charge.account]
    region, region_name = names.regions[charge.region]
    month_after = (charge.month + timedelta(days=32)).replace(day=1)
    description = f"{charge.kind} of {charge.sku or charge.service}"
    return {
        "BilledCost": plain(charge.billed), "EffectiveCost": plain(charge.effective),
        "ListCost": plain(charge.listed), "ContractedCost": plain(charge.billed if charge.kind == "spot" else charge.listed),
        "BillingCurrency": "USD", "BillingAccountId": names.payer[0], "BillingAccountName": names.payer[1],
        "BillingAccountType": "Billing Account", "SubAccountId": account, "SubAccountName": account_name,
        "SubAccountType": names.account_type, "BillingPeriodStart": moment(charge.month), "BillingPeriodEnd": moment(month_after),
        "ChargePeriodStart": moment(charge.day), "ChargePeriodEnd": moment(charge.day + timedelta(days=1)),
        "ProviderName": names.provider, "PublisherName": names.publisher, "InvoiceIssuerName": names.publisher,
        "ChargeCategory": CATEGORY.get(charge.kind, "Usage"), "ChargeClass": "", "ChargeDescription": description,
        "ChargeFrequency": FREQUENCY.get(charge.kind, "Usage-Based"),
        "ServiceCategory": service.category, "ServiceSubcategory": service.subcategory, "ServiceName": service.name,
        "RegionId": region, "RegionName": region_name,
        **_price(charge, names),
        **_commitment(charge, names),
        **_resource(charge, names),
        "Tags": json.dumps(tags(charge)), "InvoiceId": "",
    }


def _price(charge: Charge, names: Names) -> Row:
    sku = SKUS.get(charge.sku)
    quantity, price, unit = (plain(charge.quantity), plain(charge.price), names.units[sku.unit]) if sku else ("", "", "")
    category = "Dynamic" if charge.kind == "spot" else "Committed" if charge.kind in COMMITTED else "Standard"
    return {
        "PricingCategory": category,
        "PricingQuantity": quantity,
        "PricingUnit": unit,
        "ConsumedQuantity": quantity,
        "ConsumedUnit": unit,
        "ListUnitPrice": price,
        "ContractedUnitPrice": price,
        "PricingCurrency": "USD",
        "SkuId": names.skus[charge.sku] if sku else "",
        "SkuMeter": charge.sku,
        "SkuPriceId": f"{names.skus[charge.sku]}.{charge.region}" if sku else "",
    }


def _commitment(charge: Charge, names: Names) -> Row:
    identity, name, kind = names.commitments[charge.commitment] if charge.commitment else ("", "", "")
    return {
        "CommitmentDiscountId": identity,
        "CommitmentDiscountName": name,
        "CommitmentDiscountType": kind,
        "CommitmentDiscountCategory": charge.commitment.partition("-")[0].capitalize(),
        "CommitmentDiscountStatus": COMMITTED.get(charge.kind, ""),
    }


def _resource(charge: Charge, names: Names) -> Row:
    identity = names.resource.format(account=names.accounts[charge.account][0], name=charge.resource) if charge.resource else ""
    return {"ResourceId": identity, "ResourceName": charge.resource, "ResourceType": charge.sku if identity else ""}


def tags(charge: Charge) -> dict[str, str]:
    """Return the tags of a charge; an untagged one has none."""
    return {key: value for key, value in {"team": charge.team, "model": charge.model}.items() if value}


def plain(amount: Decimal) -> str:
    """Return an amount without an exponent, with all its digits."""
    return format(amount, "f")


def moment(day: date, ending: str = "T00:00:00Z") -> str:
    """Return the beginning of a day."""
    return f"{day:%Y-%m-%d}{ending}"


def csv_file(rows: Iterable[Mapping[str, str]], columns: Sequence[str], *, gzipped: bool = True) -> bytes:
    """Return rows as a CSV file, as the exports write it: UTF-8, a line of names, quotes where they are needed."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    data = out.getvalue().encode()
    return gzip.compress(data, 1, mtime=0) if gzipped else data
