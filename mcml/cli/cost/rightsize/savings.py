"""`mcml cost rightsize savings`."""

import typer

from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost rightsize savings", "mcml cost rightsize savings -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "savings", examples=EXAMPLES)(savings)


def savings(session: Session) -> Document:
    """Show what each change has promised, and what the bill says came of it: what an hour cost before and after.

    Confirmed: at least 80 % of the promise; too early: fewer than 7 whole days of the bill after the change. Estimates are no bill. What a
    machine saves because it runs less does not count.
    """
    from mcml.cli.cost import common
    from mcml.cost.rightsize import change, change_views
    from mcml.cost.rightsize import savings as ledger

    targets = session.settings.targets
    found = ledger.realised(
        common.ledger(session), change.every(session.store), lambda name: targets[name].region if name in targets else ""
    )
    return change_views.savings(found, ledger.totals(found))
