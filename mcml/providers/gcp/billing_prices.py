"""What the SKUs that we use cost: from the Cloud Billing Catalog, from the pricing export to BigQuery, or from Google's FOCUS export.

A SKU with tiers is shown with its first price above zero: the one that holds once the free amount is used.
https://cloud.google.com/billing/docs/reference/rest/v1/services.skus/list (public list prices),
https://cloud.google.com/billing/docs/how-to/export-data-bigquery-tables/pricing-data (with the account's own prices)
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from mcml.providers.api.billing import UnitPrice
from mcml.providers.gcp.billing_rows import amount, digits
from mcml.providers.gcp.rpc import rpc_pages
from mcml.providers.gcp.session import Session

PAGE = 5000
GLOBAL = "global"
NANO = Decimal("1e-9")


def from_catalog(session: Session, used: Mapping[str, frozenset[str]], currency: str) -> Iterator[UnitPrice]:
    """Yield the list prices of SKUs, given by service id, in a currency; one for each region a SKU is sold in."""
    for service, skus in sorted(used.items()):
        for sku in _skus(session, service, currency):
            if sku.sku_id in skus and sku.pricing_info:
                yield from _catalog_prices(sku, currency)


def _skus(session: Session, service: str, currency: str) -> Iterator[Any]:
    from google.cloud import billing_v1

    request = {"parent": f"services/{service}", "currency_code": currency, "page_size": PAGE}
    return rpc_pages(session, f"cannot list the prices of service {service}", billing_v1.CloudCatalogClient, "list_skus", request, "skus")


def _catalog_prices(sku: Any, currency: str) -> Iterator[UnitPrice]:
    newest = max(sku.pricing_info, key=lambda info: info.effective_time.timestamp() if info.effective_time else 0.0)
    expression = newest.pricing_expression
    tiers = [(Decimal(str(tier.start_usage_amount)), _money(tier.unit_price)) for tier in expression.tiered_rates]
    if not tiers:
        return
    as_of = datetime.fromtimestamp(newest.effective_time.timestamp(), UTC) if newest.effective_time else datetime.now(UTC)
    for region in list(sku.service_regions) or [GLOBAL]:
        unit, source = expression.usage_unit or "unit", f"Cloud Billing Catalog, {sku.name or sku.sku_id}"
        yield UnitPrice(sku.sku_id, region, unit, first_paid(tiers), currency, source, as_of)


def _money(money: Any) -> Decimal:
    return Decimal(money.units) + Decimal(money.nanos) * NANO


def first_paid(tiers: Iterable[tuple[Decimal, Decimal]]) -> Decimal:
    """Return the price of the lowest tier (where it starts, its price) that is not free; of the lowest, if all are."""
    ordered = [price for _, price in sorted(tiers)]
    return next((price for price in ordered if price > 0), ordered[0])


def from_export(records: Iterable[Mapping[str, Any]], table: str) -> Iterator[UnitPrice]:
    """Yield the prices of rows of the pricing export: the account's own where there are some, else list prices."""
    for record in records:
        price = record.get("billing_account_price") or record.get("list_price") or {}
        rates: Sequence[Mapping[str, Any]] = price.get("tiered_rates") or (record.get("list_price") or {}).get("tiered_rates") or ()
        tiers = [(amount(rate.get("start_usage_amount")), amount(rate["account_currency_amount"])) for rate in rates]
        if not tiers:
            continue
        quantity = amount(rates[0].get("pricing_unit_quantity") or 1)
        unit = str(record.get("pricing_unit") or "unit")
        unit = unit if quantity == 1 else f"{digits(quantity)} {unit}"
        for region in (record.get("geo_taxonomy") or {}).get("regions") or [GLOBAL]:
            sku, currency = record["sku"]["id"], record["account_currency_code"]
            yield UnitPrice(sku, region, unit, first_paid(tiers), currency, f"BigQuery table {table}", record["pricing_as_of_time"])
