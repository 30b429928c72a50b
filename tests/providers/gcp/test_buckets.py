"""Buckets on our stub (everything), on fake-gcs-server and on gcp-storage-emulator (what each of them keeps)."""

import uuid
from dataclasses import replace
from typing import Any

import pytest

from mcml.core.errors import Conflict, InvalidRequest
from mcml.providers.api.buckets import BucketConfig, Buckets
from mcml.providers.api.object_store import ObjectStore
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.buckets import open_buckets
from mcml.providers.gcp.object_store import open_object_store
from mcml.testing.contracts.buckets import BucketsContract
from mcml.testing.contracts.object_store import MIB, content
from tests.providers.gcp.conftest import PROJECT, MakeContext
from tests.providers.gcp.gcs_state import number_of
from tests.providers.gcp.google_stub import GoogleStub


def left_out(reason: str) -> Any:
    """A test of the contract that a server cannot be asked; our stub is."""

    @pytest.mark.skip(reason=reason)
    def test(self: object) -> None: ...

    return test


class TestOnTheStub(BucketsContract):
    @pytest.fixture
    def buckets(self, make_context: MakeContext) -> Buckets:
        return open_buckets(make_context())

    @pytest.fixture
    def object_store(self, make_context: MakeContext) -> ObjectStore:
        return open_object_store(make_context())

    @pytest.fixture
    def new_bucket(self) -> str:
        return "contract"


class TestOnFakeGcs(BucketsContract):
    @pytest.fixture
    def buckets(self, fake_gcs: ProviderContext) -> Buckets:
        return open_buckets(fake_gcs)

    @pytest.fixture
    def object_store(self, fake_gcs: ProviderContext) -> ObjectStore:
        return open_object_store(fake_gcs)

    @pytest.fixture
    def new_bucket(self) -> str:
        return f"contract-{uuid.uuid4().hex}"

    test_configured_as_asked = left_out("fake-gcs-server drops lifecycle and public access prevention; see TestOnTheEmulator")
    test_old_versions_are_kept = left_out("fake-gcs-server lists one version only")
    test_an_old_version_comes_back = left_out("fake-gcs-server lists one version only")
    test_emptied_and_deleted = left_out("fake-gcs-server deletes a bucket that holds old versions")

    def test_an_old_generation_is_read_and_restored(self, buckets: Buckets, object_store: ObjectStore, versioned: str) -> None:
        first, second = (object_store.write(versioned, "k", [data]) for data in (b"one", b"three"))
        assert content(object_store, versioned, "k", version=first.version) == b"one"
        assert object_store.stat(versioned, "k", version=first.version).size == 3
        restored = buckets.restore_version(versioned, "k", first.version)
        assert restored.version not in ("", first.version, second.version)
        assert restored.checksum == first.checksum
        assert content(object_store, versioned, "k") == b"one"
        assert content(object_store, versioned, "k", version=second.version) == b"three"


class TestOnTheEmulator(BucketsContract):
    @pytest.fixture
    def buckets(self, emulator: ProviderContext) -> Buckets:
        return open_buckets(emulator)

    @pytest.fixture
    def object_store(self, emulator: ProviderContext) -> ObjectStore:
        return open_object_store(emulator)

    @pytest.fixture
    def new_bucket(self) -> str:
        return f"contract-{uuid.uuid4().hex}"

    test_old_versions_are_kept = left_out("gcp-storage-emulator keeps no old versions")
    test_an_old_version_comes_back = left_out("gcp-storage-emulator keeps no old versions")
    test_a_deleted_object_comes_back = left_out("gcp-storage-emulator keeps no old versions")
    test_emptied_and_deleted = left_out("gcp-storage-emulator keeps no old versions")


@pytest.fixture
def buckets(make_context: MakeContext) -> Buckets:
    return open_buckets(make_context())


def test_a_new_bucket_is_private_and_where_the_target_is(make_context: MakeContext, google: GoogleStub) -> None:
    open_buckets(make_context(region="europe-west1")).create("models")
    made = google.storage.buckets["models"]
    assert (made["location"], made["projectNumber"]) == ("europe-west1", number_of(PROJECT))
    assert made["iamConfiguration"]["uniformBucketLevelAccess"]["enabled"] is True
    assert made["iamConfiguration"]["publicAccessPrevention"] == "enforced"


def test_a_name_that_another_project_has_is_a_conflict(make_context: MakeContext, buckets: Buckets) -> None:
    open_buckets(make_context(project="another-project")).create("models")
    with pytest.raises(Conflict) as taken:
        buckets.create("models")
    assert "another project" in taken.value.why
    assert taken.value.next_step == "choose another name"


def test_what_is_so_already_is_not_written_again(buckets: Buckets, google: GoogleStub) -> None:
    buckets.create("models")
    asked = BucketConfig(expire_days=30, expire_old_days=7)
    buckets.configure("models", asked)
    before = dict(google.storage.buckets["models"])
    assert buckets.configure("models", replace(asked, encryption=False)) == asked
    assert google.storage.buckets["models"] == before


def test_rules_of_others_stay(buckets: Buckets, google: GoogleStub) -> None:
    buckets.create("models")
    cold = {"action": {"type": "SetStorageClass", "storageClass": "COLDLINE"}, "condition": {"age": 90}}
    tmp = {"action": {"type": "Delete"}, "condition": {"age": 1, "matchesPrefix": ["tmp/"]}}
    google.storage.buckets["models"]["lifecycle"] = {"rule": [cold, tmp]}
    assert buckets.configure("models", BucketConfig(expire_days=5)) == BucketConfig(expire_days=5)
    assert buckets.configure("models", BucketConfig(expire_days=6)) == BucketConfig(expire_days=6)
    ours = {"action": {"type": "Delete"}, "condition": {"age": 6, "isLive": True}}
    assert google.storage.buckets["models"]["lifecycle"]["rule"] == [cold, tmp, ours]
    assert buckets.configure("models", BucketConfig()) == BucketConfig()
    assert google.storage.buckets["models"]["lifecycle"]["rule"] == [cold, tmp]


def test_a_bucket_is_opened_to_the_public_only_when_asked(buckets: Buckets, google: GoogleStub) -> None:
    buckets.create("models")
    assert buckets.configure("models", BucketConfig(block_public=False)).block_public is False
    assert google.storage.buckets["models"]["iamConfiguration"]["publicAccessPrevention"] == "inherited"
    assert buckets.configure("models", BucketConfig()).block_public is True


@pytest.mark.parametrize("days", [0, -1])
def test_days_below_one_are_refused(buckets: Buckets, days: int) -> None:
    for config in (BucketConfig(expire_days=days), BucketConfig(expire_old_days=days)):
        with pytest.raises(InvalidRequest):
            buckets.configure("models", config)


def test_a_large_version_is_restored_in_several_calls(make_context: MakeContext, buckets: Buckets) -> None:
    store = open_object_store(make_context())
    buckets.create("models")
    buckets.configure("models", BucketConfig())
    first = store.write("models", "k", [b"x" * (3 * MIB)])
    store.write("models", "k", [b"small"])
    assert buckets.restore_version("models", "k", first.version).size == 3 * MIB
    assert len(buckets.versions("models", "k")) == 3


def test_emptying_leaves_what_is_written_meanwhile(make_context: MakeContext, google: GoogleStub) -> None:
    """The object is replaced between the listing and its deletion: the new content is not what was listed."""
    buckets, store = open_buckets(make_context()), open_object_store(make_context())
    buckets.create("models")
    store.write("models", "k", [b"old"])
    listing = google.storage.listing

    def listed_then_replaced(bucket: str, prefix: str, versions: bool) -> Any:
        found = list(listing(bucket, prefix, versions))
        google.storage.insert("models", {"name": "k"}, b"new", None)
        return found

    google.storage.listing = listed_then_replaced  # type: ignore[method-assign]
    assert buckets.empty("models") == 0
    assert content(store, "models", "k") == b"new"
