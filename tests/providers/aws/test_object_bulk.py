"""The fast path to S3: what goes over obstore, what does not, and that nobody can tell but by the clock."""

import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mcml.core.errors import NotAuthenticated, NotFound
from mcml.providers.aws.object_bulk import open_bulk
from mcml.providers.aws.object_store import S3ObjectStore
from mcml.providers.aws.object_writer import PART_BYTES
from mcml.providers.aws.session import Session
from mcml.providers.bulk import AHEAD, FAILURES, MOST_BYTES, Bulk, ahead, is_plain, is_sure
from mcml.testing.contracts.object_store import content
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Reset
from tests.providers.aws.conftest import CREDENTIALS, MakeSession

RUST = "mcml"  # the user agent of what goes over obstore; botocore's is longer
ODD = ("/rooted", "a/", "a/b", "a//b", "d/./e", "ä", "a%20b", "a b", "q/", "x\ty", "m/n/", "zero", "s\\t")


def agents(proxy: FaultProxy) -> list[str]:
    return ["obstore" if seen.headers.get("user-agent") == RUST else "boto3" for seen in proxy.requests]


def test_small_objects_and_listings_go_over_obstore(make_session: MakeSession, proxy: FaultProxy, s3_bucket: str) -> None:
    store = S3ObjectStore(make_session(endpoint_url=proxy.url))
    for number in range(5):
        store.write(s3_bucket, f"p/k{number}", [b"x" * (number + 1)])
    assert content(store, s3_bucket, "p/k3") == b"xxxx"
    assert [(stat.key, stat.size) for stat in store.list(s3_bucket, "p/")] == [(f"p/k{number}", number + 1) for number in range(5)]
    assert agents(proxy) == ["obstore"] * 7


def test_the_rest_goes_over_boto3(make_session: MakeSession, proxy: FaultProxy, s3_bucket: str) -> None:
    """Conditions, ranges, parts, keys that obstore would change, prefixes that are no folder, stat and delete."""
    store = S3ObjectStore(make_session(endpoint_url=proxy.url))
    store.write(s3_bucket, "k", [b"1234"], if_match="")
    store.write(s3_bucket, "ends/", [b"1"])
    assert b"".join(store.read(s3_bucket, "k", start=1)) == b"234"
    assert [stat.key for stat in store.list(s3_bucket, "en")] == ["ends/"]
    store.stat(s3_bucket, "k")
    store.delete(s3_bucket, "k")
    assert agents(proxy) == ["boto3"] * 6
    store.write(s3_bucket, "large", [b"x" * (PART_BYTES + 1)])
    assert set(agents(proxy)) == {"boto3"}


def test_a_whole_object_of_parts_is_read_by_boto3(session: Session, s3_bucket: str) -> None:
    """Its etag is no MD5: obstore's bytes could not be checked."""
    store = S3ObjectStore(session)
    store.write(s3_bucket, "large", [b"x" * (PART_BYTES + 1)])
    assert open_bulk(session).get(s3_bucket, "large") is None
    assert len(content(store, s3_bucket, "large")) == PART_BYTES + 1


def test_a_bucket_whose_etags_are_no_md5_is_read_by_boto3(make_session: MakeSession, proxy: FaultProxy, s3_bucket: str) -> None:
    """As with a KMS key: the first object shows it, the next ones are not read twice."""
    store = S3ObjectStore(make_session(endpoint_url=proxy.url))
    for key in ("a", "b", "c"):
        store.write(s3_bucket, key, [key.encode()])
    told = {"ETag": '"00000000000000000000000000000000"', "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT"}
    proxy.script(Answer(200, told, b"a"), only=lambda seen: seen.method == "GET" and seen.headers.get("user-agent") == RUST)
    assert [content(store, s3_bucket, key) for key in ("a", "b", "c")] == [b"a", b"b", b"c"]
    assert agents(proxy) == ["obstore", "boto3", "boto3", "boto3"]


def test_boto3_knows_what_obstore_wrote(session: Session, s3_bucket: str) -> None:
    """Checksum, token and, with versioning, the version."""
    s3, store = session.client("s3"), S3ObjectStore(session)
    s3.put_bucket_versioning(Bucket=s3_bucket, VersioningConfiguration={"Status": "Enabled"})
    written = store.write(s3_bucket, "k", [b"bytes"])
    assert written.version
    found = s3.head_object(Bucket=s3_bucket, Key="k", ChecksumMode="ENABLED")
    assert (found["VersionId"], found["ChecksumSHA256"] != "", len(found["Metadata"]["mcml-write"])) == (written.version, True, 32)


@pytest.mark.parametrize(
    "fault", [Reset(), Answer(429, {"Retry-After": "1"}), Answer(503), Answer(500), Delay(30), HalfBody(), Answer(403), Answer(200)]
)
def test_a_fault_of_the_fast_path_is_none_of_the_command(
    make_session: MakeSession, proxy: FaultProxy, session: Session, s3_bucket: str, fault: Fault
) -> None:
    """Whatever obstore meets, boto3 does it then: reads, listings, and a write once."""
    session.client("s3").put_bucket_versioning(Bucket=s3_bucket, VersioningConfiguration={"Status": "Enabled"})
    S3ObjectStore(session).write(s3_bucket, "k", [b"one"])

    def first_of_all() -> S3ObjectStore:
        store = S3ObjectStore(make_session(endpoint_url=proxy.url, timeout=(5, 0.5)))
        proxy.script(fault, only=lambda seen: seen.headers.get("user-agent") == RUST)
        return store

    assert content(first_of_all(), s3_bucket, "k") == b"one"
    assert [stat.key for stat in first_of_all().list(s3_bucket)] == ["k"]
    written = first_of_all().write(s3_bucket, "new", [b"two"])
    assert content(S3ObjectStore(session), s3_bucket, "new") == b"two"
    (version,) = session.client("s3").list_object_versions(Bucket=s3_bucket, Prefix="new")["Versions"]
    assert (version["VersionId"], proxy.unused) == (written.version, [])


@pytest.mark.parametrize("fault", [Reset(reaches_server=True), HalfBody(), Answer(500, reaches_server=True)])
def test_a_write_whose_answer_is_lost_is_not_written_twice(
    make_session: MakeSession, proxy: FaultProxy, session: Session, s3_bucket: str, fault: Fault
) -> None:
    s3 = session.client("s3")
    s3.put_bucket_versioning(Bucket=s3_bucket, VersioningConfiguration={"Status": "Enabled"})
    proxy.script(fault)
    written = S3ObjectStore(make_session(endpoint_url=proxy.url)).write(s3_bucket, "k", [b"bytes"])
    (version,) = s3.list_object_versions(Bucket=s3_bucket, Prefix="k")["Versions"]
    assert (version["VersionId"], written.size) == (written.version, 5)


def test_a_store_that_keeps_failing_is_left_to_boto3(make_session: MakeSession, proxy: FaultProxy, s3_bucket: str) -> None:
    store = S3ObjectStore(make_session(endpoint_url=proxy.url))
    proxy.script(*[Answer(501)] * 99, only=lambda seen: seen.headers.get("user-agent") == RUST)
    for number in range(FAILURES + 3):
        store.write(s3_bucket, f"k{number}", [b"1"])
    assert agents(proxy).count("obstore") == FAILURES


def test_a_listing_shows_keys_that_obstore_would_change(session: Session, s3_bucket: str) -> None:
    """Markers of folders, slashes at both ends and side by side, dots: as boto3 lists them, at the root and below a prefix."""
    s3 = session.client("s3")
    for key in ODD:
        s3.put_object(Bucket=s3_bucket, Key=key, Body=b"" if key.endswith("/") or key == "zero" else b"1")
    store = S3ObjectStore(session)
    assert [stat.key for stat in store.list(s3_bucket)] == sorted(ODD, key=str.encode)
    assert [stat.key for stat in store.list(s3_bucket, "a/")] == ["a/", "a//b", "a/b"]
    s3.delete_object(Bucket=s3_bucket, Key="/rooted")
    s3.delete_object(Bucket=s3_bucket, Key="a//b")
    assert [stat.key for stat in store.list(s3_bucket)] == sorted(set(ODD) - {"/rooted", "a//b"}, key=str.encode)


KEYS = st.lists(st.sampled_from(["a", "b", "a-", "0", "."]), min_size=1, max_size=3).map("/".join)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(full={"a/a"}, empty={"a/a/"})
@given(full=st.sets(KEYS, max_size=12), empty=st.sets(st.tuples(KEYS, st.sampled_from(["", "/"])).map("".join), max_size=6))
def test_a_listing_is_what_boto3_lists(session: Session, s3_bucket: str, full: set[str], empty: set[str]) -> None:
    """Whatever keys there are: pages of three, some of which end in empty objects and markers."""
    s3 = session.client("s3")
    for found in s3.list_objects_v2(Bucket=s3_bucket).get("Contents", ()):
        s3.delete_object(Bucket=s3_bucket, Key=found["Key"])
    for key in full:
        s3.put_object(Bucket=s3_bucket, Key=key, Body=b"1")
    for key in empty - full:
        s3.put_object(Bucket=s3_bucket, Key=key, Body=b"")

    class Short(Bulk):
        def pages(self, bucket: str, prefix: str) -> Any:
            for page in super().pages(bucket, prefix):
                yield from (page[place : place + 3] for place in range(0, len(page), 3)) if page else (page,)

    store = S3ObjectStore(session, bulk=Short(open_bulk(session).open_store), page=2)
    for prefix in ("", "a/", "b/a/"):
        there = [found["Key"] for found in s3.list_objects_v2(Bucket=s3_bucket, Prefix=prefix).get("Contents", ())]
        assert [stat.key for stat in store.list(s3_bucket, prefix)] == there


def test_errors_are_boto3s(make_session: MakeSession, session: Session, s3_bucket: str) -> None:
    """With reasons and next steps; a missing object is no failure of the fast path."""
    store = S3ObjectStore(session)
    for _ in range(FAILURES + 1):
        with pytest.raises(NotFound):
            content(store, s3_bucket, "absent")
        with pytest.raises(NotFound):
            store.write("mcml-no-such-bucket", "k", [b"1"])
    assert open_bulk(session).put(s3_bucket, "k", b"1") is not None
    with pytest.raises(NotFound):
        list(store.list("mcml-no-such-bucket", "p/"))


def test_nobody_logged_in_is_said_by_boto3(make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    with pytest.raises(NotAuthenticated) as refused:
        S3ObjectStore(make_session()).write("some-bucket", "k", [b"1"])
    assert refused.value.next_step


@pytest.mark.parametrize("key", ["a", "a/b.c", "a b/c=d/e@f,g:h~i-j", ".a", "a..b"])
def test_plain_keys(key: str) -> None:
    assert is_plain(key)


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "a/./b", "..", "ä", "a%b", "a?b", "a#b", "a\nb", "a\\b", "a+b", "a*b", "a&b"])
def test_keys_that_are_not_plain(key: str) -> None:
    assert not is_plain(key)


@pytest.mark.parametrize(
    ("paths", "prefix", "after", "sure"),
    [
        (["a", "b"], "", "", True),
        (["b", "a"], "", "", False),
        (["a", "a"], "", "", False),
        (["b"], "", "b", False),
        (["p"], "p/", "", False),
    ],
)
def test_a_page_in_order_is_sure(paths: Sequence[str], prefix: str, after: str, sure: bool) -> None:
    assert is_sure([{"path": path, "size": 1} for path in paths], prefix, after) is sure


def test_too_large_is_not_tried() -> None:
    bulk = Bulk(lambda _: None)
    assert bulk.takes("k", MOST_BYTES)
    assert not bulk.takes("k", MOST_BYTES + 1)


FIFTY = """
import sys
from pathlib import Path
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.object_store import open_object_store
from mcml.providers.aws.settings import Settings
store = open_object_store(ProviderContext(Settings(endpoint_url=sys.argv[1]), Path("x"), region="eu-west-1"))
for number in range(50):
    store.write(sys.argv[2], f"k{number}", [b"1"])
print(len(list(store.list(sys.argv[2]))))
"""


def test_a_process_that_used_it_ends_well(moto_url: str, s3_bucket: str) -> None:
    """obstore's threads and the end of the interpreter: a measured version aborted after asynchronous use."""
    for _ in range(3):
        ended = subprocess.run([sys.executable, "-c", FIFTY, moto_url, s3_bucket], capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "50\n", "")
        assert not any(secret in ended.stdout + ended.stderr for secret in CREDENTIALS)


def test_pages_are_read_ahead_and_no_further() -> None:
    """A listing that is left early is not read on, and its thread ends; the end and an error end it too, and a bug is the caller's."""
    read: list[int] = []

    def page() -> list[int]:
        read.append(len(read))
        return read[-1:]

    before = set(threading.enumerate())
    pages = ahead(page)
    assert [next(pages), next(pages)] == [[0], [1]]
    pages.close()
    until = time.monotonic() + 30
    while set(threading.enumerate()) - before and time.monotonic() < until:
        time.sleep(0.01)
    assert (set(threading.enumerate()) - before, len(read) <= 2 + AHEAD) == (set(), True)
    for last, seen in (([], [[1]]), (None, [[1], None])):
        told = iter([[1], last])
        assert list(ahead(lambda: next(told))) == seen  # noqa: B023 - used up before the next
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda: [1 // 0]))
