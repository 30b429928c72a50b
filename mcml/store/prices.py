"""The price catalogue: every price with its source, date, region and currency; rooms read it, `cost` maintains it."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Connection, insert, select

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.providers.api.billing import UnitPrice
from mcml.store.tables import PRICE


@dataclass(frozen=True)
class CataloguePrice:
    """A price of a provider as it was recorded."""

    provider: str
    price: UnitPrice


def record(connection: Connection, provider: str, prices: Iterable[UnitPrice]) -> int:
    """Add prices to the catalogue; one that says the same as the newest known is not written again. Returns how many were new."""
    added = 0
    for price in prices:
        known = latest(connection, provider, price.region, price.sku)
        if known and (known.price, known.currency, known.unit, known.source) == (price.price, price.currency, price.unit, price.source):
            continue
        connection.execute(
            insert(PRICE).values(
                provider=provider,
                sku=price.sku,
                region=price.region,
                unit=price.unit,
                price=format(price.price, "f"),
                currency=price.currency,
                source=price.source,
                as_of=rfc3339(price.as_of),
            )
        )
        added += 1
    return added


def latest(connection: Connection, provider: str, region: str, sku: str) -> UnitPrice | None:
    """Return the newest price of a SKU in a region; None when there is none (which is not the same as free)."""
    row = connection.execute(
        select(PRICE)
        .where(PRICE.c.provider == provider, PRICE.c.region == region, PRICE.c.sku == sku)
        .order_by(PRICE.c.as_of.desc(), PRICE.c.id.desc())
        .limit(1)
    ).first()
    if row is None:
        return None
    return UnitPrice(
        sku=row.sku,
        region=row.region,
        unit=row.unit,
        price=Decimal(row.price),
        currency=row.currency,
        source=row.source,
        as_of=parse_rfc3339(row.as_of),
    )
