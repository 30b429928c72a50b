"""`mcml cost digest`."""

from typing import Annotated

import typer

from mcml.cli.cost import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = (
    "mcml cost digest                              # yesterday",
    "mcml cost digest --weekly -o html > week.html",
    "mcml cost digest --day 2026-11-20 --where team=risk -o markdown",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "digest", examples=EXAMPLES)(digest)


def digest(
    session: Session,
    daily: Annotated[bool, typer.Option("--daily/--weekly", help="Of a day or of a week, Monday to Sunday.")] = True,
    day: Annotated[str, typer.Option("--day", help="That day, or its week (default: yesterday, last week).", show_default=False)] = "",
    by: Annotated[
        list[str] | None,
        typer.Option(
            "--by",
            help="What moves (repeatable, or with commas; default: service).",
            autocompletion=common.complete_dimension,
            show_default=False,
        ),
    ] = None,
    where: common.Where = None,
) -> Document:
    """Show on one page what a day or week cost and why, where the month is going, and what needs somebody.

    What the ledger cannot tell is left out, with the reason: a day whose bill is not complete is compared with nothing.
    """
    from mcml.cost.digest import compose, desk, views

    names, filters = common.names(by, ("service",)), common.filters(where)
    question = compose.asked("day" if daily else "week", day, names, filters, session.clock())
    rates = common.rates_of_budgets(session)
    entries = desk.digest(common.ledger(session), session.store, session.settings.cost, question, rates)
    return views.digest(question, entries)
