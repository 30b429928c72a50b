"""Daily costs as they are forecast from: usage by day, and everything else (fees, purchases, taxes, credits) by month. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from mcml.store.ledger.book import Group
from mcml.store.ledger.exact import total

ASKED = ("day", "charge", "frequency")
"""The dimensions that the ledger must be asked for, behind those of the scope."""

DAY = timedelta(days=1)
Key = tuple[str | None, ...]


@dataclass
class Series:
    """Effective costs of one scope: usage by day, and by category the charges that do not follow use, by day."""

    usage: dict[date, Decimal] = field(default_factory=dict)
    fees: dict[str, dict[date, Decimal]] = field(default_factory=dict)

    def spent(self, start: date, end: date) -> Decimal:
        """Return the usage of the days [start, end)."""
        return total(cost for day, cost in self.usage.items() if start <= day < end)

    def charged(self, category: str, start: date, end: date) -> Decimal:
        """Return what a category of fees charged on the days [start, end)."""
        return total(cost for day, cost in self.fees.get(category, {}).items() if start <= day < end)

    def until(self, end: date) -> "Series":
        """Return the days before `end`: what was known then."""
        fees = {category: {day: cost for day, cost in days.items() if day < end} for category, days in self.fees.items()}
        return Series({day: cost for day, cost in self.usage.items() if day < end}, fees)


def read(groups: Iterable[Group]) -> dict[tuple[str, Key], Series]:
    """Collect groups by a scope and ASKED: a series a currency and key. Recurring and one-time charges are fees in any category."""
    found: dict[tuple[str, Key], Series] = {}
    for group in groups:
        *key, day, charge, frequency = group.key
        series = found.setdefault((group.currency, tuple(key)), Series())
        usage = charge == "Usage" and frequency not in ("Recurring", "One-Time")
        days = series.usage if usage else series.fees.setdefault(charge or "", {})
        when = date.fromisoformat(str(day))
        days[when] = total((days.get(when, Decimal(0)), group.effective))
    return found


def month_of(day: date) -> tuple[date, date]:
    """Return the first day of a day's month and of the next one."""
    first = day.replace(day=1)
    return first, (first + 31 * DAY).replace(day=1)
