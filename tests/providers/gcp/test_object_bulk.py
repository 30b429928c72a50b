"""The fast path to Cloud Storage: what goes over obstore, and that its faults are none of the command's."""

import pytest

from mcml.core.errors import NotFound
from mcml.providers.api.buckets import BucketConfig
from mcml.providers.gcp.buckets import GcsBuckets
from mcml.providers.gcp.object_bulk import open_bulk
from mcml.providers.gcp.object_store import GcsObjectStore
from mcml.providers.gcp.upload import PART_BYTES
from mcml.testing.contracts.object_store import content
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Request, Reset
from tests.providers.gcp.conftest import MakeSession
from tests.providers.gcp.google_stub import GoogleStub

FAULTS = [
    Reset(), Reset(reaches_server=True), Answer(429), Answer(503), Answer(500, reaches_server=True), HalfBody(), Delay(2), Answer(403),
]  # fmt: skip


def by_obstore(request: Request) -> bool:
    return request.headers.get("user-agent") == "mcml"


@pytest.fixture
def store(make_session: MakeSession, proxy: FaultProxy) -> GcsObjectStore:
    """A store whose requests go through the proxy, with a bucket `box` that keeps versions."""
    session = make_session(endpoint=proxy.url, timeout=0.7)
    buckets = GcsBuckets(session, "")
    buckets.create("box")
    buckets.configure("box", BucketConfig())
    return GcsObjectStore(session)


def contents(google: GoogleStub) -> list[bytes]:
    return [content.data for content in google.storage.objects["box"].get("k", [])]


def test_small_objects_go_over_obstore(store: GcsObjectStore, proxy: FaultProxy) -> None:
    written = store.write("box", "k", [b"hel", b"lo"])
    assert content(store, "box", "k") == b"hello"
    assert [request.method for request in proxy.requests if by_obstore(request)] == ["PUT", "GET"]
    stat = store.stat("box", "k")
    assert (stat.etag, stat.version, stat.checksum, stat.size) == (written.etag, written.version, written.checksum, 5)


def test_the_rest_goes_through_the_sdk(store: GcsObjectStore, proxy: FaultProxy) -> None:
    store.write("box", "k", [b"1234"], if_match="")
    store.write("box", "ends/", [b"1"])
    store.write("box", "large", [b"x" * (PART_BYTES + 1)])
    assert b"".join(store.read("box", "k", start=1)) == b"234"
    assert [stat.key for stat in store.list("box")] == ["ends/", "k", "large"]
    assert not any(by_obstore(request) for request in proxy.requests)


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_a_fault_is_none_of_the_commands(store: GcsObjectStore, google: GoogleStub, proxy: FaultProxy, fault: Fault) -> None:
    """The SDK does it then, and a write is made once."""
    proxy.script(fault, only=by_obstore)
    written = store.write("box", "k", [b"hello"])
    assert contents(google) == [b"hello"]
    assert store.stat("box", "k").etag == written.etag
    proxy.script(fault, only=by_obstore)
    assert content(store, "box", "k") == b"hello"
    assert proxy.unused == []


def test_what_arrived_damaged_is_written_again(store: GcsObjectStore, google: GoogleStub) -> None:
    google.storage.damage_next, google.storage.compare = True, False
    written = store.write("box", "k", [b"hello"])
    assert contents(google)[-1] == b"hello"
    assert store.stat("box", "k").etag == written.etag


def test_what_comes_back_damaged_is_read_again(store: GcsObjectStore, proxy: FaultProxy) -> None:
    store.write("box", "k", [b"hello"])
    etag = {"ETag": '"5d41402abc4b2a76b9719d911017c592"', "Last-Modified": "Sun, 22 Nov 2026 00:00:00 GMT"}
    proxy.script(Answer(200, etag, b"hallo"), only=by_obstore)
    assert content(store, "box", "k") == b"hello"


def test_errors_are_the_sdks(store: GcsObjectStore) -> None:
    for _ in range(4):
        with pytest.raises(NotFound):
            content(store, "box", "absent")
        with pytest.raises(NotFound):
            store.write("no-such-bucket", "k", [b"1"])
    assert open_bulk(store._session).put("box", "k", b"1") is not None


def test_an_emulator_of_the_json_api_has_no_fast_path(make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    session = make_session()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", session.settings.endpoint)
    assert open_bulk(session).open_store("box") is None
