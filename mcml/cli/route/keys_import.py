"""`mcml route keys import`."""

import typer

from mcml.cli.options import command
from mcml.cli.route import common
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml route keys import < key.txt", "pass show mcml/web-shop | mcml route keys import")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "import", examples=EXAMPLES, changes=True)(import_keys)


def import_keys(session: Session) -> Document:
    """Give this machine the text of keys that another one made.

    One a line on standard input, never an argument: arguments can be read by others. Needed where several routers share a store.
    """
    from mcml.route.front import keys_views

    return keys_views.taken_in(common.key_desk(session).take_in(session.streams.stdin, dry_run=session.dry_run))
