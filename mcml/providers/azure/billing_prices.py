"""List prices of meters out of the public Retail Prices API (no login).

https://learn.microsoft.com/rest/api/cost-management/retail-prices/azure-retail-prices
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from mcml.core.clock import parse_rfc3339
from mcml.providers.api.billing import UnitPrice
from mcml.providers.azure.arm import plain_region
from mcml.providers.azure.prices import RetailPrices
from mcml.providers.azure.session import Session

METERS_A_QUESTION = 10  # the filter is in the address
SOURCE = "Azure Retail Prices API"


def unit_prices(session: Session, used: Iterable[tuple[str, str]], region: str = "") -> list[UnitPrice]:
    """Return the price of the first unit (lowest tier) of each meter in each region where it was used, in US dollars, as of now."""
    wanted = {(meter, plain_region(place or "")) for meter, place in used if meter}
    wanted = {pair for pair in wanted if region in ("", pair[1])}
    meters = sorted({meter for meter, _ in wanted})
    prices = RetailPrices(session.settings.prices, session.policy, session.clock, session.read_seconds)
    now, found = session.clock(), dict[tuple[str, str], Mapping[str, Any]]()
    for start in range(0, len(meters), METERS_A_QUESTION):
        names = " or ".join(f"meterId eq '{meter}'" for meter in meters[start : start + METERS_A_QUESTION])
        for row in prices.rows(f"priceType eq 'Consumption' and ({names})"):
            key = (row["meterId"], row["armRegionName"])
            if key in wanted and _holds(row, now) and (key not in found or _order(row) > _order(found[key])):
                found[key] = row
    return [
        UnitPrice(meter, place, row["unitOfMeasure"], Decimal(row["retailPrice"]), row["currencyCode"], SOURCE, now)
        for (meter, place), row in sorted(found.items())
    ]


def _holds(row: Mapping[str, Any], now: datetime) -> bool:
    return row["type"] == "Consumption" and parse_rfc3339(row["effectiveStartDate"]) <= now


def _order(row: Mapping[str, Any]) -> tuple[Decimal, datetime]:
    """Order the rows of a meter: the lowest tier first of all, then the one that began last."""
    return -Decimal(row.get("tierMinimumUnits", 0)), parse_rfc3339(row["effectiveStartDate"])
