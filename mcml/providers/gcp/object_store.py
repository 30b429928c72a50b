"""ObjectStore on Cloud Storage: small objects over obstore (its XML API), everything else through the official SDK (its JSON API).

Over obstore (see `bulk`): writes of up to 8 MiB without a condition, whole reads of up to 8 MiB of the newest version where the etag of
the XML API is the MD5. Through the SDK: listings, versions, ranges, conditions, resumable uploads, stat, delete, signed URLs; and, with
its reason and its retries, whatever did not go well over obstore. A listing over obstore took an eighth of the time and a tenth of the
CPU (20,000 keys, fake-gcs-server), but it tells neither generations nor checksums: a `stat` of each object would have to follow.

An object's etag is its generation, the number that Cloud Storage gives to each content of a key: it is what conditions hold on to, and
with versioning it is the version too. Bytes are read in ranges of `CHUNK_BYTES`, each from the generation that was first seen, so a
broken transfer goes on where it stopped and two contents never mix. How writes are made only once: see `upload`.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from google.api_core.exceptions import Forbidden
from google.auth.credentials import Signing

from mcml.core.errors import Conflict, InvalidRequest, NotFound, ProviderCannot, Unavailable
from mcml.providers.api.object_store import ObjectStat, ObjectStore
from mcml.providers.api.spec import ProviderContext
from mcml.providers.bulk import Bulk
from mcml.providers.gcp import upload
from mcml.providers.gcp.checksums import Crc32c, in_hex
from mcml.providers.gcp.names import check_key
from mcml.providers.gcp.object_bulk import open_bulk
from mcml.providers.gcp.session import Session
from mcml.providers.resilience import Policy

CHUNK_BYTES = 8 << 20
PAGE_OBJECTS = 1000
LISTED = "nextPageToken,items(name,size,crc32c,md5Hash,generation,timeCreated,timeDeleted)"  # a third of what Google says of an object
LONGEST_TTL = timedelta(days=7)
KNOWN_SECONDS = 30.0


def open_object_store(ctx: ProviderContext) -> ObjectStore:
    """Return the object store of the account."""
    return GcsObjectStore(Session(ctx, policy=Policy(budget=ctx.budget)))


@dataclass
class Versioned:
    """Whether buckets keep old versions, asked once in `KNOWN_SECONDS`: each stat needs it, and it seldom changes."""

    session: Session
    _known: dict[str, tuple[float, bool]] = field(default_factory=dict)

    def __call__(self, bucket: str) -> bool:
        """Tell. Without the right to look at the bucket itself: True, as a generation can be asked for anyway. Raises NotFound."""
        until, answer = self._known.get(bucket, (0.0, False))
        if time.monotonic() < until:
            return answer
        try:
            answer = self.session.call(f"cannot look at bucket {bucket!r}", lambda: self._ask(bucket))
        except NotFound as missing:
            step = self.session.clue.fill("gcloud storage buckets list --project=PROJECT")
            raise NotFound(missing.message, why=missing.why, next_step=step) from missing
        self._known[bucket] = (time.monotonic() + KNOWN_SECONDS, answer)
        return answer

    def _ask(self, bucket: str) -> bool:
        asked = self.session.bucket(bucket)
        try:
            asked.reload(**self.session.options)
        except Forbidden as failed:
            if _is_refused(failed):
                return True
            raise
        return bool(asked.versioning_enabled)


class GcsObjectStore:
    """Objects of Cloud Storage."""

    def __init__(self, session: Session, *, bulk: Bulk | None = None) -> None:
        self._session = session
        self._versioned = Versioned(session)
        self._bulk = bulk or open_bulk(session)

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectStat]:
        """Yield the objects below a prefix in key order, a page at a time. Raises NotFound for the bucket."""
        versioned = self._versioned(bucket)
        return (to_stat(bucket, blob, versioned) for blob in pages(self._session, bucket, prefix))

    def read(self, bucket: str, key: str, *, version: str = "", start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` up to, not including, `end`; a whole object's CRC-32C is compared at its end.

        Raises NotFound, InvalidRequest for a range outside, Conflict when it is replaced while it is read (and no version is kept),
        Unavailable when the bytes are not those that were stored.
        """
        if start == 0 and end is None and not version and (whole := self._bulk.get(bucket, key)) is not None:
            return iter([whole] if whole else [])
        blob = find_blob(self._session, bucket, key, version)
        stop = blob.size if end is None else end
        if not 0 <= start <= stop <= blob.size:
            raise InvalidRequest(f"cannot read bytes {start} to {stop} of gs://{bucket}/{key}", why=f"it has {blob.size} bytes")
        return self._stream(blob, start, stop)

    def write(self, bucket: str, key: str, chunks: Iterable[bytes], *, if_match: str | None = None) -> ObjectStat:
        """Write an object whole or not at all, and once; its CRC-32C is computed here and compared there.

        Raises Conflict when `if_match` does not hold, NotFound for the bucket, InvalidRequest for a key that cannot be.
        """
        check_key(key)
        versioned = self._versioned(bucket)
        resource = upload.write(self._session, bucket, key, chunks, _generation(bucket, key, if_match), self._bulk)
        return stat_of(bucket, resource, versioned)

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object (with versioning it becomes an old version); one that is not there is fine. Raises NotFound for the bucket."""
        doing = f"cannot delete gs://{bucket}/{key}"
        try:
            self._session.call(doing, lambda: self._session.bucket(bucket).blob(key).delete(**self._session.options))
        except NotFound:  # of the object or of the bucket: a listing tells which
            self._session.call(doing, lambda: _first_page(self._session, bucket, key))

    def stat(self, bucket: str, key: str, *, version: str = "") -> ObjectStat:
        """Return what is known of it. Raises NotFound."""
        return to_stat(bucket, find_blob(self._session, bucket, key, version), self._versioned(bucket))

    def sign(self, bucket: str, key: str, method: Literal["GET", "PUT"], ttl: timedelta) -> str:
        """Return a V4 signed URL. The key of a service account signs here; an impersonated one signs at Google.

        Raises ProviderCannot for credentials that cannot sign, InvalidRequest for a time that is not within 1 second and 7 days.
        """
        check_key(key)
        doing = f"cannot sign a {method} URL for gs://{bucket}/{key}"
        if not timedelta(seconds=1) <= ttl <= LONGEST_TTL:
            raise InvalidRequest(doing, why=f"it must hold for 1 second to {LONGEST_TTL.days} days, not for {ttl}")
        found = self._session.call(doing, lambda: self._session.found)
        if not isinstance(found.credentials, Signing):
            raise ProviderCannot(
                doing,
                why=f"these credentials cannot sign ({found.method}): a service account can",
                next_step='set impersonate_service_account = "NAME@PROJECT.iam.gserviceaccount.com" under [providers.gcp]',
            )

        def make() -> str:
            blob = self._session.bucket(bucket).blob(key)
            url: str = blob.generate_signed_url(version="v4", expiration=ttl, method=method, credentials=found.credentials)
            return url

        return self._session.call(doing, make)

    def _stream(self, found: Any, start: int, stop: int) -> Iterator[bytes]:
        place = f"gs://{found.bucket.name}/{found.name}"
        whole, checksum = (start, stop) == (0, found.size), Crc32c()
        while start < stop:
            piece = self._range(found, place, start, min(start + CHUNK_BYTES, stop))
            start += len(piece)
            if whole:
                checksum.update(piece)
                if start == stop and found.crc32c and checksum.base64 != found.crc32c:
                    raise Unavailable(f"cannot read {place}", why="the bytes do not have the stored CRC-32C: damaged on the way")
            yield piece

    def _range(self, found: Any, place: str, start: int, stop: int) -> bytes:
        def get() -> bytes:
            blob = self._session.bucket(found.bucket.name).blob(found.name, generation=found.generation)
            options = self._session.options
            data: bytes = blob.download_as_bytes(start=start, end=stop - 1, raw_download=True, checksum=None, **options)
            if len(data) != stop - start:
                raise Unavailable(f"cannot read {place}", why=f"{len(data)} bytes came instead of {stop - start}")
            return data

        try:
            return self._session.call(f"cannot read {place}", get)
        except NotFound as gone:
            raise Conflict(f"cannot read on in {place}", why="it was replaced or deleted meanwhile", next_step="read it again") from gone


def find_blob(session: Session, bucket: str, key: str, version: str = "") -> Any:
    """Return the SDK's blob with all its metadata. Raises NotFound, for a version that is no number too."""
    doing = f"no object gs://{bucket}/{key}" + (f" with version {version}" if version else "")
    if not key or (version and not version.isdecimal()):
        raise NotFound(doing, why="versions are numbers here" if key else "the key is empty")

    def get() -> Any:
        blob = session.bucket(bucket).blob(key, generation=int(version) if version else None)
        blob.reload(**session.options)
        return blob

    try:
        return session.call(f"cannot look at gs://{bucket}/{key}", get)
    except NotFound as missing:
        raise NotFound(doing, why=missing.why) from missing


def pages(session: Session, bucket: str, prefix: str, *, versions: bool = False) -> Iterator[Any]:
    """Yield the SDK's blobs below a prefix in key order (of one key: oldest first), asking for a page when it is needed."""
    token: str | None = None
    while True:
        found, token = session.call(f"cannot list gs://{bucket}/{prefix}", lambda at=token: _page(session, bucket, prefix, at, versions))  # type: ignore[misc]
        yield from found
        if not token:
            return


def to_stat(bucket: str, blob: Any, versioned: bool) -> ObjectStat:
    """Return what a blob of the SDK says of itself. An old version shows its number even where versioning is off by now."""
    version = str(blob.generation) if versioned or blob.time_deleted else ""
    size, modified = int(blob.size), blob.time_created or datetime.fromtimestamp(0, UTC)
    return ObjectStat(bucket, blob.name, size, in_hex(blob.crc32c, blob.md5_hash), str(blob.generation), modified, version)


def stat_of(bucket: str, resource: dict[str, Any], versioned: bool) -> ObjectStat:
    """Return what an object resource (https://cloud.google.com/storage/docs/json_api/v1/objects) says."""
    generation = str(resource["generation"])
    return ObjectStat(
        bucket=bucket,
        key=resource["name"],
        size=int(resource["size"]),
        checksum=in_hex(resource.get("crc32c"), resource.get("md5Hash")),
        etag=generation,
        modified=datetime.fromisoformat(resource["timeCreated"]),
        version=generation if versioned else "",
    )


def _page(session: Session, bucket: str, prefix: str, token: str | None, versions: bool) -> tuple[list[Any], str | None]:
    options = {"page_size": PAGE_OBJECTS, "page_token": token, "fields": LISTED, **session.options}
    listing = session.storage.list_blobs(session.bucket(bucket), prefix=prefix or None, versions=versions or None, **options)
    found = list(next(listing.pages, ()))
    return found, listing.next_page_token


def _first_page(session: Session, bucket: str, prefix: str) -> None:
    next(session.storage.list_blobs(session.bucket(bucket), prefix=prefix, max_results=1, **session.options).pages, None)


def _is_refused(failed: Forbidden) -> bool:
    """Tell a missing right from a limit, which Google says with 403 too."""
    return not any("xceeded" in str(error.get("reason", "")) for error in failed.errors if isinstance(error, dict))


def _generation(bucket: str, key: str, if_match: str | None) -> int | None:
    """Return the generation that must hold: 0 is "no object" to Google; None: any."""
    if not if_match:
        return None if if_match is None else 0
    if not if_match.isdecimal() or int(if_match) == 0:
        raise Conflict(f"gs://{bucket}/{key} changed", why=f"no content of it has the etag {if_match!r}: etags are numbers here")
    return int(if_match)
