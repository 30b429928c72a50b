"""A digest as a value: answers of the ledger in, one entry a currency out. Pure: no I/O, no clock, no float.

It is made of what the other verbs show (report, why, forecast, anomalies, budgets, allocate), so no number in it is its own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Literal, TypeVar

from mcml.core.errors import McmlError, Usage
from mcml.cost import span as spans
from mcml.cost.allocate.rules import UNALLOCATED, Rule
from mcml.cost.allocate.share import allocate
from mcml.cost.anomaly.daily import LEARN
from mcml.cost.anomaly.desk import Explanation
from mcml.cost.anomaly.scan import Anomaly, day_of
from mcml.cost.anomaly.views import too_short
from mcml.cost.budget.standing import Standing
from mcml.cost.digest import parts
from mcml.cost.digest.parts import ONE_DAY, Days, Made, Step, Untold
from mcml.cost.forecast.months import late_until, this_month
from mcml.cost.forecast.project import Forecast
from mcml.cost.forecast.views import refusal
from mcml.cost.movers import comparable
from mcml.cost.span import Span
from mcml.cost.why.split import Why, explain
from mcml.store.ledger.book import Group
from mcml.store.ledger.dimensions import Filter
from mcml.store.ledger.exact import percent, tidy, total
from mcml.store.ledger.paid import Paid

Period = Literal["day", "week"]
WEEK = timedelta(days=7)
MOVERS = 4
"""Lines of what moved most; the others are one."""
T = TypeVar("T")


@dataclass(frozen=True)
class Asked:
    """Which digest: of a day or a week, with what was charged before `at`.

    `past`: it is not the newest one; it ends with its span, and what stands open now is no part of it.
    """

    period: Period
    span: Span
    at: datetime
    now: datetime
    past: bool
    by: tuple[str, ...]
    filters: tuple[Filter, ...] = ()

    @property
    def before(self) -> Span:
        """The span before it."""
        return self.span.before

    @property
    def weekday(self) -> Span:
        """The same days of the week before."""
        return Span(self.span.start - WEEK, self.span.end - WEEK)

    @property
    def month(self) -> Span:
        """The month that its last day is in."""
        return spans.read(f"{self.span.end - timedelta(microseconds=1):%Y-%m}", self.at)


def asked(period: Period, day: str, by: Sequence[str], filters: Sequence[Filter], now: datetime) -> Asked:
    """Read which digest is meant: of yesterday or last week, or of the day or week that holds `day`. Raises Usage."""
    span = spans.read(day or f"last-{period}", now)
    if span.end - span.start > ONE_DAY and day:
        raise Usage(f"{day!r} is no day", next_step="write it like 2026-11-21")
    if day and period == "week":
        year, week, _ = span.start.isocalendar()
        span = spans.read(f"{year}-W{week:02}", now)
    if span.start >= now:
        raise Usage(f"{span.days} has not begun", next_step="mcml cost digest")
    past = span.end + (ONE_DAY if period == "day" else WEEK) <= now
    return Asked(period, span, span.end if past else now, now, past, comparable(by), tuple(filters))


@dataclass(frozen=True)
class Material:
    """What the ledger and the store answered: groups by DAILY, by the forecast's and the rules' dimensions, and what was paid in the span
    and in the one that its movers are compared with (`reference`), that one first.

    `known`: groups by DAILY up to now, which tell what is complete: of a digest of the past they are more than `daily` (empty: the same).
    `until`: the first day that a provider's bill usually lacks; `anomalies` are the open ones, newest first; `errors` is by how many
    percent estimates of a currency are usually off.
    """

    daily: Sequence[Group]
    reference: Span
    known: Sequence[Group] = ()
    until: Mapping[str | None, date] = field(default_factory=dict)
    series: Sequence[Group] = ()
    paid: tuple[Sequence[Paid], Sequence[Paid]] = ((), ())
    rules: tuple[Rule, ...] = ()
    borne: Sequence[Group] = ()
    anomalies: Sequence[tuple[Anomaly, Explanation]] = ()
    budgets: Sequence[Standing] = ()
    errors: Mapping[str, Decimal] = field(default_factory=dict)


def reference(question: Asked, daily: Sequence[Group]) -> Span:
    """Return what the movers of a span are compared with: for a day the same weekday of the week before, where the ledger goes back so far.

    Between a Friday and a Saturday everything moves, and nothing of it is news.
    """
    weekday = question.weekday
    if question.period == "week" or weekday.start.date() < min(map(day_of, daily), default=date.max):
        return question.before
    return weekday


@dataclass
class Entry:
    """The digest of one currency. What is None, or empty where `omitted` has its name, is not told, and `omitted` says why.

    `why` splits the change since `reference`; `without`: the providers that it leaves out, because their bills are not complete.
    """

    currency: str
    cost: Decimal | None = None
    steps: tuple[Step, ...] = ()
    daily: Sequence[tuple[date, Decimal | None]] = ()
    made: Sequence[Made] = ()
    month_cost: Decimal | None = None
    month_step: Step | None = None
    forecast: Forecast | None = None
    why: Why | None = None
    reference: Span | None = None
    without: tuple[str, ...] = ()
    unallocated: Decimal | None = None
    unallocated_share: Decimal | None = None
    anomalies: Sequence[tuple[Anomaly, Explanation]] = ()
    budgets: Sequence[Standing] = ()
    usual_error: Decimal | None = None
    omitted: dict[str, str] = field(default_factory=dict)

    def told(self, part: str, make: Callable[[], T]) -> T | None:
        """Return what is made; None, with the reason kept, for what the ledger cannot tell."""
        try:
            return make()
        except Untold as untold:
            self.omitted[part] = str(untold)
        except McmlError as refused:
            self.omitted[part] = f"{refused.message}: {refused.why}"
        return None


def build(question: Asked, material: Material) -> list[Entry]:
    """Return an entry for each currency that has costs since the month before, or a budget; those with costs in the span first."""
    since = min(question.month.before.start, question.before.start).date()
    currencies = {group.currency for group in material.daily if day_of(group) >= since}
    currencies |= {each.budget.currency for each in material.budgets}
    entries = [_entry(question, material, currency) for currency in sorted(currencies)]
    return sorted(entries, key=lambda entry: entry.cost is None)


def _entry(question: Asked, material: Material, currency: str) -> Entry:
    entry = Entry(currency, reference=material.reference, usual_error=material.errors.get(currency))
    daily = [group for group in material.daily if group.currency == currency]
    known = [group for group in material.known or material.daily if group.currency == currency]
    days = parts.days_known(known, material.until, question.at.date() if question.past else date.max)
    entry.cost = entry.told("cost", lambda: parts.cost(daily, question.span))
    entry.daily = parts.drawn(daily, question.span.end.date() - ONE_DAY)
    entry.made = parts.made_of(daily, question.span)
    if entry.cost is not None:
        _compared(entry, question, daily, days)
        late = sorted({*parts.lacking(days, question.span), *parts.lacking(days, material.reference)})
        entry.why = entry.told("movers", partial(_why, question, material, daily, days, late))
        entry.without = tuple(late) if entry.why else ()
        _unallocated(entry, material)
    _month(entry, question, material, daily, days)
    _open(entry, question, material, daily)
    return entry


def _compared(entry: Entry, question: Asked, daily: Sequence[Group], days: Days) -> None:
    """Compare with the span before, and a day with the same weekday of the week before, too."""
    against = {"compared": question.before} | ({"compared_weekday": question.weekday} if question.period == "day" else {})
    steps = [entry.told(name, partial(parts.compare, daily, days, question.span, each)) for name, each in against.items()]
    entry.steps = tuple(step for step in steps if step)
    if entry.omitted.get("compared_weekday") == entry.omitted.get("compared"):
        entry.omitted.pop("compared_weekday", None)


def _why(question: Asked, material: Material, daily: Sequence[Group], days: Days, late: Sequence[str]) -> Why:
    """Split the change between both spans, without the providers whose bills are not complete. Raises Untold."""
    if material.reference.start.date() < (first := min(map(day_of, daily))):
        raise Untold(f"nothing to compare with: the ledger begins on {first}")
    parts.cost(daily, material.reference)
    currency = daily[0].currency
    before, after = ([paid for paid in side if paid.currency == currency and paid.provider not in late] for side in material.paid)
    found = explain(before, after, limit=MOVERS)
    if not found:
        raise Untold(parts.unfinished(days, question.span, late))
    return found[0]


def _unallocated(entry: Entry, material: Material) -> None:
    portions = [each for each in allocate(material.rules, material.borne).portions if each.currency == entry.currency]
    whole = total(each.effective for each in portions)
    entry.unallocated = tidy(total(each.effective for each in portions if each.bearer == UNALLOCATED))
    entry.unallocated_share = percent(entry.unallocated, whole)


def _month(entry: Entry, question: Asked, material: Material, daily: Sequence[Group], days: Days) -> None:
    """Tell the month so far, its complete days against the same days of the month before, and its forecast."""
    month, so_far = question.month, question.month.so_far(question.at)
    if not daily:
        return
    entry.month_cost = entry.told("month", lambda: parts.cost(daily, so_far))
    if entry.month_cost is None:
        return

    def compared() -> Step:
        newest = parts.newest_complete(days)
        if newest is None or newest < month.start.date():
            raise Untold(f"no day of {month} is complete")
        end = datetime.combine(newest + ONE_DAY, datetime.min.time(), UTC)
        part = so_far.first(end - so_far.start)
        return parts.compare(daily, days, part, month.before.first(part.end - part.start))

    entry.month_step = entry.told("month_compared", compared)
    entry.forecast = entry.told("forecast", lambda: _forecast(question, material, entry.currency))


def _forecast(question: Asked, material: Material, currency: str) -> Forecast:
    today = min(question.at.date(), question.month.end.date() - ONE_DAY)
    late = late_until(material.daily, today)
    scoped = next(each for each in this_month(material.series, today, late) if each.currency == currency)
    if scoped.forecast is None:
        raise Untold(refusal(scoped.days))
    return scoped.forecast


def _open(entry: Entry, question: Asked, material: Material, daily: Sequence[Group]) -> None:
    """Tell what needs somebody: anomalies that go on, and budgets, most spent first."""
    if question.past:
        entry.omitted["anomalies"] = "a digest of the past does not tell what is open now: mcml cost anomalies"
        entry.omitted["budgets"] = "a digest of the past does not tell how budgets stand now: mcml cost budgets"
        return
    entry.anomalies = [each for each in material.anomalies if each[0].currency == entry.currency]
    known = (max(map(day_of, daily)) - min(map(day_of, daily))).days + 1 if daily else 0
    if not entry.anomalies and known <= LEARN:
        entry.omitted["anomalies"] = too_short(known)
    mine = [each for each in material.budgets if each.budget.currency == entry.currency]
    entry.budgets = sorted(mine, key=lambda each: (-(percent(each.spent, each.amount) or Decimal(0)), each.name))
    if not mine:
        entry.omitted["budgets"] = f"no budget in {entry.currency} for these costs: [cost.budgets.NAME] in mcml.toml"
