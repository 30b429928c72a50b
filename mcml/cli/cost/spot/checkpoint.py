"""`mcml cost spot checkpoint`."""

from typing import Annotated

import typer

from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost spot checkpoint --takes 40s --between 6h", "mcml cost spot checkpoint --takes 35s --takes 48s --between 2h -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "checkpoint", examples=EXAMPLES)(checkpoint)


def checkpoint(
    _session: Session,
    takes: Annotated[list[str], typer.Option("--takes", help="How long writing a checkpoint took (repeatable).", show_default=False)],
    between: Annotated[str, typer.Option("--between", help="Mean time between two interruptions.", show_default=False)],
    restart: Annotated[str, typer.Option("--restart", help="What every start of a machine costs.")] = "3m",
) -> Document:
    """Say how often to write a checkpoint, by Daly's formula (2006)."""
    from mcml.core.when import duration
    from mcml.cost.spot import views
    from mcml.cost.spot.checkpoint import advise

    costs = [duration(text).total_seconds() for text in takes]
    apart, start = (duration(text).total_seconds() for text in (between, restart))
    return views.checkpoint(advise(costs, apart, start), costs, apart)
