"""`mcml route keys revoke`."""

from typing import Annotated

import typer

from mcml.cli.completion import complete_key
from mcml.cli.options import command
from mcml.cli.route import common
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml route keys revoke web-shop", "mcml route keys revoke web-shop --yes")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "revoke", examples=EXAMPLES, changes=True)(revoke)


def revoke(session: Session, name: Annotated[str, typer.Argument(help="A key.", autocompletion=complete_key)]) -> Document:
    """Take a key back.

    All texts of this name are refused within a second, on open connections, too; by every router that shares the store.
    """
    from mcml.route.front import keys_views

    desk = common.key_desk(session)
    old = desk.require(name)
    if session.dry_run:
        return keys_views.planned("revoke", name, old[-1].routes)
    session.confirm(f"revoke the API key {name}? Its clients are refused at once")
    return keys_views.revoked(name, desk.revoke(name))
