"""What happens to each method when the way to Google is bad: it gets there within its budget, or says what is wrong in our words."""

import json
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, Unavailable
from mcml.providers.api.buckets import BucketConfig
from mcml.providers.bulk import Bulk
from mcml.providers.gcp.buckets import GcsBuckets
from mcml.providers.gcp.error_table import LOGIN, SET_CLOCK
from mcml.providers.gcp.identity import GcpIdentity
from mcml.providers.gcp.object_store import GcsObjectStore, pages
from mcml.providers.gcp.session import Session
from mcml.providers.resilience import CONNECT_SECONDS, READ_SECONDS, REFUSED_STEP, Policy
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Pass, Refuse, Request, Reset
from tests.providers.gcp.conftest import PROJECT, MakeContext, MakeSession
from tests.providers.gcp.disturb import no_sleep
from tests.providers.gcp.google_stub import ACCOUNT, GoogleStub

Do = Callable[[Session, dict[str, str]], object]
METHODS: dict[str, Do] = {
    "whoami": lambda session, _: GcpIdentity(session).whoami(),
    "list": lambda session, _: len(list(GcsObjectStore(session).list("box"))),
    "read": lambda session, _: b"".join(GcsObjectStore(session).read("box", "k")),
    "write": lambda session, _: GcsObjectStore(session).write("box", "k2", [b"x"]).size,
    "delete": lambda session, _: GcsObjectStore(session).delete("box", "k"),
    "stat": lambda session, _: GcsObjectStore(session).stat("box", "k").size,
    "create": lambda session, _: GcsBuckets(session, "").create("new-box"),
    "configure": lambda session, _: GcsBuckets(session, "").configure("box", BucketConfig(expire_days=3)),
    "versions": lambda session, _: len(GcsBuckets(session, "").versions("box", "k")),
    "restore_version": lambda session, ids: GcsBuckets(session, "").restore_version("box", "k", ids["first"]).size,
    "empty": lambda session, _: GcsBuckets(session, "").empty("box"),
    "delete_bucket": lambda session, _: GcsBuckets(session, "").delete("spare-box"),
}
PASSING: list[Fault] = [
    Refuse(0.05), Reset(), Reset(reaches_server=True), Answer(500), Answer(503, reaches_server=True), Answer(429), Answer(408),
    Answer(403, body=json.dumps({"error": {"errors": [{"reason": "rateLimitExceeded"}]}}).encode()),
]  # fmt: skip


@pytest.fixture
def prepared(make_context: MakeContext) -> dict[str, str]:
    """A versioned bucket `box` with two contents of `k`, and an empty one."""
    session = Session(make_context())
    buckets, store = GcsBuckets(session, ""), GcsObjectStore(session)
    for name in ("box", "spare-box"):
        buckets.create(name)
        buckets.configure(name, BucketConfig())
    first = store.write("box", "k", [b"first"])
    store.write("box", "k", [b"second!"])
    return {"first": first.version}


def state(google: GoogleStub) -> dict[str, dict[str, list[bytes]]]:
    return {
        name: {key: [content.data for content in contents] for key, contents in keys.items()}
        for name, keys in google.storage.objects.items()
    }


def is_storage(request: Request) -> bool:
    return "/storage/v1/" in request.path


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gets_over_what_passes(
    method: str, google: GoogleStub, proxy: FaultProxy, make_session: MakeSession, login: Any, prepared: dict[str, str]
) -> None:
    """Each of the method's requests fails in each way; answer and state are those of an undisturbed run, so no write is made twice."""

    def run(session: Session) -> tuple[object, object]:
        kept = {name: {key: list(contents) for key, contents in keys.items()} for name, keys in google.storage.objects.items()}
        buckets = dict(google.storage.buckets)
        try:
            return METHODS[method](session, prepared), state(google)
        finally:
            google.storage.objects, google.storage.buckets = kept, buckets
            for contents in (contents for keys in kept.values() for contents in keys.values()):
                for content in contents:
                    content.live = content is contents[-1]

    def is_part(request: Request) -> bool:
        return method == "whoami" or is_storage(request)

    def fresh() -> Session:
        made = make_session(endpoint=proxy.url)
        login(token_url=proxy.url)
        return made

    session = fresh()
    proxy.script()
    calm = run(session)
    count = sum(is_part(request) for request in proxy.requests)
    for fault, number in product(PASSING, range(count)):
        if method == "whoami":
            if isinstance(fault, Answer) and fault.status in (403, 408, 429):
                continue  # a token endpoint's refusals are final
            session = fresh()  # or it would have its token already
        session.policy = Policy(attempts=8, first_wait=0.1, jitter=lambda: 1.0, sleep=time.sleep if isinstance(fault, Refuse) else no_sleep)
        proxy.script(*([fault] if isinstance(fault, Refuse) else [Pass()] * number + [fault]), only=is_part)
        assert run(session) == calm, (fault, number)
        assert proxy.unused == [], (fault, number)


def test_a_refused_connection(make_session: MakeSession, proxy: FaultProxy) -> None:
    session = make_session(endpoint=proxy.url)
    proxy.refuse()
    with pytest.raises(Unavailable) as refused:
        GcsObjectStore(session).stat("box", "k")
    assert refused.value.message == "cannot look at gs://box/k"
    assert refused.value.why == "no connection: Connection refused"


def test_a_slow_answer(make_session: MakeSession, proxy: FaultProxy) -> None:
    session = make_session(endpoint=proxy.url, timeout=0.3, attempts=1)
    proxy.script(Delay(5))
    with pytest.raises(Unavailable) as slow:
        GcsObjectStore(session).stat("box", "k")
    assert slow.value.why == "no answer in time"


def test_the_time_outs_are_the_houses(make_context: MakeContext) -> None:
    session = Session(make_context())
    assert session.timeout == (CONNECT_SECONDS, READ_SECONDS)
    assert session.options == {"timeout": (CONNECT_SECONDS, READ_SECONDS), "retry": None}


def test_half_an_answer(make_session: MakeSession, proxy: FaultProxy, prepared: dict[str, str]) -> None:
    session = make_session(endpoint=proxy.url, attempts=2)
    proxy.script(HalfBody(), HalfBody())
    with pytest.raises(Unavailable) as half:
        GcsObjectStore(session).stat("box", "k")
    assert half.value.why == "the answer broke off"
    proxy.script(HalfBody(), HalfBody(), only=lambda request: request.path.startswith("/download/"))
    with pytest.raises(Unavailable) as half:
        b"".join(GcsObjectStore(session, bulk=Bulk(lambda _: None)).read("box", "k"))
    assert half.value.why == "the answer broke off"


@pytest.mark.parametrize("fault", [HalfBody(), Delay(3)], ids=repr)
def test_a_half_or_late_answer_is_asked_for_again(
    make_session: MakeSession, proxy: FaultProxy, prepared: dict[str, str], fault: Fault
) -> None:
    session = make_session(endpoint=proxy.url, timeout=0.5)
    proxy.script(fault)
    assert GcsObjectStore(session).stat("box", "k").size == 7
    assert proxy.unused == []


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (Answer(429, {"Retry-After": "7"}), 7.0),
        (Answer(503, {"Retry-After": "Sat, 01 Jan 2028 00:00:09 GMT", "Date": "Sat, 01 Jan 2028 00:00:00 GMT"}), 9.0),
        (Answer(429, body=b'{"error": {"details": [{"@type": "google.rpc.RetryInfo", "retryDelay": "2.5s"}]}}'), 2.5),
    ],
)
def test_the_wait_that_was_asked_for_is_kept(
    make_session: MakeSession, proxy: FaultProxy, prepared: dict[str, str], answer: Answer, seconds: float
) -> None:
    waits: list[float] = []
    session = make_session(endpoint=proxy.url, waits=waits)
    proxy.script(answer)
    assert GcsObjectStore(session).stat("box", "k").size == 7
    assert waits == [seconds]


def test_a_wait_beyond_the_budget_is_told_instead(make_session: MakeSession, proxy: FaultProxy) -> None:
    waits: list[float] = []
    session = make_session(endpoint=proxy.url, waits=waits, budget=5.0)
    proxy.script(Answer(429, {"Retry-After": "600"}))
    with pytest.raises(Unavailable) as busy:
        GcsObjectStore(session).stat("box", "k")
    assert (busy.value.retry_after, waits) == (600.0, [])
    assert busy.value.why == "Google answered 429: Too Many Requests"


def refusal(reason: str, message: str = "No.") -> bytes:
    return json.dumps({"error": {"message": message, "errors": [{"reason": reason, "message": message}]}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "step"),
    [
        (400, refusal("invalid"), InvalidRequest, REFUSED_STEP),
        (403, refusal("forbidden"), NotAuthenticated, f"gcloud projects get-iam-policy {PROJECT}"),
        (403, refusal("quotaExceeded"), QuotaExceeded, "gcloud alpha services quota list"),
        (403, refusal("dailyLimitExceeded"), QuotaExceeded, "gcloud alpha services quota list"),
        (403, refusal("accessNotConfigured"), InvalidRequest, "gcloud services enable storage.googleapis.com"),
        (403, refusal("accountDisabled"), InvalidRequest, f"gcloud billing projects describe {PROJECT}"),
        (404, refusal("notFound"), NotFound, ""),
        (405, b"", InvalidRequest, REFUSED_STEP),
        (409, refusal("conflict"), Conflict, ""),
        (410, refusal("gone"), NotFound, ""),
        (412, refusal("conditionNotMet"), Conflict, ""),
        (413, refusal("uploadTooLarge"), InvalidRequest, REFUSED_STEP),
        (500, b"<html>oops</html>", Unavailable, "mcml doctor"),
        (502, b"{broken", Unavailable, "mcml doctor"),
        (503, b"[]", Unavailable, "mcml doctor"),
        (504, b"", Unavailable, "mcml doctor"),
    ],
)
def test_what_an_answer_means(
    make_session: MakeSession, proxy: FaultProxy, status: int, body: bytes, kind: type[McmlError], step: str
) -> None:
    session = make_session(endpoint=proxy.url, attempts=1)
    proxy.script(Answer(status, {"Content-Type": "application/json"}, body))
    with pytest.raises(McmlError) as told:
        list(pages(session, "box", ""))
    assert type(told.value) is kind
    assert told.value.message == "cannot list gs://box/"
    assert told.value.why.startswith(f"Google answered {status}")
    assert told.value.next_step.startswith(step)
    assert bool(told.value.next_step) == bool(step)


def test_an_error_in_no_form_that_google_uses(make_session: MakeSession, proxy: FaultProxy, prepared: dict[str, str]) -> None:
    """As a gateway may send it; the SDK trips over it."""
    session = make_session(endpoint=proxy.url, attempts=2)
    odd = Answer(504, {"Content-Type": "application/json"}, b'{"error": "text"}')
    proxy.script(odd)
    assert GcsObjectStore(session).stat("box", "k").size == 7
    proxy.script(odd, odd)
    with pytest.raises(Unavailable) as unreadable:
        GcsObjectStore(session).stat("box", "k")
    assert unreadable.value.why == "the answer is an error in no form that Google uses"


def test_without_the_right_to_see_the_bucket_objects_can_still_be_used(
    make_session: MakeSession, proxy: FaultProxy, prepared: dict[str, str]
) -> None:
    """As with the role Storage Object Admin."""
    session = make_session(endpoint=proxy.url)
    proxy.script(Answer(403, body=refusal("forbidden")), only=lambda request: request.path.startswith("/storage/v1/b/box?"))
    written = GcsObjectStore(session).write("box", "k", [b"third"])
    assert proxy.unused == []
    assert written.version == written.etag


def test_an_expired_token_is_renewed(make_session: MakeSession, google: GoogleStub, prepared: dict[str, str]) -> None:
    store = GcsObjectStore(make_session())
    assert store.stat("box", "k").size == 7
    google.tokens.clear()
    assert store.stat("box", "k").size == 7


def test_a_token_that_is_refused_for_good(make_session: MakeSession, proxy: FaultProxy) -> None:
    session = make_session(endpoint=proxy.url)
    proxy.script(*[Answer(401, body=refusal("authError", "Invalid Credentials"))] * 3)
    with pytest.raises(NotAuthenticated) as refused:
        GcsObjectStore(session).stat("box", "k")
    assert (refused.value.why, refused.value.next_step) == ("Google answered 401: Invalid Credentials", LOGIN)


def test_no_credentials_at_all(make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    session = make_session()
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    for method in METHODS.values():
        with pytest.raises(NotAuthenticated) as nobody:
            method(session, {"first": "1"})
        assert "credentials were not found" in nobody.value.why
        assert nobody.value.next_step == LOGIN


def test_a_revoked_login(make_session: MakeSession, login: Any) -> None:
    session = make_session()
    login(user=True, refresh_token="1//revoked")
    with pytest.raises(NotAuthenticated) as revoked:
        GcsObjectStore(session).stat("box", "k")
    assert revoked.value.why == "no token was given: invalid_grant: Token has been expired or revoked."
    assert revoked.value.next_step == LOGIN


def test_a_key_that_is_not_the_accounts(make_session: MakeSession, login: Any) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    session = make_session()
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
    login(private_key=pem)
    with pytest.raises(NotAuthenticated) as wrong:
        GcsObjectStore(session).stat("box", "k")
    assert "Invalid JWT Signature" in wrong.value.why


@pytest.mark.parametrize(("ahead", "said"), [(timedelta(hours=-2), "120 minutes ahead of"), (timedelta(minutes=47), "47 minutes behind")])
def test_a_wrong_clock_is_said(make_session: MakeSession, google: GoogleStub, ahead: timedelta, said: str) -> None:
    google.ahead = ahead
    with pytest.raises(NotAuthenticated) as wrong:
        GcsObjectStore(make_session()).stat("box", "k")
    assert wrong.value.why.startswith(f"this machine's clock is {said} Google's; no token was given: invalid_grant: Invalid JWT")
    assert wrong.value.next_step == SET_CLOCK


def test_a_token_endpoint_that_is_away(make_session: MakeSession, login: Any) -> None:
    session = make_session(attempts=1)
    login(token_url="http://127.0.0.1:9")
    with pytest.raises(Unavailable) as away:
        GcsObjectStore(session).stat("box", "k")
    assert away.value.why == "no connection: Connection refused"


def test_an_account_that_may_not_be_impersonated(make_session: MakeSession) -> None:
    session = make_session(impersonate_service_account=f"not-{ACCOUNT}")
    with pytest.raises(NotAuthenticated) as refused:
        GcsObjectStore(session).stat("box", "k")
    assert refused.value.why.startswith("the account to act as gave no token: Unable to acquire impersonated credentials")
    assert refused.value.next_step.startswith(f"gcloud iam service-accounts get-iam-policy not-{ACCOUNT}")
