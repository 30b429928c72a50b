"""Writing one object, in constant memory, and once.

Up to `PART_BYTES` go in one request, more through a resumable upload (https://cloud.google.com/storage/docs/performing-resumable-uploads),
part by part. When an answer is lost nobody knows whether the write was made, so before it is tried again:

- a single request looks whether the object carries the token that every write puts into its metadata; if it does, that was us, and
  if it does not, the next try holds only for what was just seen, so that an overtaken first try and a second cannot both be made;
- a resumable upload asks its session, which ends once only, how far it came, and goes on from there.
"""

import base64
import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from google.api_core.exceptions import NotFound as Missing
from google.api_core.exceptions import PreconditionFailed
from requests import RequestException
from urllib3.exceptions import HTTPError

from mcml.core.errors import Conflict, McmlError, NotFound, Unavailable
from mcml.providers.bulk import Bulk
from mcml.providers.gcp.checksums import Crc32c
from mcml.providers.gcp.error_table import from_response
from mcml.providers.gcp.session import Session

PART_BYTES = 8 << 20
"""A multiple of 256 KiB, as parts of a resumable upload must be."""

MARK = "mcml-write"
"""The name of the metadata entry that tells one write from another."""

CONTENT_TYPE = "application/octet-stream"
UNFINISHED = 308

Resource = dict[str, Any]


def write(session: Session, bucket: str, key: str, chunks: Iterable[bytes], generation: int | None, bulk: Bulk) -> Resource:
    """Write and return the object's resource. `generation` must hold (0: no object, None: any); with None, `bulk` is tried first.

    Raises Conflict when it does not, NotFound for the bucket; what the source raises comes through, and nothing is written then.
    """
    parts = _parts(chunks)
    first = next(parts)
    job = _Write(session, bucket, key, generation)
    if first.is_last:
        fast = job.fast(bulk, first.data) if generation is None and bulk.takes(key, len(first.data)) else None
        return fast or job.checked(job.small(first.data), first.checksum)
    return _Resumable(job).run(first, parts)


@dataclass(frozen=True)
class _Part:
    """A piece of the object; `checksum` is that of everything up to its end."""

    start: int
    data: bytes = field(repr=False)
    is_last: bool
    checksum: str

    @property
    def end(self) -> int:
        return self.start + len(self.data)


def _parts(chunks: Iterable[bytes]) -> Iterator[_Part]:
    """Cut chunks of any size into parts of PART_BYTES; the last one, at least one, is shorter or just as long."""
    held, start, running = bytearray(), 0, Crc32c()

    def cut(size: int, is_last: bool) -> _Part:
        data = bytes(memoryview(held)[:size])
        running.update(data)
        return _Part(start, data, is_last, running.base64)

    for chunk in chunks:
        held += chunk
        while len(held) > PART_BYTES:
            part = cut(PART_BYTES, is_last=False)
            del held[:PART_BYTES]
            start = part.end
            yield part
    yield cut(len(held), is_last=True)


@dataclass
class _Write:
    session: Session
    bucket: str
    key: str
    generation: int | None
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    sent: bool = False
    """There was a try already, of which nobody knows how it ended."""

    @property
    def doing(self) -> str:
        return f"cannot write gs://{self.bucket}/{self.key}"

    def call(self, call: Callable[[], Resource]) -> Resource:
        try:
            return self.session.call(self.doing, call)
        except Conflict as conflict:
            if self.generation is None or conflict.next_step:
                raise
            wanted = f"it has not the etag {self.generation} (any more)" if self.generation else "there is one already"
            raise Conflict(self.doing, why=wanted, next_step="read it again") from conflict

    def blob(self) -> Any:
        blob = self.session.bucket(self.bucket).blob(self.key)
        blob.metadata = {MARK: self.token}
        return blob

    def fast(self, bulk: Bulk, data: bytes) -> Resource | None:
        """Write over obstore; None unless it is sure that it is done, and that what arrived has the MD5 of what was sent."""
        done = bulk.put(self.bucket, self.key, data, {MARK: self.token})
        self.sent = done is None  # perhaps; what arrived damaged is just written again
        md5 = hashlib.md5(data, usedforsecurity=False)
        if done is None or not done["version"] or done["e_tag"].strip('"') != md5.hexdigest():
            return None
        checksum = Crc32c()
        checksum.update(data)
        when = self.session.ctx.clock().isoformat()
        known = {"generation": done["version"], "crc32c": checksum.base64, "md5Hash": base64.b64encode(md5.digest()).decode()}
        return {"name": self.key, "size": len(data), "timeCreated": when, **known}

    def small(self, data: bytes) -> Resource:
        """Write in one request."""
        tries = int(self.sent)

        def attempt() -> Resource:
            nonlocal tries
            tries += 1
            if tries == 1:
                return self._send(data, self.generation)
            now = self._now()
            if self._is_ours(now):
                return now
            try:
                return self._send(data, int(now.get("generation", 0)) if self.generation is None else self.generation)
            except PreconditionFailed as overtaken:
                now = self._now()
                if self._is_ours(now):
                    return now
                if self.generation is not None:
                    raise
                raise Unavailable(self.doing, why="others write it at the same time") from overtaken

        return self.call(attempt)

    def _send(self, data: bytes, generation: int | None) -> Resource:
        blob, options = self.blob(), self.session.options
        blob.upload_from_string(data, CONTENT_TYPE, checksum="crc32c", if_generation_match=generation, **options)
        return _resource(blob)

    def _now(self) -> Resource:
        """Return the object as it stands; {} when there is none."""
        blob = self.session.bucket(self.bucket).blob(self.key)
        try:
            blob.reload(**self.session.options)
        except Missing:
            return {}
        return _resource(blob)

    def _is_ours(self, resource: Resource) -> bool:
        return (resource.get("metadata") or {}).get(MARK) == self.token

    def checked(self, resource: Resource, checksum: str) -> Resource:
        """Return the resource. What arrived with another CRC-32C than was sent is removed. Raises Unavailable then."""
        if resource.get("crc32c") in (None, checksum):
            return resource
        generation = int(resource["generation"])
        blob = self.session.bucket(self.bucket).blob(self.key, generation=generation)
        with suppress(McmlError):
            self.session.call(self.doing, lambda: blob.delete(if_generation_match=generation, **self.session.options))
        why = "what arrived has not the CRC-32C of what was sent: damaged on the way, and removed"
        raise Unavailable(self.doing, why=why, next_step="write it again")


def _resource(blob: Any) -> Resource:
    """Return the SDK's blob as the resource it was made from."""
    return {
        "name": blob.name,
        "size": blob.size,
        "generation": blob.generation,
        "crc32c": blob.crc32c,
        "md5Hash": blob.md5_hash,
        "metadata": blob.metadata,
        "timeCreated": blob.time_created.isoformat(),
    }


class _Resumable:
    """One resumable upload. Its URL is a key to the object: it stays out of every message."""

    def __init__(self, job: _Write) -> None:
        self._job = job
        self._url = ""

    def run(self, part: _Part, rest: Iterator[_Part]) -> Resource:
        """Send all parts, the source being asked for the next when one has arrived. Any failure takes the upload back."""
        self._url = self._begin()
        try:
            while not part.is_last:
                self._send(part)
                part = next(rest)
            resource = self._send(part)
        except BaseException:
            self._cancel()
            raise
        return self._job.checked(resource, part.checksum)

    def _begin(self) -> str:
        job = self._job

        def begin() -> Resource:  # a second one does no harm: what is not finished is nothing
            options = {"if_generation_match": job.generation, "checksum": None, **job.session.options}
            return {"url": job.blob().create_resumable_upload_session(content_type=CONTENT_TYPE, **options)}

        url: str = job.call(begin)["url"]
        return url

    def _send(self, part: _Part) -> Resource:
        """Send a part; return the resource after the last one, {} after the others."""
        again = False

        def attempt() -> Resource:
            nonlocal again
            at, resource = self._progress(part) if again else (part.start, {})
            again = True
            while not resource and at < part.end:
                at, resource = self._put(part, at)
            return resource

        return self._job.call(attempt)

    def _put(self, part: _Part, at: int) -> tuple[int, Resource]:
        total = part.end if part.is_last else "*"
        headers = {"Content-Range": f"bytes {at}-{part.end - 1}/{total}"}
        if part.is_last:
            headers["X-Goog-Hash"] = f"crc32c={part.checksum}"
        return self._told(part, self._request("PUT", part.data[at - part.start :], headers))

    def _progress(self, part: _Part) -> tuple[int, Resource]:
        """Ask how much has arrived."""
        total = part.end if part.is_last else "*"
        return self._told(part, self._request("PUT", b"", {"Content-Range": f"bytes */{total}"}))

    def _told(self, part: _Part, response: Any) -> tuple[int, Resource]:
        """Return up to where the bytes have arrived, and the resource when all have."""
        if response.status_code in (200, 201) and part.is_last:
            return part.end, response.json()
        if response.status_code != UNFINISHED:
            told = from_response(self._job.doing, response, self._job.session.clue)
            if isinstance(told, NotFound):
                raise Conflict(self._job.doing, why="the upload was ended from outside", next_step="write it again")
            raise told
        last = response.headers.get("Range", "").rpartition("-")[2]
        arrived = int(last) + 1 if last.isdecimal() else 0
        if not part.start <= arrived <= part.end:
            raise Conflict(self._job.doing, why=f"{arrived} bytes have arrived, between {part.start} and {part.end} were sent")
        return arrived, {}

    def _request(self, method: str, data: bytes, headers: dict[str, str]) -> Any:
        session = self._job.session
        try:
            return session.http.request(method, self._url, data=data, headers=headers, timeout=session.timeout, allow_redirects=False)
        except (RequestException, HTTPError) as failed:
            told = session.explain(self._job.doing, failed)
        raise told  # out here, so that the exception, whose text holds the URL, is in no traceback

    def _cancel(self) -> None:
        with suppress(McmlError):
            self._request("DELETE", b"", {"Content-Length": "0"})
