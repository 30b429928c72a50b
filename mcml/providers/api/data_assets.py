"""DataAssets: named, versioned pointers to data in a bucket. They move and copy nothing: the data is the bucket's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class DataAsset:
    """A version of a data set, and where its data is: `uri` is a folder when it ends with '/', else one object. It never changes."""

    name: str
    version: str
    uri: str
    created: datetime
    tags: Mapping[str, str] = field(default_factory=dict)


class DataAssets(Protocol):
    """Data assets that were registered here, of the account (the workspace, the region) that the target is in."""

    def register(self, name: str, uri: str, *, token: str, tags: Mapping[str, str] | None = None) -> DataAsset:
        """Make a version, named after the token: the same token gives the version that is there, not a second one.

        Nobody looks whether the data is there. Raises InvalidRequest, also for a token that stands for another URI.
        """

    def list(self, name: str = "") -> list[DataAsset]:
        """Return the versions of a data set, or of all, newest first."""

    def describe(self, name: str, version: str = "") -> DataAsset:
        """Return a version, or the newest. Raises NotFound."""

    def delete(self, name: str, version: str) -> bool:
        """Forget a version; its data stays. False when it was gone."""
