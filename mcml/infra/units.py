"""From the configuration to units: one Terraform module with one state, and the variables it is given (pure)."""

import os.path
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mcml.core.errors import ProviderCannot
from mcml.core.schema import Settings, Target


@dataclass(frozen=True)
class Unit:
    """One Terraform module applied for one environment.

    `name` is the unit's and the module's folder (`terraform/<name>`); `targets` are the names this unit makes; `healed_by` is the
    resource that makes one, so that a target which is gone can be made again.
    """

    name: str
    environment: str
    targets: tuple[str, ...]
    variables: Mapping[str, object] = field(default_factory=dict)
    healed_by: str = ""


@dataclass(frozen=True)
class Folders:
    """Where a unit lives below the project's state folder: `.mcml/infra/<unit>` is the working copy of its module."""

    state: Path

    @property
    def infra(self) -> Path:
        """Everything of this room."""
        return self.state / "infra"

    def work(self, unit: str) -> Path:
        """The folder in which Terraform runs."""
        return self.infra / unit

    def runs(self, unit: str) -> Path:
        """The folder of plan files and streams, one folder a run; a run removes its own."""
        return self.work(unit) / "runs"

    def tfvars(self, unit: str, environment: str) -> Path:
        """The variables of one environment."""
        return self.work(unit) / f"{environment}.tfvars.json"

    def tfstate(self, unit: str, environment: str) -> Path:
        """The state: Terraform's own place for a workspace of its local backend, where `default` has a place of its own."""
        folder = self.work(unit) if environment == "default" else self.work(unit) / "terraform.tfstate.d" / environment
        return folder / "terraform.tfstate"


def units_of(settings: Settings, project: Path, state: Path, *, python: str = "python3") -> tuple[Unit, ...]:
    """Return the units of the environment in force: one a provider, and the local one always, so that a last target can be removed.

    `python` is the interpreter that the local module is to start. A provider whose infrastructure mcml cannot make has no unit.
    """
    wanted = _by_provider(settings)
    return tuple(build(settings, wanted.get(provider, {}), project, state, python) for provider, build in _BUILDERS.items())


def require_built(settings: Settings) -> None:
    """Check that every target belongs to a unit. Raises ProviderCannot naming those of a provider whose infrastructure is not built yet."""
    missing = {provider: targets for provider, targets in _by_provider(settings).items() if provider not in _BUILDERS}
    if missing:
        named = ", ".join(f"{name} ({provider})" for provider, targets in missing.items() for name in targets)
        raise ProviderCannot(
            f"cannot make the infrastructure of {named}",
            why=f"mcml infra makes targets of {', '.join(_BUILDERS)}; for {', '.join(missing)} it is not there yet",
            next_step='use provider = "local" for it, or leave it out of this project',
        )


def _by_provider(settings: Settings) -> dict[str, dict[str, Target]]:
    found: dict[str, dict[str, Target]] = {}
    for name, target in settings.targets.items():
        found.setdefault(target.provider, {})[name] = target
    return found


def _local(settings: Settings, targets: Mapping[str, Target], project: Path, state: Path, python: str) -> Unit:
    configured = settings.providers.get("local", {})
    ports = {"ports": configured["ports_per_target"]} if "ports_per_target" in configured else {}
    variables = {
        "project": settings.name,
        "environment": settings.infra.environment,
        "root": _root(str(configured.get("root", "")), project, state),
        "python": python,
        "targets": {name: {"region": target.region} | ports for name, target in targets.items()},
    }
    return Unit("local", settings.infra.environment, tuple(targets), variables, healed_by="terraform_data.target")


def _root(named: str, project: Path, state: Path) -> str:
    """Return the folder of everything local; inside the state folder as Terraform sees it, so that a project can be moved as a whole."""
    root = (project / Path(named).expanduser()).absolute() if named else state.absolute() / "local"
    if root.is_relative_to(state.absolute()):
        return os.path.relpath(root, Folders(state.absolute()).work("local"))
    return str(root)


_BUILDERS: Mapping[str, Callable[[Settings, Mapping[str, Target], Path, Path, str], Unit]] = {"local": _local}
