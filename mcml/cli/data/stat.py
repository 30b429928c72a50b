"""`mcml data stat`."""

import typer

from mcml.cli.data import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml data stat local://models/fraud/model.onnx", "mcml data stat model.onnx -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "stat", examples=EXAMPLES)(stat_data)


def stat_data(session: Session, address: common.Where) -> Document:
    """Show size, checksum, etag, version and time of one object; a file is read for its SHA-256."""
    from threading import Event

    from mcml.data import ends, views
    from mcml.data.address import parse
    from mcml.data.checksum import DEFAULT
    from mcml.data.copy import with_checksum

    end = ends.one(parse(address), common.open_store(session))
    entry = with_checksum(end.place, ends.existing(end), DEFAULT, Event())
    return views.stat_document(end.place.address(entry.name), entry)
