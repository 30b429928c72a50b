"""`mcml data cat`."""

import typer

from mcml.cli.data import common
from mcml.cli.options import command
from mcml.cli.session import Session

EXAMPLES = ("mcml data cat local://models/fraud/metrics.json", "mcml data cat local://logs/today.gz | zcat")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "cat", examples=EXAMPLES)(cat_data)


def cat_data(session: Session, address: common.Where) -> None:
    """Write the bytes of one object to stdout, unchanged; exit 1 when they were damaged on the way, or changed meanwhile."""
    from mcml.data import ends
    from mcml.data.address import parse
    from mcml.data.copy import checked

    end = ends.one(parse(address), common.open_store(session))
    chunks = checked(end.place, ends.existing(end))
    out = session.streams.out.buffer
    for chunk in chunks:
        out.write(chunk)
    out.flush()
