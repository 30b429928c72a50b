"""Buckets: made, configured, emptied, deleted; and their old versions brought back."""

from dataclasses import dataclass
from typing import Protocol

from mcml.providers.api.object_store import ObjectStat


@dataclass(frozen=True)
class BucketConfig:
    """How a bucket should be. `expire_days` deletes objects, `expire_old_days` old versions, after so many days (None: never)."""

    versioning: bool = True
    encryption: bool = True
    block_public: bool = True
    expire_days: int | None = None
    expire_old_days: int | None = None


class Buckets(Protocol):
    """Every method may be repeated: the second call changes nothing."""

    def create(self, bucket: str) -> bool:
        """Create it; False when it was there and ours. Raises Conflict when the name is somebody else's, InvalidRequest for a bad name."""

    def configure(self, bucket: str, config: BucketConfig) -> BucketConfig:
        """Make it so, and return how it is now (a setting the provider cannot have is returned as it is). Raises NotFound."""

    def versions(self, bucket: str, key: str) -> list[ObjectStat]:
        """Return all versions of a key, newest first. Raises NotFound for the bucket."""

    def restore_version(self, bucket: str, key: str, version: str) -> ObjectStat:
        """Make an old version the newest again (as a new version). Raises NotFound."""

    def empty(self, bucket: str, *, versions: bool = False) -> int:
        """Delete all objects, with `versions` all old ones too; return how many. Raises NotFound."""

    def delete(self, bucket: str) -> None:
        """Delete an empty bucket; one that is gone is fine. Raises Conflict when something is left in it."""
