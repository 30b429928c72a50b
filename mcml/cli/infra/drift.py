"""`mcml infra drift`."""

import typer

from mcml.cli.infra import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core import exits
from mcml.core.view import Document

EXAMPLES = ("mcml infra drift", "mcml infra drift --detailed-exitcode", "mcml infra drift -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "drift", examples=EXAMPLES, own_timeout=True)(drift)


def drift(session: Session, detailed_exitcode: common.DetailedExitCode = False) -> Document:
    """Compare the state with what is really there: missing, changed and unmanaged targets, each with the command that mends it."""
    from mcml.infra import views

    with common.desk(session) as desk:
        found = desk.drift(common.inventory(session, desk.unit))
        if detailed_exitcode and found.drifted:
            session.exit_code = exits.DIFFERENCES
        return views.drift_document(found)
