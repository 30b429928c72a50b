"""`mcml route explain`."""

from typing import Annotated

import typer

from mcml.cli.completion import complete_route
from mcml.cli.options import command
from mcml.cli.route import common
from mcml.cli.session import Session
from mcml.core.errors import unknown
from mcml.core.view import Document

EXAMPLES = ("mcml route explain", "mcml route explain fraud", "mcml route explain fraud --at 10m", "mcml route explain fraud -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "explain", examples=EXAMPLES)(explain)


def explain(
    session: Session,
    route: Annotated[str, typer.Argument(help="A route of mcml.toml; all when left out.", autocompletion=complete_route)] = "",
    at: Annotated[str, typer.Option("--at", help="When: 10m (ago), today, 2026-11-21T09:00:00Z.", show_default=False)] = "",
) -> Document:
    """Show why each backend has its weight.

    What was measured, what was missing, what it scored; with --at for any moment the router remembers.
    """
    from mcml.core.when import moment
    from mcml.route import records, views

    if route and route not in session.settings.routes:
        raise unknown("route", route, session.settings.routes, next_step="mcml config show")
    until = moment(at, session.clock()) if at else None
    newest = {decision["route"]: decision for decision in records.read_decisions(common.folder(session), route=route, until=until)}
    return views.explain([newest[name] for name in sorted(newest)], session.clock())
