"""Models on Azure Machine Learning: a managed online endpoint for each model of a target, a deployment for each version.

https://learn.microsoft.com/azure/machine-learning/concept-endpoints-online. Both have names that follow from what they are, so a call that
is repeated after a lost answer changes nothing; version and digest are in the deployment's properties, model and target in the endpoint's.

The source is an image that holds a v2 server and its model; or `azureml:NAME:VERSION`, a model that is registered in the workspace; or a
package folder, which is copied to the workspace's storage and registered. The latter two are served by `[providers.azure] serving_image`,
which finds the files in AZUREML_MODEL_DIR. Requests carry a Microsoft Entra token (where an endpoint takes none: its key or its token) and
choose the version by the header `azureml-model-deployment`; without it Azure splits them by the traffic shares.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound, QuotaExceeded, unknown
from mcml.core.secret import Secret
from mcml.providers.api.endpoint import Endpoint, EndpointRequest, EndpointState, InvokeTarget, ModelEndpoint, Variant
from mcml.providers.api.endpoint_size import ReplicaSeries, ReplicaSize
from mcml.providers.api.metrics import MachineMetric
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.arm import pages
from mcml.providers.azure.ml_workspace import ML_SCOPE, Workspace, ml_name, numbers, state
from mcml.providers.azure.operations import settled
from mcml.providers.azure.session import Session
from mcml.providers.resilience import Policy

MACHINE = "Standard_DS3_v2"
HEALTH_PATH = "/v2/health/ready"
CHOICE = "azureml-model-deployment"
RESOURCES = ("machine", "replicas")
MODEL, TARGET, VERSION, DIGEST = "mcml.model", "mcml.target", "mcml.version", "mcml.digest"
_STATES: dict[str, EndpointState] = {"Succeeded": "ready", "Failed": "failed", "Canceled": "failed", "Deleting": "stopped"}
_IMAGE = re.compile(r"[a-z0-9.-]+\.[a-z]+(?::\d+)?/[a-z0-9._/-]+(?::[\w.-]+|@sha256:[0-9a-f]{64})?")


def open_model_endpoint(ctx: ProviderContext) -> ModelEndpoint:
    """Return the online endpoints of the context's target."""
    return MlEndpoint(Workspace(Session(ctx, policy=Policy(budget=ctx.budget))), ctx.target)


class MlEndpoint:
    """Endpoints of one target, in the settings' workspace."""

    def __init__(self, workspace: Workspace, target: str) -> None:
        self._ws = workspace
        self._session = workspace.session
        self._target = target

    def size(self, resources: Mapping[str, str]) -> ReplicaSize:
        """Return the machine of each replica, and how many there are. Raises InvalidRequest as `create`.

        Azure ML takes nothing on top of the machines: https://azure.microsoft.com/pricing/details/machine-learning/.
        """
        numbers("size a model", resources, RESOURCES, ("replicas",))
        machine, count = resources.get("machine", MACHINE), int(resources.get("replicas", "1"))
        return ReplicaSize(machine=machine, type=machine, replicas=count, most_replicas=count)

    def machines(self) -> Mapping[str, str]:
        """Return none: which types an endpoint takes is not asked yet."""
        return {}

    def series(self, name: str, version: str) -> Mapping[MachineMetric, ReplicaSeries]:  # noqa: ARG002 - not told yet
        """Return none: what Azure ML measures is not read."""
        return {}

    def describe(self, name: str = "") -> list[Endpoint]:
        """Return the endpoint of that name, or all of the target's that mcml made; one without deployments is none."""
        if name:
            found = self._find(name)
            return [told for told in [self._told(found)] if told.variants] if found is not None else []
        what = f"list the endpoints of {self._target}"
        listed = pages(self._session, what, self._ws.client.online_endpoints.list(*self._ws.place))
        ours = [one for one in listed if (one.properties.properties or {}).get(TARGET) == self._target]
        return sorted((told for told in map(self._told, ours) if told.variants), key=lambda endpoint: endpoint.name)

    def create(self, request: EndpointRequest) -> Endpoint:
        """Make a deployment beside those that run, and return when it is ready (minutes; up to an hour).

        Resources: machine (Standard_DS3_v2), replicas. Raises InvalidRequest when it does not come up (its last words are in the reason,
        and nothing is left of it, if Azure lets us), QuotaExceeded, Conflict, NotFound for a source that is nothing, StillRunning.
        """
        what = f"deploy {request.name} version {request.version} on {self._target}"
        numbers(what, request.resources, RESOURCES, ("replicas",))
        self._check_source(what, request)
        found = self._find(request.name)
        deployed = self._deployments(found) if found is not None else []
        if not self._runs(what, request, deployed):
            try:
                found = found or self._make_endpoint(what, request)
                self._deploy(what, request)
            except (InvalidRequest, QuotaExceeded) as refused:
                refused.why = f"{refused.why}{self._last_words(request)}"
                try:
                    self.delete(request.name, request.version)
                except McmlError as kept:
                    refused.why = f"{refused.why}; what there is of it is left ({kept.why or kept.message})"
                raise
        return self._told(self._finished(what, request, self._must_find(request.name)))

    def shift_traffic(self, name: str, weights: Mapping[str, int]) -> Endpoint:
        """Set the traffic share of each version; one that is not named gets none."""
        found = self._must_find(name)
        names = {_version(one): str(one.name) for one in self._deployments(found)}
        for version in weights:
            if version not in names:
                raise unknown(f"version of {name}", version, names, next_step="mcml deploy list")
        what = f"shift the traffic of {name} on {self._target}"
        if any(weight < 0 for weight in weights.values()) or sum(weights.values()) != 100:
            raise InvalidRequest(f"cannot {what}", why=f"the shares {dict(weights)} are not 0 to 100 percent that add up to 100")
        return self._told(self._share(what, found, {names[version]: weight for version, weight in weights.items() if weight}))

    def invoke_target(self, name: str, version: str = "") -> InvokeTarget:
        """Return where to send requests, and the header that chooses the version (the one with most traffic when none is named).

        The token holds for about an hour. Raises NotFound, NotAuthenticated.
        """
        found = self._must_find(name)
        deployed = {_version(one): str(one.name) for one in self._deployments(found)}
        if version and version not in deployed:
            raise unknown(f"version of {name}", version, deployed, next_step="mcml deploy list")
        shares = found.properties.traffic or {}
        chosen = deployed[version] if version else max(deployed.values(), key=lambda one: shares.get(one, 0))
        parts = urlsplit(str(found.properties.scoring_uri))
        url, (token, expires) = f"{parts.scheme}://{parts.netloc}", self._token(f"log in to {name} on {self._target}", found)
        return InvokeTarget(url, _infer_path(name), HEALTH_PATH, "bearer", Secret(token), {CHOICE: chosen}, expires=expires)

    def delete(self, name: str, version: str = "") -> bool:
        """Remove one version (its traffic goes to the others), or with the last one the whole endpoint; False when it was gone."""
        found = self._find(name)
        if found is None:
            return False
        deployed = self._deployments(found)
        going = [str(one.name) for one in deployed if not version or _version(one) == version]
        staying = [str(one.name) for one in deployed if str(one.name) not in going]
        if staying and not going:
            return False
        what, at = f"delete {name} {version}".strip() + f" on {self._target}", self._name(name)
        if not staying:
            self._remove_endpoint(what, at)
            return bool(going)
        shares = dict(found.properties.traffic or {})
        if any(shares.get(one) for one in going):
            self._share(what, found, spread(shares, staying))
        client = self._ws.client.online_deployments
        for one in going:
            remove, look = partial(client.begin_delete, *self._ws.place, at, one), partial(client.get, *self._ws.place, at, one)
            self._ws.remove(what, remove, look)
        return True

    # what is there

    def _name(self, name: str) -> str:
        return ml_name(name, str(self._ws.at), self._target)

    def _find(self, name: str) -> Any:
        """Return an endpoint as the SDK has it, or None."""
        try:
            return self._session.call(f"look at {name} on {self._target}", self._look(self._name(name)))
        except NotFound:
            self._ws.check()  # perhaps it is the workspace that is not there
            return None

    def _look(self, at: str) -> Any:
        return lambda: self._ws.client.online_endpoints.get(*self._ws.place, at)

    def _must_find(self, name: str) -> Any:
        found = self._find(name)
        if found is None or not self._deployments(found):
            names = [endpoint.name for endpoint in self.describe()]
            raise unknown(f"endpoint on {self._target}", name, names, next_step=f"mcml deploy model {name}")
        return found

    def _deployments(self, found: Any) -> list[Any]:
        """Return the deployments of an endpoint, oldest first."""
        what = f"list the deployments of {found.name}"
        listed = pages(self._session, what, self._ws.client.online_deployments.list(*self._ws.place, found.name))
        return sorted(listed, key=lambda one: (str(one.system_data.created_at) if one.system_data else "", str(one.name)))

    def _told(self, found: Any) -> Endpoint:
        shares, about = found.properties.traffic or {}, found.properties.properties or {}
        parts = urlsplit(str(found.properties.scoring_uri or ""))
        variants = tuple(_variant(one, shares, f"{parts.scheme}://{parts.netloc}") for one in self._deployments(found))
        return Endpoint(about.get(MODEL, str(found.name)), about.get(TARGET, self._target), variants, dict(found.tags or {}))

    def _token(self, what: str, found: Any) -> tuple[str, datetime | None]:
        """Return what the endpoint's own way to authenticate asks for, and when it ends. https://learn.microsoft.com/azure/machine-learning/how-to-authenticate-online-endpoint"""
        mode, endpoints = found.properties.auth_mode, self._ws.client.online_endpoints
        if mode == "Key":
            return str(self._session.call(what, lambda: endpoints.list_keys(*self._ws.place, found.name)).primary_key), None
        if mode == "AMLToken":
            own = self._session.call(what, lambda: endpoints.get_token(*self._ws.place, found.name))
            return str(own.access_token), _moment(own.expiry_time_utc)
        entra = self._session.call(what, lambda: self._session.credential.get_token(ML_SCOPE))
        return str(entra.token), _moment(entra.expires_on)

    # what is done

    def _runs(self, what: str, request: EndpointRequest, deployed: Sequence[Any]) -> bool:
        """Tell whether this version runs (waiting for one that is on its way). Raises Conflict when it is another model."""
        found = next((one for one in deployed if _version(one) == request.version), None)
        if found is None:
            return False
        digest = (found.properties.properties or {}).get(DIGEST, "")
        if digest != request.digest:
            raise Conflict(
                f"version {request.version} of {request.name} on {self._target} is another model",
                why=f"it has the digest {digest[:19]}, the new one {request.digest[:19]}",
                next_step=f"give the new model another version, or: mcml deploy delete {request.name} --target {self._target}",
            )
        look, at = self._ws.client.online_deployments.get, self._name(request.name)
        return state(settled(self._session, what, lambda: look(*self._ws.place, at, found.name), state)) == "Succeeded"

    def _check_source(self, what: str, request: EndpointRequest) -> None:
        if _IMAGE.fullmatch(request.source):
            return
        if not self._ws.registered_model(request.source) and not Path(request.source).is_dir():
            raise NotFound(f"cannot {what}", why=f"{request.source!r} is no folder, no image in a registry and no azureml:NAME:VERSION")
        if not self._session.settings.serving_image:
            why = "a model's files are served by an image that holds a model server"
            raise InvalidRequest(f"cannot {what}", why=why, next_step="set serving_image in [providers.azure] of mcml.toml")

    def _make_endpoint(self, what: str, request: EndpointRequest) -> Any:
        models = self._ws.models
        about = {MODEL: request.name, TARGET: self._target}
        body = models.OnlineEndpoint(
            location=self._ws.location,
            tags=dict(request.tags),
            kind="Managed",
            identity=models.ManagedServiceIdentity(type="SystemAssigned"),
            properties=models.OnlineEndpointProperties(auth_mode="AADToken", properties=about),
        )
        return self._put_endpoint(what, self._name(request.name), body, lambda now: (now.properties.properties or {}) == about)

    def _put_endpoint(self, what: str, at: str, body: Any, wanted: Any) -> Any:
        put = self._ws.client.online_endpoints.begin_create_or_update
        return self._ws.put(what, lambda **options: put(*self._ws.place, at, body, **options), self._look(at), wanted)

    def _deploy(self, what: str, request: EndpointRequest) -> None:
        models = self._ws.models
        image = request.source if _IMAGE.fullmatch(request.source) else self._session.settings.serving_image
        model = self._ws.registered_model(request.source)
        if not model and image != request.source:
            model = self._ws.model_of_folder(what, request.name, request.digest, Path(request.source))
        at, named = self._name(request.name), ml_name(request.version)
        body = models.OnlineDeployment(
            location=self._ws.location,
            kind="Managed",
            sku=models.Sku(name="Default", capacity=int(request.resources.get("replicas", "1"))),
            properties=models.ManagedOnlineDeployment(
                environment_id=self._ws.environment(what, image, infer_path=_infer_path(request.name)),
                environment_variables=dict(request.environment),
                model=model or None,
                instance_type=request.resources.get("machine", MACHINE),
                scale_settings=models.DefaultScaleSettings(),
                properties={VERSION: request.version, DIGEST: request.digest},
            ),
        )
        client = self._ws.client.online_deployments
        self._ws.put(
            what,
            lambda **options: client.begin_create_or_update(*self._ws.place, at, named, body, **options),
            lambda: client.get(*self._ws.place, at, named),
            lambda now: state(now) == "Succeeded" and (now.properties.properties or {}).get(DIGEST) == request.digest,
        )

    def _finished(self, what: str, request: EndpointRequest, found: Any) -> Any:
        """Give a version all the traffic where none has any, and bring the tags up to date."""
        if not any((found.properties.traffic or {}).values()):
            names = {_version(one): str(one.name) for one in self._deployments(found)}
            found = self._share(what, found, {names[request.version]: 100})
        if dict(found.tags or {}) != dict(request.tags):
            found.tags = dict(request.tags)
            found = self._put_endpoint(what, str(found.name), found, lambda now: dict(now.tags or {}) == dict(request.tags))
        return found

    def _share(self, what: str, found: Any, shares: dict[str, int]) -> Any:
        found.properties.traffic = shares
        return self._put_endpoint(what, str(found.name), found, lambda now: (now.properties.traffic or {}) == shares)

    def _remove_endpoint(self, what: str, at: str) -> None:
        remove = self._ws.client.online_endpoints.begin_delete
        self._ws.remove(what, lambda **options: remove(*self._ws.place, at, **options), self._look(at))

    def _last_words(self, request: EndpointRequest) -> str:
        """Return the last line that the container of a version wrote, "" when there is none: its log goes with the deployment."""
        models = self._ws.models
        at, named = self._name(request.name), ml_name(request.version)
        body = models.DeploymentLogsRequest(container_type="InferenceServer", tail=50)
        ask = self._ws.client.online_deployments.get_logs
        try:
            told = self._session.call("read its log", lambda: ask(*self._ws.place, at, named, body))
        except McmlError:
            return ""
        lines = [line.strip() for line in (told.content or "").splitlines() if line.strip()]
        return f"; its log ends: {lines[-1][:300]}" if lines else ""


def _infer_path(name: str) -> str:
    return f"/v2/models/{name}/infer"


def _version(deployment: Any) -> str:
    return str((deployment.properties.properties or {}).get(VERSION, deployment.name))


def _variant(one: Any, shares: Mapping[str, int], address: str) -> Variant:
    digest = (one.properties.properties or {}).get(DIGEST, "")
    now = _STATES.get(state(one), "starting")
    detail = "" if now == "ready" else f"Azure says {state(one)}"
    machine, count = getattr(one.properties, "instance_type", None) or "", getattr(one.sku, "capacity", None) or 0
    return Variant(_version(one), digest, now, int(shares.get(str(one.name), 0)), address, detail, machine=machine, replicas=count)


def spread(shares: Mapping[str, int], staying: Sequence[str]) -> dict[str, int]:
    """Give 100 percent to the deployments that stay (oldest first) in the proportion they had; without any, all to the newest."""
    kept = {one: max(shares.get(one, 0), 0) for one in staying}
    total = sum(kept.values())
    if not total:
        return {staying[-1]: 100}
    parts = {one: weight * 100 // total for one, weight in kept.items()}
    for one in sorted(kept, key=lambda one: -(kept[one] * 100 % total))[: 100 - sum(parts.values())]:
        parts[one] += 1
    return {one: part for one, part in parts.items() if part}


def _moment(epoch: int | None) -> datetime | None:
    return datetime.fromtimestamp(epoch, UTC) if epoch else None
