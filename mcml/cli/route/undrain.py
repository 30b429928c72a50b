"""`mcml route undrain`."""

from typing import Annotated

import typer

from mcml.cli.completion import complete_target
from mcml.cli.options import command
from mcml.cli.route import changing
from mcml.cli.session import Session
from mcml.core.view import Document


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "undrain", examples=("mcml route undrain eu-1", "mcml route undrain fraud@eu-1"), changes=True)(undrain)


def undrain(
    session: Session,
    where: Annotated[str, typer.Argument(help="A target, or ROUTE@TARGET.", metavar="TARGET|ROUTE@TARGET", autocompletion=complete_target)],
    reason: changing.Reason = "",
) -> Document:
    """Send requests to a drained target again."""
    route, target = changing.place(session, where)
    return changing.end(session, "drain", route, target, reason)
