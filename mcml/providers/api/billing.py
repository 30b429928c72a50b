"""Billing: what it cost, as rows of the FOCUS cost and usage specification (https://focus.finops.org), and what a unit costs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

FocusRow = Mapping[str, object]
"""One row: FOCUS column names to str, Decimal (money and quantities, never float), aware datetime, or None; plus `x_` columns."""
REFUSED = "x_Refused"
"""The column of a row that stands for a record that cannot be read: why. It goes to quarantine; its other columns are texts."""


@dataclass(frozen=True)
class Period:
    """Charge periods that start in [start, end)."""

    start: datetime
    end: datetime


@dataclass(frozen=True)
class Freshness:
    """Until when the bill is complete, and when it was last changed."""

    complete_until: datetime
    changed_at: datetime


@dataclass(frozen=True)
class UnitPrice:
    """What one unit of a SKU costs in a region, and where that was read, and as of when."""

    sku: str
    region: str
    unit: str
    price: Decimal
    currency: str
    source: str
    as_of: datetime


class Billing(Protocol):
    """The bill of an account."""

    def rows(self, period: Period) -> Iterator[FocusRow]:
        """Yield the FOCUS rows of a period, page by page. Raises NotAuthenticated, Unavailable."""

    def freshness(self) -> Freshness:
        """Return how late the bill is."""

    def unit_prices(self, region: str = "") -> list[UnitPrice]:
        """Return the prices of what we use, of one region or of all."""
