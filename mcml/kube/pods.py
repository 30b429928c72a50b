"""Nodes and pods of a cluster, as far as the cost of a pod needs them."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from mcml.core.clock import parse_rfc3339
from mcml.core.errors import Unavailable
from mcml.kube.client import PAGE, Object, Objects
from mcml.providers.api.cluster import ClusterAccess
from mcml.providers.resilience import Policy

MACHINE_LABELS = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
ZONE_LABEL = "topology.kubernetes.io/zone"
SPOT_LABELS = {
    "karpenter.sh/capacity-type": "spot",
    "eks.amazonaws.com/capacityType": "spot",
    "cloud.google.com/gke-spot": "true",
    "cloud.google.com/gke-preemptible": "true",
    "kubernetes.azure.com/scalesetpriority": "spot",
}
"""The labels that tell spot nodes, and their value in lower case: of Karpenter, EKS, GKE and AKS."""
ACCELERATORS = ("nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe", "aws.amazon.com/neuron", "google.com/tpu")
"""The resources of device plugins whose unit is one whole accelerator."""
ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Amounts:
    """CPU cores, bytes of memory, and accelerators."""

    cpus: Decimal = Decimal(0)
    memory: Decimal = Decimal(0)
    gpus: Decimal = Decimal(0)

    def __add__(self, other: "Amounts") -> "Amounts":
        """Return both together."""
        return Amounts(self.cpus + other.cpus, self.memory + other.memory, self.gpus + other.gpus)

    def __or__(self, other: "Amounts") -> "Amounts":
        """Return the larger of each."""
        return Amounts(max(self.cpus, other.cpus), max(self.memory, other.memory), max(self.gpus, other.gpus))


@dataclass(frozen=True)
class Node:
    """A node: the machine behind it as its cloud writes it (`aws:///us-east-1a/i-0abc`), its type, and what pods may request of it."""

    name: str
    provider_id: str
    machine: str
    zone: str
    spot: bool
    allocatable: Amounts


@dataclass(frozen=True)
class Pod:
    """A pod that holds a part of a node: what it requests, since when (None: not started), and the kind of its owner (empty: none)."""

    namespace: str
    name: str
    node: str
    since: datetime | None
    requests: Amounts
    labels: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""


@dataclass(frozen=True)
class Running:
    """What runs on a cluster."""

    nodes: tuple[Node, ...]
    pods: tuple[Pod, ...]


def read(access: ClusterAccess, *, page: int = PAGE, policy: Policy | None = None) -> Running:
    """Return the nodes of a cluster, and the pods that hold a part of one: scheduled and not ended.

    Raises what `Objects` does, and Unavailable for an object that cannot be read.
    """
    with closing(Objects(access, page=page, policy=policy)) as objects:
        nodes, pods = objects.all("nodes"), objects.all("pods")
    try:
        held = [each for each in pods if each["spec"].get("nodeName") and each.get("status", {}).get("phase") not in ENDED]
        return Running(tuple(map(node, nodes)), tuple(map(pod, held)))
    except (KeyError, TypeError, ValueError, AttributeError) as broken:
        why = f"an object is not as Kubernetes writes it: {type(broken).__name__}: {broken}"
        raise Unavailable(f"cannot read the pods of {access.endpoint}", why=why) from broken


def node(found: Object) -> Node:
    """Read a Node: https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/node-v1/."""
    labels = found["metadata"].get("labels") or {}
    return Node(
        name=found["metadata"]["name"],
        provider_id=found["spec"].get("providerID", ""),
        machine=next((labels[key] for key in MACHINE_LABELS if labels.get(key)), ""),
        zone=labels.get(ZONE_LABEL, ""),
        spot=any(str(labels.get(key, "")).lower() == value for key, value in SPOT_LABELS.items()),
        allocatable=amounts(found["status"].get("allocatable")),
    )


def pod(found: Object) -> Pod:
    """Read a Pod: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/."""
    about, started = found["metadata"], (found.get("status") or {}).get("startTime")
    owners = [each for each in about.get("ownerReferences") or () if each.get("controller")]
    return Pod(
        namespace=about["namespace"],
        name=about["name"],
        node=found["spec"]["nodeName"],
        since=parse_rfc3339(started) if started else None,
        requests=requests(found["spec"]),
        labels=about.get("labels") or {},
        owner=owners[0]["kind"] if owners else "",
    )


def requests(spec: Object) -> Amounts:
    """Return what the scheduler keeps free for a pod.

    Its containers and sidecars (init containers that restart always) together, or what one init container needs beside the sidecars
    before it, whichever is more; or what the pod as a whole asks for, where it does; and its overhead. Sources:
    https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers,
    https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/#resource-sharing-within-containers,
    https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/#pod-level-resource-specification.
    """
    sidecars, most = Amounts(), Amounts()
    for each in spec.get("initContainers") or ():
        if each.get("restartPolicy") == "Always":
            sidecars += _asked(each)
            most |= sidecars
        else:
            most |= _asked(each) + sidecars
    whole = most | _sum([sidecars, *(_asked(each) for each in spec.get("containers") or ())])
    own = (spec.get("resources") or {}).get("requests") or {}
    said = amounts(own)
    return Amounts(
        said.cpus if "cpu" in own else whole.cpus, said.memory if "memory" in own else whole.memory, whole.gpus
    ) + amounts(spec.get("overhead"))


def amounts(said: Mapping[str, Any] | None) -> Amounts:
    """Read a resource list, `{"cpu": "500m", "memory": "2Gi"}`. Raises ValueError for what is no quantity, and for less than none."""
    from kubernetes.utils import parse_quantity

    found = {name: parse_quantity(value) for name, value in (said or {}).items() if name in ("cpu", "memory", *ACCELERATORS)}
    if any(not value.is_finite() or value < 0 for value in found.values()):
        raise ValueError(f"{said} has a quantity below zero")
    gpus = sum((found[name] for name in ACCELERATORS if name in found), Decimal(0))
    return Amounts(found.get("cpu", Decimal(0)), found.get("memory", Decimal(0)), gpus)


def _asked(container: Object) -> Amounts:
    return amounts((container.get("resources") or {}).get("requests"))


def _sum(several: Iterable[Amounts]) -> Amounts:
    return sum(several, Amounts())
