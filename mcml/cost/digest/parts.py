"""The parts of a digest that come from daily totals: what a span cost, against what, and how much of it the bills have. Pure, no float.

What the ledger cannot tell is not told: a day whose bill is not complete is compared with nothing, because half a bill looks like a drop.
A measured day is complete once it is over and has been read; a billed one as the anomalies have it (`scan.ripe_days`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from mcml.cost.anomaly.scan import ASKED, day_of, ripe_days
from mcml.cost.forecast.months import STALE
from mcml.cost.report import DAYS_DRAWN
from mcml.cost.span import Span
from mcml.cost.why.split import difference
from mcml.store.ledger.book import Group
from mcml.store.ledger.exact import percent, product, quotient, tidy, total

DAILY = ASKED
"""What the ledger must be asked for: provider, source, day."""
ONE_DAY = timedelta(days=1)
Days = Mapping[str | None, Mapping[date, bool]]
"""By provider its days from the first to the newest, and whether each is complete."""


class Untold(Exception):
    """A part that the ledger cannot tell, with the sentence that says why."""


@dataclass(frozen=True)
class Step:
    """What a span cost in one currency, and the span it is compared with."""

    span: Span
    before: Span
    cost: Decimal
    was: Decimal

    @property
    def delta(self) -> Decimal:
        """How much more it cost."""
        return difference(self.was, self.cost)

    @property
    def percent(self) -> Decimal | None:
        """How much more as a percentage, with one decimal; None where it cost nothing before, or less than that."""
        return quotient(product(self.delta, 100), self.was, places=1) if self.was > 0 else None


@dataclass(frozen=True)
class Made:
    """What of a span comes from one source (billed, measured, estimate), until when its charges go, and when the newest was booked."""

    source: str
    cost: Decimal
    share: Decimal | None
    until: datetime
    ingested: datetime


def days_known(groups: Iterable[Group], until: Mapping[str | None, date], end: date = date.max) -> Days:
    """Return the days of each provider before `end`; `until` is the first day that its bill usually lacks now."""
    found: dict[str | None, list[Group]] = {}
    for group in groups:
        found.setdefault(group.key[0], []).append(group)
    days = {provider: _days(several, until.get(provider, date.max)) for provider, several in found.items()}
    return {provider: mine for provider, all_days in days.items() if (mine := {day: all_days[day] for day in all_days if day < end})}


def _days(groups: Sequence[Group], until: date) -> Mapping[date, bool]:
    if any(group.key[1] != "measured" for group in groups):
        return ripe_days(groups, until)
    first, read = min(map(day_of, groups)), max(group.ingested for group in groups).astimezone(UTC).date()
    return {first + number * ONE_DAY: number < (read - first).days for number in range((read - first).days + 1)}


def _charging(days: Days) -> Days:
    """Return the providers that still charge: one whose newest day is long before the newest of all has ended, and nobody waits for it."""
    newest = max((max(known) for known in days.values() if known), default=date.min)
    return {provider: known for provider, known in days.items() if known and max(known) + STALE >= newest}


def lacking(days: Days, span: Span) -> list[str]:
    """Return the providers whose days in a span are not all complete; days before their first do not count."""
    first, last = span.start.date(), (span.end - timedelta(microseconds=1)).date()
    wanted = [first + number * ONE_DAY for number in range((last - first).days + 1)]
    charging = _charging(days).items()
    return sorted(provider or "-" for provider, known in charging if not all(known.get(day, day < min(known)) for day in wanted))


def newest_complete(days: Days) -> date | None:
    """Return the newest day that every provider has completely, of those that still charge; None without one."""
    ripe = [max((day for day, whole in known.items() if whole), default=date.min) for known in _charging(days).values()]
    return min(ripe) if ripe and min(ripe) > date.min else None


def within(groups: Iterable[Group], span: Span) -> list[Group]:
    """Return the groups of a span's days."""
    return [group for group in groups if span.start.date() <= day_of(group) < span.end.date()]


def cost(groups: Iterable[Group], span: Span) -> Decimal:
    """Return the effective cost of a span, of groups in one currency. Raises Untold when there is none of it."""
    listed = list(groups)
    mine = within(listed, span)
    if not mine:
        newest = max(map(day_of, listed), default=None)
        raise Untold(f"the ledger has no costs of {span.days}" + (f"; the newest are of {newest}" if newest else ""))
    return tidy(total(group.effective for group in mine))


def compare(groups: Sequence[Group], days: Days, span: Span, before: Span) -> Step:
    """Compare two spans in one currency. Raises Untold when one of them is not known, or not complete."""
    now, first = cost(groups, span), min(map(day_of, groups))
    if before.start.date() < first:
        raise Untold(f"nothing to compare with: the ledger begins on {first}")
    was = cost(groups, before)
    for each in (span, before):
        if late := lacking(days, each):
            raise Untold(unfinished(days, each, late))
    return Step(span, before, now, was)


def unfinished(days: Days, span: Span, providers: Sequence[str]) -> str:
    """Say whose bill is not complete, and which day is the newest that is."""
    newest = newest_complete(days)
    hint = f"; the newest complete day is {newest}" if newest and newest < span.end.date() - ONE_DAY else ""
    return f"{span.days} is not complete for {', '.join(providers)}, so it is not compared{hint}"


def made_of(groups: Iterable[Group], span: Span) -> list[Made]:
    """Return the sources of a span's costs in one currency."""
    mine = within(groups, span)
    whole = total(group.effective for group in mine)
    found = []
    for source in sorted({str(group.key[1]) for group in mine}):
        some = [group for group in mine if group.key[1] == source]
        amount = tidy(total(group.effective for group in some))
        until = max(min(group.last, group.ingested) for group in some)
        found.append(Made(source, amount, percent(amount, whole), until, max(group.ingested for group in some)))
    return found


def drawn(groups: Iterable[Group], last: date) -> list[tuple[date, Decimal | None]]:
    """Return the cost of each of the last days up to `last`, None where there is none; nothing before the first."""
    costs: dict[date, list[Decimal]] = {}
    for group in groups:
        costs.setdefault(day_of(group), []).append(group.effective)
    days = [last - back * ONE_DAY for back in range(DAYS_DRAWN - 1, -1, -1)]
    return [(day, tidy(total(costs[day])) if day in costs else None) for day in days if costs and day >= min(costs)]
