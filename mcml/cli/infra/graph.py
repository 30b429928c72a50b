"""`mcml infra graph`."""

from typing import Annotated

import typer

from mcml.cli.infra import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml infra graph", "mcml infra graph aws ...gcp-ml", "mcml infra graph --dot | dot -Tsvg > units.svg")
Dot = Annotated[bool, typer.Option("--dot", help="Write it for Graphviz, as `terraform graph` does.")]


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "graph", examples=EXAMPLES)(graph)


def graph(session: Session, unit: common.Filters = None, dot: Dot = False) -> Document | None:
    """Show the units, what each needs, and so in which order they are applied. Reads mcml.toml and nothing else."""
    from mcml.infra.views import graph_views

    whole, _ = common.whole(session)
    selected = whole.select(unit or ())
    if dot:
        session.stdout_write(graph_views.dot(selected))
        return None
    return graph_views.graph_document(selected)
