"""The price catalogue: every price with its source, date, region and currency; rooms read it, `cost` maintains it."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from mcml.core.clock import parse_rfc3339, rfc3339
from mcml.core.errors import InvalidRequest
from mcml.providers.api.billing import UnitPrice
from mcml.store.tables import PRICE

_NEWEST_FIRST = (PRICE.c.confirmed_at.desc(), PRICE.c.as_of.desc(), PRICE.c.id.desc())


@dataclass(frozen=True)
class CataloguePrice:
    """A price of a provider as it was recorded."""

    provider: str
    price: UnitPrice


def record(connection: Connection, provider: str, prices: Iterable[UnitPrice]) -> int:
    """Add prices to the catalogue; returns how many said something new.

    One that says the same as the price of its source and currency in force at its moment confirms that price, and is not written again;
    one for the very moment of a known price corrects it. Raises InvalidRequest for a price that is not a number.
    """
    return sum(_record(connection, provider, price) for price in prices)


def _record(connection: Connection, provider: str, price: UnitPrice) -> bool:
    if not price.price.is_finite():
        raise InvalidRequest(f"the price of {price.sku!r} in {price.region!r} is {price.price}", why="it is not a number")
    key = {"provider": provider, "sku": price.sku, "region": price.region, "currency": price.currency, "source": price.source}
    value = {"price": format(price.price, "f"), "unit": price.unit}
    as_of = rfc3339(price.as_of)
    earlier = select(PRICE).where(*(PRICE.c[name] == text for name, text in key.items()), PRICE.c.as_of <= as_of)
    known = connection.execute(earlier.order_by(PRICE.c.as_of.desc()).limit(1)).first()
    if known and (Decimal(known.price), known.unit) == (price.price, price.unit):
        if as_of > known.confirmed_at:
            connection.execute(update(PRICE).where(PRICE.c.id == known.id).values(confirmed_at=as_of))
        return False
    if known and known.as_of == as_of:
        connection.execute(update(PRICE).where(PRICE.c.id == known.id).values(**value))
    else:
        connection.execute(insert(PRICE).values(**key, **value, as_of=as_of, confirmed_at=as_of))
    return True


def latest(connection: Connection, provider: str, region: str, sku: str) -> UnitPrice | None:
    """Return the price of a SKU in a region that was stated last; None when there is none (which is not the same as free).

    Its `as_of` is the last time its source said so: a price that was confirmed today is of today, however long it has been the same.
    """
    row = connection.execute(
        select(PRICE)
        .where(PRICE.c.provider == provider, PRICE.c.region == region, PRICE.c.sku == sku)
        .order_by(*_NEWEST_FIRST)
        .limit(1)
    ).first()
    return None if row is None else _price(row)


def newest(connection: Connection, *, sku: str = "") -> list[CataloguePrice]:
    """Return the newest price of every SKU (or of one) of every region and provider, sorted by these."""
    key = (PRICE.c.provider, PRICE.c.region, PRICE.c.sku)
    rank = func.row_number().over(partition_by=key, order_by=_NEWEST_FIRST).label("rank")
    wanted = (PRICE.c.sku == sku,) if sku else ()
    ranked = select(PRICE, rank).where(*wanted).subquery()
    rows = connection.execute(select(ranked).where(ranked.c.rank == 1)).all()
    return [CataloguePrice(row.provider, _price(row)) for row in sorted(rows, key=lambda row: (row.provider, row.region, row.sku))]


def _price(row: Row[Any]) -> UnitPrice:
    return UnitPrice(
        sku=row.sku,
        region=row.region,
        unit=row.unit,
        price=Decimal(row.price),
        currency=row.currency,
        source=row.source,
        as_of=parse_rfc3339(row.confirmed_at),
    )
