"""On-demand prices out of AWS's Price List, for the usage types that a bill names.

https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/price-changes.html (GetProducts). It answers in few regions, about all.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from mcml.providers.api.billing import UnitPrice
from mcml.providers.aws.billing_names import is_spot, service_of
from mcml.providers.aws.paging import paged
from mcml.providers.aws.session import Session

REGION = "us-east-1"
SOURCE = "AWS Price List, on demand"
LINUX = {"operation": "RunInstances", "preInstalledSw": "NA"}  # of the many products with a machine's usage type, the plain one


class Used(NamedTuple):
    """A usage type of a service, as Cost Explorer names them."""

    service: str
    usage_type: str


def unit_prices(session: Session, used: Iterable[Used], region: str = "") -> list[UnitPrice]:
    """Return the price of the first unit (lowest tier) of each product with one of these usage types; spot has no list price.

    A service whose code is in no table of ours, and a usage type that the Price List does not know, have none. Raises as every call.
    """
    prices = {}
    for one in sorted(set(used)):
        code = service_of(one.service).code
        if code and one.usage_type and not is_spot(one.usage_type):
            for product in _products(session, code, one.usage_type, region):
                price = _price(product, session.ctx.clock())
                if price is not None:
                    prices[price.sku, price.region] = price
    return [prices[key] for key in sorted(prices)]


def _products(session: Session, code: str, usage_type: str, region: str) -> Iterator[Mapping[str, Any]]:
    wanted = {"usagetype": usage_type} | ({"regionCode": region} if region else {}) | (LINUX if "BoxUsage" in usage_type else {})
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
    asked: dict[str, Any] = {"ServiceCode": code, "Filters": filters, "FormatVersion": "aws_v1"}
    doing = f"cannot read the price of {usage_type}"
    for text in paged(session, doing, "pricing", "get_products", "PriceList", region=REGION, **asked):
        yield json.loads(text, parse_float=Decimal)


def _price(product: Mapping[str, Any], now: datetime) -> UnitPrice | None:
    """Return the lowest tier's price of a product in its currency; None for one that has no on-demand price."""
    tiers = [tier for term in product.get("terms", {}).get("OnDemand", {}).values() for tier in term["priceDimensions"].values()]
    tiers.sort(key=lambda tier: Decimal(tier.get("beginRange") or 0))
    paid = next((tier for tier in tiers if any(Decimal(text) for text in tier["pricePerUnit"].values())), tiers[0] if tiers else None)
    if paid is None:
        return None
    currency, text = next(iter(paid["pricePerUnit"].items()))
    attributes = product["product"].get("attributes", {})
    region = attributes.get("regionCode", "")
    return UnitPrice(product["product"]["sku"], region, paid["unit"], Decimal(text), currency, SOURCE, now)
