"""`mcml data ls`."""

import typer

from mcml.cli.data import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml data ls local://models/", "mcml data ls -r local://models/fraud", "mcml data ls . -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "ls", examples=EXAMPLES)(list_data)


def list_data(session: Session, address: common.Where = ".", recursive: common.Recursive = False) -> Document:
    """List a bucket, a prefix or a folder: what lies deeper is summed up as folders, or shown with --recursive."""
    from mcml.data import listing, views
    from mcml.data.address import parse

    return views.row_list(listing.list_rows(parse(address), common.open_store(session), recursive=recursive))
