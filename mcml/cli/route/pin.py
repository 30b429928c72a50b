"""`mcml route pin`."""

from typing import Annotated

import typer

from mcml.cli.completion import complete_route, complete_target
from mcml.cli.options import command
from mcml.cli.route import changing
from mcml.cli.session import Session
from mcml.core.errors import Conflict, unknown
from mcml.core.view import Document

EXAMPLES = ("mcml route pin fraud us-1 --for 1h --reason 'eu-1 is under suspicion'", "mcml route unpin fraud")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "pin", examples=EXAMPLES, changes=True)(pin)


def pin(
    session: Session,
    route: Annotated[str, typer.Argument(help="A route of mcml.toml.", autocompletion=complete_route)],
    target: Annotated[str, typer.Argument(help="One of its targets.", autocompletion=complete_target)],
    lasts: changing.For = "",
    reason: changing.Reason = "",
) -> Document:
    """Send every request of a route to one target.

    While it is out, and for a request that fails there, the others serve.
    """
    targets = changing.targets_of(session, route)
    if target not in targets:
        raise unknown(f"target of {route}", target, targets, next_step="mcml config show")
    drained = [one for one in changing.in_force(session) if one.kind == "drain" and one.target == target and one.route in ("", route)]
    if drained:
        name = f"{drained[0].route}@{target}" if drained[0].route else target
        raise Conflict(f"{target} is drained", why=f"by {drained[0].actor}", next_step=f"mcml route undrain {name}")
    return changing.begin(session, changing.made(session, "pin", route, target, reason=reason, lasts=lasts))
