"""What goes wrong between the SDK and a real server: every call ends well within its budget, or with the right error; no write twice."""

import hashlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from mcml.core.clock import utc_now
from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, Unavailable
from mcml.providers.azure.buckets import AzureBuckets
from mcml.providers.azure.object_store import AzureObjectStore
from mcml.providers.azure.session import BLOCK_BYTES, Session
from mcml.providers.resilience import READ_SECONDS, Policy
from mcml.testing.contracts.object_store import content
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Pass, Refuse, Request, Reset
from tests.providers.azure import versions_stub
from tests.providers.azure.azurite_server import WELL_KNOWN_KEY, Server
from tests.providers.azure.conftest import MakeSession, Waits

MIB = 1 << 20


def is_put(request: Request) -> bool:
    return request.method == "PUT"


def is_get(request: Request) -> bool:
    return request.method == "GET"


def commits(request: Request) -> bool:
    return is_put(request) and "comp=blocklist" in request.path


def busy(code: str = "ServerBusy", **headers: str) -> Answer:
    return Answer(503, {"x-ms-error-code": code, **headers})


@pytest.fixture
def proxy(azurite: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultProxy]:
    monkeypatch.setenv("AZURE_STORAGE_KEY", WELL_KNOWN_KEY)
    with FaultProxy(azurite.origin) as proxy:
        yield proxy


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def session(proxy: FaultProxy, make_session: MakeSession, waits: Waits, request: pytest.FixtureRequest) -> Session:
    """A session that waits for an answer as long as a person's does, but for the tests with a fault named "slow"."""
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    seconds = 0.6 if "slow" in parameters.values() else READ_SECONDS
    return make_session(f"{proxy.url}/{{account}}", policy=waits.policy(), read_seconds=seconds)


@pytest.fixture
def store(session: Session) -> AzureObjectStore:
    return AzureObjectStore(session)


@pytest.fixture
def bucket(session: Session, new_bucket: str) -> str:
    AzureBuckets(session).create(new_bucket)
    return new_bucket


PASSING: dict[str, tuple[Fault, ...]] = {
    "reset": (Reset(), Reset()),
    "500": (Answer(500, {"x-ms-error-code": "InternalError"}), Answer(500), Answer(502, {}, b"<html>Bad gateway</html>")),
    "429": (Answer(429), busy()),
    "slow": (Delay(3.0, reaches_server=False),),
}
def deletes(store: AzureObjectStore, bucket: str) -> bool:
    store.delete(bucket, "k")
    return list(store.list(bucket)) == []


METHODS: dict[str, Callable[[AzureObjectStore, str], Any]] = {
    "list": lambda store, bucket: [stat.key for stat in store.list(bucket)] == ["k"],
    "read": lambda store, bucket: content(store, bucket, "k") == b"old",
    "write": lambda store, bucket: store.write(bucket, "k", [b"four"]).size == 4,
    "write once": lambda store, bucket: store.write(bucket, "other", [b"four"], if_match="").size == 4,
    "delete": deletes,
    "stat": lambda store, bucket: store.stat(bucket, "k").size == 3,
    "create": lambda store, bucket: AzureBuckets(store.session).create(f"{bucket}-2") is True,
    "empty": lambda store, bucket: AzureBuckets(store.session).empty(bucket) == 1,
}


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("method", METHODS)
def test_a_passing_fault_passes(store: AzureObjectStore, bucket: str, proxy: FaultProxy, waits: Waits, method: str, fault: str) -> None:
    store.write(bucket, "k", [b"old"])
    proxy.script(*PASSING[fault])
    assert METHODS[method](store, bucket)
    assert proxy.unused == []
    assert len(waits.seconds) == len(PASSING[fault]) or fault == "slow"


def test_a_refused_connection_is_tried_again(bucket: str, proxy: FaultProxy, make_session: MakeSession) -> None:
    patient = AzureObjectStore(make_session(f"{proxy.url}/{{account}}", policy=Policy(jitter=lambda: 1.0)))
    proxy.script(Refuse(0.3))
    assert patient.write(bucket, "k", [b"1"]).size == 1


def test_a_port_that_refuses_for_good(store: AzureObjectStore, bucket: str, proxy: FaultProxy, waits: Waits) -> None:
    proxy.refuse()
    with pytest.raises(Unavailable, match="cannot look at az://") as caught:
        store.stat(bucket, "k")
    assert "refused" in caught.value.why
    assert caught.value.next_step == "mcml doctor"
    assert len(waits.seconds) == 4


def test_half_a_body_is_read_again(store: AzureObjectStore, bucket: str, proxy: FaultProxy) -> None:
    data = bytes(range(256)) * 20_000  # two pieces
    store.write(bucket, "k", [data])
    proxy.script(HalfBody(), Pass(), HalfBody(0.9), only=is_get)
    assert content(store, bucket, "k") == data
    assert proxy.unused == [Pass(), HalfBody(0.9)] or proxy.unused == []


def test_half_a_body_for_good(store: AzureObjectStore, bucket: str, proxy: FaultProxy, make_session: MakeSession) -> None:
    hasty = AzureObjectStore(make_session(f"{proxy.url}/{{account}}", policy=Waits().policy(attempts=1)))
    store.write(bucket, "k", [b"x" * 1000])
    proxy.script(*[HalfBody()] * 9, only=is_get)
    with pytest.raises(Unavailable, match="cannot read az://"):
        content(hasty, bucket, "k")


@pytest.mark.parametrize(
    ("headers", "least"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"x-ms-retry-after-ms": "2500"}, 2.5),
        ({"x-ms-ratelimit-microsoft.costmanagement-qpu-retry-after": "9"}, 9.0),
    ],
)
def test_throttling_says_how_long_to_wait(
    store: AzureObjectStore, bucket: str, proxy: FaultProxy, waits: Waits, headers: dict[str, str], least: float
) -> None:
    proxy.script(Answer(429, headers))
    store.write(bucket, "k", [b"1"])
    assert len(waits.seconds) == 1
    assert waits.seconds[0] >= least


def test_retry_after_may_be_a_date(store: AzureObjectStore, bucket: str, proxy: FaultProxy, waits: Waits) -> None:
    proxy.script(busy(**{"Retry-After": format_datetime(utc_now() + timedelta(seconds=30), usegmt=True)}))
    store.write(bucket, "k", [b"1"])
    assert 25 < waits.seconds[0] <= 30


def test_throttling_that_outlasts_the_budget(store: AzureObjectStore, bucket: str, proxy: FaultProxy, waits: Waits) -> None:
    proxy.script(*[busy(**{"Retry-After": "25"})] * 9)
    with pytest.raises(Unavailable) as caught:
        store.stat(bucket, "k")
    assert waits.seconds == [25.0, 25.0]
    assert caught.value.retry_after == 25.0
    assert "ServerBusy" in caught.value.why


LOST: dict[str, Fault] = {
    "reset": Reset(reaches_server=True),
    "500": Answer(500, {"x-ms-error-code": "OperationTimedOut"}, reaches_server=True),
    "slow": Delay(3.0, reaches_server=True),
}


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("if_match", [None, ""])
def test_a_small_write_whose_answer_is_lost_is_not_applied_twice(
    store: AzureObjectStore, bucket: str, proxy: FaultProxy, lost: str, if_match: str | None
) -> None:
    proxy.script(LOST[lost], only=is_put)
    written = store.write(bucket, "k", [b"1"], if_match=if_match)
    assert sum(request.reached for request in proxy.requests if is_put(request)) == 1
    assert store.stat(bucket, "k") == written


@pytest.mark.parametrize("lost", LOST)
def test_a_replacing_write_whose_answer_is_lost_is_not_applied_twice(
    store: AzureObjectStore, bucket: str, proxy: FaultProxy, lost: str
) -> None:
    old = store.write(bucket, "k", [b"old"])
    proxy.script(LOST[lost], only=is_put)
    written = store.write(bucket, "k", [b"new!"], if_match=old.etag)
    assert sum(request.reached for request in proxy.requests if is_put(request)) == 1
    assert (store.stat(bucket, "k"), written.size) == (written, 4)


@pytest.mark.parametrize("if_match", [None, ""])
def test_a_commit_whose_answer_is_lost_is_not_applied_twice(
    store: AzureObjectStore, bucket: str, proxy: FaultProxy, if_match: str | None
) -> None:
    proxy.script(Reset(reaches_server=True), only=commits)
    written = store.write(bucket, "k", [b"x" * MIB] * 9, if_match=if_match)
    assert sum(request.reached for request in proxy.requests if commits(request)) == 1
    assert store.stat(bucket, "k") == written
    assert content(store, bucket, "k") == b"x" * 9 * MIB


def test_a_write_that_comes_through_late_is_known_as_ours(store: AzureObjectStore, bucket: str, proxy: FaultProxy) -> None:
    """Looked for in vain, then its own condition fails on the second attempt: it was the first that came through."""
    proxy.script(Reset(reaches_server=True), Answer(404, {"x-ms-error-code": "BlobNotFound"}))
    written = store.write(bucket, "k", [b"1"], if_match="")
    assert [request.method for request in proxy.requests] == ["PUT", "HEAD", "PUT", "HEAD"]
    assert store.stat(bucket, "k") == written


def test_after_a_lost_answer_another_writer_still_conflicts(store: AzureObjectStore, bucket: str, proxy: FaultProxy) -> None:
    old = store.write(bucket, "k", [b"old"])
    store.write(bucket, "k", [b"theirs"])
    proxy.script(Reset(), only=is_put)
    with pytest.raises(Conflict):
        store.write(bucket, "k", [b"ours"], if_match=old.etag)
    assert content(store, bucket, "k") == b"theirs"


def test_a_lost_write_makes_one_version_against_stub(make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_KEY", WELL_KNOWN_KEY)
    with versions_stub.serving() as (origin, account), FaultProxy(origin) as proxy:
        account.versioning = True
        session = make_session(f"{proxy.url}/{{account}}", policy=Waits().policy())
        store, buckets = AzureObjectStore(session), AzureBuckets(session)
        buckets.create("models")
        proxy.script(Reset(reaches_server=True), only=is_put)
        first = store.write("models", "k", [b"one"])
        store.write("models", "k", [b"two"])
        proxy.script(Reset(reaches_server=True), only=is_put)
        buckets.restore_version("models", "k", first.version)
        assert [stat.size for stat in buckets.versions("models", "k")] == [3, 3, 3]
        assert account.writes == 3


def test_blocks_are_put_again(store: AzureObjectStore, bucket: str, proxy: FaultProxy) -> None:
    data = hashlib.sha256(b"seed").digest() * (BLOCK_BYTES // 16)  # two blocks
    proxy.script(Pass(), Answer(503), Reset(reaches_server=True), Answer(500, reaches_server=True), only=is_put)
    store.write(bucket, "k", [data])
    assert proxy.unused == []
    assert content(store, bucket, "k") == data


def test_a_container_whose_answer_is_lost_was_created_by_us(session: Session, bucket: str, proxy: FaultProxy) -> None:
    proxy.script(Reset(reaches_server=True), only=is_put)
    assert AzureBuckets(session).create(f"{bucket}-2") is True
    assert AzureBuckets(session).create(f"{bucket}-2") is False


def xml(code: str, message: str) -> bytes:
    return f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{message}\nRequestId:1</Message></Error>'.encode()


TABLE: list[tuple[int, str, type[McmlError], str]] = [
    (401, "InvalidAuthenticationInfo", NotAuthenticated, "az login --tenant contoso.example"),
    (403, "AuthenticationFailed", NotAuthenticated, "az login --tenant contoso.example"),
    (403, "AuthorizationPermissionMismatch", NotAuthenticated, "az role assignment create --role 'Storage Blob Data Contributor'"),
    (403, "AuthorizationFailure", NotAuthenticated, "az role assignment create"),
    (403, "KeyBasedAuthenticationNotPermitted", NotAuthenticated, "unset AZURE_STORAGE_KEY"),
    (404, "ContainerNotFound", NotFound, "az storage container list --auth-mode login --account-name devstoreaccount1"),
    (404, "BlobNotFound", NotFound, ""),
    (404, "", NotFound, ""),
    (409, "BlobAlreadyExists", Conflict, ""),
    (409, "LeaseIdMissing", Conflict, ""),
    (409, "ContainerBeingDeleted", Conflict, "30 seconds"),
    (409, "BlobImmutableDueToPolicy", Conflict, ""),
    (412, "ConditionNotMet", Conflict, ""),
    (409, "BlockCountExceedsLimit", QuotaExceeded, ""),
    (400, "InvalidBlockList", Conflict, ""),
    (400, "InvalidHeaderValue", InvalidRequest, ""),
    (400, "Md5Mismatch", Unavailable, "mcml doctor"),
    (413, "RequestBodyTooLarge", InvalidRequest, ""),
    (416, "InvalidRange", InvalidRequest, ""),
    (418, "", InvalidRequest, ""),
    (429, "TooManyRequests", Unavailable, "mcml doctor"),
    (500, "InternalError", Unavailable, "mcml doctor"),
    (501, "", InvalidRequest, ""),
    (503, "ServerBusy", Unavailable, "mcml doctor"),
]


@pytest.mark.parametrize(("status", "code", "kind", "step"), TABLE, ids=lambda value: str(value) if isinstance(value, int | str) else "")
def test_the_table_of_errors(
    proxy: FaultProxy, make_session: MakeSession, status: int, code: str, kind: type[McmlError], step: str
) -> None:
    session = make_session(f"{proxy.url}/{{account}}", policy=Waits().policy(attempts=1), tenant="contoso.example")
    date = format_datetime(utc_now(), usegmt=True)
    headers = {"Content-Type": "application/xml", "Date": date, **({"x-ms-error-code": code} if code else {})}
    proxy.script(Answer(status, headers, xml(code, "Said by the service.") if code else b""))
    with pytest.raises(McmlError) as caught:
        AzureObjectStore(session).write("models", "k", [b"1"])
    assert isinstance(caught.value, kind)
    assert caught.value.message == "cannot write az://models/k"
    assert str(status) in caught.value.why
    assert code in caught.value.why
    assert step in caught.value.next_step
    assert "RequestId" not in caught.value.why


@pytest.mark.parametrize(("minutes", "word"), [(62, "62 minutes ahead of"), (-20, "20 minutes behind")])
def test_a_wrong_clock_is_said(session: Session, proxy: FaultProxy, make_session: MakeSession, minutes: int, word: str) -> None:
    theirs = format_datetime(utc_now() - timedelta(minutes=minutes), usegmt=True)
    proxy.script(Answer(403, {"x-ms-error-code": "AuthenticationFailed", "Date": theirs}))
    with pytest.raises(NotAuthenticated) as caught:
        AzureObjectStore(session).stat("models", "k")
    assert f"this machine's clock is {word} Azure's" in caught.value.why
    assert caught.value.next_step == "sudo timedatectl set-ntp true"


@pytest.mark.parametrize("kind", ["text/html", "application/xml"])
def test_an_answer_that_is_no_blob_service(session: Session, proxy: FaultProxy, kind: str) -> None:
    proxy.script(*[Answer(200, {"Content-Type": kind}, b"<html>Please log in to the hotel's network</html>")] * 9)
    with pytest.raises(McmlError):
        list(AzureObjectStore(session).list("models"))


def test_an_object_replaced_while_it_is_read(store: AzureObjectStore, bucket: str) -> None:
    store.write(bucket, "k", [b"a" * 5 * MIB])
    pieces = store.read(bucket, "k")
    assert next(pieces) == b"a" * 4 * MIB
    store.write(bucket, "k", [b"b" * 5 * MIB])
    with pytest.raises(Conflict) as caught:
        next(pieces)
    assert caught.value.why == "it was replaced while it was read"


def test_a_writer_whose_blocks_another_dropped(store: AzureObjectStore, bucket: str) -> None:
    def slow() -> Iterator[bytes]:
        yield b"a" * (3 * BLOCK_BYTES)
        store.write(bucket, "k", [b"b" * (BLOCK_BYTES + 1)])

    with pytest.raises(Conflict, match="cannot write") as caught:
        store.write(bucket, "k", slow())
    assert "InvalidBlockList" in caught.value.why
    assert store.stat(bucket, "k").size == BLOCK_BYTES + 1
