"""`mcml route drain`."""

from typing import Annotated

import typer

from mcml.cli.completion import complete_target
from mcml.cli.options import command
from mcml.cli.route import changing
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = (
    "mcml route drain eu-1 --for 30m --reason 'a new disk'   # on every route, for half an hour",
    "mcml route drain fraud@eu-1                             # on one route",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "drain", examples=EXAMPLES, changes=True)(drain)


def drain(
    session: Session,
    where: Annotated[str, typer.Argument(help="A target, or ROUTE@TARGET.", metavar="TARGET|ROUTE@TARGET", autocompletion=complete_target)],
    lasts: changing.For = "",
    reason: changing.Reason = "",
    force: changing.Force = False,
) -> Document:
    """Send no new request to a target.

    Those under way end. It outlives a restart of the router, and is no outage: no incident opens when the target then stops.
    """
    route, target = changing.place(session, where)
    return changing.begin(session, changing.made(session, "drain", route, target, reason=reason, lasts=lasts), force=force)
