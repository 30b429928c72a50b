"""`mcml infra destroy`."""

from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.infra import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

if TYPE_CHECKING:
    from mcml.infra.desk import Desk

EXAMPLES = ("mcml infra destroy", "mcml infra destroy --dry-run", "mcml infra destroy --unmanaged old-target")
Unmanaged = Annotated[str, typer.Option("--unmanaged", help="Only this target, which is in no state (see drift).", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "destroy", examples=EXAMPLES, changes=True, own_timeout=True)(destroy)


def destroy(session: Session, unmanaged: Unmanaged = "", accept: common.Accept = None) -> Document:
    """Remove all targets of the environment; asks for its name. A target on which a model runs is refused."""
    from mcml.infra import views

    with common.desk(session) as desk:
        if unmanaged:
            return _destroy_unmanaged(session, desk, unmanaged)
        planned = desk.plan(destroy=True, lock=not session.dry_run)
        if session.dry_run:
            return views.plan_document(planned)
        if planned.plan.changes:
            common.before_change(session, views.plan_document(planned))
            planned = desk.gate(planned, accept or ())
            session.confirm_by_name(f"Destroy all of {desk.unit.environment}?", desk.unit.environment)
        return views.applied_document(desk.apply(planned))


def _destroy_unmanaged(session: Session, desk: "Desk", name: str) -> Document:
    from mcml.infra import views

    inventory = common.inventory(session, desk.unit)
    resource = desk.unmanaged(inventory, name)
    if not session.dry_run:
        session.confirm_by_name(f"Destroy the unmanaged {resource.kind} {name}?", name)
        desk.remove_unmanaged(inventory, resource)
    return views.removed_document(resource, removed=not session.dry_run)
