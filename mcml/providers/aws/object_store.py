"""ObjectStore on S3: listings and small objects over obstore, everything else over boto3.

Over obstore (see `bulk`): listings of a bucket or of a prefix that ends in '/', writes of up to 8 MiB without a condition, whole reads
of up to 8 MiB of the newest version where the etag is the MD5. Over boto3: versions, ranges, conditions, multipart uploads, stat,
delete, signatures, keys that obstore cannot carry; and, with its reason and its retries, whatever did not go well over obstore.

A write of up to `PART_BYTES` is one PutObject with its SHA-256; a longer one is a multipart upload with the CRC32 of the whole. S3 checks
both before the object appears. Reads go on where they broke off, on the same object, and are checked at their end.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from itertools import chain, islice
from typing import Any, Literal

from botocore.exceptions import ClientError

from mcml.core.errors import InvalidRequest, NotFound
from mcml.providers.api.object_store import ObjectStat, ObjectStore
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.error_table import code_of
from mcml.providers.aws.object_bulk import open_bulk
from mcml.providers.aws.object_list import Listing
from mcml.providers.aws.object_names import check_key
from mcml.providers.aws.object_reader import Reader
from mcml.providers.aws.object_stat import from_head
from mcml.providers.aws.object_writer import Writer, regroup
from mcml.providers.aws.session import Session
from mcml.providers.bulk import Bulk
from mcml.providers.resilience import Policy

LONGEST_SIGNED = timedelta(days=7)
_BARE_CODES = ("400", "403")  # a HEAD's answer has no body: the reason is asked for with a GET
_NO_VERSION = ("400", "405", "InvalidArgument", "MethodNotAllowed", "NoSuchVersion")


def open_object_store(ctx: ProviderContext) -> ObjectStore:
    """Return the S3 of an account."""
    return S3ObjectStore(Session(ctx, policy=Policy(budget=ctx.budget)))


class S3ObjectStore:
    """Objects in S3 buckets. Thread-safe. `page` is how many objects a listing asks for at once; S3 gives 1,000 at most."""

    def __init__(self, session: Session, *, page: int = 1000, bulk: Bulk | None = None) -> None:
        self._session, self._page_size, self._bulk = session, page, bulk or open_bulk(session)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectStat]:
        """Yield the objects below a prefix in key order, a page at a time; a listing knows no checksum and no version.

        Raises NotFound for the bucket.
        """
        return iter(Listing(self._session, self._bulk, bucket, prefix, self._page_size))

    def read(self, bucket: str, key: str, *, version: str = "", start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` up to, not including, `end`; nothing is asked for before the first one is.

        Raises NotFound, InvalidRequest for a range outside the object, Conflict when it is replaced while it is read, Unavailable when
        what arrived does not have its checksum.
        """
        if start < 0 or (end is not None and end < start):
            raise InvalidRequest(f"cannot read bytes {start} to {end} of s3://{bucket}/{key}", why="that is no range")
        name = _name(bucket, key, version)
        if start == 0 and end is None and not version and (whole := self._bulk.get(bucket, key)) is not None:
            yield from (whole,) if whole else ()
            return
        get, head = partial(self._get, bucket, key, version), partial(self._head, bucket, key, version)
        with closing(Reader(name, get, head, start, end)) as reader:
            while piece := self._session.call(f"cannot read {name}", reader.piece):
                yield piece
            reader.verify()

    def write(self, bucket: str, key: str, chunks: Iterable[bytes], *, if_match: str | None = None) -> ObjectStat:
        """Write an object whole or not at all; about two parts are in memory.

        A write whose answer was lost is not repeated blindly: each carries a token in its metadata, by which it is recognised.
        Raises Conflict when `if_match` does not hold, NotFound for the bucket, InvalidRequest for a key that cannot be.
        """
        writer = Writer(self._session, bucket, check_key(key), if_match, self._bulk)
        parts = regroup(chunks)
        ahead = deque(islice(parts, 2))
        if len(ahead) < 2:
            return writer.put(ahead[0] if ahead else b"")
        return writer.upload(chain(_drained(ahead), parts))

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object (with versioning it becomes an old version); one that is not there is fine. Raises NotFound for the bucket."""
        tries = 0

        def once() -> None:
            nonlocal tries
            tries += 1
            client = self._session.client("s3")
            if tries > 1:  # the first may have been done: a second one would be a second delete marker
                found = client.list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1).get("Contents", ())
                if not any(one["Key"] == key for one in found):
                    return
            client.delete_object(Bucket=bucket, Key=key)

        self._session.call(f"cannot delete s3://{bucket}/{key}", once)

    def stat(self, bucket: str, key: str, *, version: str = "") -> ObjectStat:
        """Return what is known of it. Raises NotFound."""
        ask = partial(self._head, bucket, key, version)
        return from_head(bucket, key, self._session.call(f"cannot find {_name(bucket, key, version)}", ask))

    def sign(self, bucket: str, key: str, method: Literal["GET", "PUT"], ttl: timedelta) -> str:
        """Return a URL that works without credentials until `ttl` (at most 7 days) has passed, or the credentials that signed it end.

        It is signed for the region of the target: S3 refuses it for a bucket of another one. Raises InvalidRequest for another `ttl`.
        """
        doing = f"cannot sign a {method} URL for s3://{bucket}/{key}"
        if not timedelta(seconds=1) <= ttl <= LONGEST_SIGNED:
            raise InvalidRequest(doing, why=f"it may last from 1 second to {LONGEST_SIGNED.days} days, not {ttl}")
        operation = {"GET": "get_object", "PUT": "put_object"}[method]
        params, seconds = {"Bucket": bucket, "Key": key}, int(ttl.total_seconds())
        url: str = self._session.call(
            doing, lambda: self._session.client("s3").generate_presigned_url(operation, Params=params, ExpiresIn=seconds)
        )
        return url

    def _head(self, bucket: str, key: str, version: str) -> Any:
        client, which = self._session.client("s3"), _which(bucket, key, version)
        try:
            return client.head_object(**which, ChecksumMode="ENABLED")
        except ClientError as failed:
            if code_of(failed) in _BARE_CODES:
                self._get(bucket, key, version, Range="bytes=0-0")["Body"].close()
            raise _no_version(failed, bucket, key, version) from failed

    def _get(self, bucket: str, key: str, version: str, **more: str) -> Any:
        try:
            return self._session.client("s3").get_object(**_which(bucket, key, version), ChecksumMode="ENABLED", **more)
        except ClientError as failed:
            raise _no_version(failed, bucket, key, version) from failed


def _drained(ahead: deque[bytearray]) -> Iterator[bytearray]:
    while ahead:  # a part that is sent is held by nobody
        yield ahead.popleft()


def _name(bucket: str, key: str, version: str) -> str:
    return f"s3://{bucket}/{key}" + (f", version {version}" if version else "")


def _which(bucket: str, key: str, version: str) -> dict[str, str]:
    return {"Bucket": bucket, "Key": key} | ({"VersionId": version} if version else {})


def _no_version(failed: Exception, bucket: str, key: str, version: str) -> Exception:
    """Return NotFound where S3 calls the id of a version malformed, or the version is a delete marker; else the error as it is."""
    if version and code_of(failed) in _NO_VERSION:
        return NotFound(f"there is no {_name(bucket, key, version)}", why="it was never written, it is deleted, or it has expired")
    return failed
