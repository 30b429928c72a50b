"""`mcml route drill`."""

from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.completion import complete_route, complete_target
from mcml.cli.options import command
from mcml.cli.route import common
from mcml.cli.session import Session
from mcml.core import exits
from mcml.core.errors import Usage
from mcml.core.view import Document

if TYPE_CHECKING:
    from mcml.route.drill import Drill

EXAMPLES = (
    "mcml route drill fraud --kill aws-use1                   # kill -9 one backend under load; exit 1 if a client saw an error",
    "mcml route drill fraud --kill aws-use1 --requests 20000 --concurrency 32 --max-errors 0 --yes",
    "mcml route drill fraud --load-only                       # the load alone",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "drill", examples=EXAMPLES, changes=True)(drill)


def drill(
    session: Session,
    route: Annotated[str, typer.Argument(help="A route of mcml.toml.", autocompletion=complete_route)],
    kill: Annotated[
        str, typer.Option("--kill", help="Target whose backend is killed halfway.", autocompletion=complete_target, show_default=False)
    ] = "",
    load_only: Annotated[bool, typer.Option("--load-only", help="Kill nothing.")] = False,
    requests: Annotated[int, typer.Option(min=1, max=1_000_000, help="Requests in all.")] = 5000,
    concurrency: Annotated[int, typer.Option(min=1, max=1000, help="Connections at once.")] = 16,
    max_errors: Annotated[int, typer.Option(min=0, help="Failed requests that are still fine.")] = 0,
) -> Document:
    """Kill a backend under load and count errors.

    Sends a bounded load to the project's own router, ends one backend with SIGKILL halfway, and shows what the clients saw.
    The backend must be a model server of mcml on this machine; `mcml deploy model` brings it back.
    """
    from mcml.route import views
    from mcml.route.drill import Drill

    if bool(kill) == load_only:
        raise Usage("say what to do", why="either --kill TARGET or --load-only", next_step="mcml route drill --help")
    wanted = Drill(route, kill, requests, concurrency)
    if session.dry_run:
        return views.drill_plan(wanted, common.running(session).url)
    return _run(session, wanted, max_errors)


def _run(session: Session, wanted: "Drill", max_errors: int) -> Document:
    from mcml.route import views
    from mcml.route.drill import check, run_drill
    from mcml.route.victim import kill, victim

    running, folder = common.running(session), common.folder(session)
    check(wanted, running, folder)
    if wanted.kill:
        process = victim(wanted, folder)
        session.confirm(f"kill -9 process {process.pid}, the backend of {wanted.route} on {wanted.kill}?")
    result = run_drill(
        wanted,
        running,
        folder,
        kill=lambda _: kill(process),
        emit=common.record(session),
        reporter=session.reporter,
        clock=session.clock,
    )
    if result.failed > max_errors:
        session.exit_code = exits.FAILED
    return views.drill(result, max_errors=max_errors)
