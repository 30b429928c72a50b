"""`mcml route keys add`."""

from typing import Annotated

import typer

from mcml.cli.completion import complete_route
from mcml.cli.options import command
from mcml.cli.route import common
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = (
    "mcml route keys add web-shop                                   # shown once",
    "mcml route keys add batch --model fraud --model spam --limit 20/s --expires 90d",
    "mcml route keys add ci -o name > key.txt                       # the key alone",
)
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="A route that it is for; again for each.", autocompletion=complete_route, show_default=False),
]


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "add", examples=EXAMPLES, changes=True)(add)


def add(
    session: Session,
    name: Annotated[str, typer.Argument(help="Who it is for; it stands in the access log.")],
    model: Models = None,
    limit: Annotated[str, typer.Option("--limit", help="Most requests, at each router: 20/s, 600/m, 5/10s.", show_default=False)] = "",
    expires: Annotated[str, typer.Option("--expires", help="How long it holds: 90d, 12h.", show_default=False)] = "",
) -> Document:
    """Make an API key.

    Its text is written once, to stdout, and is nowhere else to be read but in files of the router that only you can open. A router
    that runs takes it up within a second; it asks for keys when mcml.toml has `keys = true` under [router].
    """
    from mcml.core.when import later
    from mcml.route.front import keys_views
    from mcml.route.front.keys import Wanted, parse_rate

    ends = later(session.clock(), expires) if expires else None
    wanted = Wanted(name, tuple(model or ()), parse_rate(limit) if limit else None, ends)
    desk = common.key_desk(session)
    desk.check(wanted)
    if session.dry_run:
        return keys_views.planned("add", name, wanted.routes)
    made = desk.add(wanted)
    common.note_keys_off(session)
    return keys_views.made(made)
