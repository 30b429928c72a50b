"""`mcml infra cost`."""

import typer

from mcml.cli.infra import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml infra cost", "mcml infra cost aws-data", "mcml infra cost -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "cost", examples=EXAMPLES, own_timeout=True)(cost)


def cost(session: Session, unit: common.Filters = None) -> Document:
    """Show what the plan would cost a month, resource by resource, and what it adds. What has no price is named, not taken for free."""
    from mcml.infra.fleet import combined
    from mcml.infra.views import overview as views

    with common.fleet(session, unit) as fleet:
        plans = fleet.plan(lock=False)
        failed = combined(plans.results, "planned", fleet.tools.command("cost"))
        return common.ended(session, views.cost_document(plans), failed, done=bool(plans.planned))
