"""Kubernetes Engine with one regional cluster and the instance groups of its pools: handlers for the discovery stub."""

import copy
from typing import Any

from mcml.testing.stubs.google_discovery import Call, DiscoveryStub, GoogleError

PROJECT, REGION = "stub-project", "europe-west1"
ZONES = ["europe-west1-b", "europe-west1-c"]
CONTAINER = "container.projects.locations"


def a_pool(name: str, machine: str, *, zones: int = 1, scaling: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
    base = f"https://www.googleapis.com/compute/v1/projects/{PROJECT}/zones"
    groups = [f"{base}/{zone}/instanceGroupManagers/gke-ml-{name}-grp" for zone in ZONES]
    pool: dict[str, Any] = {"name": name, "config": {"machineType": machine, **config}, "initialNodeCount": 1, "status": "RUNNING"}
    return {**pool, "locations": ZONES[:zones], "instanceGroupUrls": groups[:zones], **({"autoscaling": scaling} if scaling else {})}


class Gke:
    """The state; `error` is what a resize ends with, `slow` how often it is said to be running."""

    def __init__(self, ca: str) -> None:
        gpu = [{"acceleratorCount": "1", "acceleratorType": "nvidia-l4"}]
        pools = [
            a_pool("cpu", "e2-standard-4", zones=2, scaling={"enabled": True, "minNodeCount": 1, "maxNodeCount": 3}),
            a_pool("gpu", "g2-standard-8", scaling={"enabled": True, "totalMaxNodeCount": 4}, accelerators=gpu, spot=True),
            a_pool("fixed", "e2-small", zones=2, preemptible=True),
        ]
        driver = {"gcePersistentDiskCsiDriverConfig": {"enabled": True}}
        self.cluster: dict[str, Any] = {
            "name": "ml", "location": REGION, "endpoint": "34.76.1.2", "status": "RUNNING", "addonsConfig": driver, "nodePools": pools,
            "masterAuth": {"clusterCaCertificate": ca},
        }  # fmt: skip
        places = {"zonal": ZONES[0], "far": "us-east1", "ml2": "europe-west10"}
        self.others = [{"name": name, "location": place} for name, place in places.items()]
        self.missing_zones: list[str] = []
        self.sizes = {"cpu": [1, 1], "gpu": [0], "fixed": [2, 2]}
        self.operations: dict[str, dict[str, Any]] = {}
        self.pending: dict[str, tuple[str, int]] = {}
        self.slow = 2
        self.error: dict[str, Any] = {}
        self.resized: list[tuple[str, int]] = []

    def serve(self, stub: DiscoveryStub) -> None:
        stub.on(f"{CONTAINER}.clusters.list", lambda _: {"clusters": [self.cluster, *self.others], "missingZones": self.missing_zones})
        stub.on(f"{CONTAINER}.clusters.get", self.get)
        stub.on(f"{CONTAINER}.clusters.nodePools.setSize", self.set_size)
        stub.on(f"{CONTAINER}.operations.get", self.operation)
        stub.on("compute.instanceGroupManagers.get", self.group)

    def snapshot(self) -> "Gke":
        return copy.deepcopy(self)

    def get(self, call: Call) -> dict[str, Any]:
        if call["name"] != f"projects/{PROJECT}/locations/{REGION}/clusters/ml":
            raise GoogleError(404, f"Not found: {call['name']}.")
        return self.cluster

    def group(self, call: Call) -> dict[str, Any]:
        pool = call["instanceGroupManager"].removeprefix("gke-ml-").removesuffix("-grp")
        return {"name": call["instanceGroupManager"], "targetSize": self.sizes[pool][ZONES.index(call["zone"])]}

    def set_size(self, call: Call) -> dict[str, Any]:
        for name, operation in self.operations.items():
            if operation["status"] != "DONE":
                raise GoogleError(400, f"Cluster is running incompatible operation {name}.", status="FAILED_PRECONDITION")
        pool = call["name"].rpartition("/")[2]
        name = f"operation-{len(self.operations)}-5e0c"
        self.resized.append((pool, call.body.get("nodeCount", 0)))
        self.operations[name] = {"name": name, "operationType": "SET_NODE_POOL_SIZE", "status": "RUNNING"}
        self.pending[name] = (pool, call.body.get("nodeCount", 0))
        self._polls = 0
        return self.operations[name]

    def operation(self, call: Call) -> dict[str, Any]:
        name = call["name"].rpartition("/")[2]
        operation = self.operations[name]
        self._polls += 1
        if operation["status"] != "DONE" and self._polls > self.slow:
            operation["status"] = "DONE"
            if self.error:
                operation["error"] = self.error
            elif name in self.pending:
                pool, size = self.pending[name]
                self.sizes[pool] = [size] * len(self.sizes[pool])
        return operation
