"""`mcml route stop`."""

import typer

from mcml.cli.options import command
from mcml.cli.route import common
from mcml.cli.session import Session
from mcml.core.errors import NotFound
from mcml.core.view import Document


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "stop", examples=("mcml route stop", "mcml route stop --dry-run"), changes=True, own_timeout=True)(stop)


def stop(session: Session) -> Document:
    """End the router, once running requests are done.

    Models keep running.
    """
    from mcml.route import serve, views
    from mcml.route.records import read_engine, read_running

    folder = common.folder(session)
    if session.dry_run:
        running = read_running(folder)
        ended = running.process if running else read_engine(folder)
        if ended is None:
            raise NotFound("no router of this project runs", next_step="mcml route serve")
        return views.stopped(ended, dry_run=True)
    return views.stopped(serve.stop(folder, seconds=session.timeout or serve.STOP_SECONDS))
