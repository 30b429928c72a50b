"""Copying a version of an S3 object over the newest, inside S3: in one request, or in parts when it is larger than one request takes."""

from collections.abc import Callable
from functools import partial
from typing import Any

from mcml.core.errors import McmlError
from mcml.providers.api.object_store import ObjectStat
from mcml.providers.aws.session import Session

LARGEST_COPY = 5 << 30
PART_BYTES = 1 << 30


class Copy:
    """Copies the bytes and the metadata of a version to the same key, once: `arrived` is asked before anything is repeated."""

    def __init__(
        self, session: Session, old: ObjectStat, arrived: Callable[[], bool], *, largest: int = LARGEST_COPY, part: int = PART_BYTES
    ) -> None:
        self._session, self._old, self._arrived, self._largest, self._part = session, old, arrived, largest, part
        self._where = {"Bucket": old.bucket, "Key": old.key}
        self._source = self._where | ({"VersionId": old.version} if old.version else {})
        self._sent = False

    def run(self) -> None:
        """Copy. Raises core errors; nothing is left of a copy in parts that failed."""
        if self._old.size <= self._largest:
            self._call(partial(self._once, lambda: self._s3.copy_object(**self._where, CopySource=self._source)))
            return
        upload = self._call(self._begin)
        try:
            starts = range(0, self._old.size, self._part)
            parts = [self._call(partial(self._copy_part, upload, number, start)) for number, start in enumerate(starts, 1)]
            self._call(partial(self._once, partial(self._complete, upload, parts)))
        except BaseException:
            self._abort(upload)
            raise

    @property
    def _s3(self) -> Any:
        return self._session.client("s3")

    def _call(self, call: Callable[[], Any]) -> Any:
        return self._session.call(f"cannot restore version {self._old.version} of s3://{self._old.bucket}/{self._old.key}", call)

    def _once(self, send: Callable[[], Any]) -> None:
        if self._sent and self._arrived():
            return
        self._sent = True
        send()

    def _begin(self) -> str:
        metadata = self._s3.head_object(**self._source).get("Metadata", {})
        answer = self._s3.create_multipart_upload(**self._where, Metadata=metadata, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
        return str(answer["UploadId"])

    def _copy_part(self, upload: str, number: int, start: int) -> dict[str, Any]:
        last = min(start + self._part, self._old.size) - 1
        answer = self._s3.upload_part_copy(
            **self._where, UploadId=upload, PartNumber=number, CopySource=self._source, CopySourceRange=f"bytes={start}-{last}"
        )["CopyPartResult"]
        known = {name: answer[name] for name in ("ETag", "ChecksumCRC32") if name in answer}
        return {"PartNumber": number, **known}

    def _complete(self, upload: str, parts: list[dict[str, Any]]) -> None:
        self._s3.complete_multipart_upload(
            **self._where, UploadId=upload, MultipartUpload={"Parts": parts}, ChecksumType="FULL_OBJECT", MpuObjectSize=self._old.size
        )

    def _abort(self, upload: str) -> None:
        try:
            self._call(lambda: self._s3.abort_multipart_upload(**self._where, UploadId=upload))
        except McmlError:
            return  # what made us abort is the error to tell; the bucket's rule ends the upload after a week
