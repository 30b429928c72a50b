"""`mcml cost spot status`."""

from typing import Annotated

import typer

from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost spot status", "mcml cost spot status train -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "status", examples=EXAMPLES)(status)


def status(session: Session, name: Annotated[str, typer.Argument(help="One job; all without.", show_default=False)] = "") -> Document:
    """Show the spot jobs: where each runs, how far it is, what it has cost and saved, who looks after it; and how the places have been."""
    from mcml.cli.cost.spot import supervisor
    from mcml.cost.spot import market, order, views
    from mcml.store import documents

    with session.store.reading() as connection:
        kept = [order.read(one.content) for one in documents.every(connection, order.KIND)]
    if name:
        kept = [supervisor.known(session, name)]
        supervisor.note_left(session, kept[0])
    for record in kept:
        if views.not_over(record):
            session.note(f"{record.name} has ended, and {views.not_over(record)}: mcml cost spot stop {record.name}")
    for left in supervisor.alone(session, kept):
        session.note(f"nobody on this machine looks after {left}: mcml cost spot run {left} --detach")
    return supervisor.shown(session, kept, market.every(session.store))
