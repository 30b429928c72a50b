"""Whether the bill confirms what changes have promised. Pure but for the one question to the ledger.

Before and after a change stands what an hour of the machine was billed at, in effective cost (what its hours cost / hours it ran):

    realised per month = (rate before - rate after) x 730
    realised so far    = rate before x hours after - cost after

So a machine that merely runs less saves nothing. The day of the change itself is left out, so are the hours that no bill covers, and what
was before the change before, or after the next one. Fewer than `ENOUGH` billed days after it are too early to say.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from mcml.cost.rightsize.change import Change
from mcml.cost.rightsize.saving import HOURS
from mcml.store.ledger.book import Ledger
from mcml.store.ledger.exact import rounded, total
from mcml.store.ledger.resource_days import Billed, ResourceDay, resource_days

Verdict = Literal[
    "confirmed", "partly", "not confirmed", "too early", "no bill", "other currency", "no promise", "rolled back", "under way"
]
BEFORE = timedelta(days=30)
ENOUGH = 7
KEPT = Fraction(8, 10)
"""A promise is confirmed when so much of it came true; a change that costs more may cost so much more than was said."""
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Realised:
    """What became of a promise. Rates are per hour, in the change's currency; None where the bill does not tell them.

    `days` are the whole days after the change that are billed, `until` is how far the bill reaches.
    """

    change: Change
    verdict: Verdict
    hours_before: Fraction = Fraction(0)
    hours_after: Fraction = Fraction(0)
    rate_before: Decimal | None = None
    rate_after: Decimal | None = None
    per_month: Decimal | None = None
    so_far: Decimal | None = None
    days: int = 0
    until: datetime | None = None


@dataclass(frozen=True)
class Total:
    """The changes of one currency that are done: what they promised a month; and of the `billed` ones among them what those promised, what
    of that the bill shows, and what was saved so far."""

    currency: str
    changes: int
    promised: Decimal
    billed: int
    of_billed: Decimal
    per_month: Decimal
    so_far: Decimal


def realised(ledger: Ledger, changes: Sequence[Change], region: Callable[[str], str]) -> list[Realised]:
    """Grade all changes that got as far as to change something, oldest first; `region` is that of a target, empty when it is not known."""
    bills = _bills(ledger, [change for change in changes if change.stage == "done"], region)
    found = []
    for change, earlier, later in _neighbours(changes):
        if change.stage == "done":
            found.append(grade(change, bills[change.target, change.account, change.instance], earlier, later))
        elif change.stage == "rolled back":
            found.append(Realised(change, "rolled back", per_month=Decimal(0), so_far=Decimal(0)))
        elif change.under_way:
            found.append(Realised(change, "under way"))
    return found


def _bills(ledger: Ledger, changes: Sequence[Change], region: Callable[[str], str]) -> dict[tuple[str, str, str], Billed]:
    """Ask for the days of all machines of a target at once."""
    found: dict[tuple[str, str, str], Billed] = {}
    for target, account in {(change.target, change.account) for change in changes}:
        mine = [change for change in changes if (change.target, change.account) == (target, account)]
        since = min(change.started for change in mine) - BEFORE - DAY
        days = resource_days(ledger, {change.instance for change in mine}, since, region(target), account)
        found |= {(target, account, machine): billed for machine, billed in days.items()}
    return found


def _neighbours(changes: Sequence[Change]) -> Iterable[tuple[Change, date | None, date | None]]:
    """Yield each change with the days on which its machine was touched last before it, and first after it."""
    for change in changes:
        others = [one for one in changes if one.key == change.key and one.down]
        earlier = [_last_day(one) for one in others if one.started < change.started]
        later = [_first_day(one) for one in others if one.started > change.started]
        yield change, max(earlier, default=None), min(later, default=None)


def _first_day(change: Change) -> date:
    return (change.down or change.started).astimezone(UTC).date()


def _last_day(change: Change) -> date:
    return (change.resized or change.ended or change.started).astimezone(UTC).date()


def grade(change: Change, billed: Billed, earlier: date | None = None, later: date | None = None) -> Realised:
    """Say what the bill shows of a change that is done; `earlier` and `later` are days on which others have touched the machine."""
    first, last = _first_day(change), _last_day(change)
    whole = [day for day in billed.days if day.currency == change.currency and _ended(day.day, billed.until)]
    before = [day for day in whole if first - BEFORE <= day.day < first and (earlier is None or day.day > earlier)]
    after = [day for day in whole if day.day > last and (later is None or day.day < later)]
    ran, runs = _hours(before), _hours(after)
    days = _count(last, billed.until, later)
    facts = {"hours_before": ran, "hours_after": runs, "days": days, "until": billed.until}
    if not whole and any(day.currency != change.currency for day in billed.days):
        return Realised(change, "other currency", **facts)  # type: ignore[arg-type]
    if not ran or billed.until is None:
        return Realised(change, "no bill", **facts)  # type: ignore[arg-type]
    rate = Fraction(_cost(before)) / ran
    if not runs:
        return Realised(change, "too early", rate_before=rounded(rate), **facts)  # type: ignore[arg-type]
    now = Fraction(_cost(after)) / runs
    month = (rate - now) * HOURS
    verdict: Verdict = "too early" if days < ENOUGH else _verdict(change.saving, month)
    so_far = rate * runs - Fraction(_cost(after))
    return Realised(change, verdict, ran, runs, rounded(rate), rounded(now), rounded(month), rounded(so_far), days, billed.until)


def _verdict(promised: Decimal | None, month: Fraction) -> Verdict:
    if promised is None:
        return "no promise"
    if month >= Fraction(promised) - (1 - KEPT) * abs(Fraction(promised)):
        return "confirmed"
    return "partly" if promised > 0 and month > 0 else "not confirmed"


def _count(last: date, until: datetime | None, later: date | None) -> int:
    """Count the whole days after the change that the bill covers, whether the machine ran or not."""
    if until is None:
        return 0
    end = until.astimezone(UTC).date()
    return max(((min(end, later) if later else end) - last).days - 1, 0)


def _ended(day: date, until: datetime | None) -> bool:
    return until is not None and datetime.combine(day + DAY, time(), UTC) <= until


def _hours(days: Sequence[ResourceDay]) -> Fraction:
    return sum((day.hours for day in days), Fraction(0))


def _cost(days: Sequence[ResourceDay]) -> Decimal:
    return total(day.cost for day in days)


def totals(found: Iterable[Realised]) -> list[Total]:
    """Add up the changes that are done, by currency."""
    by_currency: dict[str, list[Realised]] = {}
    for one in found:
        if one.change.stage == "done":
            by_currency.setdefault(one.change.currency, []).append(one)
    return [_total(currency, several) for currency, several in sorted(by_currency.items())]


def _total(currency: str, several: Sequence[Realised]) -> Total:
    billed = [one for one in several if one.per_month is not None]
    promised, of_billed = (total(one.change.saving or Decimal(0) for one in some) for some in (several, billed))
    per_month, so_far = total(one.per_month or Decimal(0) for one in billed), total(one.so_far or Decimal(0) for one in billed)
    return Total(currency, len(several), promised, len(billed), of_billed, per_month, so_far)
