"""`mcml infra state log`."""

from typing import Annotated

import typer

from mcml.cli.infra import state_common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml infra state log local", "mcml infra state log aws-data -n 50", "mcml infra state log aws-data -o json")
Most = Annotated[int, typer.Option("-n", "--limit", min=1, max=1000, help="How many of the newest.")]
KINDS = ("infra.applied", "infra.destroyed", "infra.state_restored")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "log", examples=EXAMPLES)(log)


def log(session: Session, unit: state_common.UnitName, limit: Most = 20) -> Document:
    """List the versions of a unit's state, newest first: when, by whose apply, its serial, and how much is in it."""
    from mcml.infra.states import history
    from mcml.infra.views import state_views
    from mcml.store.journal import Query

    versions, place = state_common.versions_of(session, unit)
    about = {"environment": session.settings.infra.environment, "unit": unit}
    entries = session.store.entries(Query(kinds=KINDS, limit=50 * limit))
    facts = [entry for entry in entries if about.items() <= dict(entry.facts).items()]
    return state_views.log_document(unit, place, history.log(versions, limit, facts), session.clock())
