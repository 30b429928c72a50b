"""A bad way to Cloud Monitoring, over gRPC: every method gets there, or says why not in our words."""

import logging
from collections.abc import Callable, Iterator
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mcml.core.errors import Conflict, InvalidRequest, McmlError, NotAuthenticated, NotFound, QuotaExceeded, Unavailable
from mcml.providers.api.alarms import Alarm
from mcml.providers.api.metrics import SeriesQuery, Window
from mcml.providers.gcp.alarms import GcpAlarms
from mcml.providers.gcp.error_table import LOGIN, SET_CLOCK
from mcml.providers.gcp.metrics import GcpMetrics
from mcml.providers.gcp.session import Session
from mcml.providers.resilience import NEXT_STEP, REFUSED_STEP, Policy
from mcml.testing.stubs.google_grpc import Fail, Fault, Garble, GrpcError, GrpcStub, Wait
from tests.providers.gcp.conftest import PROJECT, MakeSession
from tests.providers.gcp.google_stub import GoogleStub
from tests.providers.gcp.monitoring_world import LONG_AGO, MINUTE, MonitoringWorld, minutes

CPU = "compute.googleapis.com/instance/cpu/utilization"
NOW = datetime(2026, 11, 21, tzinfo=UTC)
ALARM = Alarm("hot", SeriesQuery(CPU), ">", 0.9, MINUTE)
Do = Callable[[Session], object]
METHODS: dict[str, Do] = {
    "query": lambda session: GcpMetrics(session).query(SeriesQuery(CPU), Window(LONG_AGO, LONG_AGO + 3 * MINUTE, MINUTE)),
    "names": lambda session: GcpMetrics(session).names(),
    "list": lambda session: [found.alarm.name for found in GcpAlarms(session).list()],
    "put a new one": lambda session: GcpAlarms(session).put(ALARM),
    "put over one": lambda session: GcpAlarms(session).put(Alarm("there", SeriesQuery(CPU), "<", 0.5, MINUTE)),
    "delete": lambda session: GcpAlarms(session).delete("there"),
}
FAULTS: list[Fault] = [
    Fail(GrpcError("UNAVAILABLE", "try later"), reaches_server=True),
    Fail(GrpcError("UNAVAILABLE", "try later")),
    Fail(GrpcError("RESOURCE_EXHAUSTED", "slow down", reason="RATE_LIMIT_EXCEEDED", delay=2)),
    Fail(GrpcError("INTERNAL", "oops"), reaches_server=True),
    Fail(GrpcError("DEADLINE_EXCEEDED", "late")),
    Garble(),
]


@pytest.fixture
def stub(google: GoogleStub) -> Iterator[GrpcStub]:
    from google.cloud.monitoring_v3 import AlertPolicyServiceClient, MetricServiceClient

    with GrpcStub(MetricServiceClient, AlertPolicyServiceClient, accepts=lambda token: token in google.tokens) as stub:
        yield stub


@pytest.fixture
def world(stub: GrpcStub) -> MonitoringWorld:
    made = MonitoringWorld(stub)
    made.add_metric(CPU)
    made.add(CPU, minutes(LONG_AGO, 1, 2, 3))
    return made


@pytest.fixture
def make(stub: GrpcStub, world: MonitoringWorld, make_session: MakeSession) -> Callable[..., Session]:
    def make(**keywords: Any) -> Session:
        return make_session(grpc_endpoint=stub.address, **keywords)

    return make


@pytest.fixture
def there(world: MonitoringWorld, make: Callable[..., Session]) -> None:
    GcpAlarms(make()).put(Alarm("there", SeriesQuery(CPU), ">", 0.1, MINUTE, notify=f"projects/{PROJECT}/notificationChannels/1"))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gets_over_what_passes(
    method: str, stub: GrpcStub, world: MonitoringWorld, make: Callable[..., Session], there: None
) -> None:
    """Answer and policies are those of an undisturbed run, so no policy is made twice."""
    before, session = dict(world.policies), make()

    def run() -> tuple[object, list[tuple[str, Any]]]:
        world.policies = deepcopy(before)
        answer = METHODS[method](session)
        return answer, [(policy.display_name, policy.conditions) for policy in world.policies.values()]

    stub.script()
    calm = run()
    count = len(stub.requests)
    assert count > 0
    for number in range(count):
        for fault in FAULTS:
            passing: list[Any] = [None] * number
            stub.script(*passing, fault)
            assert run() == calm, (fault, number)
            assert stub.unused == [], (fault, number)


@pytest.mark.parametrize(
    ("error", "kind", "why", "step"),
    [
        (GrpcError("RESOURCE_EXHAUSTED", "no.", reason="RATE_LIMIT_EXCEEDED"), Unavailable, "Google answered 429: no.", ""),
        (GrpcError("RESOURCE_EXHAUSTED", "no."), Unavailable, "Google answered 429: no.", ""),
        (
            GrpcError("RESOURCE_EXHAUSTED", "no.", reason="RESOURCE_QUOTA_EXCEEDED", metadata={"service": "monitoring.googleapis.com"}),
            QuotaExceeded,
            "Google answered 429: no.",
            f"gcloud alpha services quota list --service=monitoring.googleapis.com --consumer=projects/{PROJECT}",
        ),
        (
            GrpcError("PERMISSION_DENIED", "no.", reason="SERVICE_DISABLED", metadata={"service": "monitoring.googleapis.com"}),
            InvalidRequest,
            "Google answered 403: no.",
            "gcloud services enable monitoring.googleapis.com",
        ),
        (GrpcError("PERMISSION_DENIED", "no."), NotAuthenticated, "Google answered 403: no.", f"gcloud projects get-iam-policy {PROJECT}"),
        (GrpcError("UNAUTHENTICATED", "no."), NotAuthenticated, "Google answered 401: no.", LOGIN),
        (GrpcError("INVALID_ARGUMENT", "no."), InvalidRequest, "Google answered 400: no.", REFUSED_STEP),
        (GrpcError("NOT_FOUND", "no."), NotFound, "Google answered 404: no.", ""),
        (GrpcError("ALREADY_EXISTS", "no."), Conflict, "Google answered 409: no.", ""),
        (GrpcError("ABORTED", "no."), Conflict, "Google answered 409: no.", ""),
        (GrpcError("INTERNAL", "no."), Unavailable, "Google answered 500: no.", ""),
        (GrpcError("UNIMPLEMENTED", "no."), InvalidRequest, "Google answered 501: no.", REFUSED_STEP),
        (GrpcError("UNAVAILABLE", "no."), Unavailable, "Google answered 503: no.", ""),
        (GrpcError("DEADLINE_EXCEEDED", "no."), Unavailable, "no answer in time", ""),
    ],
    ids=lambda value: value.code.name if isinstance(value, GrpcError) else "",
)
def test_what_an_error_means(
    stub: GrpcStub, make: Callable[..., Session], error: GrpcError, kind: type[McmlError], why: str, step: str
) -> None:
    stub.script(*[Fail(error)] * 3)
    with pytest.raises(McmlError) as told:
        METHODS["names"](make(attempts=1))
    assert (type(told.value), told.value.message) == (kind, "cannot list the metrics")
    assert (told.value.why, told.value.next_step) == (why, step or (NEXT_STEP if kind is Unavailable else ""))


def test_the_wait_that_was_asked_for_is_kept(stub: GrpcStub, make: Callable[..., Session]) -> None:
    waits: list[float] = []
    session = make(waits=waits)
    stub.script(Fail(GrpcError("UNAVAILABLE", "later", delay=2.5)))
    METHODS["names"](session)
    assert waits == [2.5]


def test_an_answer_that_never_comes(stub: GrpcStub, make: Callable[..., Session]) -> None:
    session = make(timeout=0.3)
    stub.script(Wait(5))
    assert METHODS["names"](session)
    session.policy = Policy(attempts=1)
    stub.script(Wait(5))
    with pytest.raises(Unavailable) as slow:
        METHODS["names"](session)
    assert slow.value.why == "no answer in time"


def test_a_refused_connection(make_session: MakeSession) -> None:
    with pytest.raises(Unavailable) as refused:
        METHODS["names"](make_session(grpc_endpoint="127.0.0.1:9", attempts=1))
    assert refused.value.why == "no connection: Connection refused"


def test_a_token_that_is_refused_is_renewed_once(google: GoogleStub, stub: GrpcStub, make: Callable[..., Session]) -> None:
    session = make()
    METHODS["names"](session)
    google.tokens.clear()
    METHODS["names"](session)
    stub.accepts = lambda _: False
    stub.script()
    with pytest.raises(NotAuthenticated) as refused:
        METHODS["names"](session)
    assert refused.value.next_step == LOGIN
    assert len(stub.requests) == 2


def test_a_wrong_clock_and_no_credentials(google: GoogleStub, make: Callable[..., Session], monkeypatch: pytest.MonkeyPatch) -> None:
    google.ahead, session = timedelta(hours=-2), make()
    for method in METHODS.values():
        with pytest.raises(NotAuthenticated) as wrong:
            method(session)
        assert wrong.value.why.startswith("this machine's clock is 120 minutes ahead of Google's; no token was given")
        assert wrong.value.next_step == SET_CLOCK
    session = make()
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS")
    for method in METHODS.values():
        with pytest.raises(NotAuthenticated) as nobody:
            method(session)
        assert nobody.value.next_step == LOGIN


def test_no_token_is_told(google: GoogleStub, stub: GrpcStub, make: Callable[..., Session], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    session = make(attempts=2)
    METHODS["names"](session)
    told: list[str] = [repr(stub.requests)]
    for method in METHODS.values():
        for code in ("UNAUTHENTICATED", "PERMISSION_DENIED", "INTERNAL"):
            stub.script(*[Fail(GrpcError(code, f"bad token {google.given[-1]}"))] * 4)
            with pytest.raises(McmlError) as failed:
                method(session)
            told.append(repr((failed.value, failed.value.message, failed.value.why, failed.value.next_step)))
    text = "\n".join([*told, repr((session, vars(session))), caplog.text])
    assert "bad token [hidden]" in text
    assert [token for token in google.given if token in text] == []
