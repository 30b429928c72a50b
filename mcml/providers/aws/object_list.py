"""A listing of an S3 bucket in key order: pages of obstore where their paths are surely the keys, pages of boto3 for the rest."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

from mcml.providers.api.object_store import ObjectStat
from mcml.providers.aws.object_stat import from_listing, unquoted
from mcml.providers.aws.session import Session
from mcml.providers.bulk import Bulk, is_sure


@dataclass(frozen=True)
class Listing:
    """The objects of a bucket below a prefix. `page_size` is how many boto3 asks for at once."""

    session: Session
    bulk: Bulk
    bucket: str
    prefix: str
    page_size: int

    def __iter__(self) -> Iterator[ObjectStat]:
        """Yield each once, in key order. Raises NotFound for the bucket."""
        after, owed = "", False  # all up to `after` have been yielded; `owed`: something behind it, that was only half seen, has not
        for page in self.bulk.pages(self.bucket, self.prefix) if not self._has_rooted() else (None,):
            if page is None:
                owed = True
                break
            if not owed and is_sure(page, self.prefix, after):
                yield from _stats(self.bucket, page)
                after = page[-1]["path"]
                continue
            upto = _last_sure(page, self.prefix, after)
            owed = not (page[-1]["size"] and page[-1]["path"] == upto)  # an empty one with the path of a sure key is that key's marker
            if upto:
                yield from self._between(after, upto)
                after = upto
        if owed:
            yield from self._between(after, None)

    def _between(self, after: str, upto: str | None) -> Iterator[ObjectStat]:
        token = ""
        while True:
            page = self.session.call(f"cannot list s3://{self.bucket}/{self.prefix}", partial(self._page, after, token))
            for found in page.get("Contents", ()):
                if upto is not None and found["Key"] > upto:
                    return
                yield from_listing(self.bucket, found)
            token = page.get("NextContinuationToken", "")
            if not token:
                return

    def _page(self, after: str, token: str) -> Any:
        where = {"ContinuationToken": token} if token else {"StartAfter": after} if after else {}
        client = self.session.client("s3")
        return client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=self.page_size, **where)

    def _has_rooted(self) -> bool:
        """Tell whether a listing of the whole bucket holds keys that begin with a slash, which obstore takes off."""
        if self.prefix:
            return False
        client = self.session.client
        rooted = self.session.call(
            f"cannot list s3://{self.bucket}/", lambda: client("s3").list_objects_v2(Bucket=self.bucket, Prefix="/", MaxKeys=1)
        )
        return bool(rooted.get("KeyCount", len(rooted.get("Contents", ()))))


def _last_sure(page: Sequence[Mapping[str, Any]], prefix: str, after: str) -> str | None:
    """Return the last path of a page that is surely a key."""
    sure = (found["path"] for found in page if found["size"] and found["path"].startswith(prefix))
    return max((path for path in sure if path > after), default=None)


def _stats(bucket: str, page: Iterable[Mapping[str, Any]]) -> list[ObjectStat]:
    """Return what obstore says of objects. Past the constructor: setting frozen fields by it takes as long as all the rest."""
    made = []
    new = ObjectStat.__new__
    for found in page:
        stat = new(ObjectStat)
        made.append(stat)
        _set_bucket(stat, bucket)
        _set_key(stat, found["path"])
        _set_size(stat, found["size"])
        _set_checksum(stat, "")
        _set_etag(stat, unquoted(found["e_tag"] or ""))
        _set_modified(stat, found["last_modified"])
        _set_version(stat, "")
    return made


_set_bucket, _set_key, _set_size, _set_checksum, _set_etag, _set_modified, _set_version = (
    vars(ObjectStat)[one.name].__set__ for one in fields(ObjectStat)
)
