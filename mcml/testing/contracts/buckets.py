"""What every Buckets promises."""

from dataclasses import replace

import pytest

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.providers.api.buckets import BucketConfig, Buckets
from mcml.providers.api.object_store import ObjectStore
from mcml.testing.contracts.object_store import content


class BucketsContract:
    """Give `buckets`, `object_store` of the same account, `new_bucket`: a good name that no bucket has, removed after the test if it is
    there, and `cannot`: the names of the `BucketConfig` fields that the provider cannot turn on.
    """

    cannot: frozenset[str] = frozenset()

    @pytest.fixture
    def buckets(self) -> Buckets:
        """Return the capability under test."""
        raise NotImplementedError

    @pytest.fixture
    def object_store(self) -> ObjectStore:
        """Return what writes into the buckets."""
        raise NotImplementedError

    @pytest.fixture
    def new_bucket(self) -> str:
        """Return a name for a bucket."""
        raise NotImplementedError

    @pytest.fixture
    def versioned(self, buckets: Buckets, new_bucket: str) -> str:
        """Return an empty bucket that keeps old versions."""
        buckets.create(new_bucket)
        buckets.configure(new_bucket, BucketConfig(versioning=True))
        return new_bucket

    def test_created_once(self, buckets: Buckets, object_store: ObjectStore, new_bucket: str) -> None:
        """The second time it is there, with what is in it."""
        assert buckets.create(new_bucket) is True
        object_store.write(new_bucket, "k", [b"1"])
        assert buckets.create(new_bucket) is False
        assert content(object_store, new_bucket, "k") == b"1"

    def test_bad_names_are_refused(self, buckets: Buckets) -> None:
        """Upper case, too short, too long, a slash, dots that lead out."""
        for name in ("", "ab", "UPPER-case", "a" * 64, "a/b", "..", "../up", "under_score!", "-dash-first"):
            with pytest.raises(InvalidRequest):
                buckets.create(name)

    def test_configured_as_asked(self, buckets: Buckets, new_bucket: str) -> None:
        """What comes back is what was asked, but for what the provider cannot have; asking again changes nothing."""
        buckets.create(new_bucket)
        for asked in (BucketConfig(expire_days=30, expire_old_days=7), BucketConfig(), BucketConfig(block_public=True, versioning=True)):
            now = buckets.configure(new_bucket, asked)
            assert replace(now, **{field: getattr(asked, field) for field in self.cannot}) == asked
            assert buckets.configure(new_bucket, asked) == now

    def test_old_versions_are_kept(self, buckets: Buckets, object_store: ObjectStore, versioned: str) -> None:
        """Newest first, each with its own id and its own bytes, through a delete too."""
        first = object_store.write(versioned, "k", [b"one"])
        second = object_store.write(versioned, "k", [b"three"])
        object_store.write(versioned, "k/other", [b"x"])
        assert first.version
        assert first.version != second.version
        assert [stat.version for stat in buckets.versions(versioned, "k")] == [second.version, first.version]
        assert [stat.size for stat in buckets.versions(versioned, "k")] == [5, 3]
        assert content(object_store, versioned, "k", version=first.version) == b"one"
        assert object_store.stat(versioned, "k", version=first.version).size == 3
        object_store.delete(versioned, "k")
        with pytest.raises(NotFound):
            object_store.stat(versioned, "k")
        assert content(object_store, versioned, "k", version=second.version) == b"three"
        assert [stat.key for stat in object_store.list(versioned)] == ["k/other"]
        assert buckets.versions(versioned, "never-was") == []

    def test_an_old_version_comes_back(self, buckets: Buckets, object_store: ObjectStore, versioned: str) -> None:
        """As a new version; the ones between stay; restoring it again changes nothing."""
        first = object_store.write(versioned, "k", [b"one"])
        second = object_store.write(versioned, "k", [b"two!"])
        restored = buckets.restore_version(versioned, "k", first.version)
        assert restored.version not in ("", first.version, second.version)
        assert content(object_store, versioned, "k") == b"one"
        assert restored.checksum == first.checksum
        assert buckets.restore_version(versioned, "k", first.version).checksum == first.checksum
        assert len(buckets.versions(versioned, "k")) == 3
        with pytest.raises(NotFound):
            buckets.restore_version(versioned, "k", "000000000099")

    def test_a_deleted_object_comes_back(self, buckets: Buckets, object_store: ObjectStore, versioned: str) -> None:
        """From the version that was the newest."""
        written = object_store.write(versioned, "k", [b"one"])
        object_store.delete(versioned, "k")
        buckets.restore_version(versioned, "k", written.version)
        assert content(object_store, versioned, "k") == b"one"

    def test_emptied_and_deleted(self, buckets: Buckets, object_store: ObjectStore, versioned: str) -> None:
        """Not while an object is left, nor while an old version is; a bucket that is gone may be deleted again."""
        for number in range(3):
            object_store.write(versioned, f"k{number}", [b"1"])
        object_store.write(versioned, "k0", [b"2"])
        with pytest.raises(Conflict):
            buckets.delete(versioned)
        assert buckets.empty(versioned) == 3
        assert list(object_store.list(versioned)) == []
        assert buckets.empty(versioned) == 0
        with pytest.raises(Conflict):
            buckets.delete(versioned)
        assert buckets.empty(versioned, versions=True) >= 4
        assert buckets.versions(versioned, "k0") == []
        buckets.delete(versioned)
        buckets.delete(versioned)
        with pytest.raises(NotFound):
            list(object_store.list(versioned))

    def test_without_versioning_nothing_old_is_kept(self, buckets: Buckets, object_store: ObjectStore, new_bucket: str) -> None:
        """Versions have no id, and there is at most one of a key."""
        buckets.create(new_bucket)
        object_store.write(new_bucket, "k", [b"one"])
        assert object_store.write(new_bucket, "k", [b"two"]).version == ""
        assert [stat.size for stat in buckets.versions(new_bucket, "k")] == [3]
        object_store.delete(new_bucket, "k")
        assert buckets.versions(new_bucket, "k") == []
        buckets.delete(new_bucket)

    def test_a_missing_bucket_is_not_found(self, buckets: Buckets, new_bucket: str) -> None:
        """By everything but create and delete."""
        with pytest.raises(NotFound):
            buckets.configure(new_bucket, BucketConfig())
        with pytest.raises(NotFound):
            buckets.versions(new_bucket, "k")
        with pytest.raises(NotFound):
            buckets.restore_version(new_bucket, "k", "000000000001")
        with pytest.raises(NotFound):
            buckets.empty(new_bucket)
        buckets.delete(new_bucket)
