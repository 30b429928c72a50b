"""What differs between Terraform's state and what is really there (pure)."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mcml.core.canonical import canonical_json
from mcml.infra.plans.plan import changed_values
from mcml.infra.units.units import Unit
from mcml.providers.api.inventory import Resource

Kind = Literal["missing", "changed", "unmanaged"]
KINDS: tuple[Kind, ...] = ("missing", "changed", "unmanaged")
APPLY = "mcml infra apply"
REPEATED = frozenset({"tags_all", "effective_labels", "terraform_labels"})
"""Attributes in which a provider repeats the tags or labels of a resource."""
TOLD_ELSEWHERE: Mapping[str, Mapping[str, str]] = {
    "aws_s3_bucket": {
        "acceleration_status": "aws_s3_bucket_accelerate_configuration",
        "acl": "aws_s3_bucket_acl",
        "cors_rule": "aws_s3_bucket_cors_configuration",
        "grant": "aws_s3_bucket_acl",
        "lifecycle_rule": "aws_s3_bucket_lifecycle_configuration",
        "logging": "aws_s3_bucket_logging",
        "object_lock_configuration": "aws_s3_bucket_object_lock_configuration",
        "policy": "aws_s3_bucket_policy",
        "replication_configuration": "aws_s3_bucket_replication_configuration",
        "request_payer": "aws_s3_bucket_request_payment_configuration",
        "server_side_encryption_configuration": "aws_s3_bucket_server_side_encryption_configuration",
        "versioning": "aws_s3_bucket_versioning",
        "website": "aws_s3_bucket_website_configuration",
    },
    "aws_sns_topic": {"policy": "aws_sns_topic_policy"},
    "aws_sqs_queue": {"policy": "aws_sqs_queue_policy"},
}
"""Attributes that a provider reads back into one resource, and that are another one's to say where there is one about it.

The first refresh after an apply finds them changed: the bucket was in the state before its versioning was.
https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources/s3_bucket: "will only perform drift detection if ... set".
"""

TOLD_IN_PARTS: Mapping[str, Mapping[str, str]] = {
    "aws_eip": dict.fromkeys(("association_id", "network_interface", "private_dns", "private_ip"), "aws_nat_gateway"),
    "aws_iam_role": {"inline_policy": "aws_iam_role_policy", "managed_policy_arns": "aws_iam_role_policy_attachment"},
    "aws_route_table": {"route": "aws_route"},
    "aws_security_group": {"ingress": "aws_vpc_security_group_ingress_rule", "egress": "aws_vpc_security_group_egress_rule"},
    "azurerm_network_security_group": {"security_rule": "azurerm_network_security_rule"},
    "azurerm_virtual_network": {"subnet": "azurerm_subnet"},
    "google_container_cluster": {"node_pool": "google_container_node_pool"},
}
"""The same where each of the others is about a part: only what was empty in the state is theirs, for a part may be nobody's."""

MOST_CHARACTERS = 60
"""Of a changed value that is shown: a drift is read by a person."""


@dataclass(frozen=True)
class Drifted:
    """One target or resource that is not as Terraform left it: gone, changed, or there without being in the state.

    `fix` are commands or steps. `changed` are the attributes of a changed resource as `path: [before, after]`, secrets masked.
    """

    kind: Kind
    target: str
    detail: str
    fix: tuple[str, ...]
    region: str = ""
    changed: Mapping[str, list[object]] = field(default_factory=dict)


@dataclass(frozen=True)
class Drift:
    """All that differs in one unit of an environment, or in one account; `looked_at` are the targets or resources in the state."""

    environment: str
    drifted: tuple[Drifted, ...] = ()
    looked_at: tuple[str, ...] = ()
    unmanaged: tuple[Resource, ...] = field(default=(), repr=False)
    unit: str = "local"

    def named(self, kind: Kind) -> list[str]:
        """Return the targets of one kind."""
        return [found.target for found in self.drifted if found.kind == kind]

    @property
    def text(self) -> str:
        """The drift as canonical JSON, for its digest."""
        return canonical_json([[found.kind, found.target, found.detail] for found in self.drifted])

    @property
    def facts(self) -> dict[str, object]:
        """What the journal keeps of it, with its digest."""
        kinds: dict[str, object] = {kind: self.named(kind) for kind in KINDS}
        digest = hashlib.sha256(self.text.encode()).hexdigest()
        return {**kinds, "targets": [found.target for found in self.drifted], "digest": digest}


def find_drift(unit: Unit, document: Mapping[str, Any], existing: Iterable[Resource]) -> Drift:
    """Compare a refresh-only plan and the inventory's targets with what Terraform made.

    `document` is `terraform show -json` of the plan; the `targets` output in it was read from the targets' own files just now.
    """
    made = _made(document, unit.healed_by)
    found = ((document.get("output_changes") or {}).get("targets") or {}).get("after") or {}
    there = {resource.id: resource for resource in existing if resource.kind == "target" and _ours(resource, unit)}
    drifted = []
    for name, values in made.items():
        if found.get(name) is None:
            drifted.append(Drifted("missing", name, "removed outside of Terraform", (APPLY,), str(values.get("region", ""))))
        elif differences := _differences(values, found[name]):
            drifted.append(Drifted("changed", name, "; ".join(differences), (APPLY,), str(found[name].get("region", ""))))
    unmanaged = tuple(resource for name, resource in sorted(there.items()) if name not in made)
    drifted += [_unmanaged(resource, unit) for resource in unmanaged]
    return Drift(unit.environment, tuple(sorted(drifted, key=lambda one: (one.kind, one.target))), tuple(made), unmanaged)


def find_changes(unit: Unit, document: Mapping[str, Any]) -> Drift:
    """Read a refresh-only plan of a unit whose resources Terraform looks at by itself: what was changed or removed since the last apply.

    `document` is `terraform show -json` of the plan; its `resource_drift` has what was found beside what the state had.
    """
    fix = (f"{APPLY} {unit.name}",)
    state = ((document.get("prior_state") or {}).get("values") or {}).get("root_module") or {}
    known = tuple(_resources(state))
    drifted = []
    for change in document.get("resource_drift") or ():
        about, address = change["change"], str(change["address"])
        if change.get("mode") == "data":
            continue
        if about["actions"] == ["delete"]:
            drifted.append(Drifted("missing", address, "removed outside of Terraform", fix))
        elif changed := _own(str(change.get("type")), about, _told(dict(changed_values(about))), known):
            said = [f"{path}: {_short(before)} -> {_short(after)}" for path, (before, after) in changed.items()]
            drifted.append(Drifted("changed", address, "; ".join(said), fix, changed=changed))
    found = tuple(sorted(drifted, key=lambda one: (one.kind, one.target)))
    return Drift(unit.environment, found, tuple(str(one["address"]) for one in known), unit=unit.name)


def _own(
    kind: str, about: Mapping[str, Any], changed: Mapping[str, list[object]], known: Iterable[Mapping[str, Any]]
) -> dict[str, list[object]]:
    """Leave out what another resource of the state says: it tells by itself when that is not so any more."""
    before = about.get("before") or {}
    parts = {name: other for name, other in TOLD_IN_PARTS.get(kind, {}).items() if not before.get(name)}
    others = {**TOLD_ELSEWHERE.get(kind, {}), **parts}
    mine = {before.get("id"), before.get("name")} - {None, ""}
    by = {one["type"] for one in known if one["type"] in others.values() and mine & set(_words(one.get("values") or {}))}
    return {path: values for path, values in changed.items() if others.get(re.split(r"[.\[]", path)[0]) not in by}


def _words(values: Mapping[str, Any]) -> Iterator[str]:
    return (value for value in values.values() if isinstance(value, str))


def _told(changed: Mapping[str, list[object]]) -> dict[str, list[object]]:
    """Leave out what is no change: a provider writes nothing as null, "" or an empty list, and tags twice."""
    empty: tuple[object, ...] = (None, "", [], {})
    real = {path: values for path, values in changed.items() if not (values[0] in empty and values[1] in empty)}
    once = {path: values for path, values in real.items() if path.split(".")[0] not in REPEATED}
    return once or real


def _short(value: object) -> str:
    text = "none" if value is None else value if isinstance(value, str) and value else canonical_json(value)
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 3]}..."


def _resources(module: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for resource in module.get("resources") or ():
        if resource.get("mode") != "data":
            yield resource
    for below in module.get("child_modules") or ():
        yield from _resources(below)


def _made(document: Mapping[str, Any], healed_by: str) -> dict[str, dict[str, Any]]:
    """Return what Terraform gave to each target that is whole in the state; a half-made one is a matter for apply, not drift."""
    module = ((document.get("prior_state") or {}).get("values") or {}).get("root_module") or {}
    return {
        str(resource["index"]): resource["values"]["output"]
        for resource in module.get("resources", [])
        if str(resource["address"]).startswith(f"{healed_by}[") and not resource.get("tainted")
    }


def _differences(made: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    said = []
    if found.get("region") != made.get("region"):
        said.append(f"region is {found.get('region')!r}, not {made.get('region')!r}")
    ports = len(found.get("ports") or ())
    if ports != made.get("ports"):
        said.append(f"{ports} ports leased, not {made.get('ports')}")
    tags, wanted = found.get("tags") or {}, made.get("tags") or {}
    other = [key for key in sorted({*tags, *wanted}) if tags.get(key) != wanted.get(key)]
    return said + [f"tag {key} is {tags.get(key)!r}, not {wanted.get(key)!r}" for key in other]


def _ours(resource: Resource, unit: Unit) -> bool:
    """Another project or environment may share the account; what carries no tags was made by hand, and counts."""
    mine = {"project": unit.variables.get("project"), "environment": unit.environment}
    return all(resource.tags.get(key, value) == value for key, value in mine.items())


def _unmanaged(resource: Resource, unit: Unit) -> Drifted:
    if resource.id in unit.targets:
        return Drifted("unmanaged", resource.id, "in mcml.toml, but made outside of Terraform", (APPLY,), resource.region)
    adopt = f'adopt: add [targets.{resource.id}] with provider = "{unit.name}" and region = "{resource.region}" to mcml.toml, then {APPLY}'
    remove = f"remove: mcml infra destroy --unmanaged {resource.id}"
    return Drifted("unmanaged", resource.id, "in no state", (adopt, remove), resource.region)
