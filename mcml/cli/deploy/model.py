"""`mcml deploy model`."""

from typing import Annotated

import typer

from mcml.cli.completion import complete_model
from mcml.cli.deploy import common
from mcml.cli.options import command
from mcml.cli.session import Session
from mcml.core.view import Document

EXAMPLES = ("mcml deploy model fraud", "mcml deploy model fraud --target aws-use1 --dry-run")


def register(app: typer.Typer) -> None:
    """Add the verb to its word."""
    command(app, "model", examples=EXAMPLES, changes=True)(deploy_model)


def deploy_model(
    session: Session,
    name: Annotated[str, typer.Argument(help="Model of mcml.toml.", autocompletion=complete_model)],
    target: common.OnlyTargets = None,
) -> Document:
    """Start a model on its targets. Each new version is verified from outside, then gets the traffic; the old one goes last."""
    from mcml.cli.deploy.guard import require_allowed
    from mcml.cli.deploy.priced import prices
    from mcml.core.package import read_package
    from mcml.deploy import run, views
    from mcml.deploy.plan import plan_deploy

    model = common.known_model(session, name)
    targets = common.chosen_targets(model, target)
    package = read_package(common.source_folder(session, name, model), name=name)
    common.require_applied(session, targets)
    endpoints = common.open_endpoints(session, targets)
    plan = plan_deploy(name, package, common.describe(endpoints, name), model.resources)
    require_allowed(session, plan, endpoints)
    if session.dry_run:
        return views.plan_document(plan, prices(session, plan, endpoints))
    run.run(common.work(session, plan, name, package, endpoints))
    return views.endpoint_list(endpoint for endpoint in common.describe(endpoints, name).values() if endpoint)
