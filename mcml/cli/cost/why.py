"""`mcml cost why`."""

from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.cost import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

if TYPE_CHECKING:
    from mcml.cost.span import Span
    from mcml.cost.why.views import Done

EXAMPLES = (
    "mcml cost why 2026-09 2026-10",
    "mcml cost why last-week this-week --by team",
    "mcml cost why 2026-10-01..2026-10-07 2026-10-08..2026-10-14 --where team=risk --by service,resource -o json",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "why", examples=EXAMPLES, rows=True)(why)


def why(
    session: Session,
    before: Annotated[str, typer.Argument(help="A span: 2026-09, last-week, 2026-W38, 2026-09-01..2026-09-15.", show_default=False)],
    after: Annotated[str, typer.Argument(help="The span to explain.", show_default=False)],
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            help="What to split by, down to resource (repeatable, or with commas; default: service). SKUs stand below each.",
            autocompletion=common.complete_dimension,
            show_default=False,
        ),
    ] = None,
    where: common.Where = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="At most so many lines a currency; the others become one (0: all).")] = 0,
    rows: Annotated[bool, typer.Option("--rows", help="The rows of both spans, dearest first, and the query.")] = False,
    as_of: common.AsOf = "",
) -> Document:
    """Split the change of cost between two spans exactly: volume, mix, rate, commitment, new, gone, and what is no usage.

    volume: more was used. mix: dearer or cheaper things were used. rate: the same price went up or down. commitment: commitment
    discounts took more or less off. A span that is not over yet is compared with the same part of the other.
    """
    from mcml.cost.movers import comparable
    from mcml.cost.span import pair, read
    from mcml.cost.why import views
    from mcml.cost.why.split import explain
    from mcml.store.ledger.book import Scope
    from mcml.store.ledger.paid import paid

    ledger, names, now = common.ledger(session, as_of), comparable(common.names(by, ("service",))), session.clock()
    later, earlier = pair(read(after, now), before, now, ledger.as_of)
    was, will = (Scope(span.start, span.end, filters=common.filters(where)) for span in (earlier, later))
    if rows:
        return common.rows(session, common.either(earlier, later, will.filters), limit, as_of=as_of)
    found = explain(paid(ledger, names, was), paid(ledger, names, will), limit=limit)
    shown = views.why(names, found, earlier, later, _done(session, earlier, later))
    return common.sourced(ledger, shown, before=was, after=will)


def _done(session: Session, *spans: "Span") -> "list[Done]":
    """Return what the journal has of deploys and infrastructure in both spans, oldest first, nothing twice."""
    from mcml.incident.words import say
    from mcml.store.journal import Query

    found = {
        entry.seq: (entry.at, entry.kind, say(entry))
        for span in spans
        for entry in session.store.entries(Query(span.start, span.end, ("deploy.", "infra.")))
    }
    return [found[seq] for seq in sorted(found)]
