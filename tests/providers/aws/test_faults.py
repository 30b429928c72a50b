"""Between us and S3 things fail: every method goes on to success, and no write is applied twice."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from mcml.core.errors import Conflict, NotAuthenticated, Unavailable
from mcml.providers.api.buckets import BucketConfig
from mcml.providers.api.object_store import ObjectStat
from mcml.providers.aws.buckets import S3Buckets
from mcml.providers.aws.identity import AwsIdentity
from mcml.providers.aws.object_store import S3ObjectStore
from mcml.providers.aws.object_writer import PART_BYTES
from mcml.providers.aws.session import Session
from mcml.providers.bulk import Bulk
from mcml.testing.contracts.object_store import content
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Pass, Refuse, Request, Reset
from tests.providers.aws.conftest import MakeSession, Waits

MIB = 1 << 20
READ_SECONDS = 0.4
ATTEMPTS = 9  # more than the faults of any script: a busy machine may make a request slow too


def error(status: int, code: str, message: str = "", **headers: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"Content-Type": "application/xml", **sent}, body)


SLOW_DOWN = error(503, "SlowDown", "Please reduce your request rate.")
BAD_GATEWAY = Answer(502, {"Content-Type": "text/html"}, b"<html>bad gateway</html>")
FAULTS: dict[str, list[Fault]] = {
    "unheard": [Reset(), Answer(429, {"Retry-After": "7"}), SLOW_DOWN, BAD_GATEWAY],
    "unanswered": [Delay(30), HalfBody(), HalfBody(0.0), Reset(reaches_server=True)],
    "misleading": [Answer(500, reaches_server=True), Answer(500), HalfBody(), Reset()],
}
SDK_ONLY = Bulk(lambda _: None)


@dataclass
class World:
    """A versioned bucket that holds two versions of "k", through a proxy that fails, and the same server without it."""

    proxy: FaultProxy
    bucket: str
    objects: S3ObjectStore
    buckets: S3Buckets
    identity: AwsIdentity
    straight: S3ObjectStore
    s3: Any
    first: ObjectStat
    waits: Waits

    def versions(self, key: str) -> int:
        return len(self.s3.list_object_versions(Bucket=self.bucket, Prefix=key).get("Versions", []))

    def markers(self, key: str) -> int:
        return len(self.s3.list_object_versions(Bucket=self.bucket, Prefix=key).get("DeleteMarkers", []))

    def uploads(self) -> int:
        return len(self.s3.list_multipart_uploads(Bucket=self.bucket).get("Uploads", []))


@pytest.fixture
def world(make_session: MakeSession, session: Session, proxy: FaultProxy, s3_bucket: str, waits: Waits) -> World:
    s3, straight = session.client("s3"), S3ObjectStore(session)
    s3.put_bucket_versioning(Bucket=s3_bucket, VersioningConfiguration={"Status": "Enabled"})
    first = straight.write(s3_bucket, "k", [b"one"])
    straight.write(s3_bucket, "k", [b"two!"])
    through = make_session(endpoint_url=proxy.url, timeout=(5, READ_SECONDS), attempts=ATTEMPTS)
    objects, buckets = S3ObjectStore(through, bulk=SDK_ONLY), S3Buckets(through)  # the fast path's faults: test_object_bulk
    return World(proxy, s3_bucket, objects, buckets, AwsIdentity(through), straight, s3, first, waits)


def reads(world: World) -> None:
    assert content(world.objects, world.bucket, "k") == b"two!"


def lists(world: World) -> None:
    assert [stat.key for stat in world.objects.list(world.bucket)] == ["k"]


def stats(world: World) -> None:
    assert world.objects.stat(world.bucket, "k").size == 4


def writes(world: World) -> None:
    written = world.objects.write(world.bucket, "new", [b"three"])
    assert world.versions("new") == 1
    assert world.straight.stat(world.bucket, "new").version == written.version


def replaces_once(world: World) -> None:
    world.objects.write(world.bucket, "k", [b"three"], if_match=world.straight.stat(world.bucket, "k").etag)
    assert world.versions("k") == 3


def is_the_first(world: World) -> None:
    world.objects.write(world.bucket, "lock", [b"mine"], if_match="")
    assert world.versions("lock") == 1


def deletes(world: World) -> None:
    world.objects.delete(world.bucket, "k")
    assert world.markers("k") == 1


def creates(world: World) -> None:
    assert world.buckets.create(f"{world.bucket}-2") is True


def configures(world: World) -> None:
    assert world.buckets.configure(world.bucket, BucketConfig(expire_days=3)).expire_days == 3


def shows_versions(world: World) -> None:
    assert [stat.size for stat in world.buckets.versions(world.bucket, "k")] == [4, 3]


def restores(world: World) -> None:
    world.buckets.restore_version(world.bucket, "k", world.first.version)
    assert content(world.straight, world.bucket, "k") == b"one"
    assert world.versions("k") == 3


def empties(world: World) -> None:
    assert world.buckets.empty(world.bucket) == 1
    assert world.markers("k") == 1


def empties_all(world: World) -> None:
    assert world.buckets.empty(world.bucket, versions=True) == 2


def removes_a_bucket(world: World) -> None:
    world.s3.create_bucket(Bucket=f"{world.bucket}-3", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    world.buckets.delete(f"{world.bucket}-3")


def says_who(world: World) -> None:
    assert world.identity.whoami().account == "123456789012"


METHODS: list[Callable[[World], None]] = [
    reads, lists, stats, writes, replaces_once, is_the_first, deletes, creates, configures, shows_versions, restores, empties, empties_all,
    removes_a_bucket, says_who,
]  # fmt: skip


def name(method: Callable[[World], None]) -> str:
    return method.__name__


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("method", METHODS, ids=name)
def test_four_faults_in_a_row_are_survived(world: World, method: Callable[[World], None], faults: list[Fault]) -> None:
    world.proxy.script(*faults)
    method(world)
    assert len(world.proxy.unused) <= sum(isinstance(fault, HalfBody) for fault in faults)  # an answer without a body has no half


WRITES = [writes, replaces_once, is_the_first, deletes, creates, configures, restores, empties, empties_all, removes_a_bucket]


@pytest.mark.parametrize("method", WRITES, ids=name)
def test_a_write_whose_answer_is_lost_is_applied_once(world: World, method: Callable[[World], None]) -> None:
    """Every request that changes something is done by S3, and its first answer never arrives."""
    lost: list[str] = []

    def first_of_its_kind(request: Request) -> bool:
        kind = f"{request.method} {request.path.partition('?')[2]}"
        first = request.method in ("PUT", "POST", "DELETE") and kind not in lost
        lost.extend([kind] if first else [])
        return first

    world.proxy.script(*[Reset(reaches_server=True)] * 10, only=first_of_its_kind)
    method(world)
    assert lost
    assert len(world.proxy.unused) == 10 - len(lost)


@pytest.mark.parametrize("method", METHODS, ids=name)
def test_a_refused_connection_is_survived(world: World, method: Callable[[World], None]) -> None:
    world.proxy.script(Refuse(60))
    world.waits.after = world.proxy.accept
    method(world)
    assert len(world.waits.seconds) >= 1


def test_a_large_write_survives_a_fault_in_every_step(world: World) -> None:
    """Each step of the upload fails once and its answer is lost once: the object is whole, there is one version, no upload is left."""
    kinds: dict[str, int] = {}

    def twice_each(request: Request) -> bool:
        if request.method not in ("PUT", "POST"):
            return False
        query = request.path.partition("?")[2]
        kind = next(word for word in ("partNumber=1", "partNumber=2", "uploads", "uploadId") if word in query)
        kinds[kind] = kinds.get(kind, 0) + 1
        return kinds[kind] <= 2

    faults: list[Fault] = [Answer(503), Reset(reaches_server=True)]
    world.proxy.script(*faults * 4, only=twice_each)
    chunks = [bytes([number]) * MIB for number in range(10)]
    written = world.objects.write(world.bucket, "large", iter(chunks), if_match="")
    assert written.size == 10 * MIB
    assert world.proxy.unused == []
    assert content(world.straight, world.bucket, "large") == b"".join(chunks)
    assert world.straight.stat(world.bucket, "large").checksum == written.checksum
    assert world.versions("large") == 1
    assert world.uploads() == 1  # of the beginning whose answer was lost; the bucket's rule ends it


def test_a_large_write_that_fails_leaves_nothing(world: World) -> None:
    second_part = [error(403, "AccessDenied", "no")]
    world.proxy.script(*second_part, only=lambda request: "partNumber=2" in request.path)
    with pytest.raises(NotAuthenticated):
        world.objects.write(world.bucket, "large", iter([b"x" * MIB] * 20))
    assert (world.versions("large"), world.uploads()) == (0, 0)


def test_a_large_write_whose_source_fails_leaves_nothing(world: World) -> None:
    def broken() -> Iterator[bytes]:
        yield from [b"x" * MIB] * 20
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        world.objects.write(world.bucket, "large", broken())
    assert (world.versions("large"), world.uploads()) == (0, 0)


def test_a_large_write_is_refused_before_it_is_sent(world: World) -> None:
    world.proxy.script()
    for key, etag in (("k", ""), ("k", "0" * 32), ("absent", "0" * 32)):
        with pytest.raises(Conflict):
            world.objects.write(world.bucket, key, iter([b"x" * PART_BYTES] * 2), if_match=etag)
    assert {seen.method for seen in world.proxy.requests} == {"HEAD"}


def test_a_condition_that_fails_at_the_end_of_a_large_write(world: World) -> None:
    """moto does not look at If-Match when an upload ends: the proxy answers as S3 does."""
    for refusal in (error(412, "PreconditionFailed"), error(409, "ConditionalRequestConflict")):
        world.proxy.script(refusal, only=lambda request: request.method == "POST" and "uploadId" in request.path)
        with pytest.raises(Conflict) as conflict:
            world.objects.write(world.bucket, "k", iter([b"x" * PART_BYTES] * 2), if_match=world.straight.stat(world.bucket, "k").etag)
        assert "any more" in conflict.value.why
        assert world.proxy.unused == []
    assert (world.versions("k"), world.uploads()) == (2, 0)


def test_a_write_that_another_one_is_in_the_way_of_waits(world: World) -> None:
    world.proxy.script(error(409, "ConditionalRequestConflict", "conflicting operation"))
    world.objects.write(world.bucket, "lock", [b"mine"], if_match="")
    assert world.versions("lock") == 1


def test_a_read_goes_on_where_it_broke_off(world: World) -> None:
    body = b"".join(bytes([number]) * MIB for number in range(5))
    world.straight.write(world.bucket, "k", [body])
    world.proxy.script(HalfBody(0.5), Reset(), HalfBody(0.5), only=lambda request: request.method == "GET")
    assert content(world.objects, world.bucket, "k") == body
    ranges = [seen.headers.get("Range") for seen in world.proxy.requests]
    assert ranges == [None, f"bytes={MIB * 5 // 2}-", f"bytes={MIB * 5 // 2}-", f"bytes={MIB * 15 // 4}-"]
    assert all(seen.headers.get("If-Match") for seen in list(world.proxy.requests)[1:])


def test_a_range_goes_on_where_it_broke_off(world: World) -> None:
    body = b"".join(bytes([number]) * MIB for number in range(5))
    world.straight.write(world.bucket, "k", [body])
    world.proxy.script(HalfBody(0.5))
    assert b"".join(world.objects.read(world.bucket, "k", start=10, end=4 * MIB)) == body[10 : 4 * MIB]


def test_a_slow_body_is_asked_for_again(world: World) -> None:
    world.straight.write(world.bucket, "k", [b"x" * 100_000])
    world.proxy.script(HalfBody(0.5, pause=30))
    assert content(world.objects, world.bucket, "k") == b"x" * 100_000


def test_a_read_does_not_go_on_in_another_object(world: World) -> None:
    world.straight.write(world.bucket, "k", [b"x" * 4 * MIB])
    world.proxy.script(HalfBody(0.5))
    reading = world.objects.read(world.bucket, "k")
    assert next(reading) == b"x" * MIB
    world.straight.write(world.bucket, "k", [b"y" * 4 * MIB])
    with pytest.raises(Conflict) as replaced:
        list(reading)
    assert "it was replaced after" in replaced.value.why


def test_damaged_bytes_are_found(world: World) -> None:
    """Once, the rest is asked for again; what is still wrong is no success."""
    stat = world.straight.write(world.bucket, "d", [b"good"])
    checksum = "eNPfYmjHeSdLUWvZyXHJRZI4TFBAsRgeh+YIcDDLfUM="
    answer = Answer(200, {"ETag": f'"{stat.etag}"', "x-amz-checksum-sha256": checksum}, b"evil")
    world.proxy.script(answer)
    with pytest.raises(Unavailable) as damaged:
        content(world.objects, world.bucket, "d")
    assert "damaged on the way" in damaged.value.why


def test_a_reader_that_stops_early_holds_no_connection(world: World) -> None:
    world.straight.write(world.bucket, "k", [b"x" * 4 * MIB])
    for _ in range(40):  # more than there are connections
        reading = world.objects.read(world.bucket, "k")
        assert len(next(reading)) == MIB
        reading.close()  # type: ignore[attr-defined]


def test_the_wait_is_what_the_cloud_asks_for(world: World) -> None:
    world.proxy.script(
        error(503, "SlowDown", "slow down", Retry_After="7"),
        error(429, "TooManyRequests", "slow down", x_amz_retry_after="2500"),
        error(503, "SlowDown", "", Retry_After="Wed, 01 Jan 2025 00:00:09 GMT", Date="Wed, 01 Jan 2025 00:00:00 GMT"),
        Answer(500),
    )
    reads(world)
    assert world.waits.seconds == [7.0, 2.5, 9.0, 0.8]


def test_patience_ends(make_session: MakeSession, proxy: FaultProxy, s3_bucket: str, waits: Waits) -> None:
    store = S3ObjectStore(make_session(endpoint_url=proxy.url))
    proxy.script(*[Answer(500)] * 9)
    with pytest.raises(Unavailable) as down:
        store.stat(s3_bucket, "k")
    assert (down.value.message, down.value.why) == (f"cannot find s3://{s3_bucket}/k", "AWS answered 500 Internal Server Error")
    assert waits.seconds == [0.1, 0.2, 0.4, 0.8]
    assert len(proxy.requests) == 5


def test_a_wait_beyond_the_budget_is_not_begun(make_session: MakeSession, proxy: FaultProxy, s3_bucket: str, waits: Waits) -> None:
    store = S3ObjectStore(make_session(endpoint_url=proxy.url, budget=60), bulk=SDK_ONLY)
    proxy.script(Answer(429, {"Retry-After": "3600"}))
    with pytest.raises(Unavailable) as busy:
        content(store, s3_bucket, "k")
    assert busy.value.retry_after == 3600
    assert waits.seconds == []


def test_nobody_listens(make_session: MakeSession, s3_bucket: str, waits: Waits, proxy: FaultProxy) -> None:
    proxy.close()
    with pytest.raises(Unavailable) as down:
        S3ObjectStore(make_session(endpoint_url=proxy.url)).stat(s3_bucket, "k")
    assert "Could not connect to the endpoint URL" in down.value.why
    assert len(waits.seconds) == 4


def test_time_outs_hold(make_session: MakeSession, proxy: FaultProxy, s3_bucket: str) -> None:
    store = S3ObjectStore(make_session(endpoint_url=proxy.url, timeout=(1, 0.2)))
    proxy.script(*[Delay(60)] * 5)
    began = time.monotonic()
    with pytest.raises(Unavailable) as slow:
        store.stat(s3_bucket, "k")
    assert 0.9 < time.monotonic() - began < 30
    assert "Read timeout" in slow.value.why


def test_a_fault_between_two_pages_repeats_no_object(world: World) -> None:
    for number in range(4):
        world.straight.write(world.bucket, f"p/{number}", [b"."])
    world.proxy.script(Pass(), Reset())
    assert [stat.key for stat in world.objects.list(world.bucket, "p/")] == [f"p/{number}" for number in range(4)]


def test_a_write_that_arrives_late_is_no_conflict_with_itself(world: World) -> None:
    """The first answer is lost, a look finds nothing yet, the second is refused: because the first has arrived by then."""
    for key, etag in (("lock", ""), ("k", world.straight.stat(world.bucket, "k").etag)):
        world.proxy.script(Reset(reaches_server=True), Answer(404))
        before = world.versions(key)
        written = world.objects.write(world.bucket, key, [b"mine"], if_match=etag)
        assert world.proxy.unused == []
        assert world.versions(key) == before + 1
        assert world.straight.stat(world.bucket, key).version == written.version


def test_a_lost_write_that_was_not_the_first_is_a_conflict(world: World) -> None:
    """The answer that was lost was a refusal."""
    world.straight.write(world.bucket, "lock", [b"theirs"])
    world.proxy.script(Reset(reaches_server=True))
    with pytest.raises(Conflict):
        world.objects.write(world.bucket, "lock", [b"theirs"], if_match="")
    assert world.versions("lock") == 1
