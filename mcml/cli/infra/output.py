"""`mcml infra output`."""

import typer

from mcml.cli.infra import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml infra output", "mcml infra output aws-network", "mcml infra output aws-network -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "output", examples=EXAMPLES)(output)


def output(session: Session, unit: common.Filters = None) -> Document:
    """Show the outputs of the last apply: the targets with their region, folder and ports, and what other units give.

    A sensitive one is named and never shown.
    """
    from mcml.infra.fleet import combined
    from mcml.infra.views import overview as views

    graph, states = common.states(session, unit)
    document = views.output_document(graph, states)
    return common.ended(session, document, combined(states, "read", "mcml infra output"), done=bool(states.done))
