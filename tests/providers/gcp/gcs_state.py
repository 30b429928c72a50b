"""What Cloud Storage keeps and promises, in memory: generations, conditions on every call, versions, resumable uploads, rewrites.

Only what its documentation says and fake-gcs-server does not do: conditions on anything but simple uploads, listings of versions, the
status of a resumable upload, 409 for a bucket that is not empty, checksums that are compared, lifecycle and public-access settings.
"""

import base64
import hashlib
import itertools
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import google_crc32c

Json = dict[str, Any]
REWRITE_BYTES = 1 << 20


class Refused(Exception):
    """An error answer."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


@dataclass
class Content:
    """One generation of an object."""

    resource: Json
    data: bytes
    live: bool = True

    @property
    def generation(self) -> int:
        return int(self.resource["generation"])


@dataclass
class Session:
    """A resumable upload."""

    bucket: str
    meta: Json
    condition: int | None
    data: bytearray = field(default_factory=bytearray)
    result: Json | None = None


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def number_of(project: str) -> str:
    """Return the number of a project, which is what a bucket tells of it."""
    return str(int.from_bytes(project.encode()) % 10**12)


def crc32c(data: bytes) -> str:
    value: Any = google_crc32c.value(data)
    return base64.b64encode(int(value).to_bytes(4, "big")).decode()


class Storage:
    """All buckets of all projects. `damage_next` flips a byte of what arrives next; `compare` switches the server's own check off."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.buckets: dict[str, Json] = {}
        self.objects: dict[str, dict[str, list[Content]]] = {}
        self.sessions: dict[str, Session] = {}
        self.damage_next = False
        self.compare = True
        self._numbers = itertools.count(time.time_ns() // 1000)

    # buckets

    def create_bucket(self, project: str, meta: Json) -> Json:
        name = meta["name"]
        if name in self.buckets:
            raise Refused(409, "conflict", "Your previous request to create the named bucket succeeded and you already own it.")
        self.buckets[name] = {"location": "US", **meta, "projectNumber": number_of(project), "metageneration": "1", "timeCreated": now()}
        self.objects[name] = {}
        return self.buckets[name]

    def bucket(self, name: str) -> Json:
        if name not in self.buckets:
            raise Refused(404, "notFound", "The specified bucket does not exist.")
        return self.buckets[name]

    def list_buckets(self, project: str, prefix: str) -> list[Json]:
        ours = number_of(project)
        return [found for name, found in sorted(self.buckets.items()) if found["projectNumber"] == ours and name.startswith(prefix)]

    def patch_bucket(self, name: str, patch: Json, metageneration: str | None) -> Json:
        found = self.bucket(name)
        if metageneration not in (None, found["metageneration"]):
            raise Refused(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
        self.buckets[name] = {**found, **patch, "metageneration": str(int(found["metageneration"]) + 1)}
        return self.buckets[name]

    def delete_bucket(self, name: str) -> None:
        self.bucket(name)
        if any(self.objects[name].values()):
            raise Refused(409, "conflict", "The bucket you tried to delete is not empty.")
        del self.buckets[name], self.objects[name]

    # objects

    def find(self, bucket: str, key: str, generation: str | None = None, condition: int | None = None) -> Content:
        self.bucket(bucket)
        contents = self.objects[bucket].get(key, [])
        wanted = [content for content in contents if (content.live if generation is None else content.generation == int(generation))]
        if not wanted:
            raise Refused(404, "notFound", f"No such object: {bucket}/{key}")
        hold(condition, wanted[0].generation)
        return wanted[0]

    def listing(self, bucket: str, prefix: str, versions: bool) -> Iterator[Content]:
        self.bucket(bucket)
        for key in sorted(self.objects[bucket], key=str.encode):
            if key.startswith(prefix):
                yield from (content for content in self.objects[bucket][key] if content.live or versions)

    def insert(self, bucket: str, meta: Json, data: bytes, condition: int | None) -> Json:
        versioned = self.bucket(bucket).get("versioning", {}).get("enabled", False)
        key = meta["name"]
        contents = self.objects[bucket].setdefault(key, [])
        live = next((content for content in contents if content.live), None)
        hold(condition, live.generation if live else 0)
        data = self.damaged(data)
        if self.compare and meta.get("crc32c") not in (None, crc32c(data)):
            raise Refused(400, "invalid", f'Provided CRC32C "{meta["crc32c"]}" doesn\'t match calculated CRC32C "{crc32c(data)}".')
        if live:
            self._retire(contents, live, versioned)
        generation = str(next(self._numbers))
        facts = {
            "bucket": bucket, "generation": generation, "metageneration": "1", "size": str(len(data)), "crc32c": crc32c(data),
            "md5Hash": base64.b64encode(hashlib.md5(data).digest()).decode(), "timeCreated": now(), "updated": now(), "etag": "CAE=",
        }  # fmt: skip
        contents.append(Content({**meta, **facts}, data))
        return contents[-1].resource

    def damaged(self, data: bytes) -> bytes:
        if self.damage_next and data:
            self.damage_next, data = False, bytes([data[0] ^ 1]) + data[1:]
        return data

    def delete(self, bucket: str, key: str, generation: str | None, condition: int | None) -> None:
        found = self.find(bucket, key, generation, condition)
        versioned = self.bucket(bucket).get("versioning", {}).get("enabled", False)
        contents = self.objects[bucket][key]
        self._retire(contents, found, versioned and generation is None)
        if not contents:
            del self.objects[bucket][key]

    def _retire(self, contents: list[Content], content: Content, keep: bool) -> None:
        if keep:
            content.live = False
            content.resource = {**content.resource, "timeDeleted": now()}
        else:
            contents.remove(content)

    def rewrite(self, source: Content, bucket: str, key: str, condition: int | None, token: str | None) -> Json:
        size = len(source.data)
        if size > REWRITE_BYTES and token is None:
            return {"done": False, "rewriteToken": "go-on", "totalBytesRewritten": str(REWRITE_BYTES), "objectSize": str(size)}
        kept: Json = {name: source.resource[name] for name in ("contentType", "metadata") if name in source.resource}
        made = self.insert(bucket, {"name": key, **kept}, source.data, condition)
        return {"done": True, "totalBytesRewritten": str(size), "objectSize": str(size), "resource": made}

    # resumable uploads

    def begin(self, bucket: str, meta: Json, condition: int | None) -> str:
        self.bucket(bucket)
        live = [content for content in self.objects[bucket].get(meta["name"], []) if content.live]
        hold(condition, live[0].generation if live else 0)
        name = uuid.uuid4().hex
        self.sessions[name] = Session(bucket, meta, condition)
        return name

    def proceed(self, name: str, content_range: str, data: bytes, declared: str | None) -> Session:
        """Take a part, or with `bytes */…` only say how far it is; the object is made when all of a known total is there."""
        if name not in self.sessions:
            raise Refused(404, "notFound", "No such upload session.")
        session = self.sessions[name]
        span, _, total = content_range.removeprefix("bytes ").partition("/")
        if span != "*" and session.result is None:
            start = int(span.partition("-")[0])
            if start != len(session.data):
                raise Refused(400, "invalid", f"Invalid request. The upload has {len(session.data)} bytes, not {start}.")
            session.data += self.damaged(data if total != "*" else data[: len(data) // 262144 * 262144])
        if session.result is None and total.isdecimal() and len(session.data) == int(total):
            meta = {**session.meta, **({"crc32c": declared} if declared else {})}
            del self.sessions[name]  # unless the object can be made, the upload is over
            session.result = self.insert(session.bucket, meta, bytes(session.data), session.condition)
            self.sessions[name] = session
        return session


def hold(condition: int | None, generation: int) -> None:
    if condition not in (None, generation):
        raise Refused(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
