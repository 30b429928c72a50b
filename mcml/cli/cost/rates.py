"""`mcml cost rates`."""

from typing import Annotated

import typer

from mcml.cli.cost import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost rates", "mcml cost rates --on 2026-10-03", "mcml cost report --month 2026-10 --currency EUR")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "rates", examples=EXAMPLES)(list_rates)


def list_rates(
    session: Session, on: Annotated[str, typer.Option("--on", help="As they are for this day: 2026-10-03, yesterday.")] = "today"
) -> Document:
    """List the exchange rates of [cost.rates] and how old they are. Costs are converted only where --currency, or a budget, asks for it."""
    from mcml.core.when import moment
    from mcml.cost.rates import views

    known = common.rates(session) if session.settings.cost.rates.file else None
    return views.listed(known, moment(on, session.clock()).date())
