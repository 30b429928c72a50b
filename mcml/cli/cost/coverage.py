"""`mcml cost coverage`."""

from typing import Annotated

import typer

from mcml.cli.cost import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = (
    "mcml cost coverage --last month",
    "mcml cost coverage --key team --key tag:cost-centre --where provider=AWS",
    "mcml cost coverage --where team= --last month --rows -o csv     # the usage that has no team",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "coverage", examples=EXAMPLES, rows=True)(coverage)


def coverage(
    session: Session,
    key: Annotated[
        list[str] | None,
        typer.Option(
            "--key",
            help="What usage should carry: a dimension or tag:KEY (repeatable; default: team, project, model, environment).",
            autocompletion=common.complete_dimension,
            show_default=False,
        ),
    ] = None,
    where: common.Where = None,
    since: Annotated[str, typer.Option("--since", help="30m, 7d, today, 2026-11-01: charges that start then or later.")] = "",
    until: Annotated[str, typer.Option("--until", help="The same; charges that start before.")] = "",
    month: common.Month = "",
    last: common.Last = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="With --rows: at most so many (0: 100).")] = 0,
    rows: Annotated[bool, typer.Option("--rows", help="The rows of usage behind these numbers, dearest first, and the query.")] = False,
    as_of: common.AsOf = "",
) -> Document:
    """Show what share of usage says whose it is, worst services first, and how commitments are used and what they cover."""
    from dataclasses import replace

    from mcml.cost.coverage import measure, views
    from mcml.store.ledger.commitments import commitments, covered_services
    from mcml.store.ledger.dimensions import parse

    ledger, scope = common.ledger(session, as_of), common.chosen(session, where, since, until, month, last)
    usage = replace(scope, filters=(*scope.filters, parse("charge=Usage")))
    if rows:
        return common.rows(session, usage, limit, as_of=as_of)
    names = common.names(key, measure.KEYS)
    measured = [found for name in names for found in measure.keys(name, ledger.totals(("service", name), usage))]
    shown = views.coverage(measured, commitments(ledger, scope), covered_services(ledger, scope))
    return common.sourced(ledger, shown, usage=usage)
