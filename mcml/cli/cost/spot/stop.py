"""`mcml cost spot stop`."""

from typing import Annotated

import typer

from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.errors import PartlyDone
from mcml.core.view import Document

EXAMPLES = ("mcml cost spot stop train", "mcml cost spot stop train --dry-run")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "stop", examples=EXAMPLES, changes=True)(stop)


def stop(session: Session, name: Annotated[str, typer.Argument(help="A spot job.")]) -> Document:
    """Stop a spot job and its machine; what its checkpoints hold stays where they are. Whoever looks after it leaves off."""
    from mcml.cli.cost.spot import supervisor
    from mcml.cost.spot.watch import wake, watcher

    record = supervisor.known(session, name)
    if (record.state != "running" and not record.leaving) or session.dry_run:
        return supervisor.shown(session, [record])
    session.confirm(f"Stop the spot job {name}, {record.saved:.0%} done?")
    stopped = supervisor.of(session, record.order).stop(name)
    if (watch := watcher(supervisor.folder(session), name)) and not wake(watch):
        session.note(f"pid {watch.process.pid} looks after {name} still: it leaves off when its cloud has answered")
    if stopped.leaving:
        session.show(supervisor.shown(session, [stopped]))
        left = ", ".join(f"{one.name} {one.instance}".strip() for one in stopped.leaving)
        why, step = f"its cloud has not stopped {left}", f"mcml cost spot stop {name}"
        raise PartlyDone(f"the spot job {name} has ended, and a machine of it may still run", why=why, next_step=step)
    supervisor.note_left(session, stopped)
    return supervisor.shown(session, [stopped])
