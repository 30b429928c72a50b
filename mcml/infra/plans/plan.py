"""Terraform's machine-readable plan, read into a `core.plan.Plan` (pure).

https://developer.hashicorp.com/terraform/internals/json-format, format version 1.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcml.core.errors import McmlError
from mcml.core.plan import Action, Plan, Step
from mcml.infra.plans.policy import Verdict
from mcml.infra.plans.pricing import Estimate
from mcml.infra.plans.resources import Resource
from mcml.infra.units.units import Unit
from mcml.infra.units.wiring import Value

FORMAT_MAJOR = "1"
SENSITIVE = "(sensitive)"
UNKNOWN = "(known after apply)"
MOST_CHANGES = 20
"""How many changed values of one resource are kept: a plan is read by a person."""

ACTIONS: Mapping[tuple[str, ...], Action] = {
    ("create",): "create",
    ("update",): "update",
    ("delete",): "delete",
    ("forget",): "delete",
    ("delete", "create"): "replace",
    ("create", "delete"): "replace",
    ("no-op",): "keep",
}
FORGOTTEN = "only forgotten, not destroyed"
ORDER: tuple[Action, ...] = ("delete", "replace", "update", "create", "keep")

HOLDS_DATA = frozenset({
    "aws_db_instance", "aws_rds_cluster", "aws_s3_bucket", "aws_ebs_volume", "aws_efs_file_system", "aws_dynamodb_table", "aws_kms_key",
    "aws_elasticache_replication_group", "aws_elasticache_cluster", "aws_ecr_repository", "aws_secretsmanager_secret",
    "google_sql_database_instance", "google_sql_database", "google_storage_bucket", "google_bigquery_dataset", "google_bigquery_table",
    "google_compute_disk", "google_filestore_instance", "google_redis_instance", "google_artifact_registry_repository",
    "google_kms_crypto_key", "google_secret_manager_secret",
    "azurerm_storage_account", "azurerm_storage_container", "azurerm_storage_data_lake_gen2_filesystem", "azurerm_mssql_server",
    "azurerm_mssql_database", "azurerm_postgresql_flexible_server", "azurerm_managed_disk", "azurerm_redis_cache", "azurerm_key_vault",
    "azurerm_container_registry", "azurerm_cosmosdb_account", "azurerm_log_analytics_workspace", "azurerm_resource_group",
})  # fmt: skip
"""Kinds whose removal loses what is in them."""

REASONS = {
    "replace_because_tainted": "half-made by an earlier run",
    "replace_because_cannot_update": "cannot be changed in place",
    "replace_by_request": "gone or changed outside of Terraform",
    "replace_by_triggers": "something that it depends on changed",
    "delete_because_no_resource_config": "no longer in the module",
    "delete_because_no_module": "no longer in the module",
    "delete_because_each_key": "no longer in the configuration",
    "delete_because_count_index": "no longer in the configuration",
}


@dataclass(frozen=True)
class Planned:
    """A plan as a value, and the file in which Terraform keeps the same plan: applying means applying that file.

    `estimate` is what it costs, `verdicts` what the policies say; `accepted` are the denials that somebody accepted. `inputs` are the
    values of other units' outputs that it was made with. When some are not known before an apply, `waits_for` names the units that must
    be applied first: such a plan is true as far as it can be, has no file, and is made again before it is applied. `shown` is False where
    not even that one can be made. `outputs` are what the unit promises to others. `expected` is how many seconds an apply takes, None
    when that is not known.
    """

    unit: Unit
    plan: Plan
    file: Path
    destroys: bool = False
    wanted: Mapping[str, list[str]] = field(default_factory=dict)
    estimate: Estimate = field(default_factory=Estimate)
    verdicts: tuple[Verdict, ...] = ()
    accepted: tuple[Verdict, ...] = ()
    inputs: Mapping[str, Value] = field(default_factory=dict)
    waits_for: tuple[str, ...] = ()
    shown: bool = True
    outputs: Value = field(default_factory=dict)
    resources: tuple[Resource, ...] = field(default=(), repr=False)
    expected: float | None = None

    def surprises(self, later: "Planned") -> tuple[Step, ...]:
        """Return what a plan that was made later, for the same unit, does and this one did not show."""
        known = {(step.action, step.name) for step in self.plan.changes}
        return tuple(step for step in later.plan.changes if (step.action, step.name) not in known)


@dataclass(frozen=True)
class Applied:
    """What an apply did, in seconds, with the plan it followed."""

    planned: Planned
    seconds: float = 0.0
    outputs: Mapping[str, Value] = field(default_factory=dict)


def read_plan(document: Mapping[str, Any]) -> Plan:
    """Return the plan of a `terraform show -json PLANFILE` document: what loses data first, then what loses something.

    Raises McmlError for a format that we do not know, and for a plan that Terraform itself calls errored or incomplete.
    """
    version = str(document.get("format_version", ""))
    if version.partition(".")[0] != FORMAT_MAJOR:
        raise McmlError(
            f"this Terraform writes plans of format {version!r}", why=f"mcml reads format {FORMAT_MAJOR}", next_step="install a newer mcml"
        )
    if document.get("errored") or not document.get("complete", True):
        what = "errored" if document.get("errored") else "incomplete"
        raise McmlError(f"the plan is {what}, so it is not applied", why="Terraform says so in the plan itself")
    steps = [_step(change) for change in document.get("resource_changes", []) if _counts(change)]
    if not any(step.action != "keep" for step in steps):
        steps += _output_steps(document)
    return Plan("infra", tuple(sorted(steps, key=lambda step: (not loses_data(step), ORDER.index(step.action), step.name))))


def loses_data(step: Step) -> bool:
    """Tell whether a step removes something together with the data in it."""
    return step.kind in HOLDS_DATA and step.action in ("delete", "replace") and step.reason != FORGOTTEN


def _counts(change: Mapping[str, Any]) -> bool:
    """Tell whether an entry is about something that Terraform makes; data sources are only read."""
    return change.get("mode") != "data" and change["change"]["actions"] != ["read"]


def _step(change: Mapping[str, Any]) -> Step:
    about = change["change"]
    actions = tuple(about["actions"])
    adopted = about.get("importing") or {}
    action = "update" if adopted and actions == ("no-op",) else ACTIONS.get(actions, "update")
    reason = FORGOTTEN if actions == ("forget",) else REASONS.get(str(change.get("action_reason", "")), "")
    reason = f"adopted into the state: {adopted['id']}" if adopted.get("id") else reason
    key = change.get("index")
    changed = dict(changed_values(about)) if action in ("update", "replace") else {}
    return Step(
        action,
        str(change["type"]),
        str(change["address"]),
        target=key if isinstance(key, str) else "",
        reason=reason,
        values={"changed": changed} if changed else {},
    )


def _output_steps(document: Mapping[str, Any]) -> list[Step]:
    """An output alone may change, for example when a project was moved; with resource changes it follows from them."""
    return [
        Step("update", "output", name, reason="what the module says changed")
        for name, change in (document.get("output_changes") or {}).items()
        if change["actions"] != ["no-op"] and (change.get("before") or change.get("after"))
    ]


def changed_values(about: Mapping[str, Any]) -> Iterator[tuple[str, list[object]]]:
    """Yield what the `change` of a resource changes as `path: [before, after]`, secrets masked; the last of too many says how many more."""
    found = list(
        _differences(
            about.get("before"),
            about.get("after"),
            about.get("after_unknown"),
            (about.get("before_sensitive"), about.get("after_sensitive")),
        )
    )
    # What only follows from the change (a new id, what a resource gives back) is no cause of it.
    causes = [change for change in found if change[1][1] != UNKNOWN]
    yield from causes[:MOST_CHANGES]
    if len(causes) > MOST_CHANGES:
        yield "...", [f"{len(causes) - MOST_CHANGES} more", ""]


def _differences(
    before: Any, after: Any, unknown: Any, sensitive: tuple[Any, Any], path: str = ""
) -> Iterator[tuple[str, list[object]]]:
    if sensitive[0] is True or sensitive[1] is True:
        if before != after or unknown:
            yield path, [SENSITIVE, SENSITIVE]
    elif unknown is True:
        yield path, [before, UNKNOWN]
    elif isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after, *(unknown if isinstance(unknown, dict) else ())}):
            below = (_at(sensitive[0], key), _at(sensitive[1], key))
            yield from _differences(before.get(key), after.get(key), _at(unknown, key), below, f"{path}.{key}" if path else key)
    elif before != after:
        masked = _holds_true(sensitive[0]) or _holds_true(sensitive[1])
        yield path, [SENSITIVE, SENSITIVE] if masked else [before, after]


def _at(value: Any, key: str) -> Any:
    return value.get(key) if isinstance(value, dict) else None


def _holds_true(marks: Any) -> bool:
    """Tell whether anything below is marked: a list is compared as a whole, so it is masked as a whole."""
    if isinstance(marks, dict):
        return any(_holds_true(value) for value in marks.values())
    if isinstance(marks, list):
        return any(_holds_true(value) for value in marks)
    return marks is True


def actions_of(document: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what an apply of the plan will do, by address: one action, or both halves of a replacement."""
    changes = (change for change in document.get("resource_changes", []) if _counts(change))
    wanted = {str(change["address"]): [str(action) for action in change["change"]["actions"]] for change in changes}
    return {address: actions for address, actions in wanted.items() if actions not in (["no-op"], ["forget"])}


def gone_or_changed(document: Mapping[str, Any], healed_by: str) -> tuple[str, ...]:
    """Return the addresses that the plan keeps although their target is gone, or is no longer what Terraform made.

    Terraform sees a target only through the `targets` output, which reads the target's own files (null for one that is gone);
    `healed_by` is the resource that makes one. Replacing these addresses makes the targets again.
    """
    output = (document.get("output_changes") or {}).get("targets") or {}
    found, unknown = output.get("after"), output.get("after_unknown")
    if not healed_by or unknown is True or not isinstance(found, dict):
        return ()
    return tuple(
        str(change["address"])
        for change in document.get("resource_changes", [])
        if change["address"].startswith(f"{healed_by}[") and change["change"]["actions"] == ["no-op"]
        if not _holds_true(_at(unknown, change["index"]))
        if not _as_made(found.get(change["index"]), change["change"]["after"]["output"])
    )


def _as_made(found: Mapping[str, Any] | None, made: Mapping[str, Any]) -> bool:
    if found is None:
        return False
    return (
        found.get("region") == made.get("region")
        and found.get("tags") == made.get("tags")
        and len(found.get("ports") or ()) == made.get("ports")
    )
