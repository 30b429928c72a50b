"""A row of Cloud Billing's export to BigQuery as FOCUS 1.4 rows. Pure: what the export says in, rows out.

The export: https://cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/detailed-usage (and standard-usage, without resources).

One export row becomes one charge: its cost and those credits that lower its price (sustained and committed use, discounts, free tier).
A promotion pays for it with a coupon: it becomes a Credit row of its own. So the BilledCost of all rows adds up to cost + all credits,
which is what the invoice says before tax rows are counted, and those are rows too. The cost of a commitment is not spread over what it
covers: its fee is a charge of its own.

The export's amounts are FLOAT64 or NUMERIC. BigQuery prints a FLOAT64 with the digits that tell it from every other, and these digits are
taken as they are: nothing is added up in binary. Amounts keep `SCALE` decimals.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from mcml.providers.api.billing import FocusRow

EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)
SCALE = 24
GOOGLE = "Google Cloud"
Record = Mapping[str, Any]

PRICE_CREDITS = frozenset(
    {
        "COMMITTED_USAGE_DISCOUNT", "COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE", "DISCOUNT", "FEE_UTILIZATION_OFFSET", "FREE_TIER",
        "RESELLER_MARGIN", "SUBSCRIPTION_BENEFIT", "SUSTAINED_USAGE_DISCOUNT",
    }
)  # fmt: skip
"""Credit types that lower the price of usage."""
PROMOTION = "PROMOTION"
COMMITMENTS = {"COMMITTED_USAGE_DISCOUNT": "Usage", "COMMITTED_USAGE_DISCOUNT_DOLLAR_BASE": "Spend"}
COST_TYPES = {"regular": "Usage", "tax": "Tax", "adjustment": "Adjustment", "rounding_error": "Adjustment"}
SPOT = ("spot preemptible", "preemptible", "spot vm")

CATEGORIES: Mapping[str, str] = {
    "Artifact Registry": "Developer Tools",
    "BigQuery": "Analytics",
    "Cloud Bigtable": "Databases",
    "Cloud Build": "Developer Tools",
    "Cloud DNS": "Networking",
    "Cloud Dataflow": "Analytics",
    "Cloud Filestore": "Storage",
    "Cloud Key Management Service (KMS)": "Security",
    "Cloud Logging": "Management and Governance",
    "Cloud Memorystore for Redis": "Databases",
    "Cloud Monitoring": "Management and Governance",
    "Cloud Pub/Sub": "Integration",
    "Cloud Run": "Compute",
    "Cloud Run Functions": "Compute",
    "Cloud SQL": "Databases",
    "Cloud Scheduler": "Integration",
    "Cloud Spanner": "Databases",
    "Cloud Storage": "Storage",
    "Cloud TPU": "AI and Machine Learning",
    "Compute Engine": "Compute",
    "Gemini API": "AI and Machine Learning",
    "Kubernetes Engine": "Compute",
    "Networking": "Networking",
    "Secret Manager": "Security",
    "Vertex AI": "AI and Machine Learning",
}
"""FOCUS service categories of Google's services, as far as a model platform meets them; any other is "Other"."""


def focus_rows(record: Record) -> Iterator[FocusRow]:
    """Yield the rows of one row of the standard or detailed export: the charge, then each credit that is no part of its price."""
    credits = [credit for credit in record.get("credits") or () if credit.get("amount") is not None]
    inside = [credit for credit in credits if credit.get("type") in PRICE_CREDITS]
    cost = amount(record.get("cost"))
    billed = total([cost, *(amount(credit["amount"]) for credit in inside)])
    shared = {**_when(record), **_who(record), **_what(record)}
    yield {**shared, **_charge(record), **_prices(record, cost, billed), **_commitment(inside), "x_CreditTypes": _types(inside)}
    for credit in credits:
        if credit.get("type") not in PRICE_CREDITS:
            yield {**shared, **_credit(credit), "x_CreditTypes": credit.get("type") or None}


def total(amounts: Sequence[Decimal]) -> Decimal:
    """Return the sum, exactly."""
    found = Decimal(0)
    for one in amounts:
        found = EXACT.add(found, one)
    return found


def amount(told: object) -> Decimal:
    """Return an amount of the export, with at most `SCALE` decimals; nothing is zero."""
    if told is None:
        return Decimal(0)
    value = told if isinstance(told, Decimal) else Decimal(str(told))
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > SCALE:
        return value.quantize(Decimal(1).scaleb(-SCALE), context=EXACT)
    return value


def digits(value: Decimal) -> str:
    """Write an amount in full, without zeros at its end."""
    return format(value.normalize(EXACT), "f")


def month_of(text: str) -> tuple[datetime, datetime]:
    """Return the first moment of an invoice month (`202601`) and of the next one.

    Google's months begin and end at midnight in California; FOCUS wants UTC, so the month keeps its name and a charge of its last or
    first hours may lie outside it.
    """
    year, month = int(text[:4]), int(text[4:6])
    return datetime(year, month, 1, tzinfo=UTC), datetime(year + month // 12, month % 12 + 1, 1, tzinfo=UTC)


def _when(record: Record) -> dict[str, object]:
    start, end = record["usage_start_time"], record["usage_end_time"]
    month = str((record.get("invoice") or {}).get("month") or f"{start:%Y%m}")
    first, following = month_of(month)
    return {
        "ChargePeriodStart": start,
        "ChargePeriodEnd": end,
        "BillingPeriodStart": first,
        "BillingPeriodEnd": following,
        "x_InvoiceMonth": month,
        "x_ExportTime": record.get("export_time"),
    }


def _who(record: Record) -> dict[str, object]:
    project, seller = record.get("project") or {}, record.get("seller_name")
    return {
        "BillingAccountId": record.get("billing_account_id") or "",
        "BillingAccountName": None,
        "BillingAccountType": "Cloud Billing account",
        "SubAccountId": project.get("id"),
        "SubAccountName": project.get("name"),
        "SubAccountType": "Project" if project.get("id") else None,
        "InvoiceIssuerName": GOOGLE,
        "ServiceProviderName": seller or GOOGLE,
        "HostProviderName": GOOGLE,
        **dict.fromkeys(("BillingCurrency", "PricingCurrency"), record.get("currency") or "USD"),  # the export's prices are in it too
        "Tags": _tags(record),
    }


def _what(record: Record) -> dict[str, object]:
    service, sku, place = record.get("service") or {}, record.get("sku") or {}, record.get("location") or {}
    resource, name = record.get("resource") or {}, (record.get("service") or {}).get("description") or "unknown"
    category = CATEGORIES.get(name, "Other")
    return {
        "ServiceCategory": category,
        "ServiceSubcategory": f"Other ({category})",
        "ServiceName": name,
        "SkuId": sku.get("id"),
        "SkuMeter": sku.get("description"),
        "RegionId": place.get("region") or place.get("location"),
        "RegionName": place.get("region") or place.get("location"),
        "AvailabilityZone": place.get("zone"),
        "ResourceId": resource.get("global_name") or resource.get("name"),
        "ResourceName": resource.get("name"),
        "x_ServiceId": service.get("id"),
        "x_CostType": record.get("cost_type"),
    }


def _charge(record: Record) -> dict[str, object]:
    kind = str(record.get("cost_type") or "regular")
    category = COST_TYPES.get(kind, "Adjustment")
    start, month = record["usage_start_time"], str((record.get("invoice") or {}).get("month") or "")
    late = kind == "adjustment" and bool(month) and f"{start:%Y%m}" < month
    told = {} if kind in COST_TYPES else {"x_Diagnostic": f"cost type {kind!r} is not known: booked as an adjustment"}
    return {
        "ChargeCategory": category,
        "ChargeClass": "Correction" if late else None,
        "ChargeDescription": (record.get("sku") or {}).get("description"),
        "ChargeFrequency": "Usage-Based" if category == "Usage" else "One-Time",
        **told,
    }


def _prices(record: Record, cost: Decimal, billed: Decimal) -> dict[str, object]:
    """Return the amounts. A list price is shown where quantity x price is the list cost to the last digit, and nowhere else."""
    usage, price = record.get("usage") or {}, record.get("price") or {}
    is_usage = COST_TYPES.get(str(record.get("cost_type") or "regular")) == "Usage"
    listed = cost if record.get("cost_at_list") is None else amount(record["cost_at_list"])
    quantity = _known(usage.get("amount_in_pricing_units")) if is_usage else None
    unit_price = _known(price.get("list_price"))
    fits = quantity is not None and unit_price is not None and EXACT.multiply(quantity, unit_price) == listed
    tier = price.get("tier_start_amount")
    sku = (record.get("sku") or {}).get("id")
    return {
        "BilledCost": billed,
        "EffectiveCost": billed,
        "ContractedCost": cost,
        "ListCost": listed,
        "ListUnitPrice": unit_price if fits else None,
        "PricingQuantity": quantity,
        "PricingUnit": usage.get("pricing_unit") if quantity is not None else None,
        "ConsumedQuantity": _known(usage.get("amount")) if is_usage else None,
        "ConsumedUnit": usage.get("unit") if is_usage else None,
        "PricingCategory": _pricing(record) if is_usage else None,
        "SkuPriceId": f"{sku}/{digits(amount(tier))}" if sku and tier is not None else None,
    }


def _pricing(record: Record) -> str:
    words = f"{(record.get('sku') or {}).get('description')} {(record.get('consumption_model') or {}).get('description')}".lower()
    if any(word in words for word in SPOT):
        return "Dynamic"
    is_committed = any(credit.get("type") in COMMITMENTS for credit in record.get("credits") or ()) or "commit" in words
    return "Committed" if is_committed else "Standard"


def _commitment(credits: Sequence[Record]) -> dict[str, object]:
    found = next((credit for credit in credits if credit.get("type") in COMMITMENTS), None)
    if found is None:
        return {}
    return {
        "CommitmentDiscountId": found.get("id") or found.get("name"),
        "CommitmentDiscountName": found.get("full_name") or found.get("name"),
        "CommitmentDiscountType": found["type"],
        "CommitmentDiscountCategory": COMMITMENTS[found["type"]],
        "CommitmentDiscountStatus": "Used",
    }


def _credit(credit: Record) -> dict[str, object]:
    """Return the row of a credit that stands by itself; one of a type that nobody told us of is an adjustment that says so."""
    kind, paid = credit.get("type"), amount(credit["amount"])
    told = {} if kind == PROMOTION else {"x_Diagnostic": f"credit type {kind!r} is not known: booked as an adjustment"}
    return {
        "ChargeCategory": "Credit" if kind == PROMOTION else "Adjustment",
        "ChargeClass": None,
        "ChargeDescription": credit.get("full_name") or credit.get("name"),
        "ChargeFrequency": "One-Time",
        **dict.fromkeys(("BilledCost", "EffectiveCost", "ContractedCost", "ListCost"), paid),
        "PricingQuantity": None,
        "PricingUnit": None,
        "x_CreditId": credit.get("id"),
        **told,
    }


def _types(credits: Sequence[Record]) -> str | None:
    return ",".join(sorted({str(credit["type"]) for credit in credits})) or None


def _known(told: object) -> Decimal | None:
    return None if told is None else amount(told)


def _tags(record: Record) -> str:
    """Return labels and tags as one JSON object: a project's labels give way to the resource's own, and both to Google's tags."""
    found: dict[str, str] = {}
    for labels in ((record.get("project") or {}).get("labels"), record.get("labels")):
        found.update((str(label["key"]), str(label.get("value") or "")) for label in labels or ())
    for tag in record.get("tags") or ():
        space = tag.get("namespace")
        found[f"{space}/{tag['key']}" if space else str(tag["key"])] = str(tag.get("value") or "")
    return json.dumps(found, sort_keys=True, ensure_ascii=False)
