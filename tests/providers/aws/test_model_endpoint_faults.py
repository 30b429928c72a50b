"""SageMaker endpoints on bad days: faults on the way, answers that are lost, refusals, and no credential in what is said."""

import json
import logging
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest

from mcml.core.errors import (
    Conflict,
    InvalidRequest,
    McmlError,
    NotAuthenticated,
    NotFound,
    QuotaExceeded,
    Unavailable,
)
from mcml.providers.aws.model_endpoint import SageMakerEndpoint
from mcml.testing.contracts.endpoint import weights
from mcml.testing.stubs.aws_model import AwsModel
from mcml.testing.stubs.aws_sagemaker import SageMakerStub
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Reset
from tests.providers.aws.conftest import CREDENTIALS, KEY_ID, SECRET, TOKEN, Waits
from tests.providers.aws.endpoint_rig import Open, aws, open_on, request_for, stub

__all__ = ["aws", "open_on", "stub"]
LOST: dict[str, Fault] = {"500": Answer(500, reaches_server=True), "reset": Reset(reaches_server=True), "half": HalfBody(0.0)}


def error(status: int, code: str, message: str = "said") -> Answer:
    return Answer(status, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps({"__type": code, "message": message}).encode())


FAULTS: dict[str, list[Fault]] = {
    "unheard": [Reset(), Answer(429, {"Retry-After": "7"}), error(400, "ThrottlingException"), error(503, "ServiceUnavailable")],
    "unanswered": [Delay(30), HalfBody(), Reset(reaches_server=True)],
    "misleading": [Answer(500, reaches_server=True), HalfBody(0.0), Answer(502, {"Content-Type": "text/html"}, b"<html>")],
}


def describes(endpoints: SageMakerEndpoint) -> None:
    assert [endpoint.name for endpoint in endpoints.describe()] == ["fraud"]


def creates(endpoints: SageMakerEndpoint) -> None:
    assert endpoints.create(request_for("other", "1", content=3)).variants[0].state == "ready"


def adds(endpoints: SageMakerEndpoint) -> None:
    assert weights(endpoints.create(request_for("fraud", "3", content=3))) == {"1": 100, "2": 0, "3": 0}


def shifts(endpoints: SageMakerEndpoint) -> None:
    assert weights(endpoints.shift_traffic("fraud", {"1": 40, "2": 60})) == {"1": 40, "2": 60}


def invokes(endpoints: SageMakerEndpoint) -> None:
    assert endpoints.invoke_target("fraud", "2").headers == {"X-Amzn-SageMaker-Target-Variant": "2"}


def removes(endpoints: SageMakerEndpoint) -> None:
    assert endpoints.delete("fraud", "2") is True


def removes_all(endpoints: SageMakerEndpoint) -> None:
    assert endpoints.delete("fraud") is True


EVERY = [describes, creates, adds, shifts, invokes, removes, removes_all]


@pytest.fixture
def world(open_on: Open, aws: AwsModel, stub: SageMakerStub) -> Iterator[tuple[SageMakerEndpoint, FaultProxy]]:
    """Two versions of a model, and endpoints that see them through a proxy that fails."""
    stub.polls = 1
    straight = open_on()
    for version in ("1", "2"):
        straight.create(request_for("fraud", version, content=int(version)))
    with FaultProxy(aws.url) as proxy:
        yield open_on(proxy.url, timeout=(5, 0.5)), proxy


@pytest.mark.parametrize("faults", FAULTS)
@pytest.mark.parametrize("does", EVERY)
def test_goes_on_after_faults(
    does: Callable[[SageMakerEndpoint], None], faults: str, world: tuple[SageMakerEndpoint, FaultProxy], waits: Waits, stub: SageMakerStub
) -> None:
    endpoints, proxy = world
    proxy.script(*FAULTS[faults])
    does(endpoints)
    assert proxy.unused == []
    assert faults != "unheard" or 7.0 in waits.seconds
    assert len(stub.configs) == len(stub.endpoints)


WRITES = {
    creates: ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"],
    adds: ["CreateModel", "CreateEndpointConfig", "UpdateEndpoint", "DeleteEndpointConfig"],
    shifts: ["UpdateEndpointWeightsAndCapacities"],
    removes: ["UpdateEndpoint", "DeleteModel"],
    removes_all: ["DeleteEndpoint", "DeleteEndpointConfig", "DeleteModel"],
}


@pytest.mark.parametrize("fault", LOST)
@pytest.mark.parametrize(("does", "operation"), [(does, operation) for does, named in WRITES.items() for operation in named])
def test_a_write_whose_answer_is_lost_is_one_write(
    does: Callable[[SageMakerEndpoint], None], operation: str, fault: str, world: tuple[SageMakerEndpoint, FaultProxy], stub: SageMakerStub
) -> None:
    endpoints, proxy = world
    proxy.script(LOST[fault], only=lambda request: request.headers["X-Amz-Target"] == f"SageMaker.{operation}")
    does(endpoints)
    assert proxy.unused == []
    serving = sum(len(stub.configs[one.config]["ProductionVariants"]) for one in stub.endpoints.values())
    assert (len(stub.configs), len(stub.models)) == (len(stub.endpoints), serving)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(400, "ResourceLimitExceeded", "The account-level service limit is 0"), QuotaExceeded),
        (error(400, "AccessDeniedException", "is not authorized to perform: sagemaker"), NotAuthenticated),
        (error(400, "ExpiredTokenException", "The security token included in the request is expired"), NotAuthenticated),
        (error(400, "ValidationException", "1 validation error detected"), InvalidRequest),
        (error(400, "ValidationException", 'Could not find endpoint "x"'), NotFound),
        (error(400, "ValidationException", "Cannot update in-progress endpoint"), Conflict),
        (error(500, "InternalFailure"), Unavailable),
    ],
)  # fmt: skip
def test_error_table(answer: Answer, kind: type[McmlError], world: tuple[SageMakerEndpoint, FaultProxy]) -> None:
    endpoints, proxy = world
    proxy.script(*[answer] * 9, only=lambda request: request.headers["X-Amz-Target"].endswith("WeightsAndCapacities"))
    with pytest.raises(kind) as told:
        endpoints.shift_traffic("fraud", {"1": 50, "2": 50})
    assert type(told.value) is kind
    assert told.value.message == "cannot shift the traffic of fraud on aws-1"


def test_a_wrong_clock_is_named(world: tuple[SageMakerEndpoint, FaultProxy]) -> None:
    endpoints, proxy = world
    said = error(400, "InvalidSignatureException", "Signature expired")
    proxy.script(Answer(400, {**said.headers, "Date": datetime(2020, 1, 1, tzinfo=UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")}, said.body))
    with pytest.raises(NotAuthenticated) as told:
        endpoints.describe("fraud")
    assert "ahead of that of AWS" in told.value.why


def test_no_credential_is_shown(world: tuple[SageMakerEndpoint, FaultProxy], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    endpoints, proxy = world
    seen = [repr(endpoints), repr(vars(endpoints)), repr(endpoints.invoke_target("fraud")), repr(endpoints.describe())]
    for fault in (error(400, "ExpiredTokenException", f"expired {TOKEN}"), error(400, "SignatureDoesNotMatch", f"{KEY_ID} {SECRET}")):
        proxy.script(fault)
        with pytest.raises(McmlError) as failed:
            endpoints.describe("fraud")
        seen += ["".join(traceback.format_exception(failed.value)), failed.value.why, failed.value.next_step]
    for secret in CREDENTIALS:
        assert secret not in "\n".join(seen) + caplog.text
