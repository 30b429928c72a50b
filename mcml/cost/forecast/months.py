"""The forecasts of this month, one for each scope. Pure: groups and today in, forecasts out."""

from collections.abc import Iterable
from datetime import date, timedelta

from mcml.core.errors import McmlError
from mcml.cost.forecast.project import days_known, forecast, past_months, ripe_until
from mcml.cost.forecast.series import DAY, read
from mcml.cost.forecast.views import Scoped, refusal
from mcml.store.ledger.book import Group

STALE = timedelta(days=14)
"""A forecast from older costs would be one of a ledger that nobody fills."""


def this_month(groups: Iterable[Group], today: date) -> list[Scoped]:
    """Forecast the month of `today` (UTC) for each scope in groups by the scope and ASKED, dearest first.

    Raises McmlError when there is too little history for any of them, or none of the last days.
    """
    found = read(groups)
    until = ripe_until(list(found.values()), today)
    if today - until > STALE:
        why = f"the newest usage in the ledger is of {until - DAY}"
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
