"""`mcml journal`: the one timeline."""

from typing import Annotated

import typer

from mcml.cli.completion import complete_target
from mcml.cli.lazy import group
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core import exits
from mcml.core.view import Document

app = group(
    "journal",
    "The one timeline: every change that any command made, chained by hashes.",
    examples=("mcml journal list --since 1h", "mcml journal list --kind route. --target eu-1", "mcml journal verify"),
)
NEWEST = 50


@command(app, "list", examples=("mcml journal list", "mcml journal list --since 1h --kind deploy", "mcml journal list -o json"))
def list_entries(
    session: Session,
    since: Annotated[str, typer.Option("--since", help="30m, 2h, 7d, today or a time like 2026-11-21T09:00:00Z.", show_default=False)] = "",
    until: Annotated[str, typer.Option("--until", help="The same; entries before it.", show_default=False)] = "",
    kind: Annotated[list[str] | None, typer.Option("--kind", help="A kind, or a room like route (repeatable).")] = None,
    target: Annotated[str, typer.Option("--target", help="Only about this.", autocompletion=complete_target, show_default=False)] = "",
    limit: Annotated[int | None, typer.Option("--limit", min=1, help=f"The newest N (default: all with --since, else {NEWEST}).")] = None,
) -> Document:
    """List what happened, oldest first."""
    from mcml.core.when import moment
    from mcml.incident.words import say
    from mcml.store import views
    from mcml.store.journal import Query

    now = session.clock()
    kinds = tuple(name if "." in name else f"{name}." for name in kind or ())
    begin, end = (moment(text, now) if text else None for text in (since, until))
    newest = limit or (None if begin else NEWEST)
    return views.entry_list(session.store.entries(Query(begin, end, kinds, target, limit=newest)), say)


@command(app, "show", examples=("mcml journal show 12", "mcml journal show 12 -o json"))
def show(session: Session, row: Annotated[int, typer.Argument(help="Number of the row.", min=1)]) -> Document:
    """Show one row with all its facts and its hash."""
    from mcml.incident.words import say
    from mcml.store import views
    from mcml.store.journal import Query

    return views.entry_show(session.store.entries(Query(after_seq=row - 1, before_seq=row + 1)), row, say)


@command(app, "verify", examples=("mcml journal verify", "mcml journal verify -o json"))
def verify(session: Session) -> Document:
    """Check the whole chain; exit 1 when a row was changed.

    The hash of each row covers the row and the hash of the row before it, so a changed, missing or inserted row is found. Rows cut off
    at the end are not: keep the head (a postmortem does) and compare it with `mcml journal show`.
    """
    from mcml.store import views

    found = session.store.verify()
    if found.broken_at:
        session.exit_code = exits.FAILED
    return views.verdict(found)
