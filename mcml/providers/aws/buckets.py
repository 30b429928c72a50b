"""Buckets on S3: made in the region of the target, configured, emptied, deleted; old versions brought back by a copy inside S3."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from mcml.core.errors import Conflict, InvalidRequest, NotFound, Usage
from mcml.providers.api.buckets import BucketConfig, Buckets
from mcml.providers.api.object_store import ObjectStat
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.bucket_config import read_config, write_config
from mcml.providers.aws.emptying import Emptying
from mcml.providers.aws.error_table import code_of
from mcml.providers.aws.object_copy import Copy
from mcml.providers.aws.object_names import check_bucket
from mcml.providers.aws.object_stat import from_listing
from mcml.providers.aws.object_store import S3ObjectStore
from mcml.providers.aws.session import SOME_REGION, Session
from mcml.providers.resilience import Policy


def open_buckets(ctx: ProviderContext) -> Buckets:
    """Return the buckets of an account."""
    return S3Buckets(Session(ctx, policy=Policy(budget=ctx.budget)))


class S3Buckets:
    """Buckets of S3. A name is one for all accounts of AWS. `page` is how many objects or versions are asked for at once."""

    def __init__(self, session: Session, *, page: int = 1000) -> None:
        self._session, self._page = session, page
        self._objects = S3ObjectStore(session)

    def create(self, bucket: str) -> bool:
        """Create it, private as S3 makes it; False when it was there and ours, in whatever region.

        Raises Conflict when the name is somebody else's, InvalidRequest for a bad name, Usage when no region is chosen.
        """
        check_bucket(bucket)
        tries = 0

        def once() -> bool:
            nonlocal tries
            tries += 1
            if tries == 1 and self._is_there(bucket):
                return False
            try:
                self._s3.create_bucket(Bucket=bucket, **self._place())
            except ClientError as failed:
                if code_of(failed) == "BucketAlreadyOwnedByYou":  # somebody of us was quicker, or our own answer was lost
                    return tries > 1
                raise
            return True

        return self._session.call(f"cannot create bucket {bucket!r}", once)

    def configure(self, bucket: str, config: BucketConfig) -> BucketConfig:
        """Make it so and return how it is now: always encrypted. Also ends uploads that were left half-done for a week.

        Lifecycle rules of others stay. Raises NotFound, InvalidRequest for days below 1.
        """
        for days in (config.expire_days, config.expire_old_days):
            if days is not None and days < 1:
                raise InvalidRequest(f"bucket {bucket!r} cannot expire objects after {days} days", why="it must be 1 or more")

        def make() -> BucketConfig:
            write_config(self._s3, bucket, config)
            return read_config(self._s3, bucket)

        return self._session.call(f"cannot configure bucket {bucket!r}", make)

    def versions(self, bucket: str, key: str) -> list[ObjectStat]:
        """Return all versions of a key, newest first, without their checksums. Raises NotFound for the bucket."""
        found = list(self._versions(bucket, key))
        if len(found) == 1 and found[0]["VersionId"] == "null":  # the bucket never had versions
            return [from_listing(bucket, found[0])]
        return [from_listing(bucket, one, one["VersionId"]) for one in found]

    def restore_version(self, bucket: str, key: str, version: str) -> ObjectStat:
        """Make an old version the newest again, as a new version; when the newest holds the same bytes it is kept. Raises NotFound."""
        old = self._objects.stat(bucket, key, version=version)

        def arrived() -> bool:
            now = self._newest(bucket, key)
            return now is not None and _same_bytes(now, old)

        if not arrived():
            Copy(self._session, old, arrived).run()
        return self._objects.stat(bucket, key)

    def empty(self, bucket: str, *, versions: bool = False) -> int:
        """Delete all objects, with `versions` all old ones and half-done uploads too; return how many. Raises NotFound."""
        emptying = Emptying(lambda: self._s3, bucket, versions=versions, size=self._page)
        while self._session.call(f"cannot empty bucket {bucket!r}", emptying.page):
            pass
        return emptying.count

    def delete(self, bucket: str) -> None:
        """Delete an empty bucket; one that is gone is fine. Raises Conflict when an object or an old version is left in it."""
        try:
            self._session.call(
                f"cannot delete bucket {bucket!r}", lambda: self._s3.delete_bucket(Bucket=bucket), next_step="empty it, with its versions"
            )
        except NotFound:
            return

    @property
    def _s3(self) -> Any:
        return self._session.client("s3")

    def _is_there(self, bucket: str) -> bool:
        """Tell whether it is ours. CreateBucket does not tell in us-east-1, where it resets the access list of one that is there."""
        try:
            self._s3.head_bucket(Bucket=bucket)
        except ClientError as failed:
            if code_of(failed) == "404":
                return False
            if code_of(failed) == "403":
                raise _taken(bucket) from failed
            raise
        pages = self._s3.get_paginator("list_buckets").paginate(Prefix=bucket)
        if not any(one["Name"] == bucket for page in pages for one in page.get("Buckets", ())):
            raise _taken(bucket)
        return True

    def _place(self) -> dict[str, Any]:
        region = self._session.region
        if not region:
            raise Usage("no region is chosen for the bucket", next_step="set [providers.aws] region in mcml.toml, or AWS_REGION")
        return {} if region == SOME_REGION else {"CreateBucketConfiguration": {"LocationConstraint": region}}

    def _versions(self, bucket: str, key: str) -> Iterator[Any]:
        marker: dict[str, str] = {}
        while True:
            ask = partial(self._version_page, bucket, key, marker)
            page = self._session.call(f"cannot list the versions of s3://{bucket}/{key}", ask)
            yield from (one for one in page.get("Versions", ()) if one["Key"] == key)
            if not page.get("IsTruncated") or page.get("NextKeyMarker", key) > key:
                return
            marker = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def _version_page(self, bucket: str, key: str, marker: dict[str, str]) -> Any:
        return self._s3.list_object_versions(Bucket=bucket, Prefix=key, MaxKeys=self._page, **marker)

    def _newest(self, bucket: str, key: str) -> ObjectStat | None:
        try:
            return self._objects.stat(bucket, key)
        except NotFound:
            return None


def _taken(bucket: str) -> Conflict:
    return Conflict(f"cannot create bucket {bucket!r}", why="the name is taken by another account", next_step="choose another name")


def _same_bytes(one: ObjectStat, other: ObjectStat) -> bool:
    same = one.checksum == other.checksum if one.checksum and other.checksum else one.etag == other.etag
    return same and one.size == other.size
