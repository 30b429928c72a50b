"""`mcml deploy delete`."""

from typing import Annotated

import typer

from mcml.cli.completion import complete_model
from mcml.cli.deploy import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml deploy delete fraud", "mcml deploy delete fraud --target aws-use1 --yes")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "delete", examples=EXAMPLES, changes=True)(delete_model)


def delete_model(
    session: Session,
    name: Annotated[str, typer.Argument(help="Model of mcml.toml.", autocompletion=complete_model)],
    target: common.OnlyTargets = None,
) -> Document:
    """Stop a model on its targets and remove what belongs to it; its cost stays in the bill."""
    from mcml.deploy import run, views
    from mcml.deploy.plan import plan_delete

    targets = common.chosen_targets(common.known_model(session, name), target)
    endpoints = common.open_endpoints(session, targets)
    plan = plan_delete(name, common.describe(endpoints, name))
    if not session.dry_run and plan.changes:
        session.confirm(f"Stop {name} on {', '.join(step.target for step in plan.changes)}?")
        run.run(common.work(session, plan, name, None, endpoints))
    return views.plan_document(plan)
