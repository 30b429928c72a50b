"""`mcml cost budgets`: list, check, show."""

from typing import Annotated

import typer

from mcml.cli.cost import common
from mcml.cli.lazy import group
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

app = group(
    "budgets",
    "What may be spent, over all clouds at once: list, check, show.",
    examples=("mcml cost budgets", "mcml cost budgets show risk", "mcml cost budgets check     # from cron, every hour"),
    default="list",
)


def register(above: typer.Typer) -> None:
    """Add the word to the one above it."""
    above.add_typer(app)


@command(app, "list", examples=("mcml cost budgets", "mcml cost budgets -o json"))
def list_budgets(session: Session) -> Document:
    """List the budgets of mcml.toml: what is spent, what will be, and whether an alert is on. Nothing is written."""
    from mcml.cost.budget import desk, views

    known = session.settings.cost.budgets
    return views.budgets(desk.look(common.ledger(session), session.store, known, session.clock()))


@command(app, "show", examples=("mcml cost budgets show risk",))
def show(session: Session, name: Annotated[str, typer.Argument(help="A budget of mcml.toml.")]) -> Document:
    """Show one budget: its period, what is spent and estimated, how fast it burns, and which alerts are on."""
    from mcml.core.errors import unknown
    from mcml.cost.budget import desk, views

    known = session.settings.cost.budgets
    if name not in known:
        raise unknown("budget", name, known, next_step="mcml cost budgets")
    (standing,) = desk.look(common.ledger(session), session.store, {name: known[name]}, session.clock())
    return views.budget(standing)


@command(app, "check", examples=("mcml cost budgets check", "mcml cost budgets check --dry-run"), changes=True)
def check(session: Session) -> Document:
    """Write into the journal which alerts came on or went off since the last check, and open incidents where that is asked for."""
    from mcml.cost.budget import desk, views
    from mcml.incident.desk import record_within

    known, ledger = session.settings.cost.budgets, common.ledger(session)
    told = desk.check(ledger, session.store, known, session.clock, record_within, dry_run=session.dry_run)
    return views.checked(told, dry_run=session.dry_run)
