"""`mcml route status`."""

import typer

from mcml.cli.options import command
from mcml.cli.route import common
from mcml.cli.session import Session
from mcml.core.view import Document


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "status", examples=("mcml route status", "mcml route status -o json"))(status)


def status(session: Session) -> Document:
    """Show every backend: weight, state, traffic, price.

    Traffic is that of the last ten seconds; each price is shown with its age.
    """
    from mcml.route import records, views

    folder = common.folder(session)
    told = records.read_status(folder)
    return views.status(told, records.read_running(folder), records.read_engine(folder), session.clock())
