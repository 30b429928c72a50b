"""The seeded ledger as Google Cloud says it: rows of the detailed billing export to BigQuery, as JSON lines for a load.

https://cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/detailed-usage
The export never changes a row: what is restated comes as a further row with the difference, late rows with an old usage date and a new
`export_time`. A credit lies inside the row that it is for. What a commitment covers costs its price and is credited the same; the fee is a
row of its own and is spread over nothing, so what of it nothing used is no row, and EffectiveCost is BilledCost here.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

from mcml.testing.stubs.seeded_focus import Names, Service, moment, plain, tags
from mcml.testing.stubs.seeded_ledger import NOW, SKUS, Charge, SeededLedger

Row = dict[str, Any]
NAMES = Names(
    provider="Google Cloud",
    publisher="Google Cloud",
    payer=("010101-F0FFF0-61C528", "acme"),
    accounts=[("acme-research", "research"), ("acme-production", "production"), ("acme-platform", "platform")],
    account_type="Project",
    regions=[("us-east1", "us-east1"), ("europe-west1", "europe-west1")],
    services={
        "compute": Service("Compute Engine", "Compute", "Virtual Machines"),
        "storage": Service("Cloud Storage", "Storage", "Object Storage"),
        "ml": Service("Vertex AI", "AI and Machine Learning", "Machine Learning"),
        "database": Service("Cloud SQL", "Databases", "Relational Databases"),
        "network": Service("Networking", "Networking", "Network Infrastructure"),
        "commitment": Service("Commitments", "Compute", "Virtual Machines"),
        "tax": Service("Invoice", "Other", "Other (Other)"),
    },
    skus={name: f"{number:04X}-4F75-95CD" for number, name in enumerate(SKUS, 0x2E27)},
    units={"hour": "hour", "gib-month": "gibibyte month", "request": "count", "gib": "gibibyte"},
    commitments={
        "spend-1": ("cud-5b0d", "compute commitment", "COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE"),
        "usage-1": ("cud-2025", "database commitment", "COMMITTED_USAGE_DISCOUNT"),
    },
    resource="//mcml.googleapis.com/projects/{account}/things/{name}",
)
COST_TYPES = {"tax": "tax", "refund": "adjustment"}


def export_rows(ledger: SeededLedger, delivery: int = 2) -> list[Row]:
    """Return the rows of the export's table after a delivery."""
    charges = {charge.id: charge for charge in ledger.every()}
    given = {charge.applies_to: charge for charge in charges.values() if charge.kind == "credit"}
    return [row for charge in charges.values() if charge.first <= delivery for row in _rows(charge, charges, given)]


def _rows(charge: Charge, charges: Mapping[str, Charge], given: Mapping[str, Charge]) -> Iterator[Row]:
    if charge.kind in ("credit", "unused", "idle"):
        return
    before = charges.get(charge.restates)
    if before is not None:
        change = charge.billed - before.billed
        yield _row(charge, change, change, charge.quantity - before.quantity, [])
        return
    credits = [_credit(charge, -charge.listed)] if charge.kind in ("covered", "reserved") else []
    if charge.id in given:
        credits.append({"name": "Coupon", "amount": float(given[charge.id].billed), "full_name": "Coupon", "id": "C", "type": "PROMOTION"})
    cost = charge.listed if charge.kind in ("covered", "reserved") else charge.billed
    yield _row(charge, cost, charge.listed, charge.quantity, credits)


def _credit(charge: Charge, amount: Decimal) -> Row:
    identity, name, kind = NAMES.commitments[charge.commitment]
    return {"name": name, "amount": float(amount), "full_name": name, "id": identity, "type": kind}


def _row(charge: Charge, cost: Decimal, listed: Decimal, quantity: Decimal, credits: list[Row]) -> Row:
    project, name = NAMES.accounts[charge.account]
    region = NAMES.regions[charge.region][0]
    late = charge.first == 2
    sku = SKUS.get(charge.sku)
    unit = NAMES.units[sku.unit] if sku else None
    spot = "Spot Preemptible " if charge.kind == "spot" else ""
    usage = {"amount": float(quantity), "unit": unit, "amount_in_pricing_units": float(quantity), "pricing_unit": unit}
    price = {"effective_price": plain(charge.price), "tier_start_amount": "0", "unit": unit, "list_price": plain(charge.price)}
    exported = f"{NOW:%Y-%m-%d}T08:00:00Z" if late else moment(charge.day + timedelta(days=1), "T06:00:00Z")
    return {
        "billing_account_id": NAMES.payer[0],
        "service": {"id": charge.service, "description": NAMES.services[charge.service].name},
        "sku": {"id": NAMES.skus.get(charge.sku), "description": f"{spot}{charge.sku or charge.kind}"},
        "usage_start_time": moment(charge.day),
        "usage_end_time": moment(charge.day + timedelta(days=1)),
        "project": {"id": project, "name": name, "labels": []},
        "labels": [{"key": key, "value": value} for key, value in tags(charge).items()],
        "tags": [],
        "location": {"location": region, "country": "US", "region": region, "zone": None},
        "export_time": exported,
        "cost": float(cost),
        "currency": "USD",
        "currency_conversion_rate": 1.0,
        "usage": usage if sku else None,
        "credits": credits,
        "invoice": {"month": f"{charge.month:%Y%m}"},
        "cost_type": COST_TYPES.get(charge.kind, "regular"),
        "resource": {"name": charge.resource, "global_name": NAMES.resource.format(account=project, name=charge.resource)} if sku else None,
        "price": price if sku else None,
        "cost_at_list": plain(listed),
        "consumption_model": {"id": "7754-699E-0EBF", "description": "Default"},
        "seller_name": None,
    }
