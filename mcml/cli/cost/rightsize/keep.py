"""`mcml cost rightsize keep`."""

import typer

from mcml.cli.cost.rightsize.sites import Key
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost rightsize keep eu-1/i-0abc --dry-run", "mcml cost rightsize keep eu-1/i-0abc --yes")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "keep", examples=EXAMPLES, changes=True)(keep)


def keep(session: Session, machine: Key) -> Document:
    """Leave a machine with the type it was given: one that is stuck or on its way back is started as it is, one that is watched is done."""
    from mcml.cli.cost.rightsize import changing, sites
    from mcml.cost.rightsize import change_views
    from mcml.cost.rightsize.change import keepable

    at_work = changing.work(session, sites.read_key(machine)[0])
    change = keepable(session.store, machine)
    if session.dry_run:
        return change_views.changes([change], session.clock())
    session.confirm(f"Keep {machine} as {change.after}? It is not watched any more.")
    return changing.ended(session, at_work.run(at_work.keep(at_work.taken_up(machine))))
