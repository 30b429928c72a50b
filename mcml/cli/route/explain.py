"""`mcml route explain`."""

from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.completion import complete_route
from mcml.cli.options import command
from mcml.cli.route import common
from mcml.cli.session import Session
from mcml.core.errors import unknown
from mcml.core.view import Document

if TYPE_CHECKING:
    from datetime import datetime

EXAMPLES = ("mcml route explain", "mcml route explain fraud", "mcml route explain fraud --at 10m", "mcml route explain fraud -o json")
PAGE = 500
"""Decisions that are read from the journal at once."""


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "explain", examples=EXAMPLES)(explain)


def explain(
    session: Session,
    route: Annotated[str, typer.Argument(help="A route of mcml.toml; all when left out.", autocompletion=complete_route)] = "",
    at: Annotated[str, typer.Option("--at", help="When: 10m (ago), today, 2026-11-21T09:00:00Z.", show_default=False)] = "",
) -> Document:
    """Show why each backend has its weight.

    What was measured, what was missing, what it scored, what people changed; with --at for any moment that the journal has.
    """
    from mcml.core.when import moment
    from mcml.route import records, views

    if route and route not in session.settings.routes:
        raise unknown("route", route, session.settings.routes, next_step="mcml config show")
    until = moment(at, session.clock()) if at else None
    known = session.settings.routes
    # one that is in mcml.toml no more was there at another moment, and is not now
    read = records.read_decisions(common.folder(session), route=route, until=until)
    newest = {decision["route"]: decision for decision in read if until or decision["route"] in known}
    missing = {route} - newest.keys() if route else known.keys() - newest.keys()
    newest |= _from_journal(session, set(missing), until)
    return views.explain([newest[name] for name in sorted(newest)], session.clock(), until)


def _from_journal(session: Session, routes: set[str], until: "datetime | None") -> dict[str, dict[str, object]]:
    """Look up the last decisions of routes in the journal, which has them all; the router's own file keeps the newest."""
    from mcml.route.records import decision_of
    from mcml.store.journal import Query

    found: dict[str, dict[str, object]] = {}
    before: int | None = None
    while routes - found.keys():
        entries = session.store.entries(Query(until=until, kinds=("route.weights",), before_seq=before, limit=PAGE))
        for entry in reversed(entries):
            name = str(entry.facts.get("route", ""))
            if name in routes:
                found.setdefault(name, decision_of(entry.at, entry.facts))
        if len(entries) < PAGE:
            break
        before = entries[0].seq
    return found
