"""`mcml infra apply`."""

import typer

from mcml.cli.infra import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = (
    "mcml infra apply", "mcml infra apply aws gcp-data", "mcml infra apply --dry-run", "mcml infra apply --yes --accept public-bucket"
)  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "apply", examples=EXAMPLES, changes=True, own_timeout=True)(apply)


def apply(session: Session, unit: common.Filters = None, accept: common.Accept = None) -> Document:
    """Make the targets and units as mcml.toml says: plan, show, ask, and apply exactly that plan. A target that is gone is made again."""
    from mcml.infra.fleet import combined
    from mcml.infra.views import overview as views

    with common.fleet(session, unit, writes=True) as fleet:
        plans = fleet.plan(lock=not session.dry_run)
        if session.dry_run:
            return views.plan_document(plans)
        plans = common.gated(session, fleet, plans, accept)
        if plans.changing:
            session.confirm(f"Apply this to {session.settings.infra.environment}?")
        results = fleet.apply(plans)
        failed = combined(results, "applied", fleet.tools.command("apply"))
        return common.ended(session, views.applied_document(plans, results), failed, done=bool(results.done))
