"""`mcml cost rightsize undo`."""

import typer

from mcml.cli.cost.rightsize.changing import NoSnapshot, NoWait, Watch
from mcml.cli.cost.rightsize.sites import Key
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost rightsize undo eu-1/i-0abc --dry-run", "mcml cost rightsize undo eu-1/i-0abc --yes")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "undo", examples=EXAMPLES, changes=True)(undo)


def undo(session: Session, machine: Key, no_snapshot: NoSnapshot = False, watch: Watch = "", no_wait: NoWait = False) -> Document:
    """Give a machine the type back that it had before its last change; one that is still watched goes back at once."""
    from mcml.cli.cost.rightsize import changing, sites
    from mcml.cost.rightsize import change_views
    from mcml.cost.rightsize.change import undoable

    at_work = changing.work(session, sites.read_key(machine)[0])
    change = undoable(session.store, machine)
    if change.under_way:
        if session.dry_run:
            return change_views.changes([change], session.clock())
        stopped = " It is stopped meanwhile." if change.stage == "watch" else " Nothing of it is changed yet."
        session.confirm(f"Take {machine} back to {change.before}?{stopped}")
        return changing.ended(session, at_work.run(at_work.undo(at_work.resume(machine))), wanted=("rolled back",))
    planned = at_work.undone(change, changing.wish(session, at_work, watch, no_snapshot=no_snapshot))
    if session.dry_run:
        return change_views.plan(planned)
    return changing.ended(session, at_work.run(changing.begun(session, at_work, planned), wait=not no_wait))
