"""`mcml infra state restore`."""

import typer

from mcml.cli.infra import common, state_common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml infra state restore aws-data 12 --dry-run", "mcml infra state restore aws-data 12")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "restore", examples=EXAMPLES, changes=True, own_timeout=True)(restore)


def restore(session: Session, unit: state_common.UnitName, version: state_common.VersionName) -> Document:
    """Make an old version of a unit's state the newest again; asks for the unit's name. What is really there is not touched."""
    from mcml.infra.states import history
    from mcml.infra.views import state_views

    old = state_common.content_of(session, unit, version)
    with state_common.fleet(session, unit) as fleet:
        current = fleet.at_desk(lambda desk: desk.pull())
        history.restored(old, current)
        document = state_views.diff_document(unit, history.CURRENT, version, history.compare(current or {}, old))
        if session.dry_run:
            return document
        common.before_change(session, document)
        session.confirm_by_name(f"Make {version} the state of {unit} again?", unit)
        now = fleet.at_desk(lambda desk: desk.restore(old, version))
    return state_views.restored_document(unit, session.settings.infra.environment, version, now)
