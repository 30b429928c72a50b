"""`mcml infra apply`."""

import typer

from mcml.cli.infra import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml infra apply", "mcml infra apply --dry-run", "mcml infra apply --yes", "mcml infra apply --accept public-bucket")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "apply", examples=EXAMPLES, changes=True, own_timeout=True)(apply)


def apply(session: Session, accept: common.Accept = None) -> Document:
    """Make the targets as mcml.toml says: plan, show, ask, and apply exactly that plan. A target that is gone is made again."""
    from mcml.infra import views

    with common.desk(session) as desk:
        planned = desk.plan(lock=not session.dry_run)
        if session.dry_run:
            return views.plan_document(planned)
        if planned.plan.changes:
            common.before_change(session, views.plan_document(planned))
            planned = desk.gate(planned, accept or ())
            session.confirm(f"Apply this to {desk.unit.environment}?")
        return views.applied_document(desk.apply(planned))
