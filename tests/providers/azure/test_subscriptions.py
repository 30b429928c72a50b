"""The subscription and the clock, as the checks of Identity ask Azure about them: against the ARM stub, through faults."""

import ssl
from datetime import timedelta

import pytest

from mcml.core.clock import utc_now
from mcml.core.errors import NotAuthenticated
from mcml.providers.api.identity import Check
from mcml.providers.azure.identity import AzureIdentity
from mcml.providers.azure.session import Session
from mcml.testing.stubs.azure_arm import ArmError, ArmStub
from mcml.testing.stubs.faults import Answer, Fault, FaultProxy, HalfBody, Reset
from tests.providers.azure.azurite_server import WELL_KNOWN_KEY, Server
from tests.providers.azure.conftest import SUBSCRIPTION, TENANT, MakeSession, management_session
from tests.providers.azure.subscriptions_world import SubscriptionsWorld


@pytest.fixture
def world(arm: ArmStub) -> SubscriptionsWorld:
    return SubscriptionsWorld(arm)


def checks_of(session: Session) -> dict[str, Check]:
    return {check.name: check for check in AzureIdentity(session).check()}


@pytest.mark.parametrize("state", ["Disabled", "Warned", "PastDue"])
def test_a_subscription_that_cannot_be_used(arm_session: Session, world: SubscriptionsWorld, state: str) -> None:
    world.add(state=state)
    check = checks_of(arm_session)["subscription"]
    assert (check.ok, check.detail) == (False, f"{SUBSCRIPTION} (ML) is {state.lower()}")
    assert check.fix.startswith(f"az account show --subscription {SUBSCRIPTION}")
    assert AzureIdentity(arm_session).whoami().account == f"{SUBSCRIPTION} (ML)"


def test_a_subscription_that_the_login_does_not_see(arm_session: Session, world: SubscriptionsWorld) -> None:
    world.add("another")
    check = checks_of(arm_session)["subscription"]
    assert not check.ok
    assert "the login does not see it" in check.detail
    assert check.fix.startswith("set subscription in [providers.azure]")
    with pytest.raises(NotAuthenticated, match=f"cannot look at subscription {SUBSCRIPTION}"):
        AzureIdentity(arm_session).whoami()


def test_a_subscription_of_another_tenant(arm_session: Session, world: SubscriptionsWorld, arm: ArmStub) -> None:
    said = (
        f"The access token is from the wrong issuer 'https://sts.windows.net/{TENANT}/'. It must match the tenant "
        "'https://sts.windows.net/0wner/' associated with this subscription."
    )
    arm.fail(ArmError(401, "InvalidAuthenticationTokenTenant", said))
    check = checks_of(arm_session)["subscription"]
    assert "another tenant" in check.detail
    assert check.fix.startswith("az login --tenant 0wner")


def test_a_subscription_without_access(arm_session: Session, world: SubscriptionsWorld, arm: ArmStub) -> None:
    said = (
        "The client 'ada' does not have authorization to perform action 'Microsoft.Resources/subscriptions/read' "
        f"over scope '/subscriptions/{SUBSCRIPTION}' or the scope is invalid."
    )
    arm.fail(ArmError(403, "AuthorizationFailed", said))
    check = checks_of(arm_session)["subscription"]
    assert not check.ok
    assert f"--scope /subscriptions/{SUBSCRIPTION}" in check.fix


def test_without_a_subscription_those_that_the_login_sees_are_named(
    make_session: MakeSession, arm: ArmStub, world: SubscriptionsWorld
) -> None:
    """Page by page."""
    session = management_session(make_session, arm.url, subscription="")
    check = checks_of(session)["subscription"]
    assert (check.ok, check.detail) == (False, "none is set; the login sees none")
    for number in range(7):
        world.add(f"id-{number}", f"Team {number}")
    check = checks_of(session)["subscription"]
    assert check.detail.startswith("none is set; the login sees id-0 (Team 0), id-1 (Team 1), ")
    assert check.detail.endswith("id-4 (Team 4) and 2 more")
    assert "set subscription in [providers.azure]" in check.fix


def test_a_wrong_clock_is_seen_before_anything_fails(make_session: MakeSession, arm: ArmStub, world: SubscriptionsWorld) -> None:
    world.add()
    session = management_session(make_session, arm.url, clock=lambda: utc_now() - timedelta(minutes=30))
    check = checks_of(session)["clock"]
    assert (check.ok, check.detail) == (False, "this machine's clock is 30 minutes behind Azure's")
    assert check.fix == "sudo timedatectl set-ntp true"
    assert checks_of(management_session(make_session, arm.url))["clock"].ok


def test_a_wrong_clock_with_a_key(azurite: Server, make_session: MakeSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_KEY", WELL_KNOWN_KEY)
    check = checks_of(make_session(azurite.endpoint, clock=lambda: utc_now() + timedelta(minutes=20)))["clock"]
    assert check.detail == "this machine's clock is 20 minutes ahead of Azure's"


@pytest.mark.parametrize("subscription", [SUBSCRIPTION, ""])
@pytest.mark.parametrize("fault", [Reset(), HalfBody(), Answer(429, {"Retry-After": "4"}), Answer(500)])
def test_passing_faults_of_the_subscription(
    make_session: MakeSession,
    arm: ArmStub,
    world: SubscriptionsWorld,
    server_tls: dict[str, ssl.SSLContext],
    fault: Fault,
    subscription: str,
) -> None:
    world.add()
    with FaultProxy(arm.url, **server_tls) as proxy:
        proxy.script(fault, only=lambda request: "/subscriptions" in request.path)
        check = checks_of(management_session(make_session, proxy.url, subscription=subscription))["subscription"]
        assert proxy.unused == []
    assert f"{SUBSCRIPTION} (ML)" in check.detail


def test_a_management_that_stays_down_is_a_failed_check(
    make_session: MakeSession, arm: ArmStub, server_tls: dict[str, ssl.SSLContext]
) -> None:
    with FaultProxy(arm.url, **server_tls) as proxy:
        proxy.script(*[Reset()] * 99)
        checks = checks_of(management_session(make_session, proxy.url, storage_account=""))
    seen = [(check.name, check.ok) for check in checks.values()]
    assert seen == [("credentials", True), ("subscription", False), ("storage account", True)]
    assert "no whole answer came" in checks["subscription"].detail
    assert checks["subscription"].fix
