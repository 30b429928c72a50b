"""Writing a blob from an iterator of chunks: whole or not at all, in constant memory, and never twice.

One block or less is one Put Blob; more is Put Block for each, then one Put Block List. Every write carries an id of its own in the blob's
metadata: when the answer of a write is lost, the blob is looked at before the write is tried again, and if the id is there it was done.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, TypeVar
from uuid import uuid4

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, ResourceNotFoundError
from azure.storage.blob import BlobBlock, BlobClient, ContentSettings

from mcml.core.errors import Conflict, InvalidRequest, NotFound, Unavailable
from mcml.providers.api.object_store import ObjectStat
from mcml.providers.azure.error_table import ContainerMissing
from mcml.providers.azure.session import BLOCK_BYTES, Session

T = TypeVar("T")
WRITE_ID = "mcmlwrite"
MOST_BLOCKS = 50_000
MOST_BLOCK_BYTES = 128 << 20
BLOCKS_OF_A_SIZE = 5_000  # then the size doubles: 8 MiB blocks would end a blob at 390 GiB


def unquoted(etag: str) -> str:
    """Return an etag without quotes: answers have them, listings do not."""
    return etag.strip('"')


def condition(if_match: str | None) -> dict[str, Any]:
    """Return the SDK's keywords for "only if this etag still holds", or, for "", "only if there is none"."""
    if if_match is None:
        return {}
    if not if_match:
        return {"match_condition": MatchConditions.IfMissing}
    return {"etag": f'"{unquoted(if_match)}"', "match_condition": MatchConditions.IfNotModified}


def blocks_of(chunks: Iterable[bytes], first_size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Cut chunks of any size into blocks: 8 MiB each, twice that after 5,000 of them, and so on up to 128 MiB (4.2 TiB in all)."""
    held, number = bytearray(), 0
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            size = min(MOST_BLOCK_BYTES, first_size << (number // BLOCKS_OF_A_SIZE))
            taken = min(len(rest), size - len(held))
            held += rest[:taken]
            rest = rest[taken:]
            if len(held) == size:
                yield bytes(held)
                held.clear()
                number += 1
    if held:
        yield bytes(held)


def once(session: Session, what: str, bucket: str, send: Callable[[], T], applied: Callable[[], T | None]) -> T:
    """Make a write that must not be applied twice; `applied` tells what it left when it was, else None.

    After an attempt of which nobody knows whether it was applied, `applied` is asked first; and when the write's own condition fails on
    the second attempt, because the first came through late, it is asked again. Both raise what the SDK raises.
    """
    unsure = False

    def attempt() -> T:
        nonlocal unsure
        if unsure and (found := applied()) is not None:
            return found
        try:
            return send()
        except AzureError as failed:
            told = session.told(failed, what, bucket)
            if unsure and isinstance(told, Conflict) and (found := applied()) is not None:
                return found
            unsure = unsure or isinstance(told, Unavailable)
            raise

    return session.call(what, attempt, bucket=bucket)


def write_blob(session: Session, bucket: str, key: str, chunks: Iterable[bytes], if_match: str | None) -> ObjectStat:
    """Write a blob. Raises Conflict, NotFound for the container, InvalidRequest for a bad key or too many bytes."""
    return _Write(session, bucket, key, if_match).run(chunks)


class _Write:
    """One write of one blob."""

    def __init__(self, session: Session, bucket: str, key: str, if_match: str | None) -> None:
        self.session, self.bucket, self.key, self.if_match = session, bucket, key, if_match
        self.blob: BlobClient = session.blob(bucket, key)
        self.what = f"write az://{bucket}/{key}"
        self.id = uuid4().hex
        self.digest = hashlib.md5(usedforsecurity=False)
        self.size = 0

    def run(self, chunks: Iterable[bytes]) -> ObjectStat:
        """Send the chunks."""
        blocks = blocks_of(chunks)
        first, second = next(blocks, b""), next(blocks, b"")
        if not second:
            self._count(first)
            return once(self.session, self.what, self.bucket, lambda: self._put(first), self._applied)
        self._check_condition()
        ids = [self._stage(number, block) for number, block in enumerate(chain((first, second), blocks))]
        return once(self.session, self.what, self.bucket, lambda: self._commit(ids), self._applied)

    def _count(self, block: bytes) -> None:
        self.digest.update(block)
        self.size += len(block)

    def _put(self, data: bytes) -> ObjectStat:
        answer = self.blob.upload_blob(data, overwrite=True, validate_content=True, **self._marks())
        return self._stat(answer)

    def _stage(self, number: int, block: bytes) -> BlobBlock:
        """Put one block; doing it again puts the same block."""
        if number >= MOST_BLOCKS:
            raise InvalidRequest(f"cannot {self.what}", why=f"a blob has at most {MOST_BLOCKS} blocks, and these hold {self.size} bytes")
        self._count(block)
        name = f"{self.id}-{number:05d}"
        self.session.call(self.what, lambda: self.blob.stage_block(name, block, validate_content=True), bucket=self.bucket)
        return BlobBlock(name)

    def _commit(self, ids: list[BlobBlock]) -> ObjectStat:
        return self._stat(self.blob.commit_block_list(ids, **self._marks()))

    def _check_condition(self) -> None:
        """Fail before the first block when the condition is known not to hold; the commit checks it again."""
        if self.if_match is None:
            return
        try:
            found = self.session.call(self.what, self.blob.get_blob_properties, bucket=self.bucket)
        except ContainerMissing:
            raise
        except NotFound:
            if not self.if_match:
                return
            raise Conflict(f"cannot {self.what}", why="there is no object with this etag") from None
        if unquoted(found.etag) != unquoted(self.if_match):
            raise Conflict(f"cannot {self.what}", why=f"it changed underneath: its etag is {unquoted(found.etag)}")

    def _applied(self) -> ObjectStat | None:
        try:
            found = self.blob.get_blob_properties()
        except ResourceNotFoundError:
            return None
        if (found.metadata or {}).get(WRITE_ID) != self.id:
            return None
        return self._stat({"etag": found.etag, "last_modified": found.last_modified, "version_id": found.version_id})

    def _marks(self) -> dict[str, Any]:
        content = ContentSettings(content_type="application/octet-stream", content_md5=bytearray(self.digest.digest()))
        return {"metadata": {WRITE_ID: self.id}, "content_settings": content, **condition(self.if_match)}

    def _stat(self, answer: dict[str, Any]) -> ObjectStat:
        checksum, version = f"md5:{self.digest.hexdigest()}", answer.get("version_id") or ""
        return ObjectStat(self.bucket, self.key, self.size, checksum, unquoted(answer["etag"]), answer["last_modified"], version)
