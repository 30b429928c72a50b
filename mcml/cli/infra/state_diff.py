"""`mcml infra state diff`."""

from typing import Annotated

import typer

from mcml.cli.infra import state_common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml infra state diff aws-data 12", "mcml infra state diff aws-data 12 14")
Other = Annotated[str, typer.Argument(metavar="[VERSION]", help="The later one (default: the state as it is now).", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "diff", examples=EXAMPLES, own_timeout=True)(diff)


def diff(session: Session, unit: state_common.UnitName, version: state_common.VersionName, other: Other = "") -> Document:
    """Show what differs between two versions of a state: resources by address and attributes by name, never a value."""
    from mcml.infra.states import history
    from mcml.infra.views import state_views

    old = state_common.content_of(session, unit, version)
    if other:
        new = state_common.content_of(session, unit, other)
    else:
        with state_common.fleet(session, unit) as fleet:
            now = fleet.at_desk(lambda desk: desk.pull())
        new = now or {}
    return state_views.diff_document(unit, version, other or history.CURRENT, history.compare(old, new))
