"""`mcml cost spot clean`."""

from typing import Annotated

import typer

from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost spot clean train --dry-run", "mcml cost spot clean train --yes")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "clean", examples=EXAMPLES, changes=True)(clean)


def clean(session: Session, name: Annotated[str, typer.Argument(help="A spot job that has ended.")]) -> Document:
    """Delete the stopped machines of a spot job with their disks, which cost on as long as they are there."""
    from mcml.cli.cost.spot import supervisor
    from mcml.cost.spot import disks, views

    record = supervisor.known(session, name)
    sites = supervisor.of(session, record.order).sites
    found = disks.deletable(record, sites)
    if found and not session.dry_run:
        session.confirm(f"Delete {', '.join(one.name for one in found)}, stopped by {name}, and what is on the disks?")
        disks.delete(record, found, sites, session.store, session.clock)
    return views.left(found)
