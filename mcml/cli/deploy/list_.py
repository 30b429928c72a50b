"""`mcml deploy list`."""

import typer

from mcml.cli.deploy import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml deploy list", "mcml deploy list -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "list", examples=EXAMPLES)(list_deployments)


def list_deployments(session: Session) -> Document:
    """List what runs on every target, whoever started it and whenever."""
    from mcml.deploy import views

    return views.endpoint_list(common.everything(session))
