"""`mcml cost rightsize explain`."""

import typer

from mcml.cli.cost.rightsize.sites import Key
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost rightsize explain eu-1/i-0abc", "mcml cost rightsize explain eu-1/i-0abc -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "explain", examples=EXAMPLES)(explain)


def explain(session: Session, machine: Key) -> Document:
    """Show why a machine should have another type or not: its usage, what fits, what does not, how the saving was computed."""
    from mcml.cli.cost import common
    from mcml.cli.cost.rightsize import sites
    from mcml.cost.rightsize import look, views

    target, identifier = sites.read_key(machine)
    settings = session.settings.cost.rightsizing
    found = look.inspect(sites.site(session, target), settings, common.ledger(session), session.clock(), identifier)
    return views.explained(found[0], settings)
