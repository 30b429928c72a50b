"""`mcml infra unlock`."""

from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.infra import common, state_common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

if TYPE_CHECKING:
    from mcml.infra.states.state import Lock

EXAMPLES = ("mcml infra unlock aws-data --dry-run", "mcml infra unlock aws-data")
LockId = Annotated[str, typer.Argument(metavar="[LOCK-ID]", help="Only this lock, not another one by then.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "unlock", examples=EXAMPLES, changes=True, own_timeout=True)(unlock)


def unlock(session: Session, unit: state_common.UnitName, lock_id: LockId = "") -> Document:
    """Show who holds the lock of a unit's state and since when; then break it, if its holder is no more. Asks first."""
    from mcml.infra.states.keeper import refuse_living
    from mcml.infra.views import state_views

    with state_common.fleet(session, unit) as fleet:
        environment = session.settings.infra.environment
        lock: Lock | None = fleet.at_desk(lambda desk: desk.lock())
        document = state_views.lock_document(unit, environment, lock)
        if lock is None or session.dry_run:
            return document
        refuse_living(unit, lock, fleet.at_work(unit), lock_id)
        common.before_change(session, document)
        session.confirm(f"Break the lock of {lock.who}? If {lock.operation} still runs there, two write at once.")
        fleet.at_desk(lambda desk: desk.unlock(lock))
        return state_views.lock_document(unit, environment, lock, broken=True)
