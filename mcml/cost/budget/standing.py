"""Budgets: how much of them is spent, where they are heading, how fast they burn, and which alerts that means. Pure: no I/O, no clock.

Three kinds of alert, each on or off at any time:

- `actual-80`: 80 % of the amount is spent. Everything that is booked counts: billed, measured and estimated.
- `forecast-100`: the period is going to cost 100 % of it. Off again below 95 % of that, so that it does not flap.
- `burn`: the last complete day and the last seven both cost so many times the even pace (amount / days of the period). Two windows, as for
  the error budgets of service levels (Google: The Site Reliability Workbook, chapter 5): the long one keeps a single dear day from raising
  an alarm, the short one ends it soon after the burning stopped.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Literal

from mcml.core.schema_cost import Budget
from mcml.cost.forecast import project
from mcml.cost.forecast.months import STALE, late_until
from mcml.cost.forecast.series import ASKED as FORECAST_ASKED
from mcml.cost.forecast.series import DAY, Series, month_of, read
from mcml.store.ledger.book import Group
from mcml.store.ledger.exact import percent, product, quotient, tidy, total

ASKED = ("source", *FORECAST_ASKED, "provider")
"""The dimensions that the ledger must be asked for."""
FAST, SLOW = 1, 7
"""Days of the two windows of burn."""
CALM = Decimal("0.95")
"""A forecast alert ends below this part of what began it."""
PLACES = 2

Level = Literal["ok", "warn", "over"]


@dataclass(frozen=True)
class Alert:
    """One thing to say about a budget. `share` is percent of the amount, or for burn the multiple of the even pace."""

    name: str
    share: Decimal
    text: str


@dataclass(frozen=True)
class Standing:
    """How a budget stands on a day of its period [start, end).

    `estimated` is the part of `spent` that is not billed yet; `sources` is `spent` by source (billed, measured, estimate), `converted_from`
    by currency where it is of several; `other` what the same costs are in other currencies, which is not counted (`unconverted` says why,
    where the budget asks for it to be); `forecast` the cost at the period's end (None: too little history, or none of late); `fast` and
    `slow` the multiples of the even pace (None: no day of late is complete, or the period is no longer than they are). `alerts` are those
    that are on.
    """

    name: str
    budget: Budget
    start: date
    end: date
    spent: Decimal
    estimated: Decimal
    other: Mapping[str, Decimal]
    forecast: Decimal | None
    fast: Decimal | None
    slow: Decimal | None
    alerts: tuple[Alert, ...] = ()
    unconverted: str = ""
    sources: Mapping[str, Decimal] = field(default_factory=dict)
    converted_from: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def amount(self) -> Decimal:
        """What may be spent."""
        return tidy(Decimal(str(self.budget.amount)))

    @property
    def level(self) -> Level:
        """`over` when all of it is spent, `warn` when any alert is on."""
        return "over" if self.spent >= self.amount else "warn" if self.alerts else "ok"


def stand(name: str, budget: Budget, span: tuple[date, date], today: date, groups: Iterable[Group], on: Iterable[str] = ()) -> Standing:
    """Return how a budget stands; `groups` are its costs by ASKED, `on` the names of the alerts that were on at the last look."""
    every = list(groups)
    mine = [group for group in every if group.currency == budget.currency]
    start, end = span
    within = [group for group in every if start <= date.fromisoformat(str(group.key[1])) < end]
    sums = by_currency(within)
    mine_within = [group for group in within if group.currency == budget.currency]
    sources = {
        source: tidy(total(group.effective for group in mine_within if group.key[0] == source))
        for source in sorted({str(group.key[0]) for group in mine_within})
    }
    series = next(iter(read(group._replace(key=group.key[1:-1]) for group in mine).values()), Series())
    late = late_until((group._replace(key=(group.key[-1], group.key[1])) for group in mine), today)
    ripe = project.ripe_until([series], today)
    until = min(ripe, late)  # burn does without `late`: a bill that is not there yet can only make a pace too low
    known = today - ripe <= STALE  # else the last day is long ago: of what has ended, or of a ledger that nobody fills
    fast, slow = (_pace(series, budget, (end - start).days, ripe, days) if known else None for days in (FAST, SLOW))
    spent = sums.pop(budget.currency, Decimal(0))
    estimated, ahead = sources.get("estimate", Decimal(0)), _forecast(series, budget, start, end, until, spent) if known else None
    found = Standing(name, budget, start, end, spent, estimated, sums, ahead, fast, slow, sources=sources)
    return replace(found, alerts=tuple(_alerts(found, frozenset(on))))


def by_currency(groups: Iterable[Group]) -> dict[str, Decimal]:
    """Return what groups cost in each currency."""
    every = list(groups)
    return {
        currency: tidy(total(group.effective for group in every if group.currency == currency))
        for currency in sorted({group.currency for group in every})
    }


def _alerts(standing: Standing, on: frozenset[str]) -> Iterable[Alert]:
    budget, amount, currency = standing.budget, standing.amount, standing.budget.currency
    spent = percent(standing.spent, amount) or Decimal(0)
    for share in sorted({Decimal(str(each)) for each in budget.actual}):
        if spent >= share:
            yield Alert(f"actual-{_plain(share)}", spent, f"{_plain(spent)}% of {_plain(amount)} {currency} is spent")
    if budget.forecast and standing.forecast is not None:
        share, limit = percent(standing.forecast, amount) or Decimal(0), Decimal(str(budget.forecast))
        name = f"forecast-{_plain(limit)}"
        if share >= (product(limit, CALM) if name in on else limit):
            yield Alert(name, share, f"{_plain(share)}% of {_plain(amount)} {currency} will be spent by {standing.end - DAY}")
    limit = Decimal(str(budget.burn))
    if limit and standing.fast is not None and standing.slow is not None and min(standing.fast, standing.slow) >= limit:
        text = f"the last day burned {_plain(standing.fast)} times the even pace, the last {SLOW} days {_plain(standing.slow)} times"
        yield Alert("burn", min(standing.fast, standing.slow), text)


def _pace(series: Series, budget: Budget, length: int, until: date, days: int) -> Decimal | None:
    """Return how many times the even pace the last complete days cost; None for a budget that is no longer than they are."""
    if length <= days and days > 1:
        return None
    spent = series.spent(until - days * DAY, until)
    return quotient(product(spent, length), product(Decimal(str(budget.amount)), days), places=PLACES)


def _forecast(series: Series, budget: Budget, start: date, end: date, until: date, spent: Decimal) -> Decimal | None:
    """Forecast the period's end: a month as `mcml cost forecast` does, any other by the weekdays of the last four weeks.

    What is booked is never forecast away: the newest days may be estimates, and they count.
    """
    if budget.per == "month":
        made = project.forecast(series, start, until)
        return None if made is None else max(made.total, spent)
    if project.days_known(series, until) < project.ENOUGH:
        return None
    usage = [series.spent(start, min(until, end)), *(_weekday(series, until, day) for day in _days(max(until, start), end))]
    fees = (series.charged(category, start, end) for category in series.fees)
    return max(tidy(total((*usage, *fees))), spent)


def _weekday(series: Series, until: date, day: date) -> Decimal:
    """Return the mean of a weekday in the last four complete weeks, or what is booked already if that is more."""
    back = [until - ago * DAY for ago in range(1, project.ENOUGH + 1)]
    mean = quotient(total(series.usage.get(each, Decimal(0)) for each in back if each.weekday() == day.weekday()), project.WEEKS)
    return max(mean, series.usage.get(day, Decimal(0)))


def _days(start: date, end: date) -> Sequence[date]:
    return [start + number * DAY for number in range((end - start).days)]


def period(budget: Budget, today: date) -> tuple[date, date]:
    """Return the first day of the budget's period that holds a day, and of the next one."""
    if budget.per == "month":
        return month_of(today)
    if budget.per == "quarter":
        start = today.replace(month=(today.month - 1) // 3 * 3 + 1, day=1)
        return start, month_of(start + timedelta(days=70))[1]
    start = today - today.weekday() * DAY if budget.per == "week" else today
    return start, start + (7 if budget.per == "week" else 1) * DAY


@dataclass(frozen=True)
class Change:
    """An alert that came on, or went off (`text` says what it was, or why it ended)."""

    name: str
    on: bool
    text: str


def changes(standing: Standing, before: Mapping[str, str], began: str) -> list[Change]:
    """Return what is different from the last look: `before` is the text of each alert that was on, `began` the start of its period.

    While costs cannot be converted nothing is said to have ended.
    """
    now = {alert.name: alert.text for alert in standing.alerts}
    again = began != standing.start.isoformat()
    ended = [name for name in before if again or (name not in now and not standing.unconverted)]
    why = "a new period has begun" if again else f"{_plain(percent(standing.spent, standing.amount) or Decimal(0))}% is spent"
    fresh = [name for name in now if again or name not in before]
    return [*(Change(name, False, why) for name in ended), *(Change(name, True, now[name]) for name in fresh)]


def _plain(number: Decimal) -> str:
    return format(tidy(number), "f")
