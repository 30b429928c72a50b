"""Buckets on Cloud Storage: made private with uniform access, configured without touching rules that are not ours.

A bucket's own soft-delete policy (a week by default) is left as it is: what `empty` deletes is gone from every listing, and is billed
until then.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, takewhile
from typing import Any

from mcml.core.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound
from mcml.providers.api.buckets import BucketConfig, Buckets
from mcml.providers.api.object_store import ObjectStat
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.names import check_bucket
from mcml.providers.gcp.object_store import Versioned, find_blob, pages, to_stat
from mcml.providers.gcp.session import Session
from mcml.providers.resilience import Policy

DELETERS = 8
BATCH = 1000
ENFORCED, INHERITED = "enforced", "inherited"

Rule = dict[str, Any]


def open_buckets(ctx: ProviderContext) -> Buckets:
    """Return the buckets of the project."""
    return GcsBuckets(Session(ctx, policy=Policy(budget=ctx.budget)), ctx.region)


class GcsBuckets:
    """Buckets of one project, made in one location."""

    def __init__(self, session: Session, location: str) -> None:
        self._session = session
        self._location = location

    def create(self, bucket: str) -> bool:
        """Create it, private, in the target's region (without one: where Google makes them, the US); False when it was there.

        Raises Conflict when the name is another project's, InvalidRequest for a bad name.
        """
        check_bucket(bucket)
        session, project = self._session, self._session.project()
        doing, tries = f"cannot create bucket {bucket!r}", 0

        def make() -> None:
            nonlocal tries
            tries += 1
            wanted = session.bucket(bucket)
            wanted.iam_configuration.uniform_bucket_level_access_enabled = True
            wanted.iam_configuration.public_access_prevention = ENFORCED
            session.storage.create_bucket(wanted, project=project, location=self._location or None, **session.options)

        try:
            session.call(doing, make)
        except Conflict as taken:
            if not self._is_ours(bucket, project):
                why = "the name is taken by another project: bucket names are one space for everybody"
                raise Conflict(doing, why=why, next_step="choose another name") from taken
            return tries > 1  # an earlier try, whose answer was lost, made it
        return True

    def configure(self, bucket: str, config: BucketConfig) -> BucketConfig:
        """Make it so, and return how it is now; only what differs is changed, and encryption is always on.

        Rules of the bucket's lifecycle that do something else than deleting by age stay. Raises NotFound, InvalidRequest for days below 1.
        """
        for days in (config.expire_days, config.expire_old_days):
            if days is not None and days < 1:
                raise InvalidRequest(f"bucket {bucket!r} cannot expire objects after {days} days", why="it must be 1 or more")

        def change() -> BucketConfig:
            found = self._bucket(bucket)
            if _config(found) != _possible(config):
                _apply(found, config)
                found.patch(if_metageneration_match=found.metageneration, **self._session.options)
            return _config(found)

        return self._session.call(f"cannot configure bucket {bucket!r}", change)

    def versions(self, bucket: str, key: str) -> list[ObjectStat]:
        """Return all versions of a key, newest first. Raises NotFound for the bucket."""
        versioned = Versioned(self._session)(bucket)
        of_prefix = pages(self._session, bucket, key, versions=True)  # a key comes before all longer ones
        found = takewhile(lambda blob: blob.name == key, of_prefix)
        return [to_stat(bucket, blob, versioned) for blob in sorted(found, key=lambda blob: -int(blob.generation))]

    def restore_version(self, bucket: str, key: str, version: str) -> ObjectStat:
        """Make an old version the newest again, as a new version, copied at Google; when the newest holds the same bytes it is kept.

        Raises NotFound, Conflict when somebody else writes the key meanwhile.
        """
        versioned = Versioned(self._session)(bucket)
        old = find_blob(self._session, bucket, key, version)
        now = self._newest(bucket, key)
        if now is None or (now.crc32c, now.size) != (old.crc32c, old.size):
            now = self._copy(old, 0 if now is None else int(now.generation))
        return to_stat(bucket, now, versioned)

    def empty(self, bucket: str, *, versions: bool = False) -> int:
        """Delete all objects, with `versions` all old ones too; return how many.

        Only what was listed is deleted: what is written meanwhile stays. Raises NotFound.
        """
        listed = pages(self._session, bucket, "", versions=versions)

        def delete(blob: Any) -> int:
            return self._delete(blob, for_good=versions)

        with ThreadPoolExecutor(DELETERS) as pool:
            return sum(sum(pool.map(delete, batch)) for batch in _batches(listed))

    def delete(self, bucket: str) -> None:
        """Delete an empty bucket; one that is gone is fine. Raises Conflict when an object or an old version is left in it."""
        doing = f"cannot delete bucket {bucket!r}"
        options = self._session.options
        try:
            if next(pages(self._session, bucket, "", versions=True), None) is not None:
                raise Conflict(doing, why="it is not empty: objects or old versions are left", next_step="empty it, with its versions")
            self._session.call(doing, lambda: self._session.bucket(bucket).delete(**options))
        except NotFound:
            return

    def _bucket(self, bucket: str) -> Any:
        found = self._session.bucket(bucket)
        found.reload(**self._session.options)
        return found

    def _is_ours(self, bucket: str, project: str) -> bool:
        """Tell whether a bucket that exists belongs to our project: only then is it in the project's listing."""
        session = self._session

        def listed() -> bool:
            found = session.storage.list_buckets(project=project, prefix=bucket, **session.options)
            return any(one.name == bucket for one in found)

        try:
            return session.call(f"cannot list the buckets of project {project!r}", listed)
        except NotAuthenticated:  # without the right to list: whoever may look at it counts as its owner
            return self._may_look(bucket)

    def _may_look(self, bucket: str) -> bool:
        try:
            self._session.call(f"cannot look at bucket {bucket!r}", lambda: self._bucket(bucket))
        except (NotAuthenticated, NotFound):
            return False
        return True

    def _newest(self, bucket: str, key: str) -> Any:
        try:
            return find_blob(self._session, bucket, key)
        except NotFound:
            return None

    def _copy(self, old: Any, over: int) -> Any:
        """Copy an old generation over the one that stands (0: none), in as many calls as Google wants; a lost answer is looked up."""
        session, bucket, key = self._session, old.bucket.name, old.name
        doing, token = f"cannot restore version {old.generation} of gs://{bucket}/{key}", None
        new = session.call(doing, lambda: session.bucket(bucket).blob(key))
        try:
            while True:
                token, _, _ = session.call(doing, _rewriting(session, new, old, token, over))
                if token is None:
                    return new
        except Conflict:
            now = self._newest(bucket, key)
            if now is None or (now.crc32c, now.size) != (old.crc32c, old.size):
                raise
            return now

    def _delete(self, blob: Any, *, for_good: bool) -> int:
        """Delete what was listed, and nothing newer; return 1, or 0 when it is gone already."""
        session, generation, tries = self._session, int(blob.generation), 0
        doing = f"cannot delete gs://{blob.bucket.name}/{blob.name}"

        def delete() -> int:
            nonlocal tries
            tries += 1
            listed = session.bucket(blob.bucket.name).blob(blob.name, generation=generation if for_good else None)
            listed.delete(if_generation_match=None if for_good else generation, **session.options)
            return 1

        try:
            return session.call(doing, delete)
        except NotFound:
            return int(tries > 1)  # an earlier try, whose answer was lost, deleted it
        except Conflict:
            return 0


def _rewriting(session: Session, new: Any, old: Any, token: str | None, over: int) -> Callable[[], tuple[str | None, int, int]]:
    def rewrite() -> tuple[str | None, int, int]:
        told: tuple[str | None, int, int] = new.rewrite(old, token=token, if_generation_match=over, **session.options)
        return told

    return rewrite


def _batches(blobs: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(blobs, BATCH)):
        yield batch


def _possible(config: BucketConfig) -> BucketConfig:
    return BucketConfig(config.versioning, True, config.block_public, config.expire_days, config.expire_old_days)


def _config(bucket: Any) -> BucketConfig:
    """Return how a bucket of the SDK is; of several rules of one kind the earliest counts."""
    rules = [dict(rule) for rule in bucket.lifecycle_rules]
    live = [rule["condition"]["age"] for rule in rules if _is_expiry(rule)]
    old = [rule["condition"]["daysSinceNoncurrentTime"] for rule in rules if _is_old_expiry(rule)]
    private = bucket.iam_configuration.public_access_prevention == ENFORCED
    return BucketConfig(bool(bucket.versioning_enabled), True, private, min(live, default=None), min(old, default=None))


def _apply(bucket: Any, config: BucketConfig) -> None:
    bucket.versioning_enabled = config.versioning
    bucket.iam_configuration.public_access_prevention = ENFORCED if config.block_public else INHERITED
    if config.block_public:
        bucket.iam_configuration.uniform_bucket_level_access_enabled = True
    rules: list[Rule] = [dict(rule) for rule in bucket.lifecycle_rules if not (_is_expiry(rule) or _is_old_expiry(rule))]
    if config.expire_days is not None:
        rules.append({"action": {"type": "Delete"}, "condition": {"age": config.expire_days, "isLive": True}})
    if config.expire_old_days is not None:
        rules.append({"action": {"type": "Delete"}, "condition": {"daysSinceNoncurrentTime": config.expire_old_days}})
    bucket.lifecycle_rules = rules


def _is_expiry(rule: Rule) -> bool:
    condition = rule.get("condition", {})
    return rule.get("action", {}).get("type") == "Delete" and set(condition) == {"age", "isLive"} and condition["isLive"] is True


def _is_old_expiry(rule: Rule) -> bool:
    return rule.get("action", {}).get("type") == "Delete" and set(rule.get("condition", {})) == {"daysSinceNoncurrentTime"}
