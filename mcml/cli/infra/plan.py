"""`mcml infra plan`."""

import typer

from mcml.cli.infra import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core import exits
from mcml.core.view import Document

EXAMPLES = ("mcml infra plan", "mcml infra plan --detailed-exitcode", "mcml infra plan -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "plan", examples=EXAMPLES, own_timeout=True)(plan)


def plan(session: Session, detailed_exitcode: common.DetailedExitCode = False) -> Document:
    """Show what an apply would change, what loses data first, what it costs and what the policies say. Changes nothing."""
    from mcml.infra import views

    with common.desk(session) as desk:
        planned = desk.plan(lock=False)
        if detailed_exitcode and planned.plan.changes:
            session.exit_code = exits.DIFFERENCES
        return views.plan_document(planned)
