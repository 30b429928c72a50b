"""What became of estimates: beside what was said stands what was billed for the same hours, and how far off the meter usually is.

The error of a service's day is |estimate - bill| / bill; the usual error is the median over the days: one bad day does not hide that the
meter is mostly right, and one good day not that it is mostly wrong. Pure but for the one question to the ledger.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

from mcml.core.errors import NotFound
from mcml.cost.rates.table import Rates
from mcml.cost.window import prorated
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.estimates import Truth, truths
from mcml.store.ledger.exact import product, quotient, tidy, total


@dataclass(frozen=True)
class DayError:
    """A service on a day: what was estimated, what was billed (effective cost) for the same hours, and the error in percent.

    `percent` is None where nothing was billed: the service of the meter has another name on the bill, or the machine was free.
    """

    currency: str
    provider: str
    service: str
    day: str
    estimated: Decimal
    billed: Decimal

    @property
    def percent(self) -> Decimal | None:
        """The error with one decimal."""
        off = total((self.estimated, self.billed.copy_negate())).copy_abs()
        return quotient(product(off, 100), self.billed, places=1) if self.billed > 0 else None


@dataclass(frozen=True)
class UsualError:
    """The median and the worst error of a service, or of everything in a currency (`service` is None), over so many days."""

    currency: str
    provider: str | None
    service: str | None
    days: int
    usual: Decimal
    worst: Decimal


def day_errors(found: Iterable[Truth]) -> list[DayError]:
    """Add up truths by service and day, over all accounts; a charge longer than the estimated hours counts by its part in them."""
    sums: dict[tuple[str, str, str, str], tuple[list[Decimal], list[Decimal]]] = {}
    for truth in found:
        estimated, billed = sums.setdefault((truth.currency, truth.provider, truth.service, truth.day), ([], []))
        estimated.append(truth.estimated)
        billed += [cost.effective for cost in prorated(truth.bill)]
    return [DayError(*key, tidy(total(estimated)), tidy(total(billed))) for key, (estimated, billed) in sorted(sums.items())]


def usual_errors(days: Sequence[DayError]) -> list[UsualError]:
    """Return the usual error of each currency as a whole, and then of each of its services that has one."""
    whole: dict[tuple[str, str], list[DayError]] = {}
    for day in days:
        whole.setdefault((day.currency, day.day), []).append(day)
    sums = [
        DayError(currency, "", "", day, total(each.estimated for each in several), total(each.billed for each in several))
        for (currency, day), several in whole.items()
    ]
    by_service: dict[tuple[str, str | None, str | None], list[Decimal]] = {}
    for each in sums:
        by_service.setdefault((each.currency, None, None), []).extend(_percent(each))
    for each in days:
        by_service.setdefault((each.currency, each.provider, each.service), []).extend(_percent(each))
    order = sorted(by_service, key=lambda key: (key[0], key[1] or "", key[2] or ""))
    return [UsualError(*key, len(found), median(found), max(found)) for key in order if (found := by_service[key])]


def usual_error(ledger: Ledger) -> Mapping[str, Decimal]:
    """Return how far off the estimates of each currency usually are, in percent; a currency without a covered estimate is not in it."""
    return _by_currency(day_errors(truths(ledger)))


def usual_error_in(ledger: Ledger, rates: Rates, currency: str) -> Mapping[str, Decimal]:
    """Return how far off the estimates of all currencies together usually are, each day by its rate; a day without a rate is left out."""
    return _by_currency([each for day in day_errors(truths(ledger)) for each in _exchanged(day, rates, currency)])


def _exchanged(day: DayError, rates: Rates, currency: str) -> list[DayError]:
    if day.currency == currency:
        return [day]
    try:
        rate = rates.of(day.currency, currency, date.fromisoformat(day.day)).value
    except NotFound:
        return []
    return [replace(day, currency=currency, estimated=product(day.estimated, rate), billed=product(day.billed, rate))]


def _by_currency(days: Sequence[DayError]) -> Mapping[str, Decimal]:
    return {each.currency: each.usual for each in usual_errors(days) if each.service is None}


def median(values: Sequence[Decimal]) -> Decimal:
    """Return the median, with one decimal; of an even number of values the middle of the two in the middle."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    pair = ordered[middle : middle + 1] if len(ordered) % 2 else ordered[middle - 1 : middle + 1]
    return quotient(total(pair), len(pair), places=1)


def _percent(day: DayError) -> list[Decimal]:
    return [] if day.percent is None else [day.percent]
