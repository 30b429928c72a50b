"""`mcml cost quarantine`."""

from typing import Annotated

import typer

from mcml.cli.cost import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost quarantine", "mcml cost quarantine -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "quarantine", examples=EXAMPLES)(quarantine)


def quarantine(
    session: Session, limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many rows, newest ingest first.")] = 100
) -> Document:
    """List the rows that were refused and are in no sum. A corrected export of the accounts and months that they name takes them out.

    A row whose account was wrong leaves when the same files, by their old names, come again corrected; one whose month was wrong stays.
    The rows themselves are in the JSON (`-o json`).
    """
    from mcml.cost import views
    from mcml.providers import discovery

    ledger = common.ledger(session)
    return views.quarantine(ledger.quarantined(limit), ledger.waiting(), [name for name, _ in discovery.specs()])
