"""ObjectStore on Azure Blob Storage: a bucket is a container, an object a block blob; the checksum is the MD5 that the service keeps.

An upload of more than one block goes as blocks under ids of its own and becomes the object with one commit; nothing is held but two
blocks. Each block is checked by the service against its MD5, and the MD5 of the whole is kept with the object, so that a whole read is
checked end to end (ranges are checked piece by piece). A blob that another tool wrote without an MD5 has the checksum "".

All of it goes through the SDK. obstore tells no MD5, neither of a listing nor of what was read or written, and an etag is none here: a
copy would ask for every object once more, or not be checked. Measured on Azurite (20,000 keys; 1,000 objects of 4 KiB, 32 threads):
writes 1.2 and reads 1.1 times the SDK's rate, a listing 1.2 times that of `list` below, which takes the service's XML as it came: the
SDK's own objects take 7 times the CPU and 2.6 times as long.

Listings come in the service's order: by name in UTF-16, which is that of the bytes but for characters beyond U+FFFF.
"""

import hashlib
from base64 import b64decode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Literal
from urllib.parse import unquote
from xml.etree.ElementTree import Element

from azure.core import MatchConditions
from azure.core.exceptions import DecodeError
from azure.storage.blob import BlobProperties, BlobSasPermissions, generate_blob_sas

from mcml.core.errors import Conflict, InvalidRequest, NotFound, Unavailable
from mcml.providers.api.object_store import ObjectStat, ObjectStore
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.arm import pages
from mcml.providers.azure.blob_write import unquoted, write_blob
from mcml.providers.azure.error_table import ContainerMissing, RangeOutside
from mcml.providers.azure.names import is_version
from mcml.providers.azure.session import READ_BYTES, Session
from mcml.providers.resilience import NEXT_STEP, Policy

PAGE_OBJECTS = 5000  # the most that the service lists in one answer
LONGEST_DELEGATION = timedelta(days=7)
START_EARLIER = timedelta(minutes=5)  # so that a signature is good at once where clocks differ a little


def open_object_store(ctx: ProviderContext) -> ObjectStore:
    """Return the object store of a storage account; nothing is asked of it yet."""
    return AzureObjectStore(Session(ctx, policy=Policy(budget=ctx.budget)))


def to_stat(bucket: str, found: BlobProperties) -> ObjectStat:
    """Return what the service says of a blob in our words."""
    md5 = found.content_settings.content_md5
    return ObjectStat(
        bucket=bucket,
        key=found.name,
        size=found.size,
        checksum=f"md5:{bytes(md5).hex()}" if md5 else "",
        etag=unquoted(found.etag),
        modified=found.last_modified,
        version=found.version_id or "",
    )


def from_xml(bucket: str, blob: Element) -> ObjectStat:
    """Return what a `Blob` of a listing says (https://learn.microsoft.com/rest/api/storageservices/list-blobs#response-body)."""
    told = {part.tag: part.text or "" for part in blob.iterfind("Properties/*")}
    name, version, md5 = blob.find("Name"), blob.findtext("VersionId", ""), told.get("Content-MD5")
    key = "" if name is None else name.text or ""
    return ObjectStat(
        bucket=bucket,
        key=unquote(key) if name is not None and name.get("Encoded") == "true" else key,
        size=int(told["Content-Length"]),
        checksum=f"md5:{b64decode(md5).hex()}" if md5 else "",
        etag=unquoted(told["Etag"]),
        modified=parsedate_to_datetime(told["Last-Modified"]),
        version=version,
    )


@dataclass(frozen=True)
class AzureObjectStore:
    """Objects in containers."""

    session: Session
    page_objects: int = PAGE_OBJECTS

    def list(self, bucket: str, prefix: str = "") -> Iterator[ObjectStat]:
        """Yield the objects below a prefix in key order, page by page. Raises NotFound for the bucket."""
        container, what = self.session.container(bucket), f"list az://{bucket}/{prefix}"
        names = container.list_blob_names(name_starts_with=prefix or None, results_per_page=self.page_objects).by_page()
        while (page := self.session.call(what, lambda: _next(names), bucket=bucket)) is not None:
            if page.tag != "EnumerationResults":
                raise Unavailable(f"cannot {what}", why="the answer is not one of Azure Blob Storage", next_step=NEXT_STEP)
            for blob in page.iterfind("Blobs/Blob"):
                yield from_xml(bucket, blob)

    def read(self, bucket: str, key: str, *, version: str = "", start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Yield the bytes from `start` up to, not including, `end`, in pieces of 4 MiB, each a request of its own for the same etag.

        Raises NotFound, InvalidRequest for a range outside, Conflict when the object is replaced while it is read, Unavailable when the
        bytes of a whole read do not have the object's checksum.
        """
        if start < 0 or (end is not None and end < start):
            raise _outside(bucket, key, start, end, "it is no range")
        digest = hashlib.md5(usedforsecurity=False)
        found, piece, stop = self._first(bucket, key, version, start, end)
        whole, place = start == 0 and stop == found.size, start
        while True:
            if piece:
                digest.update(piece)
                yield piece
            place += len(piece)
            if place >= stop:
                break
            piece = self._piece(bucket, key, version, place, stop, found.etag)
        if whole and found.checksum and found.checksum != f"md5:{digest.hexdigest()}":
            why = f"the object's checksum is {found.checksum}"
            raise Unavailable(f"the bytes read of az://{bucket}/{key} are not those written", why=why, next_step="read it again")

    def write(self, bucket: str, key: str, chunks: Iterable[bytes], *, if_match: str | None = None) -> ObjectStat:
        """Write an object whole or not at all, once even when an answer is lost; see `blob_write`.

        Raises Conflict when `if_match` does not hold, and when another writer of the same key committed while blocks were on their way
        (the service drops them then); NotFound for the bucket, InvalidRequest for a key that cannot be.
        """
        return write_blob(self.session, bucket, key, chunks, if_match)

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object (with versioning it becomes an old version) and its snapshots; one that is not there is fine.

        Raises NotFound for the bucket.
        """
        blob = self.session.blob(bucket, key)
        try:
            self.session.call(f"delete az://{bucket}/{key}", lambda: blob.delete_blob(delete_snapshots="include"), bucket=bucket)
        except ContainerMissing:
            raise
        except NotFound:
            return

    def stat(self, bucket: str, key: str, *, version: str = "") -> ObjectStat:
        """Return what is known of it. Raises NotFound."""
        return to_stat(bucket, properties(self.session, bucket, key, version))

    def sign(self, bucket: str, key: str, method: Literal["GET", "PUT"], ttl: timedelta) -> str:
        """Return a URL that works without credentials until `ttl` has passed (a shared access signature).

        It is signed with the storage account's key where the environment holds one, else with a key that the service lends to our login
        for at most 7 days. A PUT must carry the header `x-ms-blob-type: BlockBlob`. Raises InvalidRequest for a `ttl` that cannot be.
        """
        account = self.session.account(bucket)
        blob, key_of_account = self.session.blob(bucket, key), self.session.key_of(account)
        longest = None if key_of_account else LONGEST_DELEGATION
        if ttl <= timedelta(0) or (longest and ttl > longest):
            why = f"it must be more than 0{f' and at most {longest.days} days without the account key' if longest else ''}"
            raise InvalidRequest(f"cannot sign az://{bucket}/{key} for {ttl}", why=why)
        now = self.session.clock()
        begin, expiry = now - START_EARLIER, now + ttl
        if key_of_account:
            secret: dict[str, Any] = {"account_key": key_of_account.secret.reveal()}
        else:
            service = self.session.service(account)
            what = f"sign az://{bucket}/{key}"
            secret = {"user_delegation_key": self.session.call(what, lambda: service.get_user_delegation_key(begin, expiry), bucket=bucket)}
        token = generate_blob_sas(
            account, bucket, key,
            permission=BlobSasPermissions(read=method == "GET", create=method == "PUT", write=method == "PUT"),
            start=begin, expiry=expiry,
            protocol="https" if blob.url.startswith("https:") else "https,http",
            **secret,
        )  # fmt: skip
        return f"{blob.url}?{token}"

    def _first(self, bucket: str, key: str, version: str, start: int, end: int | None) -> tuple[ObjectStat, bytes, int]:
        """Return the object, the first piece of a range, and where the range ends; one request unless the range is empty."""
        what, blob = f"read az://{bucket}/{key}", self.session.blob(bucket, key, version)
        if end != start:
            length = READ_BYTES if end is None else min(READ_BYTES, end - start)

            def get() -> tuple[ObjectStat, bytes]:
                download = blob.download_blob(offset=start, length=length, validate_content=True)
                piece: bytes = download.readall()
                found = to_stat(bucket, same_version(download.properties, bucket, key, version))
                return replace(found, size=int(download.properties.content_range.rpartition("/")[2])), piece

            try:
                _known_version(bucket, key, version)
                found, piece = self.session.call(what, get, bucket=bucket)
                stop = found.size if end is None else end
                if stop > found.size:
                    raise _outside(bucket, key, start, end, f"it has {found.size} bytes")
                return found, piece, stop
            except RangeOutside:
                pass
        found = self.stat(bucket, key, version=version)
        if max(start, end or 0) > found.size or (start < found.size and end != start):
            raise _outside(bucket, key, start, end, f"it has {found.size} bytes")
        return found, b"", start

    def _piece(self, bucket: str, key: str, version: str, start: int, stop: int, etag: str) -> bytes:
        blob, same = self.session.blob(bucket, key, version), MatchConditions.IfNotModified

        def get() -> bytes:
            length = min(READ_BYTES, stop - start)
            piece: bytes = blob.download_blob(start, length, etag=f'"{etag}"', match_condition=same, validate_content=True).readall()
            return piece

        try:
            return self.session.call(f"read az://{bucket}/{key}", get, bucket=bucket)
        except Conflict as changed:
            raise Conflict(changed.message, why="it was replaced while it was read", next_step="read it again") from changed


def blobs_of(
    session: Session, bucket: str, prefix: str = "", *, include: Iterable[str] = (), page_objects: int = PAGE_OBJECTS
) -> Iterator[BlobProperties]:
    """Yield the blobs below a prefix as the SDK gives them, page by page, each page tried again by itself. Raises NotFound."""
    listing = session.container(bucket).list_blobs(name_starts_with=prefix or None, include=[*include], results_per_page=page_objects)
    yield from pages(session, f"list az://{bucket}/{prefix}", listing, bucket=bucket)


def _next(names: Any) -> Element | None:
    """Return the next answer of a listing of names: all of the XML, which the SDK has, as it came. Raises what the SDK raises."""
    try:
        answer: Element | None = None if next(names, None) is None else names._response
    except AttributeError as failed:  # the SDK takes any answer for XML
        raise DecodeError("the answer is no XML") from failed
    return answer


def properties(session: Session, bucket: str, key: str, version: str = "") -> BlobProperties:
    """Return a blob's properties, or those of a version. Raises NotFound."""
    _known_version(bucket, key, version)
    blob = session.blob(bucket, key, version)
    found = session.call(f"look at az://{bucket}/{key}", blob.get_blob_properties, bucket=bucket)
    return same_version(found, bucket, key, version)


def same_version(found: BlobProperties, bucket: str, key: str, version: str) -> BlobProperties:
    """Return it. Raises NotFound when it is not the version asked for: an account that never had versioning ignores the question."""
    if version and found.version_id != version:
        raise _no_version(bucket, key, version)
    return found


def _known_version(bucket: str, key: str, version: str) -> None:
    if version and not is_version(version):
        raise _no_version(bucket, key, version)


def _no_version(bucket: str, key: str, version: str) -> NotFound:
    return NotFound(f"no version {version!r} of az://{bucket}/{key}", why="it was never written, or it is deleted")


def _outside(bucket: str, key: str, start: int, end: int | None, why: str) -> InvalidRequest:
    return InvalidRequest(f"cannot read bytes {start} to {'the end' if end is None else end} of az://{bucket}/{key}", why=why)
