"""`mcml cost rightsize status`."""

from typing import Annotated

import typer

from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost rightsize status", "mcml cost rightsize status eu-1/i-0abc -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "status", examples=EXAMPLES)(status)


def status(
    session: Session,
    machine: Annotated[str, typer.Argument(help="One machine; all without.", metavar="[TARGET/ID]", show_default=False)] = "",
) -> Document:
    """Show the changes of machines: how each stands or ended, why, and the snapshots that are kept."""
    from mcml.cost.rightsize import change, change_views

    if machine:
        change.known(session.store, machine)
    found = [one for one in change.every(session.store) if machine in ("", one.key)]
    return change_views.changes(found, session.clock())
