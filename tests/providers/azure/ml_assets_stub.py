"""Data assets and compute clusters of Azure ML in the stub of Azure Resource Manager, beside an `Ml`.

Shapes: DataVersionBase, DataContainer and ComputeResource/AmlCompute of https://github.com/Azure/azure-rest-api-specs (MIT), judged by the
SDK's models. Its rules: a data version is immutable but for its tags, a deleted one leaves its container, a cluster in the middle of a
change takes no other, machines of a type called `Standard_None` are over the quota.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from mcml.testing.stubs.azure_arm import ArmError, Reply, Request, missing
from tests.providers.azure.ml_stub import IN_CHANGE, SDK, WORKSPACE, Ml

DATA = f"{WORKSPACE}/data"
VERSION = f"{DATA}/{{name}}/versions/{{version}}"
COMPUTES = f"{WORKSPACE}/computes"
COMPUTE = f"{COMPUTES}/{{compute}}"


@dataclass
class MlAssets:
    """`data` by name and version, `computes` by name; `writes` tells the kinds of what was begun; with `polls` 0 it is over at once."""

    ml: Ml
    data: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    computes: dict[str, dict[str, Any]] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    polls: int = 1
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    def serve(self) -> "MlAssets":
        """Register the handlers."""

        def on(method: str, path: str, handler: Any, answer: str = "", body: str = "") -> None:
            self.ml.arm.on(method, path, handler, sdk=SDK, body=body, answer=answer)

        on("GET", DATA, self.list_data, "[DataContainer]")
        on("GET", f"{DATA}/{{name}}/versions", self.list_versions, "[DataVersionBase]")
        on("GET", VERSION, self.get_version, "DataVersionBase")
        on("PUT", VERSION, self.put_version, "DataVersionBase", "DataVersionBase")
        on("DELETE", VERSION, self.delete_version)
        on("GET", COMPUTES, self.list_computes, "[ComputeResource]")
        on("GET", COMPUTE, self.get_compute, "ComputeResource")
        on("PUT", COMPUTE, self.put_compute, "ComputeResource", "ComputeResource")
        on("PATCH", COMPUTE, self.patch_compute, "ComputeResource", "ClusterUpdateParameters")
        on("DELETE", COMPUTE, self.delete_compute)
        return self

    # data

    def list_data(self, request: Request) -> Reply:
        self.ml.workspace(request)
        names = sorted(self.data)
        found = [{"id": f"{request.path}/{name}", "name": name, "properties": {"dataType": "uri_folder"}} for name in names]
        return self.ml.arm.page(request, found, size=2)

    def list_versions(self, request: Request) -> Reply:
        self.ml.workspace(request)
        if request.parts["name"] not in self.data:
            raise missing(f"data/{request.parts['name']}")
        return self.ml.arm.page(request, list(self.data[request.parts["name"]].values()), size=2)

    def get_version(self, request: Request) -> dict[str, Any]:
        self.ml.workspace(request)
        name, version = request.parts["name"], request.parts["version"]
        if version not in self.data.get(name, {}):
            raise missing(f"data/{name}/versions/{version}")
        return self.data[name][version]

    def put_version(self, request: Request) -> Reply:
        self.ml.workspace(request)
        name, version = request.parts["name"], request.parts["version"]
        known, told = self.data.setdefault(name, {}).get(version), request.body["properties"]
        if known and known["properties"]["dataUri"] != told["dataUri"]:
            raise ArmError(400, "UserError", f"A data version with this name and version already exists: {name} {version} is immutable.")
        self.writes.append("data")
        self.now += timedelta(seconds=1)
        system = known["systemData"] if known else {"createdAt": self.now.isoformat()}
        self.data[name][version] = {**request.body, "id": request.path, "name": version, "systemData": system}
        return Reply(200 if known else 201, self.data[name][version])

    def delete_version(self, request: Request) -> Reply:
        self.ml.workspace(request)
        gone = self.data.get(request.parts["name"], {}).pop(request.parts["version"], None)
        self.writes.append("delete data")
        return Reply(200 if gone else 204)

    # computes

    def list_computes(self, request: Request) -> Reply:
        self.ml.workspace(request)
        return self.ml.arm.page(request, list(self.computes.values()), size=1)

    def get_compute(self, request: Request) -> dict[str, Any]:
        self.ml.workspace(request)
        if request.parts["compute"] not in self.computes:
            raise missing(f"Microsoft.MachineLearningServices/workspaces/ml/computes/{request.parts['compute']}")
        return self.computes[request.parts["compute"]]

    def put_compute(self, request: Request) -> Reply:
        self.ml.workspace(request)
        before = self.computes.get(request.parts["compute"])
        self._free(before)
        about = request.body["properties"]["properties"]
        if about["vmSize"] == "Standard_None":
            raise ArmError(400, "ClusterCoreQuotaReached", "Operation results in exceeding quota limits of Core. Maximum allowed: 0")
        self.writes.append("compute")
        made = {**request.body, "id": request.path, "name": request.parts["compute"]}
        self.computes[request.parts["compute"]] = made
        self._size(made, about["scaleSettings"])
        return self._change(request, made, "Updating" if before else "Creating", 200 if before else 201)

    def patch_compute(self, request: Request) -> Reply:
        found = self.get_compute(request)
        self._free(found)
        self.writes.append("scale")
        self._size(found, request.body["properties"]["properties"]["scaleSettings"])
        return self._change(request, found, "Updating", 200)

    def delete_compute(self, request: Request) -> Reply:
        self.ml.workspace(request)
        if request.query["underlyingResourceAction"] != "Delete":
            raise ArmError(400, "BadArgument", "A cluster cannot be detached.")
        if request.parts["compute"] not in self.computes:
            return Reply(204)
        found = self.computes[request.parts["compute"]]
        self._free(found)
        self.writes.append("delete compute")
        found["properties"]["provisioningState"] = "Deleting"

        def done() -> None:
            self.computes.pop(request.parts["compute"], None)

        if not self.polls:
            done()
        return self.ml.arm.operation(request, done, polls=self.polls, via="both")

    def _size(self, found: dict[str, Any], limits: dict[str, Any]) -> None:
        about = found["properties"]["properties"]
        counts = {f"{kind}NodeCount": 0 for kind in ("idle", "running", "preparing", "unusable", "leaving", "preempted")}
        nodes = {"currentNodeCount": limits["minNodeCount"], "targetNodeCount": limits["minNodeCount"], "allocationState": "Steady"}
        about |= {"scaleSettings": limits, **nodes, "nodeStateCounts": {**counts, "idleNodeCount": limits["minNodeCount"]}}

    def _free(self, thing: dict[str, Any] | None) -> None:
        if thing is not None and thing["properties"].get("provisioningState") in IN_CHANGE:
            raise ArmError(409, "Conflict", "Another operation on the compute is in progress.")

    def _change(self, request: Request, thing: dict[str, Any], during: str, status: int) -> Reply:
        thing["properties"]["provisioningState"] = during
        body = {**thing, "properties": dict(thing["properties"])}

        def done() -> None:
            thing["properties"]["provisioningState"] = "Succeeded"

        if not self.polls:
            done()
        return self.ml.arm.operation(request, done, status=status, body=body, polls=self.polls)
