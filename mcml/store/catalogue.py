"""The price lists that ship with mcml, put into the catalogue a region at a time: once a list, at the first question about that region."""

import csv
import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from io import TextIOWrapper
from pathlib import Path

from sqlalchemy import Connection, insert, select

from mcml.core.clock import rfc3339
from mcml.providers.api.billing import UnitPrice
from mcml.store import prices
from mcml.store.db import Store
from mcml.store.tables import PRICE

FOLDER = Path(__file__).parent / "pricelists"
"""One `PROVIDER.csv.gz` each: region, SKU (the machine type, with ` spot` behind it for a spot machine), US dollars an hour."""

PriceOf = Callable[[str, str, str], UnitPrice | None]
"""Returns the newest price of (provider, region, SKU), None when there is none."""


@dataclass(frozen=True)
class PriceList:
    """Where the list of a provider was read, and of which day it is. A newer list has a newer day: that is its version."""

    origin: str
    as_of: datetime

    @property
    def source(self) -> str:
        """What stands as the source of each of its prices."""
        return f"{self.origin}, {self.as_of:%Y-%m-%d}"


LISTS: Mapping[str, PriceList] = {
    "aws": PriceList("Karpenter provider for AWS", datetime(2026, 7, 20, tzinfo=UTC)),
    "azure": PriceList("Karpenter provider for Azure", datetime(2026, 6, 18, tzinfo=UTC)),
    "gcp": PriceList("coroot/cloud-pricing", datetime(2024, 8, 9, tzinfo=UTC)),
}


def price_book(store: Store) -> PriceOf:
    """Return what answers the newest price of a SKU from the catalogue, with the shipped lists in it. Raises Unavailable when asked."""
    ready: set[tuple[str, str]] = set()

    def price(provider: str, region: str, sku: str) -> UnitPrice | None:
        if (provider, region) not in ready:
            add_region(store, provider, region)
            ready.add((provider, region))
        with store.reading() as connection:
            return prices.latest(connection, provider, region, sku)

    return price


def add_region(store: Store, provider: str, region: str) -> int:
    """Put the shipped prices of a region into the catalogue, unless this list has been; returns how many were added."""
    listed = LISTS.get(provider)
    if listed is None:
        return 0
    with store.reading() as connection:
        if _has(connection, provider, region, listed):
            return 0
    found = shipped(provider, region)
    if not found:
        return 0
    as_of = rfc3339(listed.as_of)
    common = {"provider": provider, "region": region, "unit": "h", "currency": "USD", "source": listed.source}
    rows = [common | {"sku": sku, "price": format(price, "f"), "as_of": as_of, "confirmed_at": as_of} for sku, price in found.items()]
    with store.writing() as connection:
        if _has(connection, provider, region, listed):  # somebody else was faster
            return 0
        connection.execute(insert(PRICE), rows)
    return len(rows)


def everywhere(store: Store, sku: str) -> list[prices.CataloguePrice]:
    """Return the newest price of a SKU by provider and region, wherever the catalogue or a shipped list knows one."""
    with store.reading() as connection:
        found = {(each.provider, each.price.region): each for each in prices.newest(connection, sku=sku)}
    for provider, listed in LISTS.items():
        for region, _, price in _lines(provider, lambda line: f",{sku}," in line):
            said = UnitPrice(sku, region, "h", price, "USD", listed.source, listed.as_of)
            found.setdefault((provider, region), prices.CataloguePrice(provider, said))
    return [found[key] for key in sorted(found)]


def shipped(provider: str, region: str) -> dict[str, Decimal]:
    """Return the hourly prices of a region in the provider's shipped list, US dollars by SKU; empty where the list has no such region."""
    return {sku: price for _, sku, price in _lines(provider, lambda line: line.startswith(f"{region},"))}


def _lines(provider: str, wanted: Callable[[str], bool]) -> list[tuple[str, str, Decimal]]:
    """Return region, SKU and price of the wanted lines of a provider's shipped list; none where there is no list."""
    path = FOLDER / f"{provider}.csv.gz"
    if not path.is_file():
        return []
    with gzip.open(path) as packed, TextIOWrapper(packed, encoding="ascii", newline="") as text:
        return [(region, sku, Decimal(price)) for region, sku, price in csv.reader(filter(wanted, text))]


def _has(connection: Connection, provider: str, region: str, listed: PriceList) -> bool:
    one = select(PRICE.c.id).where(PRICE.c.provider == provider, PRICE.c.region == region, PRICE.c.source == listed.source).limit(1)
    return connection.execute(one).first() is not None
