"""What is applied, read from the state that Terraform keeps; quick, because nothing is started."""

import fcntl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mcml.core.errors import McmlError
from mcml.core.files import read_json
from mcml.infra.units.units import Folders, Unit

STATE_VERSION = 4
"""The version of the state file that every Terraform since 0.12 and every OpenTofu writes."""


WRITING_TRIES, WRITING_SECONDS = 10, 0.01
"""How often, and after how many seconds, a state that is being written is looked at again."""


@dataclass(frozen=True)
class AppliedTarget:
    """A target as the outputs of an apply describe it. `folder` and `ports` (leased TCP ports) are of a target on this machine."""

    name: str
    provider: str
    region: str
    folder: str = ""
    ports: tuple[int, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Lock:
    """Who holds a state, in Terraform's words: `who` is user@host, `operation` what they do since `created`; `id` is what breaks it."""

    who: str
    operation: str
    created: str
    id: str = ""


@dataclass(frozen=True)
class State:
    """The state of one unit in one environment.

    `outputs` are all outputs as plain values (a sensitive one is left out); `made` says of each target in the state whether it is
    whole (False: an earlier run ended in the middle of it). `resources` is how many Terraform manages, `tainted` how many of these are
    half-made; `serial` goes up with every change.
    """

    outputs: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, bool] = field(default_factory=dict)
    sensitive: tuple[str, ...] = ()
    lock: Lock | None = None
    resources: int = 0
    tainted: int = 0
    serial: int = 0


def read_outputs(unit: Unit, folders: Folders) -> dict[str, AppliedTarget]:
    """Return the targets that are applied and still there, by name; empty before the first apply. Raises McmlError for a broken state."""
    return applied_targets(read_state(unit, folders))


def applied_targets(state: State) -> dict[str, AppliedTarget]:
    """Return the targets of a state's outputs, without those whose folder somebody removed since."""
    found = {name: _target(name, said) for name, said in (state.outputs.get("targets") or {}).items() if said}
    return {name: target for name, target in found.items() if not target.folder or Path(target.folder).is_dir()}


def _target(name: str, said: Mapping[str, Any]) -> AppliedTarget:
    return AppliedTarget(
        name=name,
        provider=str(said.get("provider", "")),
        region=str(said.get("region", "")),
        folder=str(said.get("folder", "")),
        ports=tuple(int(port) for port in said.get("ports") or ()),
        tags={str(key): str(value) for key, value in (said.get("tags") or {}).items()},
    )


def read_state(unit: Unit, folders: Folders) -> State:
    """Read a unit's state; an empty one before the first apply. Raises McmlError for one that is broken or of another version."""
    path = folders.tfstate(unit)
    return replace(parse_state(read_document(unit, folders), unit, str(path)), lock=read_lock(path))


def read_document(unit: Unit, folders: Folders) -> Any:
    """Return the state of a unit that is kept on this machine as Terraform wrote it, None before the first apply. Raises McmlError."""
    path = folders.tfstate(unit)
    try:
        return _read_whole(path)
    except ValueError as broken:
        raise _unreadable(path, str(broken)) from broken


def parse_state(document: Any, unit: Unit, place: str) -> State:
    """Read a state document (None before the first apply); `place` says where it lies. Raises McmlError for one of another version."""
    if document is None:
        return State()
    if not isinstance(document, dict) or document.get("version") != STATE_VERSION:
        raise _unreadable(place, f"it is not version {STATE_VERSION} of Terraform's state")
    outputs = document.get("outputs", {})
    instances = [one for resource in document.get("resources", []) if resource.get("mode") == "managed" for one in resource["instances"]]
    return State(
        outputs={name: output["value"] for name, output in outputs.items() if not output.get("sensitive")},
        sensitive=tuple(name for name, output in outputs.items() if output.get("sensitive")),
        made=_made(document, unit.healed_by),
        resources=len(instances),
        tainted=sum(one.get("status") == "tainted" for one in instances),
        serial=int(document.get("serial", 0)),
    )


def _read_whole(path: Path) -> Any:
    """Read the state file; None when there is none, or an empty one as Terraform makes it to have something to lock.

    Terraform empties the file before it writes it anew, so what cannot be read is looked at again while somebody holds the lock.
    """
    for _ in range(WRITING_TRIES):
        with suppress(ValueError):
            return read_json(path)
        if not _is_locked(path):
            break
        time.sleep(WRITING_SECONDS)
    return read_json(path) if path.stat().st_size else None


def _made(document: Mapping[str, Any], healed_by: str) -> dict[str, bool]:
    return {
        str(instance["index_key"]): instance.get("status") != "tainted"
        for resource in document.get("resources", [])
        if f"{resource['type']}.{resource['name']}" == healed_by and resource.get("mode") == "managed"
        for instance in resource["instances"]
        if "index_key" in instance
    }


def read_lock(tfstate: Path) -> Lock | None:
    """Return who holds the state now. A note that a killed Terraform left behind does not count: the kernel let go of its lock."""
    try:
        said = read_json(tfstate.with_name(f".{tfstate.name}.lock.info"))
    except ValueError:  # it is being written
        said = {}
    if said is None or not _is_locked(tfstate):
        return None
    operation = str(said.get("Operation", "")).removeprefix("OperationType").lower()
    return Lock(str(said.get("Who", "somebody")), operation or "change", str(said.get("Created", "")))


def _is_locked(tfstate: Path) -> bool:
    try:
        with tfstate.open("rb") as state:
            fcntl.lockf(state, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _unreadable(place: str | Path, why: str) -> McmlError:
    return McmlError(f"cannot read the Terraform state {place}", why=why, next_step=f"look for a backup: ls {place}.backup")
