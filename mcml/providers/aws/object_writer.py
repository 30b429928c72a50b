"""One write of an S3 object, whole or not at all, and applied once."""

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, NoReturn, TypeVar
from uuid import uuid4

from botocore.exceptions import ClientError

from mcml.core.errors import Conflict, McmlError
from mcml.providers.api.object_store import ObjectStat
from mcml.providers.aws.error_table import code_of
from mcml.providers.aws.object_stat import from_head, from_write, unquoted
from mcml.providers.aws.session import Session
from mcml.providers.bulk import Bulk

PART_BYTES = 8 << 20
T = TypeVar("T")
TOKEN = "mcml-write"  # noqa: S105 - the name of a metadata key
_UNMET = ("PreconditionFailed", "412")


def part_size(number: int) -> int:
    """Return the bytes of part `number` (from 0): they grow, so that the 10,000 parts that S3 takes reach its 5 TiB."""
    return PART_BYTES * (1 + 15 * (number // 1000))


def regroup(chunks: Iterable[bytes], size_of: Callable[[int], int] = part_size) -> Iterator[bytearray]:
    """Yield the same bytes in parts of the sizes given; the last one may be shorter, and there is none of an empty source."""
    held, number = bytearray(), 0
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            room = size_of(number) - len(held)
            held += rest[:room]
            rest = rest[room:]
            if len(held) == size_of(number):
                yield held
                held, number = bytearray(), number + 1
    if held:
        yield held


class Writer:
    """Writes one object. A token in its metadata tells this write from every other: so an answer that was lost is no guess.

    What another writer puts there between a lost answer and its repetition is overwritten only by a write without a condition.
    """

    def __init__(self, session: Session, bucket: str, key: str, if_match: str | None, bulk: Bulk) -> None:
        self._session, self._bucket, self._key, self._if_match, self._bulk = session, bucket, key, if_match, bulk
        self._where = {"Bucket": bucket, "Key": key}
        self._token = uuid4().hex
        self._sent = False
        self._name = f"s3://{bucket}/{key}"

    def put(self, body: bytes | bytearray) -> ObjectStat:
        """Write what fits one request; S3 checks its SHA-256."""
        digest = hashlib.sha256(body)
        if self._if_match is None and self._bulk.takes(self._key, len(body)):
            done = self._bulk.put(self._bucket, self._key, body, {TOKEN: self._token})
            if done is not None:
                now, etag, version = self._session.ctx.clock(), unquoted(done["e_tag"]), done["version"] or ""
                return ObjectStat(self._bucket, self._key, len(body), f"sha256:{digest.hexdigest()}", etag, now, version)
            self._sent = True  # perhaps: then its token tells

        def send() -> ObjectStat:
            checksum = base64.b64encode(digest.digest()).decode()
            how = {"Metadata": {TOKEN: self._token}, "ChecksumAlgorithm": "SHA256", "ChecksumSHA256": checksum}
            answer = self._s3.put_object(**self._where, **self._condition(), **how, Body=body)
            return self._written(len(body), f"sha256:{digest.hexdigest()}", answer)

        return self._call(partial(self._once, send))

    def upload(self, parts: Iterable[bytearray]) -> ObjectStat:
        """Write in parts; S3 checks each part's CRC32 and that of the whole.

        Whatever goes wrong, the upload is aborted and nothing is left of it, unless this process or the network dies first: then
        `Buckets.configure` has made a rule that ends it after a week.
        """
        if self._if_match is not None:
            self._call(self._must_hold)  # before gigabytes are sent for nothing; S3 looks again at the end
        upload = self._call(self._begin)
        try:
            done, crc, size = [], 0, 0
            for number, part in enumerate(parts, 1):
                done.append(self._call(partial(self._send_part, upload, number, part)))
                crc, size = zlib.crc32(part, crc), size + len(part)
            return self._call(partial(self._once, partial(self._complete, upload, done, crc, size)))
        except BaseException:
            self._abort(upload)
            raise

    @property
    def _s3(self) -> Any:
        return self._session.client("s3")

    def _call(self, call: Callable[[], T]) -> T:
        return self._session.call(f"cannot write {self._name}", call)

    def _condition(self) -> dict[str, str]:
        if self._if_match is None:
            return {}
        return {"IfMatch": f'"{self._if_match}"'} if self._if_match else {"IfNoneMatch": "*"}

    def _once(self, send: Callable[[], ObjectStat]) -> ObjectStat:
        """Send, unless it was sent before and has arrived."""
        if self._sent and (done := self._mine()):
            return done
        again, self._sent = self._sent, True
        try:
            return send()
        except ClientError as failed:
            if not self._unmet(failed):
                raise
            if again and (done := self._mine()):  # the first one arrived while we looked
                return done
            self._changed(failed)

    def _unmet(self, failed: ClientError) -> bool:
        """Of an object that is not there, S3 does not say that If-Match failed, but that it is not there."""
        return code_of(failed) in _UNMET or (bool(self._if_match) and code_of(failed) in ("NoSuchKey", "404"))

    def _changed(self, failed: Exception | None = None) -> NoReturn:
        why = f"its etag is not {self._if_match} any more" if self._if_match else "there is one already"
        raise Conflict(f"cannot write {self._name}", why=why, next_step="read it again, and write with the etag it has now") from failed

    def _head(self) -> Any:
        try:
            return self._s3.head_object(**self._where, ChecksumMode="ENABLED")
        except ClientError as failed:
            if code_of(failed) in ("404", "403"):  # who may write need not be allowed to read
                return None
            raise

    def _mine(self) -> ObjectStat | None:
        found = self._head()
        if found is None or found.get("Metadata", {}).get(TOKEN) != self._token:
            return None
        return from_head(self._bucket, self._key, found)

    def _must_hold(self) -> None:
        found = self._head()
        etag = unquoted(found["ETag"]) if found else ""
        if etag != self._if_match:
            self._changed()

    def _written(self, size: int, checksum: str, answer: Any) -> ObjectStat:
        return from_write(self._bucket, self._key, size, checksum, answer, self._session.ctx.clock)

    def _begin(self) -> str:
        answer = self._s3.create_multipart_upload(
            **self._where, Metadata={TOKEN: self._token}, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT"
        )
        return str(answer["UploadId"])

    def _send_part(self, upload: str, number: int, part: bytearray) -> dict[str, Any]:
        checksum = _base64(zlib.crc32(part))
        answer = self._s3.upload_part(
            **self._where, UploadId=upload, PartNumber=number, Body=part, ChecksumAlgorithm="CRC32", ChecksumCRC32=checksum
        )
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32": checksum}

    def _complete(self, upload: str, parts: list[dict[str, Any]], crc: int, size: int) -> ObjectStat:
        try:
            answer = self._s3.complete_multipart_upload(
                **self._where,
                **self._condition(),
                UploadId=upload,
                MultipartUpload={"Parts": parts},
                ChecksumCRC32=_base64(crc),
                ChecksumType="FULL_OBJECT",
                MpuObjectSize=size,
            )
        except ClientError as failed:
            if code_of(failed) == "ConditionalRequestConflict":  # unlike a PutObject, the upload is over then
                self._changed(failed)
            raise
        return self._written(size, f"crc32:{crc:08x}", answer)

    def _abort(self, upload: str) -> None:
        with suppress(McmlError):  # what made us abort is the error to tell
            self._call(lambda: self._s3.abort_multipart_upload(**self._where, UploadId=upload))


def _base64(crc: int) -> str:
    return base64.b64encode(crc.to_bytes(4, "big")).decode()
