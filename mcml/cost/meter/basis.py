"""What the router compares: one basis for all backends of a model, the measured cost of their requests or the price of their hours.

A cost per request and a price per hour cannot be compared, and neither can two currencies, so the choice is made once for all backends:

1. Every backend has at least `ENOUGH` requests in the window, in one currency: the cost of 1,000 requests as the ledger measured it.
   It counts the rows that were metered together with the requests (on a local target CPU time, not the memory that is held anyway):
   the cost that one request more adds. With fully loaded cost a backend with less traffic would look dearer, get still less, and so on.
2. Else the list price of an hour of 1 vCPU and 1 GiB, for those that have one, when these are all in one currency.
3. Else nothing: the router leaves the cost out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from mcml.core.price import PriceInfo
from mcml.cost.report import per_thousand

ENOUGH = 1000
"""Requests that a backend must have served before its measured cost is believed."""


@dataclass(frozen=True)
class Measured:
    """What the requests of one backend cost in the window, and when the last of them was charged."""

    requests: int
    cost: Decimal
    currency: str
    until: datetime


def choose(backends: Iterable[str], measured: Mapping[str, Measured], hourly: Mapping[str, PriceInfo]) -> dict[str, PriceInfo]:
    """Return the price of each backend of one model, all in one unit; a backend without an entry has no price."""
    names = list(backends)
    enough = {name: measured[name] for name in names if name in measured and measured[name].requests >= ENOUGH}
    if names and len(enough) == len(names) and len({found.currency for found in enough.values()}) == 1:
        return {name: _per_request(found) for name, found in enough.items()}
    listed = {name: hourly[name] for name in names if name in hourly}
    return listed if len({(price.currency, price.unit) for price in listed.values()}) == 1 else {}


def _per_request(found: Measured) -> PriceInfo:
    return PriceInfo(
        value=per_thousand(found.cost, found.requests),
        unit=f"{found.currency}/1000 requests",
        currency=found.currency,
        source=f"measured over {found.requests} requests",
        as_of=found.until,
    )
