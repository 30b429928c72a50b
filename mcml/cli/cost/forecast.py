"""`mcml cost forecast`."""

from typing import Annotated

import typer

from mcml.cli.cost import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost forecast", "mcml cost forecast --by team", "mcml cost forecast --where provider=AWS -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "forecast", examples=EXAMPLES)(forecast)


def forecast(
    session: Session,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            help="One forecast for each of these (repeatable, or with commas; default: one a currency).",
            autocompletion=common.complete_dimension,
            show_default=False,
        ),
    ] = None,
    where: common.Where = None,
    currency: common.Currency = "",
) -> Document:
    """Forecast what this month will cost: what is booked, usage to come by weekday, and the fees that come every month.

    The range is how wrong such forecasts were on the ledger's own past. With less than four weeks of history it refuses.
    """
    from dataclasses import replace
    from datetime import timedelta

    from mcml.core.clock import midnight
    from mcml.cost.forecast import views
    from mcml.cost.forecast.months import late_until, this_month
    from mcml.cost.forecast.series import ASKED
    from mcml.cost.rates.views import with_rates
    from mcml.store.ledger.book import Scope

    names, scope, ledger = common.names(by, ()), Scope(filters=common.filters(where)), common.ledger(session)
    today = session.clock().date()
    late = late_until(ledger.totals(("provider", "day"), scope), today)
    if currency:
        scope = replace(scope, since=midnight(today) - timedelta(days=366))  # older charges change no forecast, and may have no rate
        found = common.converted(session, ledger, (*names, *ASKED), scope, currency)
        scopes = this_month(found.groups, today, late)
        shown = with_rates(views.forecast(names, scopes, scope.filters), found)
    else:
        scopes = this_month(ledger.totals((*names, *ASKED), scope), today, late)
        shown = views.forecast(names, scopes, scope.filters)
    made = next((each.forecast for each in scopes if each.forecast), None)
    booked = {"booked": replace(scope, since=midnight(made.month), until=midnight(made.until))} if made else {}
    return common.sourced(common.exchanged(session, ledger, currency) if currency else ledger, shown, None, **booked)
