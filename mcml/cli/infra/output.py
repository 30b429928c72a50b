"""`mcml infra output`."""

import typer

from mcml.cli.infra import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml infra output", "mcml infra output -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "output", examples=EXAMPLES)(output)


def output(session: Session) -> Document:
    """Show the outputs of the last apply: the targets with their region, folder and ports."""
    from mcml.infra import views
    from mcml.infra.state import read_state

    return views.output_document(read_state(*common.unit_of(session)))
