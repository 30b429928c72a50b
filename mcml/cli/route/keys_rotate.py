"""`mcml route keys rotate`."""

from typing import Annotated

import typer

from mcml.cli.completion import complete_key
from mcml.cli.options import command
from mcml.cli.route import common
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml route keys rotate web-shop", "mcml route keys rotate web-shop --overlap 7d", "mcml route keys rotate web-shop --dry-run")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "rotate", examples=EXAMPLES, changes=True)(rotate)


def rotate(
    session: Session,
    name: Annotated[str, typer.Argument(help="A key.", autocompletion=complete_key)],
    overlap: Annotated[str, typer.Option("--overlap", help="How long the old one holds beside the new one.")] = "1d",
) -> Document:
    """Make a new text for a key.

    The new one has the models and the limit of the old one, and is written once, to stdout. Both are valid until the overlap is over;
    no router has to be started again.
    """
    from mcml.core.when import duration
    from mcml.route.front import keys_views

    desk, both = common.key_desk(session), duration(overlap)
    old = desk.require(name)
    if session.dry_run:
        return keys_views.planned("rotate", name, old[-1].routes)
    return keys_views.made(desk.rotate(name, both))
