"""`mcml cost rightsize clean`."""

import typer

from mcml.cli.cost.rightsize.sites import Key
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost rightsize clean eu-1/i-0abc --dry-run", "mcml cost rightsize clean eu-1/i-0abc")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "clean", examples=EXAMPLES, changes=True)(clean)


def clean(session: Session, machine: Key) -> Document:
    """Delete the snapshots that were taken before the changes of a machine that have ended."""
    from mcml.cli.cost.rightsize import changing, sites
    from mcml.cost.rightsize import change_views, copies

    snapshots = changing.work(session, sites.read_key(machine)[0]).site.snapshots
    kept = copies.kept(session.store, snapshots, machine)
    if kept and not session.dry_run:
        session.confirm(f"Delete {len(kept)} snapshots of {machine}?")
        copies.clean(session.store, snapshots, machine, session.clock)
    return change_views.cleaned(machine, kept)
