"""`mcml cost restatements`."""

from typing import Annotated

import typer

from mcml.cli.cost import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost restatements", "mcml cost restatements --since 2026-11-01 -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "restatements", examples=EXAMPLES)(restatements)


def restatements(
    session: Session,
    since: Annotated[str, typer.Option("--since", help="Only what was delivered after: 7d, today, 2026-11-01.", show_default=False)] = "",
) -> Document:
    """Show what later deliveries changed in bills that were booked before: by account, month and service, amounts before and after.

    `mcml cost report --as-of DATE` shows a report as it was then.
    """
    from mcml.core.when import moment
    from mcml.cost.intake import restatement_views
    from mcml.cost.intake.restatements import restatements as changed
    from mcml.store.ledger.history import replaced

    begin = moment(since, session.clock()) if since else None
    return restatement_views.restatements(changed(replaced(common.ledger(session), begin)))
