"""Where a unit's state is kept: on this machine, or in a store of its cloud that a file `backends/<cloud>.tfbackend` names.

The file lies beside mcml.toml and belongs into version control; `mcml infra bootstrap` makes the store and writes it. It is in the form of
`terraform init -backend-config=FILE` (https://developer.hashicorp.com/terraform/language/backend); what tells one unit from another is not
in it, but added here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mcml.core.errors import Conflict, Usage
from mcml.core.files import read_json
from mcml.infra.states.settings_file import parse
from mcml.infra.units.backend import KINDS, Backend, BackendKind
from mcml.infra.units.units import Folders, Unit

FILE = "backend.tf.json"
"""The file that says it in the working copy of a shipped root."""

FOLDER, ENDING = "backends", ".tfbackend"

REQUIRED: Mapping[BackendKind, tuple[str, ...]] = {
    "s3": ("bucket", "region"),
    "gcs": ("bucket",),
    "azurerm": ("storage_account_name", "container_name"),
}
SECRETS = frozenset({
    "access_key", "secret_key", "token", "sse_customer_key", "sas_token", "client_secret", "client_certificate_password", "oidc_token",
    "access_token", "encryption_key",
})  # fmt: skip
"""Settings of the three that are secrets: Terraform writes a backend's settings into its own folder in plain text."""


def file_of(project: Path, cloud: str) -> Path:
    """Return the file that says where the states of a cloud's units are kept."""
    return project / FOLDER / f"{cloud}{ENDING}"


def with_backends(units: Iterable[Unit], project: Path) -> tuple[Unit, ...]:
    """Return the units, those of a cloud with its backend where a file names one, and one of several clouds with the first of theirs.

    A root of one's own keeps the backend it says itself. Raises Usage for a file that cannot be read.
    """
    given = {cloud: read_file(file_of(project, cloud)) for cloud in KINDS if file_of(project, cloud).is_file()}

    def placed(unit: Unit) -> Unit:
        cloud = next((cloud for cloud in (unit.cloud, *unit.accounts) if cloud in given), "")
        return replace(unit, backend=of_unit(unit, cloud, given[cloud])) if cloud and not unit.own else unit

    return tuple(placed(unit) for unit in units)


def of_unit(unit: Unit, cloud: str, settings: Mapping[str, object]) -> Backend:
    """Return the backend of a unit: what the file says, whose login mcml.toml names, and the unit's own place in the store."""
    project, kind = str(unit.variables.get("project") or "mcml"), KINDS[cloud]
    settings = {**_login(unit, cloud), **settings}
    if kind == "gcs":
        return Backend(kind, {**settings, "prefix": f"{settings.get('prefix') or project}/{unit.name}"})
    return Backend(kind, {**settings, "key": f"{project}/{unit.name}.tfstate"})


def variable_of(unit: Unit, cloud: str, name: str) -> Any:
    """Return a variable of a unit that is about a cloud: a unit of several has it with the cloud's name before it."""
    return unit.variables.get(name if unit.cloud == cloud else f"{cloud}_{name}")


def _login(unit: Unit, cloud: str) -> dict[str, object]:
    """Return as whom Terraform reads the state: the same that it makes the unit as, so that no person's profile is in the file."""
    login = variable_of(unit, cloud, "login") or {}
    match cloud:
        case "aws":
            role = {"assume_role": {"role_arn": login["role_arn"]}} if login.get("role_arn") else {}
            return ({"profile": login["profile"]} if login.get("profile") else {}) | role
        case "gcp":
            account = login.get("impersonate_service_account")
            return {"impersonate_service_account": account} if account else {}
        case _:
            return {name: value for name in ("subscription_id", "tenant_id") if (value := variable_of(unit, cloud, name))}


def read_file(path: Path) -> dict[str, object]:
    """Read a file of settings. Raises Usage for what is no setting, is missing, or is a secret."""
    kind = KINDS.get(path.name.removesuffix(ENDING))
    try:
        settings = parse(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as broken:
        raise Usage(f"cannot read {path}", why=str(broken), next_step='write it as in: bucket = "acme-tfstate"') from broken
    if found := SECRETS.intersection(settings):
        why = "Terraform writes the settings of a backend into its own folder, and this file belongs into version control"
        step = "take it out, and log in as the cloud's own tools do: mcml doctor"
        raise Usage(f"{path} holds a secret: {', '.join(sorted(found))}", why=why, next_step=step)
    if missing := [name for name in REQUIRED.get(kind, ()) if not settings.get(name)] if kind else []:
        raise Usage(f"{path} does not say {' and '.join(missing)}", next_step=f"mcml infra bootstrap {path.name.removesuffix(ENDING)}")
    return settings


RECORD = "terraform.tfstate"
"""Where Terraform notes, in its own folder, which backend it was initialised for."""


def recorded(data: Path) -> Backend | None:
    """Return the backend that Terraform's folder was initialised for; None for the one on this machine, or before the first time.

    What a killed `init` left half-written is removed: Terraform cannot read it either, and writes it anew.
    """
    try:
        said = (read_json(data / RECORD) or {}).get("backend") or {}
    except ValueError:
        (data / RECORD).unlink(missing_ok=True)
        return None
    if said.get("type") not in REQUIRED:
        return None
    return Backend(said["type"], {name: value for name, value in (said.get("config") or {}).items() if value is not None})


def refuse_another(unit: Unit, folders: Folders) -> None:
    """Raise Conflict when the state was kept elsewhere than it would be now: a plan against an empty state would make everything again."""
    before = recorded(folders.data(unit))
    place = before.address(unit.environment) if before and not unit.own else ""
    if not before or unit.own or (unit.backend and unit.backend.address(unit.environment) == place):
        return
    file = f"{FOLDER}/{before.cloud}{ENDING}"
    now = f"names {unit.backend.address(unit.environment)}" if unit.backend else "is gone"
    raise Conflict(
        f"the state of {unit.name} is kept at {place}, and {file} {now}",
        why="a plan against another state would make everything a second time",
        next_step=(
            f"put the file back (git log -- {file}; or mcml infra bootstrap {before.cloud})\n"
            f"terraform -chdir={folders.work(unit)} init -migrate-state    # moves the states of all environments, if that is meant"
        ),
    )
