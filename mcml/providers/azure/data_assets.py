"""Data assets of Azure Machine Learning: versions of the settings' workspace. https://learn.microsoft.com/rest/api/azureml/data-versions

A version is named after its token. A blob is told to Azure ML by its https address, and kept as it was given (`az://container/folder/`)
among the version's properties; an address of another kind (`azureml://datastores/...`, https) is passed on as it is. When the last version
of a name is deleted, its name stays in the workspace, empty.
"""

import builtins
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.providers import assets as rules
from mcml.providers.api.data_assets import DataAsset, DataAssets
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.arm import pages
from mcml.providers.azure.ml_workspace import Workspace
from mcml.providers.azure.session import Session
from mcml.providers.resilience import Policy

URI = "mcml.uri"
"""The property that holds the address as it was given; what has none was not registered here."""


def open_data_assets(ctx: ProviderContext) -> DataAssets:
    """Return the data assets of the settings' workspace."""
    return MlDataAssets(Workspace(Session(ctx, policy=Policy(budget=ctx.budget))))


class MlDataAssets:
    """Data assets of one workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._ws = workspace
        self._session = workspace.session

    def register(self, name: str, uri: str, *, token: str, tags: Mapping[str, str] | None = None) -> DataAsset:
        """Make a version; the same token gives the one that is there. Raises InvalidRequest, NotFound for the workspace."""
        rules.check_asset(name, uri, token)
        version = rules.version_of(token)
        found = self._find(name, version)
        if found is None:
            what, body, versions = f"register the data set {name}", self._body(uri, tags), self._ws.client.data_versions
            try:  # to put the same version again changes nothing, and another address under it is refused
                made = self._session.call(what, lambda: versions.create_or_update(*self._ws.place, name, version, body))
                found = _told(name, made)
            except (Conflict, InvalidRequest):
                found = self._find(name, version)
                if found is None:
                    raise
        return rules.same_asset(found or self.describe(name, version), uri)

    def list(self, name: str = "") -> list[DataAsset]:
        """Return the versions of a data set, or of all, newest first."""
        if name and not rules.is_name(name):
            return []
        names = [name] if name else self._names()
        return rules.newest_first(found for one in names for found in self._versions(one))

    def describe(self, name: str, version: str = "") -> DataAsset:
        """Return a version, or the newest. Raises NotFound."""
        if not version:
            return rules.newest(name, self.list(name))
        found = self._find(name, version)
        if found is None:
            raise rules.no_version(name, version, self.list(name))
        return found

    def delete(self, name: str, version: str) -> bool:
        """Forget a version; its data stays. False when it was gone."""
        if self._find(name, version) is None:
            return False
        versions = self._ws.client.data_versions
        try:
            self._session.call(f"delete the data set {name}", lambda: versions.delete(*self._ws.place, name, version))
        except NotFound:  # deleted by somebody else, or by ourselves when the answer was lost
            self._ws.check()
        return True

    def _names(self) -> builtins.list[str]:
        listed = self._ws.client.data_containers.list(*self._ws.place)
        return [str(one.name) for one in pages(self._session, "list the data sets", listed)]

    def _versions(self, name: str) -> builtins.list[DataAsset]:
        listed = self._ws.client.data_versions.list(*self._ws.place, name)
        try:
            found = list(pages(self._session, f"list the data set {name}", listed))
        except NotFound:
            self._ws.check()
            return []
        return [told for one in found if (told := _told(name, one)) is not None]

    def _find(self, name: str, version: str) -> DataAsset | None:
        """Return a version, None when there is none that was registered here. Raises NotFound for the workspace."""
        if not rules.is_name(name) or not rules.is_version(version):
            return None
        versions = self._ws.client.data_versions
        try:
            found = self._session.call(f"look at the data set {name}", lambda: versions.get(*self._ws.place, name, version))
        except NotFound:
            self._ws.check()
            return None
        return _told(name, found)

    def _body(self, uri: str, tags: Mapping[str, str] | None) -> Any:
        models = self._ws.models
        kind = models.UriFolderDataVersion if uri.endswith("/") else models.UriFileDataVersion
        told = kind(data_uri=self._address(uri), tags=dict(tags or {}), properties={URI: uri})
        return models.DataVersionBase(properties=told)

    def _address(self, uri: str) -> str:
        """Return an address as Azure ML takes it. Raises Usage when no storage account is named."""
        scheme, _, rest = uri.partition("://")
        if scheme != "az":
            return uri
        container = rest.partition("/")[0]
        return f"{self._session.endpoint(self._session.account(container)).rstrip('/')}/{quote(rest)}"


def _told(name: str, found: Any) -> DataAsset | None:
    about = found.properties
    uri = (about.properties or {}).get(URI, "")
    return DataAsset(name, str(found.name), uri, found.system_data.created_at, dict(about.tags or {})) if uri else None
