"""Buckets of S3 against a moto server: the contract, and what is S3's own."""

from typing import Any

import pytest

from mcml.core.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound, PartlyDone, Usage
from mcml.providers.api.buckets import BucketConfig, Buckets
from mcml.providers.api.object_store import ObjectStore
from mcml.providers.aws.buckets import S3Buckets
from mcml.providers.aws.object_copy import Copy
from mcml.providers.aws.object_store import S3ObjectStore
from mcml.providers.aws.session import Session
from mcml.testing.contracts.buckets import BucketsContract
from mcml.testing.contracts.object_store import MIB, content
from mcml.testing.stubs.faults import Answer, FaultProxy, Pass
from tests.providers.aws.conftest import MakeSession
from tests.providers.aws.test_faults import error


class TestContract(BucketsContract):
    @pytest.fixture
    def buckets(self, session: Session) -> Buckets:
        return S3Buckets(session)

    @pytest.fixture
    def object_store(self, session: Session) -> ObjectStore:
        return S3ObjectStore(session)

    @pytest.fixture
    def new_bucket(self, bucket_name: str) -> str:
        return bucket_name


def rules(session: Session, bucket: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = session.client("s3").get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    return found


def test_created_in_the_region_of_the_target(session: Session, make_session: MakeSession, bucket_name: str) -> None:
    assert S3Buckets(session).create(bucket_name)
    assert session.client("s3").get_bucket_location(Bucket=bucket_name)["LocationConstraint"] == "eu-west-1"
    first_region = S3Buckets(make_session(region="us-east-1"))
    assert first_region.create(f"{bucket_name}-2")
    assert session.client("s3").get_bucket_location(Bucket=f"{bucket_name}-2")["LocationConstraint"] is None
    assert first_region.create(f"{bucket_name}-2") is False
    assert first_region.create(bucket_name) is False


def test_without_a_region_nothing_is_created(make_session: MakeSession, bucket_name: str) -> None:
    with pytest.raises(Usage) as nowhere:
        S3Buckets(make_session(region="")).create(bucket_name)
    assert "region" in nowhere.value.next_step


def test_a_name_of_somebody_else_is_a_conflict(make_session: MakeSession, proxy: FaultProxy, bucket_name: str, s3_bucket: str) -> None:
    """Forbidden to look at, open to look at but not in our list, or taken while we looked."""
    buckets = S3Buckets(make_session(endpoint_url=proxy.url))
    empty = b'<ListAllMyBucketsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Buckets/></ListAllMyBucketsResult>'
    proxy.script(Answer(403))
    with pytest.raises(Conflict):
        buckets.create(bucket_name)
    proxy.script(Pass(), Answer(200, {"Content-Type": "application/xml"}, empty))
    with pytest.raises(Conflict):
        buckets.create(s3_bucket)
    proxy.script(Pass(), error(409, "BucketAlreadyExists", "is not available"))
    with pytest.raises(Conflict):
        buckets.create(f"{bucket_name}-2")
    assert proxy.unused == []


def test_days_begin_at_one(session: Session, s3_bucket: str) -> None:
    for config in (BucketConfig(expire_days=0), BucketConfig(expire_old_days=-1)):
        with pytest.raises(InvalidRequest):
            S3Buckets(session).configure(s3_bucket, config)


def test_everything_is_set_on_s3(session: Session, s3_bucket: str) -> None:
    S3Buckets(session).configure(s3_bucket, BucketConfig(expire_days=30, expire_old_days=7))
    s3 = session.client("s3")
    assert s3.get_bucket_versioning(Bucket=s3_bucket)["Status"] == "Enabled"
    encryption = s3.get_bucket_encryption(Bucket=s3_bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert encryption[0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    assert set(s3.get_public_access_block(Bucket=s3_bucket)["PublicAccessBlockConfiguration"].values()) == {True}
    by_name = {rule["ID"]: rule for rule in rules(session, s3_bucket)}
    assert by_name["mcml-expire"]["Expiration"]["Days"] == 30
    assert by_name["mcml-expire-old"]["NoncurrentVersionExpiration"]["NoncurrentDays"] == 7
    assert by_name["mcml-abort-uploads"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}


def test_rules_and_keys_of_others_stay(session: Session, s3_bucket: str) -> None:
    s3, buckets = session.client("s3"), S3Buckets(session)
    theirs = {"ID": "logs", "Status": "Enabled", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 90}}
    s3.put_bucket_lifecycle_configuration(Bucket=s3_bucket, LifecycleConfiguration={"Rules": [theirs]})
    kms = {"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": "k1"}}]}
    s3.put_bucket_encryption(Bucket=s3_bucket, ServerSideEncryptionConfiguration=kms)
    buckets.configure(s3_bucket, BucketConfig(expire_days=1))
    buckets.configure(s3_bucket, BucketConfig())
    assert theirs in rules(session, s3_bucket)
    assert {rule["ID"] for rule in rules(session, s3_bucket)} == {"logs", "mcml-abort-uploads"}
    kept = s3.get_bucket_encryption(Bucket=s3_bucket)["ServerSideEncryptionConfiguration"]["Rules"][0]
    assert kept["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"] == "k1"


def test_which_objects_are_too_small_to_move_stays(make_session: MakeSession, proxy: FaultProxy, s3_bucket: str) -> None:
    """It is a setting of all rules, those of others too: S3 takes its own default where a write does not say it."""
    buckets = S3Buckets(make_session(endpoint_url=proxy.url))
    for days, expected in ((30, None), (31, "all_storage_classes_128K")):  # a bucket without rules has no such setting
        proxy.script()
        buckets.configure(s3_bucket, BucketConfig(expire_days=days))
        (write,) = [seen for seen in proxy.requests if seen.method == "PUT" and "lifecycle" in seen.path]
        assert write.headers["x-amz-transition-default-minimum-object-size"] == expected


def test_what_is_so_already_is_not_written(make_session: MakeSession, proxy: FaultProxy, s3_bucket: str) -> None:
    buckets = S3Buckets(make_session(endpoint_url=proxy.url))
    buckets.configure(s3_bucket, BucketConfig(expire_days=30))
    proxy.script()
    buckets.configure(s3_bucket, BucketConfig(expire_days=30))
    assert {seen.method for seen in proxy.requests} == {"GET"}


def test_more_than_a_page_of_versions(session: Session, s3_bucket: str) -> None:
    """Pages of two: versions of one key over several, a neighbour after it, and an emptying that needs many."""
    buckets, store = S3Buckets(session, page=2), S3ObjectStore(session)
    buckets.configure(s3_bucket, BucketConfig())
    written = [store.write(s3_bucket, "k", [b"x" * number]).version for number in range(5)]
    store.write(s3_bucket, "k2", [b"1"])
    store.delete(s3_bucket, "k2")
    assert [stat.version for stat in buckets.versions(s3_bucket, "k")] == written[::-1]
    assert buckets.empty(s3_bucket, versions=True) == 7
    buckets.delete(s3_bucket)


def test_what_s3_refuses_to_delete_is_said(make_session: MakeSession, proxy: FaultProxy, s3_bucket: str) -> None:
    buckets, store = S3Buckets(make_session(endpoint_url=proxy.url)), S3ObjectStore(make_session())
    for key in ("a", "b", "c"):
        store.write(s3_bucket, key, [b"1"])
    refused = b"<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code><Message>locked</Message></Error></DeleteResult>"
    proxy.script(Answer(200, {"Content-Type": "application/xml"}, refused), only=lambda request: request.method == "POST")
    with pytest.raises(PartlyDone) as partly:
        buckets.empty(s3_bucket)
    assert "2 deleted, 1 refused" in partly.value.message
    assert partly.value.why == "b: locked (AccessDenied)"


def test_a_version_too_large_for_one_copy_is_copied_in_parts(session: Session, s3_bucket: str) -> None:
    """5 GiB are too much for a test: the same path with 6 MiB as the limit."""
    buckets, store, s3 = S3Buckets(session), S3ObjectStore(session), session.client("s3")
    buckets.configure(s3_bucket, BucketConfig())
    body = b"".join(bytes([number]) * MIB for number in range(11))
    old = store.write(s3_bucket, "k", [body])
    store.write(s3_bucket, "k", [b"new"])
    Copy(session, store.stat(s3_bucket, "k", version=old.version), lambda: False, largest=6 * MIB, part=5 * MIB).run()
    assert content(store, s3_bucket, "k") == body
    assert store.stat(s3_bucket, "k").checksum == old.checksum
    assert len(buckets.versions(s3_bucket, "k")) == 3
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=s3_bucket)


def test_a_copy_in_parts_that_fails_leaves_nothing(make_session: MakeSession, proxy: FaultProxy, session: Session, s3_bucket: str) -> None:
    store = S3ObjectStore(session)
    S3Buckets(session).configure(s3_bucket, BucketConfig())
    old = store.write(s3_bucket, "k", [bytes(11 * MIB)])
    proxy.script(error(403, "AccessDenied", "no"), only=lambda request: "partNumber=2" in request.path)
    copy = Copy(make_session(endpoint_url=proxy.url), old, lambda: False, largest=6 * MIB, part=5 * MIB)
    with pytest.raises(NotAuthenticated):
        copy.run()
    assert "Uploads" not in session.client("s3").list_multipart_uploads(Bucket=s3_bucket)
    assert [stat.version for stat in S3Buckets(session).versions(s3_bucket, "k")] == [old.version]


def test_a_delete_marker_is_no_version(session: Session, s3_bucket: str) -> None:
    buckets, store, s3 = S3Buckets(session), S3ObjectStore(session), session.client("s3")
    buckets.configure(s3_bucket, BucketConfig())
    store.write(s3_bucket, "k", [b"1"])
    store.delete(s3_bucket, "k")
    marker = s3.list_object_versions(Bucket=s3_bucket)["DeleteMarkers"][0]["VersionId"]
    with pytest.raises(NotFound):
        store.stat(s3_bucket, "k", version=marker)
    with pytest.raises(NotFound):
        buckets.restore_version(s3_bucket, "k", marker)


@pytest.mark.parametrize("name", ["10.0.0.1", "a..b", "ab.", "-ab", "xn_x", "a" * 64])
def test_names_that_s3_does_not_take(session: Session, name: str) -> None:
    with pytest.raises(InvalidRequest):
        S3Buckets(session).create(name)
