"""`mcml cost prices`."""

import typer

from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost prices", "mcml cost prices -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "prices", examples=EXAMPLES)(list_prices)


def list_prices(session: Session) -> Document:
    """List the newest price of everything in the catalogue, with its source and date. The router reads these."""
    from mcml.cost import views
    from mcml.store import prices

    with session.store.reading() as connection:
        return views.catalogue(prices.newest(connection), session.clock())
