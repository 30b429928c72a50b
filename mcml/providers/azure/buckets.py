"""Buckets on Azure Blob Storage: a bucket is a container of a storage account.

Versioning and expiry belong to the whole storage account (see `bucket_account`): they are changed with a login, where a subscription is
named. With the account's key alone (or without a subscription) `configure` returns them as they are: versioning is found out by writing an
empty object and looking whether it got a version, and expiry is unknown, so None. Everything is encrypted at rest, always. Public access
is taken away when asked, and never given.
"""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from uuid import uuid4

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobClient, BlobProperties, ContainerClient

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotFound, StillRunning
from mcml.providers.api.buckets import BucketConfig, Buckets
from mcml.providers.api.object_store import ObjectStat
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.blob_write import WRITE_ID, once
from mcml.providers.azure.bucket_account import Expiry, account_of
from mcml.providers.azure.error_table import ContainerMissing
from mcml.providers.azure.names import check_container, check_key
from mcml.providers.azure.object_store import blobs_of, properties, to_stat
from mcml.providers.azure.session import Session
from mcml.providers.resilience import Policy

DELETES_AT_ONCE = 8
PROBE = ".mcml-versioning-"
COPY_SECONDS, COPY_POLL_SECONDS = 300.0, 0.5


def open_buckets(ctx: ProviderContext) -> Buckets:
    """Return the containers of a storage account; nothing is asked of it yet."""
    return AzureBuckets(Session(ctx, policy=Policy(budget=ctx.budget)))


@dataclass(frozen=True)
class AzureBuckets:
    """Buckets as containers."""

    session: Session

    def create(self, bucket: str) -> bool:
        """Create it, private; False when it was there. All containers of the storage account are ours.

        Raises InvalidRequest for a bad name, Conflict while one of this name is still being deleted.
        """
        container, ours = self.session.container(check_container(bucket)), uuid4().hex

        def send() -> bool:
            try:
                container.create_container(metadata={WRITE_ID: ours})
            except ResourceExistsError as there:
                if there.response is not None and there.response.headers.get("x-ms-error-code") == "ContainerBeingDeleted":
                    raise
                return _is_made_by(container, ours) is True
            return True

        return once(self.session, f"create az://{bucket}", bucket, send, lambda: _is_made_by(container, ours))

    def configure(self, bucket: str, config: BucketConfig) -> BucketConfig:
        """Take public access away, turn versioning on (for the whole account, and never off), set what expires; return how it is now.

        Raises NotFound (also when the subscription does not show the storage account), NotAuthenticated when the login may not manage it,
        InvalidRequest for less than one day, QuotaExceeded when the account's lifecycle policy is full.
        """
        for days in (config.expire_days, config.expire_old_days):
            if days is not None and days < 1:
                raise InvalidRequest(f"bucket {bucket!r} cannot expire objects after {days} days", why="it must be 1 or more")
        container, what = self.session.container(bucket), f"configure az://{bucket}"

        def block() -> bool:
            if container.get_container_properties().public_access is None:
                return True
            if config.block_public:  # setting it replaces the access policies: they are read and kept
                policies = container.get_container_access_policy()["signed_identifiers"]
                container.set_container_access_policy({one.id: one.access_policy for one in policies}, public_access=None)
            return config.block_public

        private = self.session.call(what, block, bucket=bucket)
        account = account_of(self.session, bucket)
        if account is None:
            return BucketConfig(versioning=self._is_versioned(bucket), encryption=True, block_public=private)
        versioning = account.keep_versions(config.versioning)
        expiry = account.expire(bucket, Expiry(config.expire_days, config.expire_old_days))
        return BucketConfig(versioning, True, private, expiry.days, expiry.old_days)

    def versions(self, bucket: str, key: str) -> list[ObjectStat]:
        """Return all versions of a key, newest first. Raises NotFound for the bucket."""
        found = [to_stat(bucket, blob) for blob in self._history(bucket, check_key(key))]
        return sorted(found, key=lambda stat: stat.version, reverse=True)

    def restore_version(self, bucket: str, key: str, version: str) -> ObjectStat:
        """Make an old version the newest again, as a new version; when the newest holds the same bytes it is kept.

        Raises NotFound, StillRunning when the service takes more than five minutes to copy it.
        """
        old = properties(self.session, bucket, key, version)
        with suppress(NotFound):
            newest = properties(self.session, bucket, key)
            same = to_stat(bucket, newest)
            if same.checksum and (same.checksum, same.size) == (to_stat(bucket, old).checksum, old.size):
                return same
        blob, ours = self.session.blob(bucket, key), uuid4().hex
        source = f"{blob.url}?versionid={version}"  # the SDK's url of a version is that of the newest
        marked = {**(old.metadata or {}), WRITE_ID: ours}
        what = f"restore az://{bucket}/{key}"
        once(
            self.session, what, bucket,
            send=lambda: bool(blob.start_copy_from_url(source, metadata=marked)),
            applied=lambda: _is_made_by(blob, ours) or None,
        )  # fmt: skip
        return to_stat(bucket, self._copied(bucket, key, what))

    def empty(self, bucket: str, *, versions: bool = False) -> int:
        """Delete all objects with their snapshots, with `versions` all old versions too; return how many. Raises NotFound.

        A current version cannot be deleted by its id: it is deleted first, and becomes an old one.
        """
        newest = self._delete_all(bucket, blobs_of(self.session, bucket), by_version=False)
        if not versions:
            return newest
        return max(newest, self._delete_all(bucket, self._versions_of(bucket), by_version=True))

    def delete(self, bucket: str) -> None:
        """Delete an empty bucket; one that is gone is fine.

        Raises Conflict when an object or an old version is left in it. Azure would delete a full one too, and it has no "only if empty":
        what is written between our look and our delete is lost.
        """
        container = self.session.container(bucket)
        try:
            left = [blob.name for blob in islice(blobs_of(self.session, bucket, include=["versions", "snapshots"], page_objects=3), 3)]
            if left:
                why = f"it holds {', '.join(left)}, maybe more, or old versions of them"
                raise Conflict(f"az://{bucket} is not empty", why=why, next_step="empty it, with its versions")
            self.session.call(f"delete az://{bucket}", container.delete_container, bucket=bucket)
        except ContainerMissing:
            return

    def _history(self, bucket: str, key: str) -> Iterable[BlobProperties]:
        """Yield the versions of one key: it comes first among the keys that begin with it."""
        for blob in blobs_of(self.session, bucket, key, include=["versions"]):
            if blob.name != key:
                return
            yield blob

    def _versions_of(self, bucket: str) -> Iterable[BlobProperties]:
        return (blob for blob in blobs_of(self.session, bucket, include=["versions"]) if blob.version_id)

    def _delete_all(self, bucket: str, blobs: Iterable[BlobProperties], *, by_version: bool) -> int:
        """Delete blobs or versions, a few at once, and a page's worth held at most. One that is gone already is fine."""
        container = self.session.container(bucket)

        def drop(found: BlobProperties) -> None:
            what = f"delete az://{bucket}/{found.name}"
            how = {"version_id": found.version_id} if by_version else {"delete_snapshots": "include"}
            with suppress(NotFound):
                self.session.call(what, lambda: container.delete_blob(found.name, **how), bucket=bucket)

        left, deleted = iter(blobs), 0
        with ThreadPoolExecutor(DELETES_AT_ONCE) as pool:
            while some := list(islice(left, 100 * DELETES_AT_ONCE)):
                deleted += len(list(pool.map(drop, some)))
        return deleted

    def _is_versioned(self, bucket: str) -> bool:
        """Write an empty object, see whether it got a version, and take it away again, with its version."""
        blob, what = self.session.blob(bucket, f"{PROBE}{uuid4().hex}"), f"look whether az://{bucket} keeps versions"
        answer = self.session.call(what, lambda: blob.upload_blob(b"", overwrite=True), bucket=bucket)
        version = answer.get("version_id")
        self._gone(what, bucket, blob.delete_blob)
        if version:
            self._gone(what, bucket, lambda: blob.delete_blob(version_id=version))
        return bool(version)

    def _gone(self, what: str, bucket: str, delete: Callable[[], None]) -> None:
        with suppress(NotFound):  # of two attempts the first may have been applied
            self.session.call(what, delete, bucket=bucket)

    def _copied(self, bucket: str, key: str, what: str) -> BlobProperties:
        """Wait until the service has copied the blob; inside an account that is nearly always at once."""
        until = time.monotonic() + COPY_SECONDS
        while (found := properties(self.session, bucket, key)).copy.status == "pending":
            if time.monotonic() > until:
                raise StillRunning(f"cannot {what} yet", why="Azure is still copying it", next_step=f"mcml data stat az://{bucket}/{key}")
            self.session.policy.sleep(COPY_POLL_SECONDS)
        if found.copy.status not in ("success", None):
            raise McmlError(f"cannot {what}", why=f"Azure says: copy {found.copy.status}, {found.copy.status_description}")
        return found


def _is_made_by(thing: ContainerClient | BlobClient, write_id: str) -> bool | None:
    """Tell whether it carries the id of a write; None when it is not there."""
    try:
        found = thing.get_container_properties() if isinstance(thing, ContainerClient) else thing.get_blob_properties()
    except ResourceNotFoundError:
        return None
    return (found.metadata or {}).get(WRITE_ID) == write_id
