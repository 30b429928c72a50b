"""`mcml infra cost`."""

import typer

from mcml.cli.infra import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml infra cost", "mcml infra cost -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "cost", examples=EXAMPLES, own_timeout=True)(cost)


def cost(session: Session) -> Document:
    """Show what the plan would cost a month, resource by resource, and what it adds. What has no price is named, not taken for free."""
    from mcml.infra import views

    with common.desk(session) as desk:
        return views.cost_document(desk.plan(lock=False).estimate)
