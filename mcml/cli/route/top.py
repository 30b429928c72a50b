"""`mcml route top`."""

from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.completion import complete_route
from mcml.cli.options import command
from mcml.cli.route import common
from mcml.cli.session import Session
from mcml.core.errors import unknown
from mcml.core.view import Document

if TYPE_CHECKING:
    from mcml.route.records import Running

EXAMPLES = ("mcml route top                  # until Ctrl-C", "mcml route top fraud --every 0.5", "mcml route top | cat            # once")
PIPED_WIDTH = 200


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "top", examples=EXAMPLES, own_timeout=True)(top)


def top(
    session: Session,
    route: Annotated[str, typer.Argument(help="A route of mcml.toml; all when left out.", autocompletion=complete_route)] = "",
    every: Annotated[float, typer.Option("--every", min=0.2, max=60.0, help="Seconds between two looks.")] = 1.0,
) -> Document | None:
    """Watch every backend live.

    Requests per second, latency, errors, weight, price and breaker, with the last minutes as sparklines; until Ctrl-C or --timeout.
    Into a pipe, or with -o json: once, the data of `mcml route status`.
    """
    from mcml.ui.screen import watch

    if route and route not in session.settings.routes:
        raise unknown("route", route, session.settings.routes, next_step="mcml config show")
    running = common.running(session)
    if session.common.output != "table" or not session.streams.out_is_terminal:
        return _look(session, running, route, PIPED_WIDTH)
    watch(lambda width: _look(session, running, route, width), session.streams, session.clock, every=every, seconds=session.timeout)
    return None


def _look(session: Session, running: "Running", route: str, width: int) -> Document:
    from mcml.core.errors import Unavailable
    from mcml.route import records, views
    from mcml.route.ask import ask

    folder = common.folder(session)
    now_running = records.read_running(folder)
    told = records.read_status(folder)
    try:
        history = ask(now_running or running, "/history?most=60")
    except Unavailable:
        history = {"routes": {}}
    shown = {**told, "routes": [one for one in told["routes"] if route in ("", one["route"])]}
    return views.top(shown, history, now_running, records.read_engine(folder), session.clock(), width=width)
