"""`mcml infra init`."""

import typer

from mcml.cli.infra import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml infra init", "mcml infra init -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "init", examples=EXAMPLES, own_timeout=True)(prepare)


def prepare(session: Session) -> Document:
    """Prepare the working copy of the Terraform module. Optional: plan and apply do it when it is needed."""
    from mcml.infra import views

    with common.desk(session) as desk:
        desk.init()
        return views.init_document(desk.tools.binary, desk.unit, str(desk.work))
