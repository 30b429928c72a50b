"""Nodes and pods as `kubectl get -o json` writes them, shortened to what a test needs."""

from collections.abc import Mapping, Sequence
from typing import Any

Quantities = Mapping[str, str]


def node(
    name: str = "ip-10-0-1-7.ec2.internal",
    *,
    provider_id: str = "aws:///us-east-1a/i-0abc",
    machine: str = "m5.xlarge",
    has: Quantities | None = None,
    labels: Quantities | None = None,
) -> dict[str, Any]:
    known = {"node.kubernetes.io/instance-type": machine, "topology.kubernetes.io/zone": "us-east-1a", **(labels or {})}
    allocatable = {"cpu": "3920m", "memory": "14000000Ki", "pods": "58", "ephemeral-storage": "76224326324", **(has or {})}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-{name}", "creationTimestamp": "2026-11-05T08:00:00Z", "labels": known},
        "spec": {"providerID": provider_id},
        "status": {"allocatable": allocatable, "capacity": {**allocatable, "cpu": "4"}, "nodeInfo": _NODE_INFO},
    }


_NODE_INFO = {
    "architecture": "amd64",
    "bootID": "b",
    "containerRuntimeVersion": "containerd://2.1.4",
    "kernelVersion": "6.12.46",
    "kubeProxyVersion": "",
    "kubeletVersion": "v1.34.1-eks",
    "machineID": "m",
    "operatingSystem": "linux",
    "osImage": "Amazon Linux 2023",
    "systemUUID": "s",
}


def container(name: str = "server", requests: Quantities | None = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": "registry/server:1", "resources": {"requests": dict(requests)} if requests else {}, **more}


def pod(
    name: str = "fraud-7c9d8-x2x",
    *,
    namespace: str = "models",
    node: str = "ip-10-0-1-7.ec2.internal",
    requests: Quantities | None = None,
    init: Sequence[Mapping[str, Any]] = (),
    labels: Quantities | None = None,
    owner: str = "ReplicaSet",
    phase: str = "Running",
    since: str = "2026-11-05T09:30:00Z",
    **spec: Any,
) -> dict[str, Any]:
    made = {"apiVersion": "apps/v1", "kind": owner, "name": "made", "uid": "uid-made", "controller": True}
    about = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": dict(labels or {})}
    placed: dict[str, Any] = {"nodeName": node} if node else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**about, **({"ownerReferences": [made]} if owner else {})},
        "spec": {**placed, "initContainers": list(init), "containers": [container(requests=requests)], **spec},
        "status": {"phase": phase, **({"startTime": since} if since else {})},
    }
