"""Azure Machine Learning in the stub of Azure Resource Manager: a workspace, its environments and models, online endpoints and deployments.

Shapes: the service's own examples (Endpoint, OnlineDeployment/ManagedOnlineDeployment, EnvironmentVersion, ModelVersion),
https://github.com/Azure/azure-rest-api-specs (MIT); every one is judged by the SDK's models. Its rules: traffic goes to deployments that
are there, one with traffic is not deleted, what is in the middle of a change takes no other, an image called `broken` does not come up.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from mcml.testing.stubs.azure_arm import ArmError, ArmStub, Reply, Request, missing

SDK = "azure.mgmt.machinelearningservices"
WORKSPACE = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.MachineLearningServices/workspaces/{workspace}"
ENDPOINTS = f"{WORKSPACE}/onlineEndpoints"
ENDPOINT = f"{ENDPOINTS}/{{endpoint}}"
DEPLOYMENTS = f"{ENDPOINT}/deployments"
DEPLOYMENT = f"{DEPLOYMENTS}/{{deployment}}"
IN_CHANGE = {"Creating", "Updating", "Deleting"}


@dataclass
class Ml:
    """A workspace called `ml`. `writes` counts what was begun, by its kind; with `polls` 0 a change is over at once."""

    arm: ArmStub
    discovery: str = "https://westeurope.api.azureml.ms/discovery"
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    deployments: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    assets: dict[str, dict[str, Any]] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    polls: int = 1
    refusal: ArmError | None = None
    account: str = "devstoreaccount1"
    container: str = "azureml-blobstore"

    def serve(self) -> "Ml":
        """Register the handlers."""

        def on(method: str, path: str, handler: Any, answer: str = "", body: str = "") -> None:
            self.arm.on(method, path, handler, sdk=SDK, body=body, answer=answer)

        on("GET", WORKSPACE, self.workspace, "Workspace")
        for kind, name in (("environments", "EnvironmentVersion"), ("models", "ModelVersion")):
            on("GET", f"{WORKSPACE}/{kind}/{{name}}/versions/{{version}}", self.get_asset, name)
            on("PUT", f"{WORKSPACE}/{kind}/{{name}}/versions/{{version}}", self.put_asset, name, name)
        on("GET", f"{WORKSPACE}/datastores/{{name}}", self.datastore, "Datastore")
        on("GET", ENDPOINTS, lambda request: self.arm.page(request, list(self.endpoints.values()), size=2), "[OnlineEndpoint]")
        on("GET", ENDPOINT, self.endpoint, "OnlineEndpoint")
        on("PUT", ENDPOINT, self.put_endpoint, "OnlineEndpoint", "OnlineEndpoint")
        on("DELETE", ENDPOINT, self.delete_endpoint)
        on("POST", f"{ENDPOINT}/token", lambda request: {"accessToken": "aml-token", "tokenType": "Bearer"}, "EndpointAuthToken")
        on("POST", f"{ENDPOINT}/listKeys", lambda request: {"primaryKey": "aml-key", "secondaryKey": "other"}, "EndpointAuthKeys")
        on("GET", DEPLOYMENTS, self.list_deployments, "[OnlineDeployment]")
        on("GET", DEPLOYMENT, self.deployment, "OnlineDeployment")
        on("PUT", DEPLOYMENT, self.put_deployment, "OnlineDeployment", "OnlineDeployment")
        on("DELETE", DEPLOYMENT, self.delete_deployment)
        on("POST", f"{DEPLOYMENT}/getLogs", self.logs, "DeploymentLogs", "DeploymentLogsRequest")
        return self

    def workspace(self, request: Request) -> dict[str, Any]:
        if request.parts["workspace"] != "ml":
            raise missing(f"Microsoft.MachineLearningServices/workspaces/{request.parts['workspace']}")
        told = {"discoveryUrl": self.discovery, "provisioningState": "Succeeded", "workspaceId": "w-1"}
        return {"id": request.path, "name": "ml", "location": "westeurope", "properties": told}

    def get_asset(self, request: Request) -> dict[str, Any]:
        if request.path not in self.assets:
            raise missing(request.path.partition("/providers/")[2])
        return self.assets[request.path]

    def put_asset(self, request: Request) -> Reply:
        self.writes.append(f"asset {request.parts['name']}")
        self.assets[request.path] = {**request.body, "id": request.path, "name": request.parts["version"]}
        return Reply(201, self.assets[request.path])

    def datastore(self, request: Request) -> dict[str, Any]:
        told = {"datastoreType": "AzureBlob", "credentials": {"credentialsType": "None"}, "accountName": self.account}
        return {"id": request.path, "name": request.parts["name"], "properties": {**told, "containerName": self.container}}

    def endpoint(self, request: Request) -> dict[str, Any]:
        if request.parts["endpoint"] not in self.endpoints:
            raise missing(f"Microsoft.MachineLearningServices/workspaces/ml/onlineEndpoints/{request.parts['endpoint']}")
        return self.endpoints[request.parts["endpoint"]]

    def put_endpoint(self, request: Request) -> Reply:
        name, told = request.parts["endpoint"], request.body["properties"]
        before = self.endpoints.get(name)
        self._free(before)
        traffic = told.get("traffic", {})
        if not set(traffic) <= set(self.deployments.get(name, {})) or sum(traffic.values()) not in (0, 100):
            raise ArmError(400, "UserError", f"The traffic {traffic} is not that of deployments of {name}.")
        if before and before["properties"].get("properties") != told.get("properties"):
            raise ArmError(400, "UserError", "Properties of an endpoint cannot be changed.")
        self.writes.append("endpoint")
        properties = {**told, "scoringUri": f"https://{name}.westeurope.inference.ml.azure.com/score"}
        made = {**request.body, "id": request.path, "name": name, "properties": properties}
        self.endpoints[name] = made
        self.deployments.setdefault(name, {})
        return self._change(request, made, "Updating" if before else "Creating", 200 if before else 201)

    def delete_endpoint(self, request: Request) -> Reply:
        if request.parts["endpoint"] not in self.endpoints:
            return Reply(204)
        self.writes.append("delete endpoint")

        def done() -> None:
            self.endpoints.pop(request.parts["endpoint"], None)
            self.deployments.pop(request.parts["endpoint"], None)

        return self._removal(request, self.endpoint(request), done)

    def list_deployments(self, request: Request) -> Reply:
        self.endpoint(request)
        return self.arm.page(request, list(self.deployments[request.parts["endpoint"]].values()), size=1)

    def deployment(self, request: Request) -> dict[str, Any]:
        self.endpoint(request)
        found = self.deployments[request.parts["endpoint"]].get(request.parts["deployment"])
        if found is None:
            raise missing(f".../deployments/{request.parts['deployment']}")
        return found

    def put_deployment(self, request: Request) -> Reply:
        self.endpoint(request)
        running = self.deployments[request.parts["endpoint"]]
        name, before = request.parts["deployment"], running.get(request.parts["deployment"])
        self._free(before)
        if self.refusal is not None:
            raise self.refusal
        environment = self.assets.get(request.body["properties"]["environmentId"])
        if environment is None:
            raise ArmError(400, "UserError", "No such environment.")
        self.writes.append("deployment")
        created = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=len(self.writes))).isoformat()
        running[name] = {**request.body, "id": request.path, "name": name, "systemData": {"createdAt": created}}
        failure = None
        if environment["properties"]["image"].endswith(":broken"):
            failure = ArmError(400, "ResourceNotReady", "User container has crashed or terminated.")
        return self._change(request, running[name], "Updating" if before else "Creating", 201, failure)

    def delete_deployment(self, request: Request) -> Reply:
        running, name = self.deployments.get(request.parts["endpoint"], {}), request.parts["deployment"]
        if name not in running:
            return Reply(204)
        if self.endpoint(request)["properties"].get("traffic", {}).get(name):
            raise ArmError(400, "UserError", "A deployment with traffic cannot be deleted.")
        self.writes.append("delete deployment")
        return self._removal(request, running[name], lambda: running.pop(name, None))

    def logs(self, request: Request) -> dict[str, Any]:
        self.deployment(request)
        return {"content": "Instance status: started\nloading the model\nValueError: the model is cut off\n"}

    def _free(self, thing: dict[str, Any] | None) -> None:
        if thing is not None and thing["properties"].get("provisioningState") in IN_CHANGE:
            raise ArmError(409, "ConflictError", "Another operation is in progress.")

    def _change(self, request: Request, thing: dict[str, Any], during: str, status: int, failure: ArmError | None = None) -> Reply:
        thing["properties"]["provisioningState"] = during if failure is None else "Failed"
        body = {**thing, "properties": dict(thing["properties"])}

        def done() -> None:
            thing["properties"]["provisioningState"] = "Succeeded"

        if not self.polls and failure is None:
            done()
        return self.arm.operation(request, done, status=status, body=body, polls=self.polls, failure=failure)

    def _removal(self, request: Request, thing: dict[str, Any], done: Any) -> Reply:
        thing["properties"]["provisioningState"] = "Deleting"
        if not self.polls:
            done()
        return self.arm.operation(request, lambda: (done(), None)[1], polls=self.polls, via="both")
