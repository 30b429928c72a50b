"""Buckets on Azure: containers against Azurite; versions, which it does not have, against a stub of what the service documents."""

from collections.abc import Iterator

import pytest

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.providers.api.buckets import BucketConfig, Buckets
from mcml.providers.api.object_store import ObjectStore
from mcml.providers.azure.blob_write import WRITE_ID
from mcml.providers.azure.buckets import AzureBuckets
from mcml.providers.azure.object_store import AzureObjectStore
from mcml.providers.azure.session import Session
from mcml.testing.contracts.buckets import BucketsContract
from mcml.testing.contracts.object_store import content
from tests.providers.azure import versions_stub
from tests.providers.azure.azurite_server import WELL_KNOWN_KEY
from tests.providers.azure.conftest import MakeSession

OF_THE_ACCOUNT = frozenset({"versioning", "expire_days", "expire_old_days"})


@pytest.fixture
def stub(make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Session, versions_stub.Account]]:
    monkeypatch.setenv("AZURE_STORAGE_KEY", WELL_KNOWN_KEY)
    with versions_stub.serving() as (origin, account):
        yield make_session(f"{origin}/{{account}}"), account


class AzuriteContract(BucketsContract):
    cannot = OF_THE_ACCOUNT

    @pytest.fixture
    def session(self) -> Session:
        raise NotImplementedError

    @pytest.fixture
    def buckets(self, session: Session) -> Buckets:
        return AzureBuckets(session)

    @pytest.fixture
    def object_store(self, session: Session) -> ObjectStore:
        return AzureObjectStore(session)

    @pytest.fixture
    def new_bucket(self, fresh_name: str) -> str:
        return fresh_name

    @pytest.fixture
    def versioned(self, buckets: Buckets, new_bucket: str) -> str:
        pytest.skip("Azurite keeps no versions: this is proven against a stub of the documentation only")


class TestOverHttpWithKey(AzuriteContract):
    @pytest.fixture
    def session(self, key_session: Session) -> Session:
        return key_session


class TestOverHttpsWithToken(AzuriteContract):
    @pytest.fixture
    def session(self, token_session: Session) -> Session:
        return token_session


class TestAgainstStubOfTheDocumentationNotAzure(BucketsContract):
    """Whether Azure itself does so is not proven here."""

    cannot = OF_THE_ACCOUNT

    @pytest.fixture
    def buckets(self, stub: tuple[Session, versions_stub.Account]) -> Buckets:
        return AzureBuckets(stub[0])

    @pytest.fixture
    def object_store(self, stub: tuple[Session, versions_stub.Account]) -> ObjectStore:
        return AzureObjectStore(stub[0])

    @pytest.fixture
    def new_bucket(self, fresh_name: str) -> str:
        return fresh_name

    @pytest.fixture
    def versioned(self, stub: tuple[Session, versions_stub.Account], new_bucket: str) -> str:
        stub[1].versioning = True  # as its owner would, for the whole account
        assert AzureBuckets(stub[0]).create(new_bucket)
        assert AzureBuckets(stub[0]).configure(new_bucket, BucketConfig()).versioning
        return new_bucket


def test_emptied_and_deleted_without_versions(key_session: Session, new_bucket: str) -> None:
    buckets, store = AzureBuckets(key_session), AzureObjectStore(key_session)
    buckets.create(new_bucket)
    for number in range(30):
        store.write(new_bucket, f"k/{number}", [b"1"])
    with pytest.raises(Conflict, match="is not empty"):
        buckets.delete(new_bucket)
    key_session.blob(new_bucket, "k/1").create_snapshot()
    assert buckets.empty(new_bucket, versions=True) == 30
    assert buckets.empty(new_bucket) == 0
    buckets.delete(new_bucket)
    buckets.delete(new_bucket)
    assert buckets.create(new_bucket) is True


def test_what_belongs_to_the_account_is_returned_as_it_is(key_session: Session, new_bucket: str) -> None:
    buckets = AzureBuckets(key_session)
    buckets.create(new_bucket)
    asked = BucketConfig(versioning=True, encryption=False, block_public=False, expire_days=3, expire_old_days=4)
    assert buckets.configure(new_bucket, asked) == BucketConfig(versioning=False, encryption=True, block_public=True)
    assert list(AzureObjectStore(key_session).list(new_bucket)) == []


def test_public_access_is_taken_away_and_the_access_policies_stay(key_session: Session, new_bucket: str) -> None:
    from azure.storage.blob import AccessPolicy, ContainerSasPermissions

    buckets, container = AzureBuckets(key_session), key_session.container(new_bucket)
    buckets.create(new_bucket)
    policy = AccessPolicy(permission=ContainerSasPermissions(read=True), start="2026-01-01T00:00:00Z", expiry="2027-01-01T00:00:00Z")
    container.set_container_access_policy({"readers": policy}, public_access="blob")
    assert buckets.configure(new_bucket, BucketConfig(block_public=False)).block_public is False
    assert container.get_container_access_policy()["public_access"] == "blob"
    assert buckets.configure(new_bucket, BucketConfig()).block_public is True
    now = container.get_container_access_policy()
    assert now["public_access"] is None
    assert [identifier.id for identifier in now["signed_identifiers"]] == ["readers"]


@pytest.mark.parametrize("bucket", ["../other", "a", "UPPER", "a--b", "a/b", "x?comp=list", "a.b.c"])
def test_a_name_that_none_can_have_leads_nowhere(key_session: Session, bucket: str) -> None:
    with pytest.raises(NotFound, match="no container"):
        list(AzureObjectStore(key_session).list(bucket))
    with pytest.raises((NotFound, InvalidRequest)):
        AzureBuckets(key_session).delete(bucket)


def test_the_versions_of_a_key_end_where_its_neighbours_begin_against_stub(stub: tuple[Session, versions_stub.Account]) -> None:
    session, account = stub
    account.versioning = True
    buckets, store = AzureBuckets(session), AzureObjectStore(session)
    buckets.create("models")
    stats = [store.write("models", key, [key.encode()]) for key in ("k", "k-1", "k", "ka", "k/2", "k")]
    assert [stat.version for stat in buckets.versions("models", "k")] == [stats[5].version, stats[2].version, stats[0].version]
    assert {stat.checksum for stat in buckets.versions("models", "k")} == {stats[0].checksum}
    assert store.stat("models", "k").version == stats[5].version


def test_a_restored_version_has_a_write_id_of_its_own_against_stub(stub: tuple[Session, versions_stub.Account]) -> None:
    session, account = stub
    account.versioning = True
    buckets, store = AzureBuckets(session), AzureObjectStore(session)
    buckets.create("models")
    first = store.write("models", "k", [b"one"])
    store.write("models", "k", [b"two"])
    restored = buckets.restore_version("models", "k", first.version)
    ids = [blob.metadata[WRITE_ID] for blob in account.containers["models"]["k"]]
    assert len(set(ids)) == 3
    assert (restored.version, restored.checksum) == (account.containers["models"]["k"][-1].version, first.checksum)
    assert content(store, "models", "k") == b"one"
    with pytest.raises(NotFound):
        buckets.restore_version("models", "k", "2020-01-01T00:00:00.0000000Z")


def test_azurite_ignores_the_version_asked_for_and_we_do_not(key_session: Session, new_bucket: str) -> None:
    store = AzureObjectStore(key_session)
    AzureBuckets(key_session).create(new_bucket)
    store.write(new_bucket, "k", [b"newest"])
    version = "2026-01-01T00:00:00.0000000Z"
    with pytest.raises(NotFound, match="no version"):
        store.stat(new_bucket, "k", version=version)
    with pytest.raises(NotFound, match="no version"):
        content(store, new_bucket, "k", version=version)
    with pytest.raises(NotFound, match="no version"):
        AzureBuckets(key_session).restore_version(new_bucket, "k", version)
