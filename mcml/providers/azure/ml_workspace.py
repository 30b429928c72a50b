"""An Azure Machine Learning workspace, as endpoints and jobs need it: its place, its environments (images) and its models (files).

https://learn.microsoft.com/rest/api/azureml (2023-04-01, which the SDK sends). Environments and models are made under names that
follow from what is in them, so making one twice makes one.
"""

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, NotFound, Usage
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.arm import ResourceId, locate, stable
from mcml.providers.azure.object_store import AzureObjectStore
from mcml.providers.azure.operations import settled, wait_for
from mcml.providers.azure.session import Session

KIND = "Microsoft.MachineLearningServices/workspaces"
ML_SCOPE = "https://ml.azure.com/.default"
DATASTORE = "workspaceblobstore"
PORT = 8080
UPLOAD_BYTES = 8 << 20
_REGISTERED = re.compile(r"azureml:([\w.-]+):([\w.-]+)")


class Workspace:
    """The workspace of the settings; asked about itself once."""

    def __init__(self, session: Session) -> None:
        self.session = session

    @property
    def client(self) -> Any:
        """The SDK's client. Raises Usage when no subscription is named."""
        return self.session.management(sdk().MachineLearningServicesMgmtClient)

    @property
    def models(self) -> Any:
        """The SDK's models."""
        return sdk().models

    @cached_property
    def at(self) -> ResourceId:
        """Where it is. Raises Usage when the settings name none."""
        if not self.session.settings.workspace:
            raise Usage(
                "no Azure Machine Learning workspace is named",
                why="endpoints and jobs live in one",
                next_step="set workspace in [providers.azure] of mcml.toml (az ml workspace list --output table)",
            )
        return locate(self.session, self.session.settings.workspace, KIND, "workspace")

    @property
    def place(self) -> tuple[str, str]:
        """Resource group and name, as the SDK's methods begin with."""
        return self.at.group, self.at.name

    @cached_property
    def about(self) -> Any:
        """What it says about itself. Raises NotFound, NotAuthenticated."""
        return self.session.call(f"look at workspace {self.at.name}", lambda: self.client.workspaces.get(*self.place))

    @property
    def location(self) -> str:
        """The region that it is in."""
        return str(self.about.location)

    def check(self) -> None:
        """Look whether it is there. Raises NotFound, NotAuthenticated."""
        _ = self.about

    def environment(self, what: str, image: str, *, infer_path: str = "") -> str:
        """Return the id of the environment that stands for an image; with `infer_path` it is one of a v2 model server on port 8080.

        https://learn.microsoft.com/azure/machine-learning/how-to-deploy-custom-container
        """
        models, routes = self.models, None
        if infer_path:
            live, ready, score = (models.Route(path=path, port=PORT) for path in ("/v2/health/live", "/v2/health/ready", infer_path))
            routes = models.InferenceContainerProperties(liveness_route=live, readiness_route=ready, scoring_route=score)
        version = stable(image, infer_path)
        told = models.EnvironmentVersionProperties(image=image, os_type="Linux", inference_config=routes)
        body = models.EnvironmentVersion(properties=told)
        self._once(what, self.client.environment_versions, "mcml", version, body)
        return f"{self.at}/environments/mcml/versions/{version}"

    def registered_model(self, source: str) -> str:
        """Return the id of a model that is registered ("azureml:NAME:VERSION"), "" for another kind of source."""
        named = _REGISTERED.fullmatch(source)
        return f"{self.at}/models/{named[1]}/versions/{named[2]}" if named else ""

    def model_of_folder(self, what: str, name: str, digest: str, folder: Path) -> str:
        """Copy a package folder to the workspace's own storage, register it, and return the model's id."""
        models = self.models
        found = self.session.call(what, lambda: self.client.datastores.get(*self.place, DATASTORE)).properties
        prefix, container = f"mcml/models/{name}/{digest.replace(':', '-')}", str(found.container_name)
        store = self._store(str(found.account_name), container)
        for path in sorted(folder.rglob("*")):
            relative = path.relative_to(folder)
            if path.is_file() and not any(part.startswith(".") for part in relative.parts):
                with path.open("rb") as file:
                    store.write(container, f"{prefix}/{relative.as_posix()}", iter(lambda: file.read(UPLOAD_BYTES), b""))
        told = {"model_uri": f"azureml:/{self.at}/datastores/{DATASTORE}/paths/{prefix}", "model_type": "custom_model"}
        body = models.ModelVersion(properties=models.ModelVersionProperties(**told, properties={"mcml.digest": digest}))
        named, version = ml_name(name, "model"), stable(digest)
        self._once(what, self.client.model_versions, named, version, body)
        return f"{self.at}/models/{named}/versions/{version}"

    def put(self, what: str, begin: Callable[..., Any], look: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
        """Make a change and wait for its end; return what is there then.

        After a Conflict (ours came through although its answer was lost, or somebody else is at it) it is waited for the other's end, and
        what `wanted` says of the outcome counts. Raises what `wait_for` raises.
        """
        try:
            wait_for(self.session, what, begin)
        except Conflict:
            if not wanted(settled(self.session, what, look, state)):
                raise
        return self.session.call(what, look)

    def remove(self, what: str, begin: Callable[..., Any], look: Callable[[], Any]) -> None:
        """Delete something and wait until it is gone; what is gone already is fine."""
        try:
            wait_for(self.session, what, begin)
        except NotFound:
            return
        except Conflict:
            try:
                settled(self.session, what, look, state)
            except NotFound:
                return
            raise

    def _once(self, what: str, versions: Any, name: str, version: str, body: Any) -> None:
        """Make a version of an asset, unless it is there: the same name means the same content."""
        try:
            self.session.call(what, lambda: versions.get(*self.place, name, version))
        except NotFound:
            self.session.call(what, lambda: versions.create_or_update(*self.place, name, version, body))

    def _store(self, account: str, container: str) -> AzureObjectStore:
        session = self.session
        settings = session.settings.model_copy(update={"accounts": {container: account}})
        ctx = ProviderContext(settings, Path(), clock=session.clock)
        return AzureObjectStore(Session(ctx, credential=session.credential, policy=session.policy))


def sdk() -> Any:
    """Return the SDK's package, which takes 0.4 s to import and has escapes in its documentation that Python warns of once."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import azure.mgmt.machinelearningservices.models
    return azure.mgmt.machinelearningservices


def state(found: Any) -> str:
    """Return the provisioning state of an endpoint or a deployment."""
    return str(found.properties.provisioning_state or "")


def ml_name(text: str, *parts: str) -> str:
    """Return a name of at most 32 characters that Azure ML takes, readable where it can be, and another for every (text, parts)."""
    readable = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:14].strip("-")
    return f"m-{readable}-{stable(text, *parts)[:12]}" if readable else f"m-{stable(text, *parts)[:12]}"


def numbers(what: str, resources: Mapping[str, str], known: tuple[str, ...], counted: tuple[str, ...]) -> None:
    """Raise InvalidRequest for a resource that is not known, and for a count that is no number from 1."""
    odd = sorted(set(resources) - set(known))
    if odd:
        raise InvalidRequest(f"cannot {what}", why=f"Azure ML has no resource {odd[0]!r}; there are {', '.join(known)}")
    for name in counted:
        text = resources.get(name, "1")
        if not text.isdigit() or int(text) < 1:
            raise InvalidRequest(f"cannot {what}", why=f"{name} = {text!r} is no number from 1")
