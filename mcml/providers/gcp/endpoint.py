"""Models on Vertex AI: an endpoint for each model of a target, a deployed model for each version, the traffic split between them.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints. Everything is made under an id that follows from
what it is, so a call that is repeated after a lost answer changes nothing. The exact tags, model and target are JSON in the endpoint's
description (the labels have them as far as labels can); version and digest are the deployed model's display name.

The source is an image that holds a v2 server and its model, or a package folder: then it is copied to `[providers.gcp] staging_bucket`
and served by `[providers.gcp] serving_image`, which finds the copy in AIP_STORAGE_URI. Requests go to `:rawPredict` of the endpoint, and
Vertex AI itself splits them by weight: one version cannot be addressed alone. A version is not described before it is ready.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, NotFound, QuotaExceeded, unknown
from mcml.core.secret import Secret
from mcml.providers.api.endpoint import Endpoint, EndpointRequest, InvokeTarget, ModelEndpoint, Variant
from mcml.providers.api.endpoint_price import ReplicaPrice
from mcml.providers.api.endpoint_size import ReplicaSeries, ReplicaSize
from mcml.providers.api.metrics import MachineMetric
from mcml.providers.api.object_store import ObjectStore
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp import endpoint_parts as parts
from mcml.providers.gcp.object_store import GcsObjectStore
from mcml.providers.gcp.session import Session
from mcml.providers.gcp.vertex import MANAGED, Vertex, labels, stable_id, stable_number
from mcml.providers.gcp.vertex_prices import VertexPrices
from mcml.providers.resilience import Policy

ENDPOINTS, MODELS = "EndpointServiceClient", "ModelServiceClient"
DEPLOY_SECONDS = 3600.0
CHANGE_SECONDS = 600.0
PIECE = 1 << 20
NEW = "0"
"""What a traffic split calls the one that is being deployed."""


def open_model_endpoint(ctx: ProviderContext) -> ModelEndpoint:
    """Return the Vertex AI endpoints of the context's target."""
    session = Session(ctx, policy=Policy(budget=ctx.budget))
    return VertexEndpoint(session, ctx.region, ctx.target, GcsObjectStore(session))


class VertexEndpoint:
    """Endpoints of one target, in its region; package folders are copied to the store."""

    def __init__(self, session: Session, region: str, target: str, store: ObjectStore) -> None:
        self._session = session
        self._vertex = Vertex(session, region)
        self._target = target
        self._store = store
        self._prices: VertexPrices | None = None

    def size(self, resources: Mapping[str, str]) -> ReplicaSize:
        """Return the machine of each replica, and how many there are."""
        return parts.size_of(resources)

    def machines(self) -> Mapping[str, str]:
        """Return none: which types Vertex AI takes is in no API."""
        return {}

    def series(self, name: str, version: str) -> Mapping[MachineMetric, ReplicaSeries]:  # noqa: ARG002 - not told yet
        """Return none: what Vertex AI measures is not read."""
        return {}

    def replica_price(self, machine: str) -> ReplicaPrice:
        """Return the price of an hour of a replica, by Vertex AI's own price list."""
        self._prices = self._prices or VertexPrices(self._session, self._vertex.region)
        return self._prices.price(machine)

    def describe(self, name: str = "") -> list[Endpoint]:
        """Return the endpoint of that name, or all of the target's; each version that is deployed is ready, or failed if none answers."""
        if name:
            found = self._find(name)
            return [self._told(found)] if found is not None and found.deployed_models else []
        request = {"parent": self._vertex.parent, "filter": f"labels.{MANAGED}=true"}
        listed = self._vertex.pages(f"cannot list the endpoints of {self._target}", ENDPOINTS, "list_endpoints", request, "endpoints")
        ours = [one for one in listed if (about := parts.read_about(one.description)) and about.target == self._target]
        return sorted((self._told(one) for one in ours if one.deployed_models), key=lambda endpoint: endpoint.name)

    def create(self, request: EndpointRequest) -> Endpoint:
        """Upload the model, deploy it beside the versions that run, and return when it is ready (that takes minutes; an hour at most).

        A version that is dead is undeployed and deployed again, with the traffic that it had; the others have it meanwhile.
        Resources: machine (e2-standard-2), accelerator ("nvidia-l4"), accelerator_count, replicas, max_replicas, spot, service_account.
        Raises InvalidRequest when it does not come up (nothing is left then), QuotaExceeded, Conflict, StillRunning.
        """
        parts.check(request)
        self._check_source(request)
        found = self._find(request.name)
        held = None if found is None else self._held(found, request)
        if held is not None and not _is_dead(held):
            return self._tagged(found, request)
        doing = f"cannot deploy {request.name} version {request.version} on {self._target}"
        machines, model = parts.machines(request), self._model_path(request.name, request.version, request.digest)
        try:
            self._upload(doing, request, model)
            if found is None:
                self._make_endpoint(doing, request)
            split = {NEW: 100} if found is None or not found.deployed_models else {}
            if held is not None:
                split = self._stop_dead(request.name, found, held)
            self._deploy(doing, request, model, machines, split)
        except (InvalidRequest, QuotaExceeded) as refused:
            self._clear(request.name, [model])
            refused.next_step = refused.next_step or self._logs(request.name)
            raise
        return self._tagged(self._must_find(request.name), request)

    def shift_traffic(self, name: str, weights: Mapping[str, int]) -> Endpoint:
        """Set the traffic share of each version; one that is not named gets none."""
        found = self._must_find(name)
        ids = {parts.read_display_name(one.display_name)[0]: one.id for one in found.deployed_models}
        for version in weights:
            if version not in ids:
                raise unknown(f"version of {name}", version, ids, next_step="mcml deploy list")
        doing = f"cannot shift the traffic of {name} on {self._target}"
        if any(weight < 0 for weight in weights.values()) or sum(weights.values()) != 100:
            raise InvalidRequest(doing, why=f"the shares {dict(weights)} are not 0 to 100 percent that add up to 100")
        split = {ids[version]: weight for version, weight in weights.items() if weight}
        changed = self._patch(doing, {"name": found.name, "traffic_split": split}, "traffic_split")
        return self._told(changed)

    def invoke_target(self, name: str, version: str = "") -> InvokeTarget:
        """Return where to send requests: the endpoint's `rawPredict`, whichever version is named. The token holds for an hour at most."""
        found = self._must_find(name)
        versions = [parts.read_display_name(one.display_name)[0] for one in found.deployed_models]
        if version and version not in versions:
            raise unknown(f"version of {name}", version, versions, next_step="mcml deploy list")
        path = f"/v1/{self._endpoint_path(name)}"
        token, expires = self._session.token(f"cannot log in to {name} on {self._target}")
        return InvokeTarget(self._vertex.url, f"{path}:rawPredict", path, "bearer", Secret(token), expires=expires)

    def delete(self, name: str, version: str = "") -> bool:
        """Undeploy one version, or all and remove the endpoint, and remove their models; what traffic it had goes to the others."""
        found = self._find(name)
        if found is None:
            return False
        deployed = list(found.deployed_models)
        going = [one for one in deployed if not version or parts.read_display_name(one.display_name)[0] == version]
        if version and not going:
            return False
        staying, split = sorted(deployed, key=lambda one: one.create_time), dict(found.traffic_split)
        for one in going:
            staying.remove(one)
            split = self._undeploy(name, one.id, split, [other.id for other in staying])
        if staying:
            self._remove_models([one.model for one in going], f"cannot delete version {version} of {name} on {self._target}")
        else:
            self._clear(name, [one.model for one in going])
        return True

    # what is there

    def _endpoint_id(self, name: str) -> str:
        return stable_id(name, self._target)

    def _endpoint_path(self, name: str) -> str:
        return f"{self._vertex.parent}/endpoints/{self._endpoint_id(name)}"

    def _model_path(self, name: str, version: str, digest: str) -> str:
        return f"{self._vertex.parent}/models/{stable_id(name, self._target, version, digest)}"

    def _find(self, name: str) -> Any:
        return self._look(f"cannot look at {name} on {self._target}", ENDPOINTS, "get_endpoint", self._endpoint_path(name))

    def _look(self, doing: str, kind: str, method: str, path: str) -> Any:
        """Return a resource, or None when it is not there."""
        try:
            return self._vertex.ask(doing, kind, method, {"name": path})
        except NotFound:
            return None

    def _must_find(self, name: str) -> Any:
        found = self._find(name)
        if found is None or not found.deployed_models:
            names = [endpoint.name for endpoint in self.describe()]
            raise unknown(f"endpoint on {self._target}", name, names, next_step=f"mcml deploy model {name}")
        return found

    def _held(self, found: Any, request: EndpointRequest) -> Any:
        """Return this version as it is deployed already, or None. Raises Conflict when it is another model."""
        for one in found.deployed_models:
            version, digest = parts.read_display_name(one.display_name)
            if version == request.version and digest != request.digest:
                raise Conflict(
                    f"version {version} of {request.name} on {self._target} is another model",
                    why=f"it has the digest {digest[:12]}, the new one {request.digest[:12]}",
                    next_step=f"give the new model another version, or: mcml deploy delete {request.name} --target {self._target}",
                )
            if version == request.version:
                return one
        return None

    def _told(self, found: Any) -> Endpoint:
        about = parts.read_about(found.description) or parts.About(found.display_name, self._target, dict(found.labels))
        address = f"{self._vertex.url}/v1/{self._endpoint_path(about.model)}"
        deployed = sorted(found.deployed_models, key=lambda one: (one.create_time, one.id))
        return Endpoint(about.model, about.target, tuple(_variant(one, found.traffic_split, address) for one in deployed), dict(about.tags))

    def _logs(self, name: str) -> str:
        where = f'resource.type="aiplatform.googleapis.com/Endpoint" resource.labels.endpoint_id="{self._endpoint_id(name)}"'
        return f"gcloud logging read '{where}' --project={self._session.project()} --limit=50"

    # what is done

    def _check_source(self, request: EndpointRequest) -> None:
        """Raise NotFound for a source that is nothing, InvalidRequest for a folder where folders cannot be served."""
        settings, doing = self._session.settings, f"cannot deploy {request.name} version {request.version} on {self._target}"
        if parts.is_image(request.source):
            return
        if not Path(request.source).is_dir():
            raise NotFound(doing, why=f"{request.source!r} is neither a folder nor an image in a registry")
        if not settings.serving_image or not settings.staging_bucket:
            raise InvalidRequest(
                doing,
                why="a folder is served from a bucket, by an image that holds a model server",
                next_step="set serving_image and staging_bucket in [providers.gcp] of mcml.toml",
            )

    def _upload(self, doing: str, request: EndpointRequest, path: str) -> None:
        settings, model_id = self._session.settings, path.rpartition("/")[2]

        def is_there() -> bool:
            return self._look(doing, MODELS, "get_model", path) is not None

        if is_there():
            return
        model: dict[str, Any] = {"display_name": request.name, "version_description": parts.display_name(request.version, request.digest)}
        if parts.is_image(request.source):
            model["container_spec"] = parts.container(request, request.source)
        else:
            model["artifact_uri"] = self._copy(request)
            model["container_spec"] = parts.container(request, settings.serving_image)
        wanted = {"parent": self._vertex.parent, "model_id": model_id, "model": {**model, "labels": labels(request.tags)}}
        self._vertex.do(doing, MODELS, "upload_model", wanted, is_there, patience=CHANGE_SECONDS)

    def _copy(self, request: EndpointRequest) -> str:
        """Copy a package folder to the staging bucket, under its digest, and return where it is."""
        settings, folder = self._session.settings, Path(request.source)
        prefix = f"mcml/models/{request.name}/{request.digest}"
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder)
            if path.is_file() and not any(part.startswith(".") for part in relative.parts):
                self._store.write(settings.staging_bucket, f"{prefix}/{relative.as_posix()}", _pieces(path))
        return f"gs://{settings.staging_bucket}/{prefix}"

    def _make_endpoint(self, doing: str, request: EndpointRequest) -> None:
        about = parts.About(request.name, self._target, request.tags)
        endpoint = {"display_name": request.name, "description": about.text(), "labels": labels(request.tags)}
        wanted = {"parent": self._vertex.parent, "endpoint_id": self._endpoint_id(request.name), "endpoint": endpoint}

        def is_there() -> bool:
            return self._find(request.name) is not None

        self._vertex.do(doing, ENDPOINTS, "create_endpoint", wanted, is_there, patience=CHANGE_SECONDS)

    def _stop_dead(self, name: str, found: Any, dead: Any) -> dict[str, int]:
        """Undeploy a version that is to be deployed again, and return how the traffic is to be split then (none if it had no share)."""
        split = {one: share for one, share in found.traffic_split.items() if share}
        staying = sorted((one for one in found.deployed_models if one.id != dead.id), key=lambda one: one.create_time)
        self._undeploy(name, dead.id, split, [one.id for one in staying])
        if not staying:
            return {NEW: 100}
        return {NEW if one == dead.id else one: share for one, share in split.items()} if dead.id in split else {}

    def _deploy(self, doing: str, request: EndpointRequest, model: str, machines: dict[str, Any], split: dict[str, int]) -> None:
        number = stable_number(request.version, request.digest)
        deployed: dict[str, Any] = {
            "id": number,
            "model": model,
            "display_name": parts.display_name(request.version, request.digest),
            "dedicated_resources": machines,
            "service_account": request.resources.get("service_account", ""),
        }
        wanted: dict[str, Any] = {"endpoint": self._endpoint_path(request.name), "deployed_model": deployed}
        if split:
            wanted["traffic_split"] = split

        def is_deployed() -> bool:
            found = self._find(request.name)
            return found is not None and any(one.id == number for one in found.deployed_models)

        self._vertex.do(doing, ENDPOINTS, "deploy_model", wanted, is_deployed, patience=DEPLOY_SECONDS, step=self._logs(request.name))

    def _tagged(self, found: Any, request: EndpointRequest) -> Endpoint:
        """Bring the tags up to date, and return the endpoint."""
        about, wanted = parts.About(request.name, self._target, request.tags), labels(request.tags)
        if found.description != about.text() or dict(found.labels) != wanted:
            change = {"name": found.name, "description": about.text(), "labels": wanted}
            found = self._patch(f"cannot tag {request.name} on {self._target}", change, "description", "labels")
        return self._told(found)

    def _patch(self, doing: str, endpoint: dict[str, Any], *mask: str) -> Any:
        """Change an endpoint; the values replace what is there, so a repetition changes nothing."""
        return self._vertex.ask(doing, ENDPOINTS, "update_endpoint", {"endpoint": endpoint, "update_mask": {"paths": mask}})

    def _undeploy(self, name: str, number: str, split: dict[str, int], staying: list[str]) -> dict[str, int]:
        """Undeploy one, its traffic going to those that stay, and return how it is split then."""
        doing = f"cannot stop a version of {name} on {self._target}"
        wanted: dict[str, Any] = {"endpoint": self._endpoint_path(name), "deployed_model_id": number}
        if staying and split.get(number):
            wanted["traffic_split"] = split = parts.spread(split, staying)

        def is_gone() -> bool:
            now = self._find(name)
            return now is None or all(one.id != number for one in now.deployed_models)

        self._vertex.do(doing, ENDPOINTS, "undeploy_model", wanted, is_gone, patience=CHANGE_SECONDS)
        return split

    def _clear(self, name: str, models: list[str]) -> None:
        """Remove models that are not deployed, and the endpoint if no version is left; an error that is on its way goes before ours."""
        doing, path = f"cannot delete {name} on {self._target}", self._endpoint_path(name)
        found = self._find(name)
        if found is not None and not found.deployed_models:
            self._remove(doing, ENDPOINTS, "delete_endpoint", "get_endpoint", path)
        self._remove_models(models, doing)

    def _remove_models(self, models: list[str], doing: str) -> None:
        for model in models:
            self._remove(doing, MODELS, "delete_model", "get_model", model)

    def _remove(self, doing: str, kind: str, method: str, look: str, path: str) -> None:
        def is_gone() -> bool:
            return self._look(doing, kind, look, path) is None

        self._vertex.do(doing, kind, method, {"name": path}, is_gone, patience=CHANGE_SECONDS)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as source:
        while piece := source.read(PIECE):
            yield piece


def _is_dead(deployed: Any) -> bool:
    return "status" in deployed and bool(deployed.status.message) and not deployed.status.available_replica_count


def _variant(deployed: Any, split: Mapping[str, int], address: str) -> Variant:
    version, digest = parts.read_display_name(deployed.display_name)
    detail = deployed.status.message if "status" in deployed else ""
    given = deployed.dedicated_resources
    return Variant(
        version,
        digest,
        "failed" if _is_dead(deployed) else "ready",
        split.get(deployed.id, 0),
        address,
        detail,
        machine=str(parts.replica_of(given)) if given.machine_spec.machine_type else "",
        replicas=deployed.status.available_replica_count or given.min_replica_count,
    )
