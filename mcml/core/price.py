"""A price as the router and the ledger speak of it: what one unit costs, who said so, and as of when."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

STALE_AFTER = timedelta(days=90)
"""An older price says nothing about today: it is said to be old, and no saving is claimed by it."""


@dataclass(frozen=True)
class PriceInfo:
    """What one `unit` costs in `currency` (ISO 4217). Two prices compare only when unit and currency are equal.

    `source` says where the number was read (a catalogue, a bill), `as_of` when it was true (aware, UTC).
    """

    value: Decimal
    unit: str
    currency: str
    source: str
    as_of: datetime
