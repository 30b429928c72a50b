"""The forecasts of this month, one for each scope. Pure: groups and today in, forecasts out."""

from collections.abc import Iterable
from datetime import date, timedelta

from mcml.core.errors import McmlError
from mcml.cost.forecast.project import days_known, forecast, newest_charge, past_months, ripe_until
from mcml.cost.forecast.series import DAY, read
from mcml.cost.forecast.views import Scoped, refusal
from mcml.store.ledger.book import Group

STALE = timedelta(days=14)
"""A forecast from older usage would be one of a ledger that nobody fills."""
MONTHLY = timedelta(days=45)
"""The same of costs that are nothing but fees, which come once a month."""


LATE = timedelta(days=5)
"""A provider whose newest day is so much older than the others' is late; one that is silent for longer has left, or comes rarely."""


def late_until(groups: Iterable[Group], today: date) -> date:
    """Return the day up to which every provider that still charges has charged, from groups whose first dimension is the provider and
    whose last is the day: bills of several clouds come at their own pace, and a day that one of them lacks is no cheap day.
    """
    days: dict[str | None, set[date]] = {}
    for group in groups:
        day = date.fromisoformat(str(group.key[-1]))
        if day < today:
            days.setdefault(group.key[0], set()).add(day)
    # one that charges once a month, as for support, is no late one
    newest = [max(found) for found in days.values() if sum(day > max(found) - LATE for day in found) >= LATE.days - 1]
    last = max(newest, default=today)
    return min((day + DAY for day in newest if day + LATE >= last), default=today)


def this_month(groups: Iterable[Group], today: date, late: date = date.max) -> list[Scoped]:
    """Forecast the month of `today` (UTC) for each scope in groups by the scope and ASKED, dearest first.

    `late`: the first day that a provider's bill lacks (`late_until`).

    Raises McmlError when there is too little history for any of them, or none of the last days.
    """
    found = read(groups)
    until = min(ripe_until(list(found.values()), today), late)
    newest = newest_charge(list(found.values()), today)
    if today - until > STALE or (newest > date.min and today - newest > MONTHLY):
        what = "usage" if any(series.usage for series in found.values()) else "fee"
        why = f"the newest {what} in the ledger is of {newest}"
        raise McmlError("there are no recent costs to forecast from", why=why, next_step="mcml cost ingest --help")
    month = today.replace(day=1)
    scopes = []
    for (currency, key), series in found.items():
        made = forecast(series, month, until)
        past = tuple(past_months(series, month, until)) if made else ()
        scopes.append(Scoped(currency, key, made, days_known(series, until), past))
    if not any(scope.forecast for scope in scopes):
        days = max((scope.days for scope in scopes), default=0)
        raise McmlError("too little history for a forecast", why=refusal(days), next_step="mcml cost report --by day")
    return sorted(scopes, key=lambda scope: (scope.forecast is None, scope.currency, -(scope.forecast.total if scope.forecast else 0)))
