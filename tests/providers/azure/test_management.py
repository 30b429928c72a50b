"""Azure Resource Manager's errors in our words, and long-running operations followed to their end; against the stub of it."""

from datetime import timedelta
from typing import Any

import pytest
from azure.mgmt.compute import ComputeManagementClient

from mcml.core.clock import utc_now
from mcml.core.errors import (
    Conflict,
    InvalidRequest,
    McmlError,
    NotAuthenticated,
    NotFound,
    QuotaExceeded,
    StillRunning,
    Unavailable,
)
from mcml.providers.azure.operations import wait_for
from mcml.providers.azure.session import Session
from mcml.testing.stubs.azure_arm import ArmError, ArmStub, Reply, Request, throttled
from mcml.testing.stubs.faults import Answer, FaultProxy, Reset
from tests.providers.azure.conftest import MakeSession, Waits, management_session
from tests.providers.azure.test_arm_stub import MACHINE, SDK, VM

DENIED = (
    "The client 'ada' with object id 'x' does not have authorization to perform action 'Microsoft.Compute/virtualMachines/read' over "
    "scope '/subscriptions/s/resourceGroups/ml' or the scope is invalid."
)
ISSUER = (
    "The access token is from the wrong issuer 'https://sts.windows.net/5a1ad0de-0000-4000-8000-000000000001/'. It must match the tenant "
    "'https://sts.windows.net/5a1ad0de-0000-4000-8000-000000000002/' associated with this subscription."
)
UNREGISTERED = "The subscription is not registered to use namespace 'Microsoft.Compute'. See https://aka.ms/rps-not-found?x=1"
CORES = "Operation could not be completed as it results in exceeding approved Total Regional Cores quota."
BUSY = "The operation is not allowed because there is an in progress update."

TABLE: list[tuple[int, str, str, type[McmlError], str]] = [
    (401, "ExpiredAuthenticationToken", "", NotAuthenticated, "az login --tenant contoso.example"),
    (401, "InvalidAuthenticationTokenTenant", ISSUER, NotAuthenticated, "az login --tenant 5a1ad0de-0000-4000-8000-000000000002"),
    (403, "AuthorizationFailed", DENIED, NotAuthenticated, "--role ROLE --scope /subscriptions/s/resourceGroups/ml"),
    (403, "RequestDisallowedByPolicy", "", InvalidRequest, "az policy assignment list"),
    (404, "SubscriptionNotFound", "", NotFound, "az account list"),
    (404, "ResourceGroupNotFound", "Resource group 'ml' could not be found.", NotFound, "az group list"),
    (404, "ResourceNotFound", "... under resource group 'ml' was not found.", NotFound, "az resource list --resource-group ml"),
    (404, "VerySpecialNotFound", "", NotFound, ""),
    (409, "MissingSubscriptionRegistration", UNREGISTERED, InvalidRequest, "az provider register --namespace Microsoft.Compute"),
    (409, "ScopeLocked", "", Conflict, "az lock list"),
    (409, "ConflictError", "", Conflict, "under way"),
    (409, "OperationNotAllowed", BUSY, Conflict, "under way"),
    (409, "OperationNotAllowed", CORES, QuotaExceeded, "az vm list-usage"),
    (400, "QuotaExceeded", "", QuotaExceeded, "az vm list-usage"),
    (409, "SkuNotAvailable", "", QuotaExceeded, "az vm list-skus"),
    (400, "InvalidParameter", "", InvalidRequest, ""),
    (412, "SomethingFailed", "", Conflict, ""),
    (429, "TooManyRequests", "", Unavailable, "mcml doctor"),
    (429, "OperationNotAllowed", CORES, Unavailable, "mcml doctor"),
    (500, "InternalServerError", "", Unavailable, "mcml doctor"),
    (503, "NobodyKnows", "", Unavailable, "mcml doctor"),
]


@pytest.mark.parametrize(("status", "code", "message", "kind", "step"), TABLE, ids=[f"{row[0]} {row[1]}" for row in TABLE])
def test_the_table(
    arm: ArmStub, make_session: MakeSession, status: int, code: str, message: str, kind: type[McmlError], step: str
) -> None:
    session = management_session(make_session, arm.url, policy=Waits().policy(attempts=1), tenant="contoso.example")
    arm.fail(ArmError(status, code, message))
    with pytest.raises(McmlError) as caught:
        look(session)
    assert type(caught.value) is kind
    assert caught.value.message == "cannot look at m1"
    assert f"({status}, {code})" in caught.value.why
    assert step in caught.value.next_step
    assert "?x=1" not in caught.value.why
    assert len(arm.requests) == 1  # above all, nothing was registered


def look(session: Session) -> Any:
    return session.call("look at m1", lambda: session.management(ComputeManagementClient).virtual_machines.get("ml", "m1"))


def test_the_innermost_error_counts(arm: ArmStub, arm_session: Session) -> None:
    wrapped = ArmError(400, "DeploymentFailed", "At least one operation failed.")
    inner = {"code": "BadRequest", "message": "x", "details": [{"code": "QuotaExceeded", "message": "full"}]}
    wrapped.reply.body["error"]["details"] = [inner]
    arm.fail(wrapped)
    with pytest.raises(QuotaExceeded) as caught:
        look(arm_session)
    assert caught.value.why == "full (400, QuotaExceeded)"


@pytest.mark.parametrize("answer", [Answer(429), Answer(502, {}, b"<html>Bad gateway</html>"), Answer(403), Answer(404)])
def test_answers_without_a_body(arm: ArmStub, make_session: MakeSession, server_tls: Any, answer: Answer) -> None:
    with FaultProxy(arm.url, **server_tls) as proxy:
        session = management_session(make_session, proxy.url, policy=Waits().policy(attempts=1))
        proxy.script(answer)
        with pytest.raises({429: Unavailable, 502: Unavailable, 403: NotAuthenticated, 404: NotFound}[answer.status]):
            look(session)


def test_throttling_is_waited_for(arm: ArmStub, make_session: MakeSession) -> None:
    waits = Waits()
    session = management_session(make_session, arm.url, policy=waits.policy())
    arm.on("GET", VM, lambda request: MACHINE, sdk=SDK, answer="VirtualMachine")
    arm.fail(throttled(7), throttled(9, header="x-ms-ratelimit-microsoft.compute-retry-after"))
    assert look(session).name == "m1"
    assert [seconds >= least for seconds, least in zip(waits.seconds, (7, 9), strict=True)] == [True, True]


def test_a_wrong_clock_is_said(arm: ArmStub, make_session: MakeSession) -> None:
    session = management_session(make_session, arm.url, clock=lambda: utc_now() + timedelta(minutes=62))
    arm.fail(ArmError(401, "InvalidAuthenticationToken"))
    with pytest.raises(NotAuthenticated) as caught:
        look(session)
    assert "62 minutes ahead of Azure's" in caught.value.why
    assert caught.value.next_step == "sudo timedatectl set-ntp true"


def begin(session: Session) -> Any:
    vms = session.management(ComputeManagementClient).virtual_machines
    return wait_for(session, "start m1", lambda **options: vms.begin_start("ml", "m1", **options))


def test_an_operation_is_followed(arm: ArmStub, make_session: MakeSession) -> None:
    waits, ended = Waits(), []
    session = management_session(make_session, arm.url, policy=waits.policy())

    def start(request: Request) -> Reply:
        return arm.operation(request, lambda: ended.append(1), polls=3, retry_after=17)

    arm.on("POST", f"{VM}/start", start, sdk=SDK)
    assert begin(session) is None
    assert (ended, waits.seconds) == ([1], [17.0, 17.0, 17.0])


def test_a_creation_gives_the_resource(arm: ArmStub, arm_session: Session) -> None:
    arm.on("GET", VM, lambda request: MACHINE, sdk=SDK, answer="VirtualMachine")

    def put(request: Request) -> Reply:
        return arm.operation(request, status=201, body=MACHINE)

    arm.on("PUT", VM, put, sdk=SDK, body="VirtualMachine", answer="VirtualMachine")
    vms = arm_session.management(ComputeManagementClient).virtual_machines
    body = {"location": "westeurope"}
    made = wait_for(arm_session, "make m1", lambda **options: vms.begin_create_or_update("ml", "m1", body, **options))
    assert (made.name, made.provisioning_state) == ("m1", "Succeeded")


def test_a_failed_operation_is_in_our_words(arm: ArmStub, arm_session: Session) -> None:
    failure = ArmError(409, "AllocationFailed", "Allocation failed.")
    arm.on("POST", f"{VM}/start", lambda request: arm.operation(request, failure=failure), sdk=SDK)
    with pytest.raises(QuotaExceeded, match="cannot start m1") as caught:
        begin(arm_session)
    assert caught.value.why == "Azure has none of these machines free there now (200, AllocationFailed)"
    assert "az vm list-skus" in caught.value.next_step


def test_an_operation_that_does_not_end_goes_on(arm: ArmStub, arm_session: Session) -> None:
    arm.on("POST", f"{VM}/start", lambda request: arm.operation(request, polls=10_000, retry_after=60), sdk=SDK)
    vms = arm_session.management(ComputeManagementClient).virtual_machines
    with pytest.raises(StillRunning, match="not done after 240 seconds"):
        wait_for(arm_session, "start m1", lambda **options: vms.begin_start("ml", "m1", **options), patience=250.0)


def test_passing_faults_while_it_is_followed(arm: ArmStub, make_session: MakeSession, server_tls: Any) -> None:
    arm.on("POST", f"{VM}/start", lambda request: arm.operation(request, polls=1), sdk=SDK)
    with FaultProxy(arm.url, **server_tls) as proxy:
        session = management_session(make_session, proxy.url)
        proxy.script(Reset(), Answer(429), Answer(500), Reset(), only=lambda request: request.method == "GET")
        assert begin(session) is None
        assert proxy.unused == []
    assert len(arm.sent("POST")) == 1


def test_an_unrepeatable_operation_is_begun_once(arm: ArmStub, make_session: MakeSession, server_tls: Any) -> None:
    arm.on("POST", f"{VM}/start", lambda request: arm.operation(request), sdk=SDK)
    with FaultProxy(arm.url, **server_tls) as proxy:
        session = management_session(make_session, proxy.url)
        vms = session.management(ComputeManagementClient).virtual_machines
        proxy.script(Reset(reaches_server=True))
        with pytest.raises(Unavailable):
            wait_for(session, "start m1", lambda **options: vms.begin_start("ml", "m1", **options), repeatable=False)
    assert len(arm.sent("POST")) == 1
