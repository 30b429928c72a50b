"""From the configuration to units: Terraform roots with one state each in every environment, and how they are wired (pure)."""

import os.path
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mcml.core.errors import Usage, unknown
from mcml.core.schema import OwnUnit, Settings, Target
from mcml.infra.units import clouds
from mcml.infra.units.backend import Backend

STATES = "terraform.tfstate.d"
"""Terraform's own name of the folder with the workspaces of its local backend."""


@dataclass(frozen=True)
class Input:
    """Where a variable comes from: an output of another unit, or what lies at a path in it."""

    unit: str
    path: tuple[str, ...]

    @property
    def name(self) -> str:
        """As it is written in mcml.toml."""
        return ".".join((self.unit, *self.path))


@dataclass(frozen=True)
class Unit:
    """One Terraform root applied for one environment.

    `accounts` are clouds whose credentials Terraform is given; `secrets` are variables, each with the environment variable that holds it.
    `module` is its folder below `terraform/`; of a root of the user's own it is the whole path, and `own` is True: Terraform runs in it.
    `backend` is None where the state is kept on this machine. `inputs` are the variables that other units' outputs give, `after` what
    must be applied before it besides. `targets` are the names this unit makes; `healed_by` is the resource that makes one, so that a
    target which is gone can be made again.
    """

    name: str
    environment: str
    targets: tuple[str, ...] = ()
    variables: Mapping[str, object] = field(default_factory=dict)
    healed_by: str = ""
    module: str = ""
    own: bool = False
    cloud: str = ""
    layer: str = ""
    accounts: tuple[str, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, Input] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    backend: Backend | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """The units that must be applied before this one."""
        return tuple(dict.fromkeys([*(given.unit for given in self.inputs.values()), *self.after]))


@dataclass(frozen=True)
class Folders:
    """Where units live below the project's state folder: `.mcml/infra/<module>` is the working copy of a shipped root."""

    state: Path

    @property
    def infra(self) -> Path:
        """Everything of this room."""
        return self.state / "infra"

    def home(self, unit: Unit) -> Path:
        """The folder of ours for a unit: the files of its runs, and what Terraform keeps about providers and modules."""
        return self.infra / "own" / unit.name if unit.own else self.infra / (unit.module or unit.name)

    def work(self, unit: Unit) -> Path:
        """The folder in which Terraform runs."""
        return Path(unit.module) if unit.own else self.home(unit)

    def runs(self, unit: Unit) -> Path:
        """The folder of plan files and streams, one folder a run; a run removes its own."""
        return self.home(unit) / "runs"

    def inputs(self, unit: Unit) -> Path:
        """What the unit was last applied with of other units' outputs: a destroy needs it when those are gone."""
        return self.home(unit) / f"{unit.environment}.inputs.json"

    def data(self, unit: Unit) -> Path:
        """Terraform's own folder for what it downloads (TF_DATA_DIR)."""
        return self.home(unit) / ".terraform"

    def tfstate(self, unit: Unit) -> Path:
        """The state: Terraform's own place for a workspace of its local backend, where `default` has a place of its own."""
        folder = self.work(unit) if unit.environment == "default" else self.work(unit) / STATES / unit.environment
        return folder / "terraform.tfstate"


def units_of(settings: Settings, project: Path, state: Path, *, python: str = "python3") -> tuple[Unit, ...]:
    """Return the units of the environment in force.

    The local one is always there, so that a last target can be removed; a cloud has one for each layer that `[infra.clouds]` names; then
    come the roots of one's own. `python` is the interpreter that the local module is to start. Raises Usage, NotFound for wrong wiring.
    """
    made = [_local(settings, project, state, python)]
    made += [_layer(settings, cloud, layer) for cloud in settings.infra.clouds for layer in clouds.layers(settings, cloud)]
    made += [_vpn(settings)] if settings.infra.vpn else []
    for name, own in settings.infra.units.items():
        if name in clouds.EVERY_UNIT:
            raise Usage(f"infra.units.{name} has the name of a unit of mcml", why=f"taken: {', '.join(sorted(clouds.EVERY_UNIT))}")
        made.append(_own(name, own, settings, project))
    names = [unit.name for unit in made]
    for unit in made:
        for needed in unit.needs:
            if needed not in names:
                raise unknown("unit", needed, names, next_step=f"mend infra.units.{unit.name} in mcml.toml")
    if strange := [name for name in settings.infra.secrets if name not in names]:
        raise unknown("unit", strange[0], names, next_step=f"mend infra.secrets.{strange[0]} in mcml.toml")
    return tuple(replace(unit, secrets=settings.infra.secrets.get(unit.name, {})) for unit in made)


def _by_provider(settings: Settings, provider: str) -> dict[str, Target]:
    return {name: target for name, target in settings.targets.items() if target.provider == provider}


def _local(settings: Settings, project: Path, state: Path, python: str) -> Unit:
    targets = _by_provider(settings, "local")
    configured = settings.providers.get("local", {})
    ports = {"ports": configured["ports_per_target"]} if "ports_per_target" in configured else {}
    variables = {
        "project": settings.name,
        "environment": settings.infra.environment,
        "root": _root(str(configured.get("root", "")), project, state),
        "python": python,
        "targets": {name: {"region": target.region} | ports for name, target in targets.items()},
    }
    return Unit("local", settings.infra.environment, tuple(targets), variables, "terraform_data.target", "local", cloud="local")


def _root(named: str, project: Path, state: Path) -> str:
    """Return the folder of everything local; inside the state folder as Terraform sees it, so that a project can be moved as a whole."""
    root = (project / Path(named).expanduser()).absolute() if named else state.absolute() / "local"
    if root.is_relative_to(state.absolute()):
        return os.path.relpath(root, Folders(state.absolute()).infra / "local")
    return str(root)


def _layer(settings: Settings, cloud: str, layer: str) -> Unit:
    name = f"{cloud}-{layer}"
    needs = [other for other in clouds.NEEDS[cloud][layer] if other in clouds.layers(settings, cloud)]
    return Unit(
        name,
        settings.infra.environment,
        variables=clouds.variables(settings, cloud, layer),
        module=f"root/{name}",
        cloud=cloud,
        layer=layer,
        accounts=(cloud,),
        inputs={other: Input(f"{cloud}-{other}", (other,)) for other in needs},
    )


def _vpn(settings: Settings) -> Unit:
    joined = [cloud for cloud in settings.infra.clouds if "network" in clouds.layers(settings, cloud)]
    return Unit(
        "vpn",
        settings.infra.environment,
        variables=clouds.vpn_variables(settings, joined),
        module="root/vpn",
        layer="vpn",
        accounts=tuple(joined),
        inputs={cloud: Input(f"{cloud}-network", ("network",)) for cloud in joined},
    )


def _own(name: str, own: OwnUnit, settings: Settings, project: Path) -> Unit:
    inputs = {variable: _input(name, variable, written) for variable, written in own.inputs.items()}
    module = str((project / Path(own.module).expanduser()).absolute())
    wired = Unit(name, settings.infra.environment, variables=own.variables, module=module, own=True, accounts=own.clouds)
    return replace(wired, inputs=inputs, after=own.after, cloud=own.clouds[0] if len(own.clouds) == 1 else "")


def _input(unit: str, variable: str, written: str) -> Input:
    needed, *path = written.split(".")
    if not path or not all([needed, *path]):
        step = f'write it as in: {variable} = "aws-network.network"'
        raise Usage(f"infra.units.{unit}.inputs.{variable} = {written!r} names no output", why="it is UNIT.OUTPUT", next_step=step)
    return Input(needed, tuple(path))
