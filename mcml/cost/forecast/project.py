"""The forecast of a month's end. Pure: a series and a day in, a number with its range out.

What is booked on complete days stands. The usage of the days that are left is projected by one of three simple methods, whichever was
nearest on this series' own past; fees that came in both of the last two months are expected again, and those that are booked for a later
day already are to come. The newest days of a bill grow for a while (RIPE), so they count at least as much as projected; so do those that
one of several providers has not charged yet.

The range comes from the past as well: the method is put at earlier days (every week, as far as the history goes), projects as many days
as are left now, and is compared with what they cost; the tenth and the ninetieth percentile of those ratios, or the extremes of less than
ten, are the range. A forecast without at least ENOUGH days of history is refused, one with fewer than FEW trials has no range.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction

from mcml.cost.forecast.series import DAY, Series, month_of
from mcml.store.ledger.exact import product, quotient, rounded, tidy, total
from mcml.store.ledger.schema import SCALE

WEEK = 7
WEEKS = 4
ENOUGH = WEEK * WEEKS
"""Days of history that a forecast needs: four of each weekday."""
FEW = 3
MANY = 10
TRIALS = 52
RIPE = 2
"""Days until a day of a bill is complete: bills lag 8 to 48 hours."""
UNIT = 10**SCALE
MONTHS = 12
"""Past months that are told, at most."""

History = Sequence[int]
"""Costs by day in units of the ledger's last digit, oldest first, without gaps; a weekday is told by the distance from the end."""

Week = list[Fraction]
"""What each of the next seven days will cost; the days after them repeat these."""


def four_weeks(history: History) -> Week:
    """Project the mean of the same weekday in the last four weeks."""
    return [Fraction(sum(history[-WEEK * WEEKS + day :: WEEK]), WEEKS) for day in range(WEEK)]


def last_week(history: History) -> Week:
    """Project the same weekday of the last week."""
    return [Fraction(cost) for cost in history[-WEEK:]]


def level(history: History) -> Week:
    """Project the mean of the same weekday, moved to the level of the last week."""
    month, week = sum(history[-WEEK * WEEKS :]), sum(history[-WEEK:])
    ratio = Fraction(week * WEEKS, month) if month else Fraction(1)
    return [cost * ratio for cost in four_weeks(history)]


METHODS: Mapping[str, Callable[[History], Week]] = {"four weeks": four_weeks, "last week": last_week, "level": level}


@dataclass(frozen=True)
class Tried:
    """How a method did on the past: real by projected cost of each trial, and the mean error in percent of what was spent."""

    method: str
    ratios: tuple[Fraction, ...]
    error: Decimal | None


@dataclass(frozen=True)
class Forecast:
    """What a month will cost. `booked` is what is charged before `until`, the day up to which costs are taken as complete.

    `usage` and `fees` are to come, fees that are booked for a later day among them; `low` and `high` are None with too few trials; `error`
    is the usual error of the projected usage, in percent.
    """

    month: date
    until: date
    booked: Decimal
    usage: Decimal
    fees: Decimal
    low: Decimal | None
    high: Decimal | None
    method: str
    trials: int
    error: Decimal | None

    @property
    def total(self) -> Decimal:
        """The cost at the month's end."""
        return tidy(total((self.booked, self.usage, self.fees)))


@dataclass(frozen=True)
class PastMonth:
    """What would have been forecast for a past month on the same day of it, and what it cost."""

    month: date
    forecast: Decimal
    actual: Decimal

    @property
    def error(self) -> Decimal | None:
        """How far the forecast was off, in percent of what it cost; None where it cost nothing."""
        off = total((self.forecast, self.actual.copy_negate()))
        return quotient(product(off, 100), self.actual, places=1) if self.actual > 0 else None


def ripe_until(series: Sequence[Series], today: date) -> date:
    """Return the day up to which costs are complete: RIPE days back, or the end of the newest day with any usage."""
    newest = max((day for each in series for day in each.usage if day < today), default=today)
    return min(today - RIPE * DAY, newest + DAY)


def newest_charge(series: Sequence[Series], today: date) -> date:
    """Return the newest day before `today` with usage, or with a fee where there is no usage; the first of all days without either."""
    used = {day for each in series for day in each.usage}
    fees = {day for each in series for days in each.fees.values() for day in days}
    return max((day for day in used or fees if day < today), default=date.min)


def days_known(series: Series, until: date) -> int:
    """Return how many days of history there are before a day: of usage, and of fees where there is no usage at all."""
    days = series.usage or {day for charged in series.fees.values() for day in charged}
    return (until - min((day for day in days if day < until), default=until)).days


def forecast(series: Series, month: date, until: date) -> Forecast | None:
    """Forecast the month that begins on `month` from what is complete `until` a day; None with too little history."""
    if days_known(series, until) < ENOUGH:
        return None
    start, end = month_of(month)
    history = _history(series, until)
    tried = best(history, max(0, (end - until).days))
    booked, usage = _usage(series, start, until, end, METHODS[tried.method](history))
    charged, fees = _fees(series, start, until, end)
    low, high = _range(tried.ratios, usage)
    stands = tidy(total((booked, charged)))
    lowest, highest = (None if each is None else tidy(total((stands, each, fees))) for each in (low, high))
    return Forecast(start, until, stands, usage, fees, lowest, highest, tried.method, len(tried.ratios), tried.error)


def past_months(series: Series, month: date, until: date) -> list[PastMonth]:
    """Forecast earlier months as on the same day of them, from what was known then; newest first, as far as history goes.

    The month before counts once it is complete: on the first days of a month its bill still grows.
    """
    gone = (until - month).days
    found: list[PastMonth] = []
    end = month if until >= month else month_of(month - DAY)[0]
    while len(found) < MONTHS:
        start = month_of(end - DAY)[0]
        then = min(start + gone * DAY, end)
        made = forecast(series.until(then), start, then)
        if made is None:
            return found
        actual = total((series.spent(start, end), *(series.charged(category, start, end) for category in series.fees)))
        found.append(PastMonth(start, made.total, tidy(actual)))
        end = start
    return found


def best(history: History, days: int) -> Tried:
    """Return the method that was nearest on the past when it projected so many days, and how near."""
    tried = [_tried(name, history, days) for name in METHODS]
    return min(tried, key=lambda each: Decimal("Infinity") if each.error is None else each.error)


def _tried(name: str, history: History, days: int) -> Tried:
    ratios, off, spent = [], Fraction(0), 0
    origins = range(len(history) - days, ENOUGH - 1, -WEEK)[:TRIALS] if days else range(0)
    for origin in origins:
        projected = _over(METHODS[name](history[max(0, origin - ENOUGH) : origin]), days)
        real = sum(history[origin : origin + days])
        off, spent = off + abs(projected - real), spent + abs(real)
        if projected > 0:
            ratios.append(real / projected)
    return Tried(name, tuple(ratios), Decimal(round(off / spent * 1000)).scaleb(-1) if spent else None)


def _over(week: Week, days: int) -> Fraction:
    """Return what so many days cost."""
    weeks, rest = divmod(days, WEEK)
    return sum(week, Fraction(0)) * weeks + sum(week[:rest], Fraction(0))


def _history(series: Series, until: date) -> list[int]:
    count = days_known(series, until)
    return [_units(series.usage.get(until - back * DAY, Decimal(0))) for back in range(count, 0, -1)]


def _units(cost: Decimal) -> int:
    return int(Fraction(cost) * UNIT)


def _usage(series: Series, start: date, until: date, end: date, week: Week) -> tuple[Decimal, Decimal]:
    """Return the usage that is booked and complete, and what is expected: of a day that is not complete, at least what is booked."""
    expected = Fraction(0)
    for ahead in range((end - until).days):
        day = until + ahead * DAY
        if day >= start:
            expected += max(week[ahead % WEEK], Fraction(_units(series.usage.get(day, Decimal(0)))))
    return series.spent(start, until), rounded(expected / UNIT)


def _fees(series: Series, start: date, until: date, end: date) -> tuple[Decimal, Decimal]:
    """Return the fees that are booked before `until`, and those to come: booked for later, and what both of the last two months had
    beyond all of them, by category. Of a series that begins within the first of these months, the other one is enough.
    """
    before = month_of(start - DAY)[0]
    earlier = month_of(before - DAY)[0]
    begun_within = bool(series.usage) and min(series.usage) > earlier
    booked, coming = [], []
    for category in series.fees:
        last, one_before = series.charged(category, before, start), series.charged(category, earlier, before)
        usual = [last] if begun_within and not one_before else [last, one_before]
        of_month = series.charged(category, start, end)
        booked.append(series.charged(category, start, until))
        coming += [series.charged(category, max(start, until), end), still_to_come(of_month, usual)]
    return total(booked), tidy(total(coming))


def still_to_come(booked: Decimal, usual: Sequence[Decimal]) -> Decimal:
    """Return what of the smallest of the usual amounts is not booked yet; nothing unless all of them are charges, or all credits."""
    if not (all(amount > 0 for amount in usual) or all(amount < 0 for amount in usual)):
        return Decimal(0)
    least = min(usual) if usual[0] > 0 else max(usual)
    rest = total((least, booked.copy_negate()))
    return rest if rest and (rest > 0) == (least > 0) else Decimal(0)


def _range(ratios: Sequence[Fraction], usage: Decimal) -> tuple[Decimal | None, Decimal | None]:
    if not usage:
        return usage, usage
    if len(ratios) < FEW:
        return None, None
    ordered = sorted(ratios)
    cut = len(ordered) // 10 if len(ordered) >= MANY else 0
    low, high = min(ordered[cut], Fraction(1)), max(ordered[-1 - cut], Fraction(1))
    ends = sorted((rounded(Fraction(usage) * low), rounded(Fraction(usage) * high)))  # credits turn them round
    return ends[0], ends[1]
