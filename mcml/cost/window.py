"""The cost of a window of time, for example of an incident: each charge counts by the part of its period that lies inside."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from mcml.store.ledger.book import Ledger, Slice
from mcml.store.ledger.exact import product, quotient, tidy, total

MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class WindowCost:
    """What a window cost in one currency: `rows` charges touch it; they cost `whole_*` over their whole periods, and so much inside it."""

    currency: str
    billed: Decimal
    effective: Decimal
    whole_billed: Decimal
    whole_effective: Decimal
    rows: int


def cost_between(ledger: Ledger, start: datetime, end: datetime, target: str | None = None) -> list[WindowCost]:
    """Return the cost of [start, end), one entry a currency, of one target or of everything; empty when no charge touches it.

    A charge of an hour that lies half inside counts half, rounded to 24 decimals: a bill does not say when in its hour a cost arose.
    """
    return prorated(ledger.slices(start, end, {"target": target} if target is not None else {}))


def prorated(slices: Iterable[Slice]) -> list[WindowCost]:
    """Add up slices by currency, each by the part of its length that it overlaps."""
    found: dict[str, list[Slice]] = {}
    for one in slices:
        found.setdefault(one.currency, []).append(one)
    return [
        WindowCost(
            currency=currency,
            billed=tidy(total(_inside(one.billed, one) for one in several)),
            effective=tidy(total(_inside(one.effective, one) for one in several)),
            whole_billed=tidy(total(one.billed for one in several)),
            whole_effective=tidy(total(one.effective for one in several)),
            rows=sum(one.rows for one in several),
        )
        for currency, several in sorted(found.items())
    ]


def _inside(amount: Decimal, one: Slice) -> Decimal:
    if one.overlap >= one.length:
        return amount
    return quotient(product(amount, one.overlap // MICROSECOND), one.length // MICROSECOND)
