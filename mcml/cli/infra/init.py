"""`mcml infra init`."""

import typer

from mcml.cli.infra import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml infra init", "mcml infra init aws", "mcml infra init -o json")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "init", examples=EXAMPLES, own_timeout=True)(prepare)


def prepare(session: Session, unit: common.Filters = None) -> Document:
    """Prepare the working copies of the Terraform roots. Optional: plan and apply do it when it is needed."""
    from mcml.infra.fleet import combined
    from mcml.infra.views import overview as views

    with common.fleet(session, unit) as fleet:
        results = fleet.init()
        failed = combined(results, "prepared", fleet.tools.command("init"))
        document = views.init_document(fleet.tools.binary, fleet.graph, fleet.folders, results)
        return common.ended(session, document, failed, done=bool(results.done))
