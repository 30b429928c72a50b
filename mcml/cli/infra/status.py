"""`mcml infra status`."""

import typer

from mcml.cli.infra import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml infra status", "mcml infra status -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "status", examples=EXAMPLES)(status)


def status(session: Session) -> Document:
    """Show every target, whether it is applied, and who is at work. Reads files only, so it answers while an apply runs."""
    from mcml.infra import views
    from mcml.infra.state import read_state

    unit, folders = common.unit_of(session)
    return views.status_document(unit, read_state(unit, folders), session.settings.targets)
