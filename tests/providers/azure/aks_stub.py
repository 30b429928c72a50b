"""AKS in the stub of Azure Resource Manager: clusters and their agent pools, with ETags, as the REST API's own examples show them.

Shapes: the examples of ManagedClusters_Get and AgentPools_Get, api-version 2025-10-01, https://github.com/Azure/azure-rest-api-specs (MIT).
"""

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcml.testing.stubs.azure_arm import ArmError, ArmStub, Reply, Request, missing

SDK = "azure.mgmt.containerservice"
CLUSTERS = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters"
CLUSTER = f"{CLUSTERS}/{{name}}"
POOLS = f"{CLUSTER}/agentPools"
POOL = f"{POOLS}/{{pool}}"


def pool(count: int, machine: str = "Standard_D4s_v5", **properties: Any) -> dict[str, Any]:
    """Return the properties of a pool, as the service tells them."""
    told = {"count": count, "vmSize": machine, "mode": "User", "type": "VirtualMachineScaleSets", "osType": "Linux", "maxPods": 110}
    return {**told, "currentOrchestratorVersion": "1.33.2", "provisioningState": "Succeeded", **properties}


@dataclass
class Aks:
    """Clusters by name; each has its properties and its pools by name. `writes` counts what changed a pool."""

    arm: ArmStub
    ca: Path
    clusters: dict[str, dict[str, Any]] = field(default_factory=dict)
    pools: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    writes: int = 0
    polls: int = 1
    failure: ArmError | None = None

    def serve(self) -> "Aks":
        """Register the handlers."""
        on = self.arm.on
        on("GET", CLUSTER, self.get, sdk=SDK, answer="ManagedCluster")
        on("POST", f"{CLUSTER}/listClusterUserCredential", self.credential, sdk=SDK, answer="CredentialResults")
        on("GET", POOLS, self.list_pools, sdk=SDK, answer="[AgentPool]")
        on("GET", POOL, self.get_pool, sdk=SDK, answer="AgentPool")
        on("PUT", POOL, self.put_pool, sdk=SDK, body="AgentPool", answer="AgentPool")
        return self

    def add(self, name: str, pools: dict[str, dict[str, Any]], **properties: Any) -> None:
        """Let there be a cluster."""
        told = {"fqdn": f"{name}-abcd1234.hcp.westeurope.azmk8s.io", "provisioningState": "Succeeded", "powerState": {"code": "Running"}}
        self.clusters[name] = {**told, "aadProfile": {"managed": True, "enableAzureRBAC": True}, **properties}
        self.pools[name] = {pool: {**told, "eTag": f"{pool}-0"} for pool, told in pools.items()}

    def get(self, request: Request) -> dict[str, Any]:
        name = request.parts["name"]
        if name not in self.clusters:
            raise missing(f"Microsoft.ContainerService/managedClusters/{name}")
        profiles = [{**told, "name": pool} for pool, told in self.pools[name].items()]
        return {
            "id": request.path,
            "name": name,
            "type": "Microsoft.ContainerService/ManagedClusters",
            "location": "westeurope",
            "properties": {**self.clusters[name], "agentPoolProfiles": profiles},
        }

    def credential(self, request: Request) -> dict[str, Any]:
        name, server = request.parts["name"], self.clusters[request.parts["name"]]["fqdn"]
        ca = base64.b64encode(self.ca.read_bytes()).decode()
        cluster = {"server": f"https://{server}:443", "certificate-authority-data": ca}
        login = {"command": "kubelogin", "args": ["get-token", "--login", "devicecode"], "env": None}
        config = {"clusters": [{"name": name, "cluster": cluster}], "users": [{"name": "clusterUser", "user": {"exec": login}}]}
        return {"kubeconfigs": [{"name": "clusterUser", "value": base64.b64encode(json.dumps(config).encode()).decode()}]}

    def list_pools(self, request: Request) -> Reply:
        name = request.parts["name"]
        return self.arm.page(request, [self.shown(name, pool) for pool in self.pools[name]], size=2)

    def get_pool(self, request: Request) -> dict[str, Any]:
        self.get(request)
        if request.parts["pool"] not in self.pools[request.parts["name"]]:
            raise missing(f"Microsoft.ContainerService/managedClusters/{request.parts['name']}/agentPools/{request.parts['pool']}")
        return self.shown(request.parts["name"], request.parts["pool"])

    def put_pool(self, request: Request) -> Reply:
        name, pool = request.parts["name"], request.parts["pool"]
        told = self.pools[name][pool]
        if request.headers.get("if-match") != f'"{told["eTag"]}"':
            raise ArmError(412, "PreconditionFailed", "The ETag does not match.")
        if told.get("enableAutoScaling") and request.body["properties"]["count"] != told["count"]:
            raise ArmError(400, "BadRequest", "Cannot scale cluster autoscaler enabled node pool.")
        if told["provisioningState"] not in ("Succeeded", "Failed"):
            raise ArmError(409, "OperationNotAllowed", "Operation is not allowed because there's an in progress scale operation.")
        self.writes += 1
        told |= {**request.body["properties"], "provisioningState": "Scaling", "eTag": f"{pool}-{self.writes}"}

        def done() -> None:
            told["provisioningState"] = "Succeeded" if self.failure is None else "Failed"

        body = self.shown(name, pool)
        if self.failure is not None:
            done()
        return self.arm.operation(request, done, status=201, body=body, polls=self.polls, failure=self.failure)

    def shown(self, name: str, pool: str) -> dict[str, Any]:
        path = f"/subscriptions/s/resourceGroups/ml/providers/Microsoft.ContainerService/managedClusters/{name}/agentPools/{pool}"
        told = dict(self.pools[name][pool])
        if told["provisioningState"] == "Scaling" and self.polls == 0:
            self.pools[name][pool]["provisioningState"] = "Succeeded"
        return {"id": path, "name": pool, "type": "Microsoft.ContainerService/managedClusters/agentPools", "properties": told}
