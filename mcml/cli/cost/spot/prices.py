"""`mcml cost spot prices`."""

import typer

from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost spot prices", "mcml cost spot prices -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "prices", examples=EXAMPLES)(prices)


def prices(session: Session) -> Document:
    """Show what spot has cost where jobs asked for it, when it changed, how often machines were taken away there, and when."""
    from mcml.cost.spot import market, views

    return views.places(market.every(session.store))
