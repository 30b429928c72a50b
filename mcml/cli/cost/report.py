"""`mcml cost report`."""

from typing import Annotated

import typer

from mcml.cli.cost import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost report", "mcml cost report --by team --since 2026-11-01", "mcml cost report --by day,service -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "report", examples=EXAMPLES)(report)


def report(
    session: Session,
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            help="provider, service, target, model, team, project, environment, region, account, day, week, month ... (repeatable, "
            "or with commas; default: provider,target,model).",
            autocompletion=common.complete_dimension,
            show_default=False,
        ),
    ] = None,
    since: Annotated[str, typer.Option("--since", help="30m, 7d, today, 2026-11-01: charges that start then or later.")] = "",
    until: Annotated[str, typer.Option("--until", help="The same; charges that start before.")] = "",
) -> Document:
    """Show what it costs, one table a currency. Days are of UTC; a charge counts on the day it starts."""
    from mcml.cost import report as reports
    from mcml.cost import views

    ledger, scope = common.ledger(session), common.scope(session, since, until)
    chosen = [name.strip() for text in by or () for name in text.split(",") if name.strip()] or reports.DEFAULT_BY
    groups = ledger.totals(reports.dimensions_to_ask(chosen), scope)
    return views.cost_report(reports.build(chosen, groups, ledger.totals((reports.DAY,), scope)), ledger.waiting())
