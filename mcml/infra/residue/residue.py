"""What is in an account and in no state: what Terraform knows against what carries our tags (pure).

A state names a thing in its provider's words, an inventory in the cloud's. What both have is brought into one spelling, and whatever a
managed resource mentions (the disk of its machine, the secret of its database) counts as known: it was made with it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcml.infra.units.units import Unit
from mcml.providers.api.inventory import Resource

CLUSTERS = frozenset({"aws_eks_cluster", "google_container_cluster", "azurerm_kubernetes_cluster"})
OWNERS = ("elbv2.k8s.aws/cluster", "eks:cluster-name", "aws:eks:cluster-name", "cluster.k8s.amazonaws.com/name", "goog-k8s-cluster-name")
"""Tags whose value is the cluster that made a thing, or that a thing belongs to."""

OWNER_IN_KEY = "kubernetes.io/cluster/"
"""A tag whose key ends with the cluster's name; its value is "owned" for what the cluster made."""

LOCAL_TARGET = "terraform_data.target"
"""The resource that makes a target on this machine; a target is known by its name."""

_KEPT = ("name", "node_group_name", "cluster_name", "node_resource_group_id")
_EC2_ID = re.compile(r"[a-z]+(?:-[a-z]+)*-(?:[0-9a-f]{8}|[0-9a-f]{17})")
_GOOGLE = re.compile(r"(?:https?://[\w.-]+/(?:.*?/)?|(?://)?[\w.-]+\.googleapis\.com/|)projects/[^/]+/(.+)")
_GOOGLE_BUCKET = re.compile(r"(?:gs://|https://www\.googleapis\.com/storage/v1/b/)([\w.-]+)/?")
_LOCATION = re.compile(r"^(?:zones|regions|locations)/")
_SHORT = {"instance": "locations/{}/instances/{}", "disk": "locations/{}/disks/{}"}
_NAMED = {"snapshot": "global/snapshots/{}", "database": "instances/{}"}


@dataclass(frozen=True)
class Held:
    """A resource in a state: its address, Terraform's type, and the ids of all that it mentions, in one spelling.

    `about` are the few attributes that are looked at besides; other values are not kept, for some are secrets. `outlives` is True for what
    its provider leaves there when it is destroyed.
    """

    unit: str
    address: str
    kind: str
    ids: frozenset[str] = field(default=frozenset(), repr=False)
    about: Mapping[str, str] = field(default_factory=dict)
    outlives: bool = False


def held_in(unit: str, document: Mapping[str, Any] | None) -> tuple[Held, ...]:
    """Return what a state of version 4 holds; nothing for None, which is a state before the first apply."""
    found = []
    for resource in (document or {}).get("resources") or ():
        if resource.get("mode") == "managed":
            within = f"{resource['module']}." if resource.get("module") else ""
            address = f"{within}{resource['type']}.{resource['name']}"
            found += [_held(unit, address, str(resource["type"]), instance) for instance in resource["instances"]]
    return tuple(found)


def kept_at(unit: Unit) -> tuple[Held, ...]:
    """Return the store in which a unit's state is kept, which may carry our tags too: it is no stray, and outlives what it knows of."""
    if not unit.backend:
        return ()
    bucket, account = unit.backend.bucket, str(unit.backend.settings.get("storage_account_name") or "")
    ids = {"s3": f"arn:aws:s3:::{bucket}", "gcs": f"gs://{bucket}"}.get(unit.backend.kind)
    about = {"storage_account": account} if account else {}
    return (Held(unit.name, "terraform.backend", "backend", frozenset([ids] if ids else []), about),)


def _held(unit: str, address: str, kind: str, instance: Mapping[str, Any]) -> Held:
    key, values = instance.get("index_key"), instance.get("attributes") or {}
    index = "" if key is None else f'["{key}"]' if isinstance(key, str) else f"[{key}]"
    ids = frozenset(spelled for text in _texts(values) if (spelled := spell(text)))
    if address == LOCAL_TARGET:
        ids |= {f"target:{key}"}
    about = {name: str(values[name]) for name in _KEPT if isinstance(values.get(name), str)}
    outlives = values.get("skip_destroy") is True or str(values.get("deletion_policy", "")).upper() in ("ABANDON", "RETAIN")
    return Held(unit, f"{address}{index}", kind, ids, about, outlives)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for below in value.values():
            yield from _texts(below)
    elif isinstance(value, list):
        for below in value:
            yield from _texts(below)


def spell(text: str) -> str:
    """Return an id of any of the clouds in the one spelling in which ids are compared; "" for a text that is none.

    An ARN without the `:*` of log groups; an id of EC2, which is unique by itself; an id of Azure in lower case, for Azure's own answers
    differ in it; a path of Google without host, version and project, whose number and name both occur, and with one word for where it is.
    """
    if text.startswith("arn:"):
        return text.removesuffix(":*")
    if text.startswith("/subscriptions/"):
        return text.lower().rstrip("/")
    if bucket := _GOOGLE_BUCKET.fullmatch(text):
        return f"gs://{bucket[1]}"
    if path := _GOOGLE.fullmatch(text):
        return f"projects/-/{_LOCATION.sub('locations/', path[1].rstrip('/'))}"
    return text if _EC2_ID.fullmatch(text) else ""


def ids_of(resource: Resource) -> frozenset[str]:
    """Return the ids, in the spelling of `spell`, by which a state may know what an inventory found."""
    if resource.kind == "target":
        return frozenset({f"target:{resource.id}"})
    if resource.kind == "bucket":
        return frozenset({f"gs://{resource.id}"})
    if resource.kind in _SHORT and resource.id.count("/") == 1:
        return frozenset({f"projects/-/{_SHORT[resource.kind].format(*resource.id.split('/'))}"})
    if resource.kind in _NAMED:
        return frozenset({f"projects/-/{_NAMED[resource.kind].format(resource.id)}"})
    tail = re.split("[:/]", resource.id)[-1] if resource.id.startswith("arn:") else ""
    return frozenset(filter(None, (spell(resource.id), spell(tail))))


def unmanaged(found: Iterable[Resource], held: Sequence[Held]) -> tuple[Resource, ...]:
    """Return what is there, in no state, and made by nothing that is in one: a cluster, a node group, a database and its copies."""
    known = frozenset(spelled for one in held for spelled in one.ids)
    clusters = frozenset(one.about["name"] for one in held if one.kind in CLUSTERS and "name" in one.about)
    groups = frozenset(one.about["name"] for one in held if one.kind == "aws_autoscaling_group" and "name" in one.about)
    nodes = frozenset(f"{one.about['cluster_name']}-{one.about['node_group_name']}" for one in held if one.kind == "aws_eks_node_group")
    inside = tuple(f"{one.about['node_resource_group_id'].lower()}/" for one in held if one.about.get("node_resource_group_id"))
    stores = tuple(f"/storageaccounts/{one.about['storage_account'].lower()}" for one in held if one.about.get("storage_account"))

    def is_ours(resource: Resource) -> bool:
        return (
            bool(ids_of(resource) & known)
            or bool(owners_of(resource) & clusters)
            or resource.tags.get("aws:autoscaling:groupName", "") in groups
            or (resource.id.startswith("arn:") and resource.tags.get("Name", "") in nodes)
            or resource.id.lower().startswith(inside)
            or resource.id.lower().endswith(stores)
            or ":snapshot:rds:" in resource.id  # a database's own backup, which goes with it
        )

    return tuple(one for one in found if not is_ours(one))


def owners_of(resource: Resource) -> frozenset[str]:
    """Return the names of the clusters that made a thing, as its tags say."""
    named = {resource.tags[key] for key in OWNERS if key in resource.tags}
    named |= {key.removeprefix(OWNER_IN_KEY) for key in resource.tags if key.startswith(OWNER_IN_KEY)}
    return frozenset(named)


def questions(cloud: str, project: str, environment: str, clusters: Iterable[str]) -> list[dict[str, str]]:
    """Return the tags to ask an inventory for: our own, and those of what these clusters made, which may not carry ours."""
    asked = [{"project": project, "environment": environment}]
    for name in sorted(clusters):
        match cloud:
            case "aws":
                asked += [{f"{OWNER_IN_KEY}{name}": "owned"}, {"elbv2.k8s.aws/cluster": name}, {"cluster.k8s.amazonaws.com/name": name}]
            case "gcp":
                asked += [{"goog-k8s-cluster-name": name}]
            case "azure":
                asked += [{"k8s-azure-created-by": "kubernetes-azure-dd"}]
    return asked


def cluster_names(cloud: str, project: str, environment: str, part: str, held: Iterable[Held] = ()) -> frozenset[str]:
    """Return the names of a cloud's clusters: those in a state, and the one that the module of mcml makes, which may be gone from it."""
    module = "-".join(filter(None, (project, environment, part))) + ("-aks" if cloud == "azure" else "")
    return frozenset({module, *(one.about["name"] for one in held if one.kind in CLUSTERS and "name" in one.about)})


@dataclass(frozen=True)
class Remains:
    """What a sweep found after a destroy: what is `left`, and how much is `going`, which Terraform destroyed but the cloud still lists."""

    left: tuple[Resource, ...] = ()
    going: tuple[Resource, ...] = ()


def remains(found: Iterable[Resource], held_before: Sequence[Held], held_now: Sequence[Held]) -> Remains:
    """Return what is left of an environment, without what other units hold.

    An index may be minutes behind, and some things (keys, secrets) take days to go: what was in a state and was destroyed just now is on
    its way out, unless its provider leaves it there.
    """
    still = {(one.unit, one.address) for one in held_now}
    gone = [one for one in held_before if (one.unit, one.address) not in still and not one.outlives]
    destroyed = frozenset(spelled for one in gone for spelled in one.ids)
    loose = unmanaged(found, held_now)
    going = tuple(one for one in loose if ids_of(one) & destroyed)
    return Remains(tuple(one for one in loose if one not in going), going)
