"""`mcml route serve`."""

import sys
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.options import command
from mcml.cli.route import common
from mcml.cli.session import Session
from mcml.core.view import Document

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcml.core.schema_routes import Router

EXAMPLES = (
    "mcml route serve                     # until Ctrl-C",
    "mcml route serve --detach            # returns once it serves; mcml route stop ends it",
    "mcml route serve --port 0            # on a free port",
)
START_SECONDS = 60.0


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "serve", examples=EXAMPLES, changes=True, own_timeout=True)(serve)


def serve(
    session: Session,
    detach: Annotated[bool, typer.Option("--detach", help="Serve in the background.")] = False,
    host: Annotated[str | None, typer.Option(help="Address to listen on.  [default: router.host]", show_default=False)] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Port.  [default: router.port]", show_default=False)] = None,
    engine: Annotated[str, typer.Option(help="The proxy that carries the requests.")] = "envoy",
) -> Document | None:
    """Put Envoy in front of every route.

    Backends get traffic by latency, cost and reliability; one that fails gets none. Ctrl-C or SIGTERM let running requests end first.
    In the foreground, --timeout ends it after so many seconds; detached, it is how long to wait until it serves.
    """
    where = common.listen(session, host, port)
    if session.dry_run:
        return _plan(session, where)
    if detach:
        return _detached(session, where, [*_flag("--host", host), *_flag("--port", port), "--engine", engine])
    _foreground(session, lambda now: common.listen(now, host, port), engine)
    return None


def _plan(session: Session, where: "Router") -> Document:
    from mcml.route import views
    from mcml.route.records import read_running

    known = common.Backends(session)()
    models = {name: route.model or name for name, route in session.settings.routes.items()}
    of = {name: [backend.name for backend in known if backend.model == model] for name, model in models.items()}
    return views.plan(read_running(common.folder(session)), of, f"{where.host}:{where.port}")


def _flag(name: str, value: object) -> list[str]:
    return [] if value is None else [name, str(value)]


def _detached(session: Session, where: "Router", flags: list[str]) -> Document:
    """Start the same command without --detach as a process of its own; where no flag says otherwise it goes by mcml.toml, also later."""
    from mcml.route import views
    from mcml.route.serve import start_detached

    argv = [sys.executable, "-m", "mcml", "route", "serve", *flags]
    argv += ["--profile", session.config.profile] if session.config.profile else []
    seconds = session.timeout or START_SECONDS
    return views.serving(start_detached(common.folder(session), where, argv, cwd=session.config.project, seconds=seconds))


def _foreground(session: Session, listen: "Callable[[Session], Router]", engine: str) -> None:
    from mcml.route.serve import serve as serve_until
    from mcml.route.serve import until_signalled

    with until_signalled(threading.Event(), after=session.timeout) as stop:
        serve_until(common.setup(session, listen), stop, engine=engine)
