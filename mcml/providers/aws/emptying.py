"""Deleting everything in an S3 bucket, a page at a time."""

from collections.abc import Callable
from typing import Any

from mcml.core.errors import PartlyDone


class Emptying:
    """Deletes the first page of what is there, again and again, until nothing is; a page whose answer was lost is looked at anew.

    `count` is how many objects (with `versions`, versions and delete markers) are gone, those of lost answers included.
    """

    def __init__(self, client: Callable[[], Any], bucket: str, *, versions: bool, size: int) -> None:
        self._client, self._bucket, self._with_versions, self._size = client, bucket, versions, size
        self._pending: set[tuple[str, str]] = set()
        self.count = 0

    def page(self) -> bool:
        """Delete a page; False when there was nothing left. Raises what the SDK raises, PartlyDone when S3 refuses some of them."""
        there = self._versions() if self._with_versions else self._objects()
        self.count += len(self._pending - there)
        self._pending = there
        if not there:
            self._end_uploads()
            return False
        doomed = [{"Key": key} | ({"VersionId": version} if version else {}) for key, version in sorted(there)]
        answer = self._client().delete_objects(Bucket=self._bucket, Delete={"Objects": doomed, "Quiet": True})
        refused = answer.get("Errors", [])
        self._pending = set()
        self.count += len(doomed) - len(refused)
        if refused:
            first = refused[0]
            raise PartlyDone(
                f"bucket {self._bucket!r} is not empty: {self.count} deleted, {len(refused)} refused",
                why=f"{first.get('Key')}: {first.get('Message', '')} ({first.get('Code', '')})",
                next_step=f"aws s3api get-object-lock-configuration --bucket {self._bucket}",
            )
        return True

    def _objects(self) -> set[tuple[str, str]]:
        answer = self._client().list_objects_v2(Bucket=self._bucket, MaxKeys=self._size)
        return {(one["Key"], "") for one in answer.get("Contents", ())}

    def _versions(self) -> set[tuple[str, str]]:
        answer = self._client().list_object_versions(Bucket=self._bucket, MaxKeys=self._size)
        return {(one["Key"], one["VersionId"]) for kind in ("Versions", "DeleteMarkers") for one in answer.get(kind, ())}

    def _end_uploads(self) -> None:
        if not self._with_versions:
            return
        pages = self._client().get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket)
        for upload in [one for page in pages for one in page.get("Uploads", ())]:
            self._client().abort_multipart_upload(Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"])
