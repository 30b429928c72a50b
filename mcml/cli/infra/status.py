"""`mcml infra status`."""

import typer

from mcml.cli.infra import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml infra status", "mcml infra status aws", "mcml infra status -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "status", examples=EXAMPLES)(status)


def status(session: Session, unit: common.Filters = None) -> Document:
    """Show every target and unit, whether it is applied, and who is at work. Answers while an apply runs.

    States on this machine are read as files; one in a cloud, or of a root of your own, is asked of Terraform.
    """
    from mcml.infra.fleet import combined
    from mcml.infra.views import overview as views

    graph, states = common.states(session, unit)
    wanted = {} if unit and not any(one.healed_by for one in graph.units) else session.settings.targets
    document = views.status_document(graph, states, wanted)
    return common.ended(session, document, combined(states, "read", "mcml infra status"), done=bool(states.done))
