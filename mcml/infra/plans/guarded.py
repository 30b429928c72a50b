"""What would stop a destroy in the middle, read from its plan: deletion protection, and buckets with something in them (pure)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcml.core.errors import Conflict
from mcml.core.plan import Step
from mcml.infra.plans.plan import Planned
from mcml.infra.plans.resources import Resource
from mcml.providers.api.inventory import Resource as Found

SWITCHES = ("deletion_protection", "deletion_protection_enabled", "enable_deletion_protection", "disable_api_termination")
"""Attributes that keep a cloud from deleting what has them: RDS, ELB, EC2; Google's instances, databases, clusters, tables."""

LOCK = "azurerm_management_lock"
GUARD = "terraform_data"
"""Our modules for Google have one that refuses first: some of what they make has no protection of its own."""

GOES_ALONG = frozenset({"azurerm_storage_container", "azurerm_storage_data_lake_gen2_filesystem"})
"""What a cloud deletes with all that is in it, without a question."""


@dataclass(frozen=True)
class Guarded:
    """A resource that is protected from deletion, and by what."""

    unit: str
    address: str
    reason: str


@dataclass(frozen=True)
class Store:
    """Something that is destroyed and may hold data. `resource` is as the inventory knows it, None where that cannot tell.

    `emptied` is False for what mcml does not empty: then `fix` does.
    """

    unit: str
    address: str
    cloud: str
    name: str
    resource: Found | None = None
    reason: str = ""
    fix: str = ""
    emptied: bool = True


def guarded_by(planned: Planned) -> tuple[Guarded, ...]:
    """Return what a plan would destroy and cannot, since it is protected."""
    found = ((one.address, _protection(one.kind, one.before or {})) for one in _going(planned))
    return tuple(Guarded(planned.unit.name, address, reason) for address, reason in found if reason)


def _going(planned: Planned) -> Iterator[Resource]:
    return (one for one in planned.resources if "delete" in one.actions)


def _protection(kind: str, before: Mapping[str, Any]) -> str:
    if kind == LOCK:
        return f"a lock ({before.get('lock_level', 'CanNotDelete')}) is on {str(before.get('scope', '')).rpartition('/')[2]}"
    if kind == GUARD:
        output = before.get("output")
        return "its module guards it" if isinstance(output, Mapping) and output.get("protected") is True else ""
    blocks = [before, *(block for block in _list(before.get("settings")) if isinstance(block, Mapping))]
    return next((f"{name} is on" for block in blocks for name in SWITCHES if block.get(name) is True), "")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def only_lifts(planned: Planned, guarded: Sequence[Guarded]) -> tuple[Step, ...]:
    """Return what a plan does besides switching off the protection of these: nothing, where all else is as it should be."""
    known = {one.address for one in guarded if one.unit == planned.unit.name}
    return tuple(step for step in planned.plan.changes if not (step.name in known and _lifts(step)) and step.kind != "output")


def _lifts(step: Step) -> bool:
    if step.kind == LOCK:
        return step.action == "delete"
    changed = step.values.get("changed")
    if step.action != "update" or not isinstance(changed, Mapping):
        return False
    if step.kind == GUARD:
        return set(changed) <= {"input.protected", "output.protected"}
    return all(path.rpartition(".")[2] in SWITCHES or _holds_only_switches(*values) for path, values in changed.items())


def _holds_only_switches(before: Any, after: Any) -> bool:
    """A list of blocks is told as a whole: tell whether it differs in switches alone."""
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return all(map(_holds_only_switches, before, after))
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        differing = {key for key in {*before, *after} if before.get(key) != after.get(key)}
        return differing <= set(SWITCHES)
    return bool(before == after)


def stores_of(planned: Planned) -> tuple[Store, ...]:
    """Return what a plan would destroy and may hold data that nobody else has: buckets, containers, repositories of images."""
    return tuple(store for one in _going(planned) if (store := _store(planned.unit.name, one)))


def _store(unit: str, one: Resource) -> Store | None:
    before = one.before or {}
    match one.kind:
        case "aws_s3_bucket":
            name = str(before.get("bucket") or before.get("id"))
            return Store(unit, one.address, "aws", name, Found("s3:bucket", str(before.get("arn")), one.region))
        case "google_storage_bucket":
            name = str(before.get("name"))
            return Store(unit, one.address, "gcp", name, Found("bucket", name, str(before.get("location", "")).lower()))
        case "aws_ecr_repository" if before.get("force_delete") is not True:
            resource = Found("ecr:repository", str(before.get("arn")), one.region)
            return Store(unit, one.address, "aws", str(before.get("name")), resource, emptied=False)
        case kind if kind in GOES_ALONG:
            reason = "Azure deletes it with all that is in it"
            return Store(unit, one.address, "azure", str(before.get("name")), reason=reason)
    return None


def refuse(
    guarded: Sequence[Guarded],
    full: Sequence[Store],
    switchable: Mapping[str, bool],
    *,
    unprotect: bool,
    empty: bool,
    command: str,
) -> None:
    """Raise Conflict for what would stop a destroy in the middle, unless it was asked to see to it.

    `switchable` tells of each unit whether its protection is a setting that mcml can switch; `command` is what was typed.
    """
    fixed = [one for one in guarded if not switchable.get(one.unit)]
    if fixed or (guarded and not unprotect):
        shown = fixed if unprotect else guarded
        why = "\n".join(f"{one.unit}: {one.address}: {one.reason}" for one in shown)
        step = f"{command} --unprotect"
        if fixed:
            unit = fixed[0].unit
            step = f"mcml infra apply {unit}    # after switching it off in the root of {unit}"
        raise Conflict(f"protected from deletion, so nothing was touched: {', '.join(units_of(shown))}", why=why, next_step=step)
    stuck = [one for one in full if not one.emptied]
    if stuck or (full and not empty):
        stores = stuck or full
        why = "\n".join(f"{one.unit}: {one.address}: {one.reason}" for one in stores)
        step = "\n".join(one.fix for one in stuck) or f"{command} --empty-buckets    # deletes all that is in them, with old versions"
        raise Conflict(f"not empty, so nothing was touched: {', '.join(one.name for one in stores)}", why=why, next_step=step)


def units_of(guarded: Sequence[Guarded]) -> list[str]:
    """Return the units with something protected, each once."""
    return list(dict.fromkeys(one.unit for one in guarded))
