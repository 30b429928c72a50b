"""Vertex AI's endpoints and models in one region: handlers for the discovery stub. What is begun is over at the second look."""

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

from mcml.testing.stubs.google_discovery import Call, DiscoveryStub, GoogleError

LOCATIONS = "aiplatform.projects.locations"
BROKEN = "europe-west1-docker.pkg.dev/stub-project/models/broken:1"
NEVER_READY = "Model server never became ready. Please validate that your model file or container configuration are valid."
OPERATION = "type.googleapis.com/google.cloud.aiplatform.v1."


class Vertex:
    """The state. `error` is what the next deployment ends with."""

    def __init__(self) -> None:
        self.endpoints: dict[str, dict[str, Any]] = {}
        self.models: dict[str, dict[str, Any]] = {}
        self.operations: dict[str, dict[str, Any]] = {}
        self.effects: dict[str, tuple[str, dict[str, Any]]] = {}
        self.ages: dict[str, int] = {}
        self.error: dict[str, Any] = {}
        self.page = 2
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def serve(self, stub: DiscoveryStub) -> None:
        for name in ("create", "get", "list", "patch", "delete", "deployModel", "undeployModel"):
            stub.on(f"{LOCATIONS}.endpoints.{name}", getattr(self, f"endpoint_{name}"))
        for name in ("upload", "get", "delete"):
            stub.on(f"{LOCATIONS}.models.{name}", getattr(self, f"model_{name}"))
        for parent in ("endpoints", "models"):
            stub.on(f"{LOCATIONS}.{parent}.operations.get", self.operation)

    def snapshot(self) -> "Vertex":
        return copy.deepcopy(self)

    def time(self) -> str:
        self.now += timedelta(seconds=1)
        return f"{self.now:%Y-%m-%dT%H:%M:%SZ}"

    # operations

    def begin(self, on: str, kind: str, effect: str, about: dict[str, Any]) -> dict[str, Any]:
        name = f"{on}/operations/{len(self.operations) + 1}"
        self.operations[name] = {"name": name, "done": False, "metadata": {"@type": f"{OPERATION}{kind}OperationMetadata"}}
        self.effects[name] = (effect, about)
        return dict(self.operations[name])

    def running(self, on: str, effect: str) -> bool:
        return any(
            name.startswith(f"{on}/operations/") and not self.operations[name]["done"] and self.effects[name][0] == effect
            for name in self.operations
        )

    def refuse_while(self, on: str, effect: str) -> None:
        if self.running(on, effect):
            raise GoogleError(400, "There are other operations running on it.", status="FAILED_PRECONDITION")

    def operation(self, call: Call) -> dict[str, Any]:
        name = call["name"]
        if name not in self.operations:
            raise GoogleError(404, "Operation not found.")
        self.age()
        return self.operations[name]

    def age(self) -> None:
        """Each look is a moment later: what was begun is over at the second."""
        for name, operation in self.operations.items():
            self.ages[name] = self.ages.get(name, 0) + 1
            if self.ages[name] > 1 and not operation["done"]:
                self.finish(operation, *self.effects[name])

    def finish(self, operation: dict[str, Any], effect: str, about: dict[str, Any]) -> None:
        operation["done"] = True
        operation["response"] = {"@type": "type.googleapis.com/google.protobuf.Empty"}
        failed = getattr(self, f"finish_{effect}")(about)
        if failed:
            operation.pop("response")
            operation["error"] = failed

    # models

    def model_upload(self, call: Call) -> dict[str, Any]:
        name = f"{call['parent']}/models/{call.body['modelId']}"
        if name in self.models or self.running(name, "upload"):
            raise GoogleError(409, f"Model {name} already exists.")
        return self.begin(name, "UploadModel", "upload", {**call.body["model"], "name": name})

    def finish_upload(self, about: dict[str, Any]) -> None:
        self.models[about["name"]] = {**about, "versionId": "1", "createTime": self.time()}

    def model_get(self, call: Call) -> dict[str, Any]:
        self.age()
        return _found(self.models, call["name"])

    def model_delete(self, call: Call) -> dict[str, Any]:
        _found(self.models, call["name"])
        if any(one["model"] == call["name"] for endpoint in self.endpoints.values() for one in endpoint["deployedModels"]):
            raise GoogleError(400, "The Model is deployed.", status="FAILED_PRECONDITION")
        self.refuse_while(call["name"], "delete_model")
        return self.begin(call["name"], "Delete", "delete_model", {"name": call["name"]})

    def finish_delete_model(self, about: dict[str, Any]) -> None:
        self.models.pop(about["name"], None)

    # endpoints

    def endpoint_create(self, call: Call) -> dict[str, Any]:
        name = f"{call['parent']}/endpoints/{call['endpointId']}"
        if name in self.endpoints or self.running(name, "create"):
            raise GoogleError(409, f"Endpoint {name} already exists.")
        return self.begin(name, "CreateEndpoint", "create", {**call.body, "name": name})

    def finish_create(self, about: dict[str, Any]) -> None:
        self.endpoints[about["name"]] = {**about, "deployedModels": [], "createTime": self.time()}

    def endpoint_get(self, call: Call) -> dict[str, Any]:
        self.age()
        return _found(self.endpoints, call["name"])

    def endpoint_list(self, call: Call) -> dict[str, Any]:
        label, _, value = call["filter"].removeprefix("labels.").partition("=")
        found = [one for _, one in sorted(self.endpoints.items()) if one.get("labels", {}).get(label) == value]
        start = int(call.get("pageToken") or 0)
        more = {"nextPageToken": str(start + self.page)} if start + self.page < len(found) else {}
        return {"endpoints": found[start : start + self.page], **more}

    def endpoint_patch(self, call: Call) -> dict[str, Any]:
        endpoint = _found(self.endpoints, call["name"])
        change = {name: call.body.get(name, {}) for name in call["updateMask"].split(",")}
        if "trafficSplit" in change:
            _check_split(change["trafficSplit"], endpoint)
        endpoint |= change
        return endpoint

    def endpoint_delete(self, call: Call) -> dict[str, Any]:
        if _found(self.endpoints, call["name"])["deployedModels"]:
            raise GoogleError(400, "The Endpoint has deployed or being-deployed Models.", status="FAILED_PRECONDITION")
        self.refuse_while(call["name"], "delete")
        return self.begin(call["name"], "Delete", "delete", {"name": call["name"]})

    def finish_delete(self, about: dict[str, Any]) -> None:
        self.endpoints.pop(about["name"], None)

    def endpoint_deployModel(self, call: Call) -> dict[str, Any]:  # noqa: N802 - as the API has it
        endpoint = _found(self.endpoints, call["endpoint"])
        deployed = call.body["deployedModel"]
        _found(self.models, deployed["model"])
        taken = any(one["id"] == deployed["id"] for one in endpoint["deployedModels"])
        if taken or self.running(call["endpoint"], "deploy"):
            raise GoogleError(400, f"There is already a deployed model with ID {deployed['id']}.")
        return self.begin(call["endpoint"], "DeployModel", "deploy", {"endpoint": call["endpoint"], **call.body})

    def finish_deploy(self, about: dict[str, Any]) -> dict[str, Any] | None:
        endpoint, deployed = self.endpoints[about["endpoint"]], about["deployedModel"]
        if self.models[deployed["model"]]["containerSpec"]["imageUri"] == BROKEN:
            return {"code": 13, "message": NEVER_READY}
        if self.error:
            return self.error
        endpoint["deployedModels"].append({**deployed, "createTime": self.time()})
        if "trafficSplit" in about:
            endpoint["trafficSplit"] = {deployed["id"] if one == "0" else one: share for one, share in about["trafficSplit"].items()}
        return None

    def endpoint_undeployModel(self, call: Call) -> dict[str, Any]:  # noqa: N802 - as the API has it
        endpoint, gone = _found(self.endpoints, call["endpoint"]), call.body["deployedModelId"]
        if all(one["id"] != gone for one in endpoint["deployedModels"]):
            raise GoogleError(404, f"DeployedModel {gone} is not found.")
        self.refuse_while(call["endpoint"], "undeploy")
        split = call.body.get("trafficSplit", endpoint.get("trafficSplit", {}))
        if split.get(gone) and len(endpoint["deployedModels"]) > 1:
            raise GoogleError(400, "Cannot undeploy a model that has traffic.", status="FAILED_PRECONDITION")
        return self.begin(call["endpoint"], "UndeployModel", "undeploy", {"endpoint": call["endpoint"], "gone": gone, "split": split})

    def finish_undeploy(self, about: dict[str, Any]) -> None:
        endpoint = self.endpoints[about["endpoint"]]
        endpoint["deployedModels"] = [one for one in endpoint["deployedModels"] if one["id"] != about["gone"]]
        endpoint["trafficSplit"] = about["split"] if endpoint["deployedModels"] else {}


def _found(things: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    if name not in things:
        raise GoogleError(404, f"{name} is not found.")
    return things[name]


def _check_split(split: dict[str, int], endpoint: dict[str, Any]) -> None:
    if sum(split.values()) != 100 or set(split) - {one["id"] for one in endpoint["deployedModels"]}:
        raise GoogleError(400, "Traffic split is not valid.")
