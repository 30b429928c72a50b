"""What the verbs of `mcml deploy` share: which targets, whether they are applied, and their open endpoints."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcml.cli.completion import complete_target
from mcml.cli.session import Session
from mcml.core.errors import McmlError, NotFound, Usage, unknown
from mcml.core.package import ModelPackage
from mcml.core.plan import Plan
from mcml.providers.api.capability import MODEL_ENDPOINT
from mcml.providers.api.endpoint import Endpoint, ModelEndpoint

if TYPE_CHECKING:
    from mcml.core.schema import Model
    from mcml.deploy.run import Work

OnlyTargets = Annotated[
    list[str] | None, typer.Option("--target", help="Only this target (repeatable).", autocompletion=complete_target, show_default=False)
]


def known_model(session: Session, name: str) -> "Model":
    """Return a model of mcml.toml. Raises NotFound with the nearest name."""
    if name not in session.settings.models:
        raise unknown("model", name, session.settings.models, next_step="mcml config show")
    return session.settings.models[name]


def chosen_targets(model: "Model", only: Iterable[str] | None) -> list[str]:
    """Return the model's targets, or those of them that were named. Raises NotFound for a target that is not the model's."""
    wanted = list(only or model.targets)
    for target in wanted:
        if target not in model.targets:
            raise unknown("target of this model", target, model.targets, next_step="mcml config show")
    return wanted


def require_applied(session: Session, targets: Iterable[str]) -> None:
    """Check the outputs of infra for the targets that it makes. Raises NotFound naming those that are not applied.

    A managed endpoint of a cloud needs none: it is there with the account.
    """
    from mcml.cli.infra.common import applied_targets, whole

    made = {name for unit in whole(session)[0].units for name in unit.targets}
    applied = applied_targets(session)
    missing = [target for target in targets if target in made and target not in applied]
    if missing:
        why = f"applied: {', '.join(sorted(applied))}" if applied else "no target is applied"
        raise NotFound(f"not applied: {', '.join(missing)}", why=why, next_step="mcml infra apply")


def open_endpoints(session: Session, targets: Iterable[str]) -> dict[str, ModelEndpoint]:
    """Open ModelEndpoint on every target."""
    return {target: session.open(MODEL_ENDPOINT, target) for target in targets}


def describe(endpoints: dict[str, ModelEndpoint], model: str) -> dict[str, Endpoint | None]:
    """Return what runs of a model on each target now."""
    return {target: next(iter(endpoint.describe(model)), None) for target, endpoint in endpoints.items()}


def everything(session: Session) -> list[Endpoint]:
    """Return all endpoints on all targets whose provider can run models; one that cannot be asked is said and hides no other."""
    found: list[Endpoint] = []
    for target in session.settings.targets:
        try:
            found += session.open(MODEL_ENDPOINT, target).describe()
        except McmlError as failed:
            session.exit_code = max(session.exit_code, failed.exit_code)
            session.note(f"{target}: {failed.message}" + (f" ({failed.why})" if failed.why else ""))
    return found


def source_folder(session: Session, name: str, model: "Model") -> Path:
    """Return the folder of a model's package. Raises Usage for a source that is no folder."""
    if "://" in model.source or model.source.startswith("mlflow:"):
        raise Usage(f"cannot read models.{name}.source", why=f"{model.source!r} is no folder: remote sources come later")
    return session.config.project / model.source


def work(session: Session, plan: Plan, name: str, package: ModelPackage | None, endpoints: dict[str, ModelEndpoint]) -> "Work":
    """Bundle what a deploy needs; facts go through the incident room, so a failed deploy opens an incident."""
    from mcml.deploy.run import Work
    from mcml.incident import desk

    model = session.settings.models[name]
    tags = {"model": name, "team": model.team, "project": model.project, "environment": session.settings.infra.environment}
    tags = {key: value for key, value in tags.items() if value}
    store = session.store
    record = partial(desk.record, store)
    return Work(plan, name, package, endpoints, record, session.reporter, tags, _grpc(session, name), model.resources)


def _grpc(session: Session, model: str) -> bool:
    """Tell whether a route of the model speaks gRPC."""
    routes = session.settings.routes
    return any(route.protocol != "http" and model in {one or name for one in route.models} for name, route in routes.items())
