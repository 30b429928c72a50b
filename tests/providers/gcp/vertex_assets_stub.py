"""Vertex AI's metadata artifacts and persistent resources: handlers for the discovery stub, whose operations are those of `vertex_stub`.

Its rules: an id is taken once, a metadata store has to be there, a pool has at least one machine and scales only between limits that
differ, a persistent resource in the middle of a change takes no other, machines of the type `a3-megagpu-8g` are never there.
"""

import copy
import re
from typing import Any

from mcml.testing.stubs.google_discovery import Call, DiscoveryStub, GoogleError
from tests.providers.gcp.vertex_stub import LOCATIONS, Vertex

ARTIFACTS = f"{LOCATIONS}.metadataStores.artifacts"
POOLS = f"{LOCATIONS}.persistentResources"
NEVER_THERE = "a3-megagpu-8g"
STOCKOUT = {"code": 8, "message": "Resources are insufficient in region: europe-west1. Please try a different region."}


class VertexAssets(Vertex):
    """The state: `stores`, `artifacts` and `pools` by name."""

    def __init__(self) -> None:
        super().__init__()
        self.stores: dict[str, dict[str, Any]] = {}
        self.artifacts: dict[str, dict[str, Any]] = {}
        self.pools: dict[str, dict[str, Any]] = {}

    def serve(self, stub: DiscoveryStub) -> None:
        for name in ("create", "get", "list", "delete"):
            stub.on(f"{ARTIFACTS}.{name}", getattr(self, f"artifact_{name}"))
        for name in ("create", "get"):
            stub.on(f"{LOCATIONS}.metadataStores.{name}", getattr(self, f"store_{name}"))
        for name in ("create", "get", "list", "patch", "delete"):
            stub.on(f"{POOLS}.{name}", getattr(self, f"pool_{name}"))
        for parent in ("metadataStores", "metadataStores.artifacts", "persistentResources"):
            stub.on(f"{LOCATIONS}.{parent}.operations.get", self.operation)

    def snapshot(self) -> "VertexAssets":
        return copy.deepcopy(self)

    # artifacts

    def store_create(self, call: Call) -> dict[str, Any]:
        name = f"{call['parent']}/metadataStores/{call['metadataStoreId']}"
        if name in self.stores or self.running(name, "store"):
            raise GoogleError(409, f"Metadata store {name} already exists.")
        return self.begin(name, "CreateMetadataStore", "store", {"name": name})

    def finish_store(self, about: dict[str, Any]) -> None:
        self.stores[about["name"]] = {**about, "createTime": self.time()}

    def store_get(self, call: Call) -> dict[str, Any]:
        self.age()
        return _found(self.stores, call["name"])

    def artifact_create(self, call: Call) -> dict[str, Any]:
        _found(self.stores, call["parent"])
        name = f"{call['parent']}/artifacts/{call['artifactId']}"
        if not re.fullmatch("[a-z0-9-]{4,128}", call["artifactId"]):
            raise GoogleError(400, "The artifact ID is not valid.")
        if name in self.artifacts:
            raise GoogleError(409, f"Artifact {name} already exists.")
        self.artifacts[name] = {**call.body, "name": name, "createTime": self.time()}
        return self.artifacts[name]

    def artifact_get(self, call: Call) -> dict[str, Any]:
        self.age()
        return _found(self.artifacts, call["name"])

    def artifact_list(self, call: Call) -> dict[str, Any]:
        _found(self.stores, call["parent"])
        shape = r'schema_title="([\w.]+)" AND metadata\.(\w+)\.string_value="(\w+)"(?: AND display_name="([\w-]+)")?'
        wanted = re.fullmatch(shape, call["filter"])
        assert wanted, call["filter"]
        schema, key, value, name = wanted.groups()
        found = [one for _, one in sorted(self.artifacts.items()) if one["schemaTitle"] == schema and one["metadata"].get(key) == value]
        return self.listed(call, "artifacts", [one for one in found if name in (None, one["displayName"])])

    def artifact_delete(self, call: Call) -> dict[str, Any]:
        _found(self.artifacts, call["name"])
        self.refuse_while(call["name"], "delete_artifact")
        return self.begin(call["name"], "Delete", "delete_artifact", {"name": call["name"]})

    def finish_delete_artifact(self, about: dict[str, Any]) -> None:
        self.artifacts.pop(about["name"], None)

    # persistent resources

    def pool_create(self, call: Call) -> dict[str, Any]:
        name = f"{call['parent']}/persistentResources/{call['persistentResourceId']}"
        if name in self.pools:
            raise GoogleError(409, f"Persistent resource {name} already exists.")
        (pool,) = call.body["resourcePools"]
        _check_size(pool)
        self.pools[name] = {**call.body, "name": name, "state": "PROVISIONING", "createTime": self.time()}
        self.pools[name]["resourcePools"] = [{**pool, "id": "pool-0", "usedReplicaCount": "0"}]
        return self.begin(name, "CreatePersistentResource", "pool", {"name": name})

    def finish_pool(self, about: dict[str, Any]) -> dict[str, Any] | None:
        found = self.pools[about["name"]]
        if found["resourcePools"][0]["machineSpec"]["machineType"] == NEVER_THERE:
            found |= {"state": "ERROR", "error": STOCKOUT}
            return STOCKOUT
        found["state"] = "RUNNING"
        return None

    def pool_get(self, call: Call) -> dict[str, Any]:
        self.age()
        return _found(self.pools, call["name"])

    def pool_list(self, call: Call) -> dict[str, Any]:
        return self.listed(call, "persistentResources", [one for _, one in sorted(self.pools.items())])

    def pool_patch(self, call: Call) -> dict[str, Any]:
        found = _found(self.pools, call["name"])
        self.refuse_while(call["name"], "resize")
        (pool,) = call.body["resourcePools"]
        before = found["resourcePools"][0]
        if call["updateMask"] != "resourcePools" or any(pool[part] != before[part] for part in ("id", "machineSpec", "diskSpec")):
            raise GoogleError(400, "Only the size of a pool can be changed.")
        _check_size(pool)
        found["state"] = "UPDATING"
        return self.begin(call["name"], "UpdatePersistentResource", "resize", {"name": call["name"], "pool": pool})

    def finish_resize(self, about: dict[str, Any]) -> None:
        found = self.pools[about["name"]]
        found["resourcePools"] = [{**about["pool"], "usedReplicaCount": "0"}]
        found["state"] = "RUNNING"

    def pool_delete(self, call: Call) -> dict[str, Any]:
        found = _found(self.pools, call["name"])
        self.refuse_while(call["name"], "delete_pool")
        found["state"] = "STOPPING"
        return self.begin(call["name"], "Delete", "delete_pool", {"name": call["name"]})

    def finish_delete_pool(self, about: dict[str, Any]) -> None:
        self.pools.pop(about["name"], None)

    def listed(self, call: Call, field: str, found: list[dict[str, Any]]) -> dict[str, Any]:
        start = int(call.get("pageToken") or 0)
        more = {"nextPageToken": str(start + self.page)} if start + self.page < len(found) else {}
        return {field: found[start : start + self.page], **more}


def _found(things: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    if name not in things:
        raise GoogleError(404, f"{name} is not found.")
    return things[name]


def _check_size(pool: dict[str, Any]) -> None:
    now, scaled = int(pool["replicaCount"]), pool.get("autoscalingSpec")
    if now < 1:
        raise GoogleError(400, "replica_count must be positive.")
    if scaled and not 0 < int(scaled["minReplicaCount"]) <= now <= int(scaled["maxReplicaCount"]) > int(scaled["minReplicaCount"]):
        raise GoogleError(400, "The autoscaling spec is not valid.")
