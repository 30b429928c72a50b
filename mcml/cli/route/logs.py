"""`mcml route logs`."""

from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.completion import complete_key, complete_route
from mcml.cli.options import command
from mcml.cli.route import common
from mcml.cli.session import Session
from mcml.core.errors import Usage, unknown
from mcml.core.view import Document

if TYPE_CHECKING:
    from pathlib import Path

    from mcml.route.access_log import Wanted

EXAMPLES = (
    "mcml route logs                         # the last requests",
    "mcml route logs -f --errors             # follow what fails, until Ctrl-C",
    "mcml route logs fraud --key web-shop --since 10m",
    "mcml route logs --since 1h -n 0 -o json",
    "mcml route logs --evidence              # where requests to residency routes went",
)


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "logs", examples=EXAMPLES, own_timeout=True)(logs)


def logs(
    session: Session,
    route: Annotated[str, typer.Argument(help="A route of mcml.toml; all when left out.", autocompletion=complete_route)] = "",
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as requests come in.")] = False,
    errors: Annotated[bool, typer.Option("--errors", help="Only answers of 400 and above, and requests that broke off.")] = False,
    key: Annotated[str, typer.Option("--key", help="Only of this API key.", autocompletion=complete_key, show_default=False)] = "",
    since: Annotated[str, typer.Option("--since", help="Only since: 10m (ago), today, 2026-11-21T09:00:00Z.", show_default=False)] = "",
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="The last so many; 0: all.")] = 50,
    evidence: Annotated[bool, typer.Option("--evidence", help="Where requests to residency routes went; never rotated.")] = False,
) -> Document | None:
    """Show the router's access log.

    One line a request: which key and route, which backend answered after how many attempts, how long it took. With -f the last lines,
    then one for each request as it ends (with -o json as JSON), until Ctrl-C or --timeout.
    """
    from mcml.core.when import moment
    from mcml.route.access_log import ACCESS_LOG, Wanted, newest
    from mcml.route.config.evidence import EVIDENCE_FILE
    from mcml.route.show import evidence_views, log_views

    if route and route not in session.settings.routes:
        raise unknown("route", route, session.settings.routes, next_step="mcml config show")
    wanted = Wanted(errors=errors, key=key, route=route, since=moment(since, session.clock()) if since else None)
    log = common.folder(session) / (EVIDENCE_FILE if evidence else ACCESS_LOG)
    if not follow:
        found = newest(log, wanted, lines)
        return evidence_views.evidence(found) if evidence else log_views.requests(found)
    _follow(session, wanted, log, lines)
    return None


def _follow(session: Session, wanted: "Wanted", log: "Path", lines: int) -> None:
    """Write a line for each request, until --timeout is over; Ctrl-C ends it, too, and is no failure."""
    import json

    from mcml.route.access_log import ACCESS_LOG, follow
    from mcml.route.show import log_views

    if session.common.output not in ("table", "json"):
        why = f"as {session.common.output} it is whole only at its end"
        raise Usage("what is followed has no end", why=why, next_step="mcml route logs -f -o json")
    as_json = session.common.output == "json" or log.name != ACCESS_LOG
    common.running(session)
    try:
        for entry in follow(log, wanted, lines, lambda: session.timeout == 0):
            session.stdout_write((json.dumps(entry) if as_json else log_views.line(entry)) + "\n")
    except KeyboardInterrupt:
        return
