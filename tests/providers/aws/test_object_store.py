"""S3 against a moto server: the contract, and what is S3's own."""

import base64
import hashlib
import random
import subprocess
import sys
import tracemalloc
import urllib.request
import zlib
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcml.core.errors import Conflict, InvalidRequest, NotFound
from mcml.providers.api.object_store import ObjectStore
from mcml.providers.aws.buckets import S3Buckets
from mcml.providers.aws.object_stat import checksum_of
from mcml.providers.aws.object_store import S3ObjectStore
from mcml.providers.aws.object_writer import PART_BYTES, part_size, regroup
from mcml.providers.aws.session import Session
from mcml.providers.bulk import Bulk
from mcml.testing.contracts.object_store import MIB, ObjectStoreContract, content
from mcml.testing.stubs.faults import Answer, FaultProxy
from tests.providers.aws.conftest import SECRET, MakeSession
from tests.providers.aws.test_faults import error


class TestContract(ObjectStoreContract):
    more_than_a_page = 103

    @pytest.fixture
    def object_store(self, session: Session) -> ObjectStore:
        return S3ObjectStore(session, page=100)

    @pytest.fixture
    def bucket(self, s3_bucket: str) -> str:
        return s3_bucket


class TestContractBySdk(TestContract):
    """With boto3 alone, as for whatever obstore does not carry."""

    @pytest.fixture
    def object_store(self, session: Session) -> ObjectStore:
        return S3ObjectStore(session, page=100, bulk=Bulk(lambda _: None))


def fetched(url: str, method: str = "GET", body: bytes | None = None) -> bytes:
    """Ask without credentials."""
    request = urllib.request.Request(url, body, {"Content-Type": "application/octet-stream"}, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return bytes(answer.read())


def test_a_signed_url_reads(session: Session, s3_bucket: str) -> None:
    store = S3ObjectStore(session)
    store.write(s3_bucket, "a b/ü", [b"hello"])
    url = store.sign(s3_bucket, "a b/ü", "GET", timedelta(minutes=5))
    assert fetched(url) == b"hello"
    query = parse_qs(urlsplit(url).query)
    assert (query["X-Amz-Algorithm"], query["X-Amz-Expires"]) == (["AWS4-HMAC-SHA256"], ["300"])
    assert SECRET not in url


def test_a_signed_url_writes(session: Session, s3_bucket: str) -> None:
    store = S3ObjectStore(session)
    fetched(store.sign(s3_bucket, "k", "PUT", timedelta(days=7)), "PUT", b"from outside")
    assert content(store, s3_bucket, "k") == b"from outside"


@pytest.mark.parametrize("ttl", [timedelta(), timedelta(seconds=-1), timedelta(days=7, seconds=1)])
def test_a_signed_url_lasts_for_a_week_at_most(session: Session, ttl: timedelta) -> None:
    with pytest.raises(InvalidRequest):
        S3ObjectStore(session).sign("some-bucket", "k", "GET", ttl)


def test_s3_is_told_the_checksum(make_session: MakeSession, proxy: FaultProxy, s3_bucket: str) -> None:
    """moto takes it on trust; S3 compares, and refuses with BadDigest, which is worth another try."""
    store = S3ObjectStore(make_session(endpoint_url=proxy.url))
    proxy.script(error(400, "BadDigest", "The SHA256 you specified did not match"))
    stat = store.write(s3_bucket, "k", [b"some ", b"bytes"])
    assert stat.checksum == f"sha256:{hashlib.sha256(b'some bytes').hexdigest()}"
    sent = base64.b64encode(hashlib.sha256(b"some bytes").digest()).decode()
    assert [seen.headers["x-amz-checksum-sha256"] for seen in proxy.requests if seen.method == "PUT"] == [sent, sent]


def test_a_large_object_has_the_checksum_of_the_whole(make_session: MakeSession, proxy: FaultProxy, s3_bucket: str) -> None:
    store, body = S3ObjectStore(make_session(endpoint_url=proxy.url)), random.Random(1).randbytes(9 * MIB)
    stat = store.write(s3_bucket, "large", [body])
    assert stat.checksum == f"crc32:{zlib.crc32(body):08x}"
    assert store.stat(s3_bucket, "large").checksum == stat.checksum
    parts = [base64.b64encode(zlib.crc32(part).to_bytes(4, "big")).decode() for part in (body[:PART_BYTES], body[PART_BYTES:])]
    whole = base64.b64encode(zlib.crc32(body).to_bytes(4, "big")).decode()
    assert [seen.headers.get("x-amz-checksum-crc32") for seen in proxy.requests if seen.method != "HEAD"] == [None, *parts, whole]


def test_exactly_a_part_is_one_request(make_session: MakeSession, proxy: FaultProxy, s3_bucket: str) -> None:
    store = S3ObjectStore(make_session(endpoint_url=proxy.url))
    store.write(s3_bucket, "k", [b"x" * (PART_BYTES // 2)] * 2)
    assert [(seen.method, seen.size) for seen in proxy.requests] == [("PUT", PART_BYTES)]


def test_objects_of_others_are_read(session: Session, s3_bucket: str) -> None:
    """Without a token or a checksum of ours; the etag of a plain one is its MD5."""
    s3, store = session.client("s3"), S3ObjectStore(session)
    s3.put_object(Bucket=s3_bucket, Key="plain", Body=b"hello")
    assert store.stat(s3_bucket, "plain").checksum == f"md5:{hashlib.md5(b'hello').hexdigest()}"
    assert content(store, s3_bucket, "plain") == b"hello"
    s3.put_object(Bucket=s3_bucket, Key="kms", Body=b"hello", ServerSideEncryption="aws:kms")
    assert store.stat(s3_bucket, "kms").checksum == ""


def test_checksums_of_parts_are_no_checksum_of_the_object() -> None:
    assert checksum_of({"ChecksumSHA256": "AAAA-2"}) == ""
    assert checksum_of({"ChecksumCRC32": "AAAAAA==", "ChecksumType": "COMPOSITE"}) == ""
    assert checksum_of({"ChecksumCRC32": "yZRlqg==", "ChecksumType": "FULL_OBJECT"}) == "crc32:c99465aa"
    assert checksum_of({"ChecksumCRC64NVME": "AAAAAAAAAAE="}) == "crc64nvme:0000000000000001"


@given(st.lists(st.binary(max_size=50)), st.integers(1, 20))
def test_regrouped_bytes_are_the_same(chunks: list[bytes], size: int) -> None:
    parts = list(regroup(chunks, lambda number: size + number))
    assert b"".join(parts) == b"".join(chunks)
    assert all(len(part) == size + number for number, part in enumerate(parts[:-1]))
    assert all(parts)


def test_ten_thousand_parts_reach_the_largest_object() -> None:
    assert sum(map(part_size, range(10_000))) >= 5 << 40
    assert sum(map(part_size, range(1000))) == 1000 * PART_BYTES
    assert max(map(part_size, range(10_000))) <= 5 << 30


def test_an_absent_object_is_no_match(session: Session, s3_bucket: str) -> None:
    """S3 says NoSuchKey there, not PreconditionFailed."""
    with pytest.raises(Conflict) as conflict:
        S3ObjectStore(session).write(s3_bucket, "absent", [b"1"], if_match="0" * 32)
    assert conflict.value.message == f"cannot write s3://{s3_bucket}/absent"


def test_a_missing_bucket_is_no_conflict(session: Session) -> None:
    with pytest.raises(NotFound):
        S3ObjectStore(session).write("mcml-no-such-bucket", "k", [b"1"], if_match="0" * 32)


def test_s3_calls_an_unknown_version_malformed(make_session: MakeSession, proxy: FaultProxy, s3_bucket: str) -> None:
    """moto says NoSuchVersion; S3 says 400 to a HEAD, and InvalidArgument to a GET."""
    store = S3ObjectStore(make_session(endpoint_url=proxy.url))
    malformed = error(400, "InvalidArgument", "Invalid version id specified")
    proxy.script(Answer(400), Answer(400), malformed)
    with pytest.raises(NotFound):
        store.stat(s3_bucket, "k", version="000000000099")
    proxy.script(malformed)
    with pytest.raises(NotFound):
        content(store, s3_bucket, "k", version="000000000099")


def test_ranges_at_the_edges(session: Session, s3_bucket: str) -> None:
    store = S3ObjectStore(session)
    store.write(s3_bucket, "k", [b"0123456789"])
    store.write(s3_bucket, "empty", [])
    for start, end in ((10, None), (10, 10), (0, 0), (3, 3)):
        assert b"".join(store.read(s3_bucket, "k", start=start, end=end)) == b""
    assert b"".join(store.read(s3_bucket, "empty", end=0)) == b""
    for start, end in ((11, 11), (3, 99), (99, 100)):
        with pytest.raises(InvalidRequest) as outside:
            list(store.read(s3_bucket, "k", start=start, end=end))
        assert outside.value.why == "it has 10 bytes"
    with pytest.raises(NotFound):
        list(store.read(s3_bucket, "absent", start=3, end=3))


def test_large_objects_are_never_held_whole(session: Session, s3_bucket: str) -> None:
    store = S3ObjectStore(session)
    tracemalloc.start()
    try:
        store.write(s3_bucket, "large", (bytes(MIB) for _ in range(48)))
        written = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        assert sum(len(chunk) for chunk in store.read(s3_bucket, "large")) == 48 * MIB
        read = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert written < 30 * MIB, written
    assert read < 6 * MIB, read


KILLED = """
import sys, time
from pathlib import Path
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.object_store import open_object_store
from mcml.providers.aws.settings import Settings

def chunks():
    for _ in range(20):
        yield bytes(1 << 20)
    print("sent", flush=True)
    time.sleep(600)

store = open_object_store(ProviderContext(Settings(endpoint_url=sys.argv[1]), Path(sys.argv[2]), region="eu-west-1"))
store.write(sys.argv[3], "k", chunks())
"""


def test_a_killed_writer_leaves_the_old_object(session: Session, s3_bucket: str, moto_url: str, tmp_path: Path) -> None:
    """What it sent is nowhere to be seen, and `empty` ends it; else the bucket's rule does after a week."""
    store, buckets, s3 = S3ObjectStore(session), S3Buckets(session), session.client("s3")
    store.write(s3_bucket, "k", [b"old"])
    argv = [sys.executable, "-c", KILLED, moto_url, str(tmp_path), s3_bucket]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"sent\n"
        writer.kill()
    assert content(store, s3_bucket, "k") == b"old"
    assert len(s3.list_multipart_uploads(Bucket=s3_bucket)["Uploads"]) == 1
    assert buckets.empty(s3_bucket, versions=True) == 1
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=s3_bucket)
    buckets.delete(s3_bucket)


def test_parts_of_a_key_are_no_folders(session: Session, s3_bucket: str) -> None:
    """S3 takes '.', '..' and '//' as they are; so must everything on the way."""
    store = S3ObjectStore(session)
    keys = ["./x", "a/../b", "a//b", "b", " x ", "a/./b"]
    for key in keys:
        store.write(s3_bucket, key, [key.encode()])
    assert sorted(stat.key for stat in store.list(s3_bucket)) == sorted(keys)
    assert [content(store, s3_bucket, key) for key in keys] == [key.encode() for key in keys]
