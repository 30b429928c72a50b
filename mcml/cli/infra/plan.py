"""`mcml infra plan`."""

import typer

from mcml.cli.infra import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core import exits
from mcml.core.view import Document

EXAMPLES = ("mcml infra plan", "mcml infra plan aws ...gcp-data", "mcml infra plan --detailed-exitcode", "mcml infra plan -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "plan", examples=EXAMPLES, own_timeout=True)(plan)


def plan(session: Session, unit: common.Filters = None, detailed_exitcode: common.DetailedExitCode = False) -> Document:
    """Show what an apply would change, what loses data first, what it costs and what the policies say. Changes nothing."""
    from mcml.infra.fleet import combined
    from mcml.infra.views import overview as views

    with common.fleet(session, unit) as fleet:
        plans = fleet.plan(lock=False)
        if detailed_exitcode and plans.changing:
            session.exit_code = exits.DIFFERENCES
        failed = combined(plans.results, "planned", fleet.tools.command("plan"))
        return common.ended(session, views.plan_document(plans), failed, done=bool(plans.planned))
