"""`mcml route keys list`."""

from typing import Annotated

import typer

from mcml.cli.options import command
from mcml.cli.route import common
from mcml.cli.session import Session
from mcml.core.view import Document


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "list", examples=("mcml route keys list", "mcml route keys list --all", "mcml route keys list -o json"))(list_keys)


def list_keys(session: Session, every: Annotated[bool, typer.Option("--all", help="Also those that hold no more.")] = False) -> Document:
    """List the API keys.

    What each is for, how long it holds, and whether its text is on this machine: a router refuses a key that another machine made
    until `mcml route keys import` has given it the text.
    """
    from mcml.route.front import keys_views

    desk = common.key_desk(session)
    return keys_views.listing_of(desk.every(), desk.here(), session.clock(), every=every)
