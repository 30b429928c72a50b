"""Writing and reading of large objects: constant memory, parts, broken sources, lost answers, damage; on our stub, which checks it all."""

import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from mcml.core.errors import Conflict, McmlError, NotFound, Unavailable
from mcml.providers.api.buckets import BucketConfig
from mcml.providers.api.spec import ProviderContext
from mcml.providers.bulk import Bulk
from mcml.providers.gcp.buckets import GcsBuckets
from mcml.providers.gcp.checksums import Crc32c
from mcml.providers.gcp.object_store import GcsObjectStore, open_object_store
from mcml.providers.gcp.upload import PART_BYTES
from mcml.providers.resilience import Policy
from mcml.testing.contracts.object_store import MIB
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Pass, Request, Reset
from tests.providers.gcp.conftest import MakeContext, MakeSession
from tests.providers.gcp.gcs_state import Refused
from tests.providers.gcp.google_stub import GoogleStub

WRITER = """
import sys, time
from pathlib import Path
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.object_store import open_object_store
from mcml.providers.gcp.settings import Settings

def source():
    for _ in range(9):
        yield b"x" * (1 << 20)
    time.sleep(60)

open_object_store(ProviderContext(Settings(endpoint=sys.argv[1]), Path("unused"))).write("box", "k", source())
"""
LOST = [Reset(), Reset(reaches_server=True), Answer(503), Answer(503, reaches_server=True), HalfBody(), Delay(2)]


@pytest.fixture
def store(make_session: MakeSession, proxy: FaultProxy) -> GcsObjectStore:
    """A store whose requests go through the proxy, by the SDK alone, with a bucket `box` that keeps versions."""
    session = make_session(endpoint=proxy.url, timeout=0.7)
    buckets = GcsBuckets(session, "")
    buckets.create("box")
    buckets.configure("box", BucketConfig())
    return GcsObjectStore(session, bulk=Bulk(lambda _: None))


def is_upload(request: Request) -> bool:
    return request.path.startswith("/upload/") and request.method != "DELETE"


def blocks(count: int, size: int = MIB) -> Iterator[bytes]:
    for number in range(count):
        yield bytes([number % 251]) * size


def digest(chunks: Iterator[bytes]) -> str:
    running = Crc32c()
    for chunk in chunks:
        running.update(chunk)
    return running.base64


def contents(google: GoogleStub) -> list[bytes]:
    return [content.data for content in google.storage.objects["box"].get("k", [])]


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, 2 * PART_BYTES + 5])
def test_around_the_size_of_a_part(store: GcsObjectStore, google: GoogleStub, size: int) -> None:
    data = b"".join(blocks(size // MIB + 1))[:size]
    written = store.write("box", "k", [data])
    assert (written.size, contents(google)) == (size, [data])
    assert b"".join(store.read("box", "k")) == data
    assert len(google.storage.sessions) == (1 if size > PART_BYTES else 0)


@pytest.mark.parametrize("fault", LOST, ids=repr)
@pytest.mark.parametrize("condition", [None, ""])
def test_a_small_write_with_a_lost_answer_is_made_once(
    store: GcsObjectStore, google: GoogleStub, proxy: FaultProxy, fault: Fault, condition: str | None
) -> None:
    proxy.script(fault, only=is_upload)
    written = store.write("box", "k", [b"hello"], if_match=condition)
    assert proxy.unused == []
    assert contents(google) == [b"hello"]
    assert written == store.stat("box", "k")


def test_a_conditional_write_that_others_overtook_gives_up(store: GcsObjectStore, google: GoogleStub, proxy: FaultProxy) -> None:
    """The first try is lost, and before the second somebody else writes."""
    first = store.write("box", "k", [b"first"])

    def others() -> None:
        google.storage.insert("box", {"name": "k"}, b"others", None)

    proxy.script(Reset(), only=is_upload)
    store._session.policy = Policy(attempts=3, sleep=lambda _: others())
    with pytest.raises(Conflict):
        store.write("box", "k", [b"mine"], if_match=first.etag)
    assert contents(google) == [b"first", b"others"]


def test_a_first_try_that_lands_late_is_not_made_twice(store: GcsObjectStore, google: GoogleStub, proxy: FaultProxy) -> None:
    """It arrives between the look that found nothing and the second try, which holds only for what was seen."""
    waiting: list[tuple[str, dict[str, object], bytes, int | None]] = []
    insert = google.storage.insert

    def late(bucket: str, meta: dict[str, object], data: bytes, condition: int | None) -> dict[str, object]:
        if not waiting:
            waiting.append((bucket, meta, data, condition))
            raise Refused(503, "backendError", "Backend Error")
        if len(waiting) == 1:
            insert(*waiting[0])
            waiting.append(waiting[0])
        return insert(bucket, meta, data, condition)

    google.storage.insert = late  # type: ignore[method-assign]
    assert store.write("box", "k", [b"mine"]).size == 4
    assert contents(google) == [b"mine"]


@pytest.mark.parametrize("fault", LOST[1:5], ids=repr)
@pytest.mark.parametrize("request_number", [0, 1, 2, 3])
def test_a_large_write_goes_on_where_it_was_broken(
    store: GcsObjectStore, google: GoogleStub, proxy: FaultProxy, fault: Fault, request_number: int
) -> None:
    """The beginning, the first, the second and the last part, each lost in every way."""
    proxy.script(*[Pass()] * request_number, fault, only=is_upload)
    written = store.write("box", "k", blocks(17))
    assert proxy.unused == []
    assert [digest(iter([data])) for data in contents(google)] == [digest(blocks(17))]
    assert written == store.stat("box", "k")
    uploaded = sum(request.size for request in proxy.requests if is_upload(request))
    assert uploaded < 17 * MIB + PART_BYTES + 4096  # at most one part is sent again


def test_a_server_that_takes_half_a_part_is_sent_the_rest(store: GcsObjectStore, google: GoogleStub) -> None:
    proceed = google.storage.proceed

    def takes_half(name: str, span: str, data: bytes, declared: str | None) -> object:
        return proceed(name, span, data[: len(data) // 2] if len(data) > MIB and span.endswith("*") else data, declared)

    google.storage.proceed = takes_half  # type: ignore[assignment,method-assign]
    assert store.write("box", "k", blocks(17)).size == 17 * MIB
    assert digest(iter(contents(google))) == digest(blocks(17))


def test_a_source_that_breaks_late_takes_the_upload_back(store: GcsObjectStore, google: GoogleStub) -> None:
    def broken() -> Iterator[bytes]:
        yield from blocks(20)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write("box", "k", broken())
    assert contents(google) == []
    assert google.storage.sessions == {}


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_large_conditional_write_that_lost_its_condition(store: GcsObjectStore, google: GoogleStub, when: str) -> None:
    first = store.write("box", "k", [b"first"])

    def source() -> Iterator[bytes]:
        yield from blocks(12)
        if when == "during":
            store.write("box", "k", [b"second"])
        yield from blocks(4)

    if when == "before":
        store.write("box", "k", [b"second"])
    with pytest.raises(Conflict) as lost:
        store.write("box", "k", source(), if_match=first.etag)
    assert "etag" in lost.value.why
    assert contents(google) == [b"first", b"second"]


def test_an_upload_that_is_ended_from_outside(store: GcsObjectStore, google: GoogleStub) -> None:
    def source() -> Iterator[bytes]:
        yield from blocks(12)
        google.storage.sessions.clear()
        yield from blocks(12)

    with pytest.raises(Conflict) as ended:
        store.write("box", "k", source())
    assert ended.value.why == "the upload was ended from outside"
    assert contents(google) == []


def test_no_bucket_is_said_before_the_source_is_read(store: GcsObjectStore) -> None:
    with pytest.raises(NotFound):
        store.write("no-such-bucket", "k", blocks(1 << 40))


def test_a_large_object_needs_little_memory(make_context: MakeContext, fake_gcs: ProviderContext) -> None:
    """48 MiB up to and down from a real server of another process: never more than a few parts at once."""
    from mcml.providers.gcp.buckets import open_buckets

    open_buckets(fake_gcs).create("memory")
    store = open_object_store(fake_gcs)
    tracemalloc.start()
    try:
        store.write("memory", "k", blocks(48))
        assert digest(store.read("memory", "k")) == digest(blocks(48))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        store.delete("memory", "k")
    assert peak < 5 * PART_BYTES


def test_a_killed_writer_leaves_the_old_object(make_context: MakeContext, google: GoogleStub) -> None:
    make_context()
    google.storage.create_bucket("stub-project", {"name": "box"})
    google.storage.insert("box", {"name": "k"}, b"old", None)
    child = subprocess.Popen([sys.executable, "-c", WRITER, google.url])
    try:
        until = time.monotonic() + 60
        while not any(session.data for session in list(google.storage.sessions.values())):
            assert child.poll() is None
            assert time.monotonic() < until
            time.sleep(0.02)
    finally:
        child.kill()
        child.wait(10)
    assert contents(google) == [b"old"]


@pytest.mark.parametrize("size", [1, 17])
def test_damage_on_the_way_up_is_found(store: GcsObjectStore, google: GoogleStub, size: int) -> None:
    """The server compares; a small write is sent again, a large one is refused: its source is gone."""
    google.storage.damage_next = True
    if size == 1:
        store.write("box", "k", blocks(1))
        assert contents(google) == list(blocks(1))
        return
    with pytest.raises(McmlError):
        store.write("box", "k", blocks(size))
    assert contents(google) == []


@pytest.mark.parametrize("size", [1, 17])
def test_damage_that_the_server_keeps_is_removed(store: GcsObjectStore, google: GoogleStub, size: int) -> None:
    google.storage.damage_next, google.storage.compare = True, False
    with pytest.raises(Unavailable) as damaged:
        store.write("box", "k", blocks(size))
    assert "damaged on the way" in damaged.value.why
    assert contents(google) == []


def test_damage_on_the_way_down_is_found(store: GcsObjectStore, google: GoogleStub) -> None:
    store.write("box", "k", blocks(9))
    stored = google.storage.objects["box"]["k"][0]
    stored.data = b"!" + stored.data[1:]
    with pytest.raises(Unavailable) as damaged:
        digest(store.read("box", "k"))
    assert "CRC-32C" in damaged.value.why
    assert b"".join(store.read("box", "k", start=1, end=3)) == b"\0\0"  # of a part nothing is known


@pytest.mark.parametrize("fault", LOST, ids=repr)
def test_a_broken_read_goes_on(store: GcsObjectStore, proxy: FaultProxy, fault: Fault) -> None:
    store.write("box", "k", blocks(17))
    proxy.script(Pass(), fault, only=lambda request: request.path.startswith("/download/"))
    assert digest(store.read("box", "k")) == digest(blocks(17))
    assert proxy.unused == []


def test_an_object_replaced_while_it_is_read_is_never_mixed(make_context: MakeContext, google: GoogleStub) -> None:
    store = open_object_store(make_context())
    google.storage.create_bucket("stub-project", {"name": "plain"})
    store.write("plain", "k", blocks(17))
    reading = store.read("plain", "k")
    assert next(reading) == b"".join(blocks(8))
    store.write("plain", "k", blocks(20))
    with pytest.raises(Conflict) as replaced:
        next(reading)
    assert replaced.value.next_step == "read it again"
