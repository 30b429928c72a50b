"""`mcml cost spot stop`."""

from typing import Annotated

import typer

from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml cost spot stop train", "mcml cost spot stop train --dry-run")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "stop", examples=EXAMPLES, changes=True)(stop)


def stop(session: Session, name: Annotated[str, typer.Argument(help="A spot job.")]) -> Document:
    """Stop a spot job and its machine; what its checkpoints hold stays where they are. Whoever looks after it leaves off.

    Of a job that has ended, whatever machine of it still runs is stopped. Exit 7 when a cloud has not stopped one.
    """
    from mcml.cli.cost.spot import supervisor
    from mcml.cost.spot.watch import wake, watcher

    record = supervisor.known(session, name)
    if session.dry_run:
        return supervisor.shown(session, [record])
    if record.state == "running":
        session.confirm(f"Stop the spot job {name}, {record.saved:.0%} done?")
    stopped = supervisor.of(session, record.order).stop(name)
    if (watch := watcher(supervisor.folder(session), name)) and not wake(watch):
        session.note(f"pid {watch.process.pid} looks after {name} still: it leaves off when its cloud has answered")
    elif watch:
        stopped = supervisor.known(session, name)  # it may have heard of a machine that we have not
    return supervisor.over(session, stopped)
