"""Data assets on Vertex AI: artifacts of the schema `system.Dataset` in the region's default metadata store.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.metadataStores.artifacts. Vertex AI has `Dataset` too, but that
is what AutoML reads: its id is the service's own, so a repeated call makes two, its versions hold data of their own, and each kind of data
has another schema. An artifact is a name and an address, its id is ours, and pipelines and experiments draw their lineage through it.

Id and `display_name` tell the version and the name, `metadata` holds the exact tags (the labels have them as far as labels can). The store
comes with the first version.
"""

import json
from collections.abc import Mapping
from typing import Any

from mcml.core.errors import Conflict, NotFound
from mcml.providers import assets as rules
from mcml.providers.api.data_assets import DataAsset, DataAssets
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.rpc import plain_time, wait_for
from mcml.providers.gcp.session import Session
from mcml.providers.gcp.vertex import MANAGED, Vertex, labels, stable_id
from mcml.providers.resilience import Policy

METADATA = "MetadataServiceClient"
SCHEMA, SCHEMA_VERSION = "system.Dataset", "0.0.1"
VERSION, TAGS = "mcml_version", "mcml_tags"
WAIT_SECONDS = 600.0


def open_data_assets(ctx: ProviderContext) -> DataAssets:
    """Return the data assets of the project and region."""
    return VertexDataAssets(Session(ctx, policy=Policy(budget=ctx.budget)), ctx.region)


class VertexDataAssets:
    """Data assets of one project and region."""

    def __init__(self, session: Session, region: str) -> None:
        self._vertex = Vertex(session, region)

    def register(self, name: str, uri: str, *, token: str, tags: Mapping[str, str] | None = None) -> DataAsset:
        """Make a version; the same token gives the one that is there. Raises InvalidRequest."""
        rules.check_asset(name, uri, token)
        doing, version = f"cannot register the data set {name}", rules.version_of(token)
        about = {MANAGED: "true", VERSION: version, TAGS: json.dumps(dict(tags or {}), sort_keys=True)}
        schema = {"schema_title": SCHEMA, "schema_version": SCHEMA_VERSION, "state": "LIVE"}
        artifact = {"display_name": name, "uri": uri, "labels": labels(tags or {}), "metadata": about, **schema}
        request = {"parent": self._store, "artifact": artifact, "artifact_id": stable_id(name, version)}
        try:
            try:
                made = self._vertex.ask(doing, METADATA, "create_artifact", request)
            except NotFound:
                self._make_store(doing)
                made = self._vertex.ask(doing, METADATA, "create_artifact", request)
        except Conflict:  # it is there: made with this token before, or by ourselves when the answer was lost
            return rules.same_asset(self.describe(name, version), uri)
        return _told(made)

    def list(self, name: str = "") -> list[DataAsset]:
        """Return the versions of a data set, or of all, newest first."""
        if name and not rules.is_name(name):
            return []
        wanted = [f'schema_title="{SCHEMA}"', f'metadata.{MANAGED}.string_value="true"']
        only = " AND ".join([*wanted, *([f'display_name="{name}"'] if name else [])])
        request = {"parent": self._store, "filter": only, "page_size": 100}
        try:
            found = self._vertex.pages("cannot list the data sets", METADATA, "list_artifacts", request, "artifacts")
        except NotFound:  # there is no store before the first version
            return []
        return rules.newest_first(map(_told, found))

    def describe(self, name: str, version: str = "") -> DataAsset:
        """Return a version, or the newest. Raises NotFound."""
        if not version:
            return rules.newest(name, self.list(name))
        found = self._find(name, version)
        if found is None:
            raise rules.no_version(name, version, self.list(name))
        return _told(found)

    def delete(self, name: str, version: str) -> bool:
        """Forget a version; its data stays. False when it was gone."""
        found = self._find(name, version)
        if found is None:
            return False
        doing, request = f"cannot delete the data set {name}", {"name": found.name}
        self._vertex.do(doing, METADATA, "delete_artifact", request, lambda: self._find(name, version) is None, patience=WAIT_SECONDS)
        return True

    @property
    def _store(self) -> str:
        return f"{self._vertex.parent}/metadataStores/default"

    def _make_store(self, doing: str) -> None:
        """Make the region's default store, as Google's own SDK does on the first experiment."""
        request = {"parent": self._vertex.parent, "metadata_store": {}, "metadata_store_id": "default"}
        try:
            self._vertex.do(doing, METADATA, "create_metadata_store", request, lambda: self._has_store(doing), patience=WAIT_SECONDS)
        except Conflict:  # somebody makes it at this moment
            wait_for(self._vertex.session, doing, lambda: self._has_store(doing) or None, patience=WAIT_SECONDS)

    def _has_store(self, doing: str) -> bool:
        try:
            self._vertex.ask(doing, METADATA, "get_metadata_store", {"name": self._store})
        except NotFound:
            return False
        return True

    def _find(self, name: str, version: str) -> Any:
        """Return an artifact, or None."""
        if not rules.is_name(name) or not rules.is_version(version):
            return None
        request = {"name": f"{self._store}/artifacts/{stable_id(name, version)}"}
        try:
            return self._vertex.ask(f"cannot look at the data set {name}", METADATA, "get_artifact", request)
        except NotFound:
            return None


def _told(found: Any) -> DataAsset:
    about: dict[str, Any] = dict(found.metadata)
    return DataAsset(found.display_name, str(about[VERSION]), found.uri, plain_time(found.create_time), json.loads(about[TAGS]))
