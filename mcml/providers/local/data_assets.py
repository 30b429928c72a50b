"""Data assets on this machine: a file for each version, below the root.

    data-assets/<name>/<version>/   resource.json, asset.json ({"name", "version", "uri"})
"""

from collections.abc import Mapping
from pathlib import Path

from mcml.core.files import read_json, write_json
from mcml.providers import assets as rules
from mcml.providers.api.data_assets import DataAsset, DataAssets
from mcml.providers.api.spec import ProviderContext
from mcml.providers.local.layout import RESOURCE_FILE, locked, read_resource, remove_folder, root_of, write_resource
from mcml.providers.local.scope import new_folder, new_resource

KIND = "data-asset"
ASSET_FILE = "asset.json"


def open_data_assets(ctx: ProviderContext) -> DataAssets:
    """Return the data assets of the account."""
    return LocalDataAssets(ctx)


class LocalDataAssets:
    """Data assets as folders; all targets share them."""

    def __init__(self, ctx: ProviderContext) -> None:
        self._ctx = ctx
        self._folder = root_of(ctx) / "data-assets"

    def register(self, name: str, uri: str, *, token: str, tags: Mapping[str, str] | None = None) -> DataAsset:
        """Make a version; the same token gives the one that is there. Raises InvalidRequest."""
        rules.check_asset(name, uri, token)
        version = rules.version_of(token)
        folder = self._folder / name / version
        with locked(root_of(self._ctx), f"data-asset-{name}-{version}"):
            found = self._find(name, version)
            if found is None:
                with new_folder(folder) as stage:
                    write_json(stage / ASSET_FILE, {"name": name, "version": version, "uri": uri})
                    write_resource(stage, new_resource(self._ctx, KIND, f"{name}@{version}", tags))
        return rules.same_asset(found or self.describe(name, version), uri)

    def list(self, name: str = "") -> list[DataAsset]:
        """Return the versions of a data set, or of all, newest first."""
        if name and not rules.is_name(name):
            return []
        folders = self._folder.glob(f"{name or '*'}/*/{RESOURCE_FILE}")
        return rules.newest_first(found for one in folders if (found := _read(one.parent)) is not None)

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
        folder = self._place(name, version)
        if folder is None:
            return False
        with locked(root_of(self._ctx), f"data-asset-{name}-{version}"):
            return remove_folder(folder)

    def _find(self, name: str, version: str) -> DataAsset | None:
        folder = self._place(name, version)
        return _read(folder) if folder is not None else None

    def _place(self, name: str, version: str) -> Path | None:
        return self._folder / name / version if rules.is_name(name) and rules.is_version(version) else None


def _read(folder: Path) -> DataAsset | None:
    """Return a version; None where there is none, whole."""
    if folder.name.startswith("."):
        return None
    resource, said = read_resource(folder), read_json(folder / ASSET_FILE)
    if resource is None or said is None:
        return None
    return DataAsset(said["name"], said["version"], said["uri"], resource.created, dict(resource.tags))
