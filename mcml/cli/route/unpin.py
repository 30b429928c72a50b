"""`mcml route unpin`."""

from typing import Annotated

import typer

from mcml.cli.completion import complete_route
from mcml.cli.options import command
from mcml.cli.route import changing
from mcml.cli.session import Session
from mcml.core.view import Document


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "unpin", examples=("mcml route unpin fraud",), changes=True)(unpin)


def unpin(
    session: Session,
    route: Annotated[str, typer.Argument(help="A route of mcml.toml.", autocompletion=complete_route)],
    reason: changing.Reason = "",
) -> Document:
    """Let the pattern of a route decide again."""
    changing.known_route(session, route)
    target = next((one.target for one in changing.in_force(session) if one.kind == "pin" and one.route == route), "")
    return changing.end(session, "pin", route, target, reason)
