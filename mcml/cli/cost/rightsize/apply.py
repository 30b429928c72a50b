"""`mcml cost rightsize apply`."""

from typing import Annotated

import typer

from mcml.cli.cost.rightsize.changing import NoSnapshot, NoWait, Watch
from mcml.cli.cost.rightsize.sites import Key
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = (
    "mcml cost rightsize apply eu-1/i-0abc --dry-run",
    "mcml cost rightsize apply eu-1/i-0abc --watch 1h",
    "mcml cost rightsize apply eu-1/i-0abc --to m7i.large --yes --no-wait",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "apply", examples=EXAMPLES, changes=True)(apply)


def apply(
    session: Session,
    machine: Key,
    to: Annotated[str, typer.Option("--to", help="This type.  [default: what is recommended]", show_default=False)] = "",
    force: Annotated[bool, typer.Option("--force", help="Also when --to does not fit, or a stop empties local disks.")] = False,
    no_snapshot: NoSnapshot = False,
    watch: Watch = "",
    no_wait: NoWait = False,
) -> Document:
    """Give a machine the type it needs: copy its disks, stop, resize, start, watch; it goes back by itself when it is not well.

    Not well: it ends, its memory is full, its CPU is saturated where it has less than before, a health signal of mcml.toml, or trouble of
    its target that stays. Whoever does it may be killed: the same command goes on. Snapshots are kept until `clean`.
    """
    from mcml.cli.cost.rightsize import changing, sites
    from mcml.cost.rightsize import change_views
    from mcml.cost.rightsize.change import unfinished

    at_work = changing.work(session, sites.read_key(machine)[0])
    change = unfinished(session.store, machine, to)
    if change is None:
        wish = changing.wish(session, at_work, watch, no_snapshot=no_snapshot, to=to, force=force)
        planned = changing.recommended(session, at_work, machine, wish)
        if session.dry_run:
            return change_views.plan(planned)
        return changing.ended(session, at_work.run(changing.begun(session, at_work, planned), wait=not no_wait))
    if session.dry_run:
        return change_views.changes([change], session.clock())
    session.note(f"{machine}: going on with {change.before} -> {change.after}, begun {change.started:%Y-%m-%d %H:%M} UTC")
    return changing.ended(session, at_work.run(at_work.resume(machine), wait=not no_wait))
