"""What buckets change in the storage account: versioning and expiry, over HTTPS against the ARM stub and a stub of the blob service."""

import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from mcml.core.clock import utc_now
from mcml.core.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound, QuotaExceeded, Unavailable
from mcml.providers.api.buckets import BucketConfig, Buckets
from mcml.providers.api.object_store import ObjectStore
from mcml.providers.azure.bucket_account import MOST_RULES, MOST_TRIES, Expiry, expiry_of, is_set, rule_of, with_rule
from mcml.providers.azure.buckets import AzureBuckets
from mcml.providers.azure.object_store import AzureObjectStore
from mcml.providers.azure.session import Session
from mcml.providers.resilience import READ_SECONDS
from mcml.testing.contracts.buckets import BucketsContract
from mcml.testing.stubs.azure_arm import ArmError, ArmStub
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Reset
from tests.providers.azure import versions_stub
from tests.providers.azure.azurite_server import ACCOUNT, WELL_KNOWN_KEY
from tests.providers.azure.conftest import SUBSCRIPTION, GivenToken, MakeSession, Waits, management_session
from tests.providers.azure.storage_world import StorageWorld

KEPT: dict[str, Any] = {
    "enabled": True, "name": "their-rule", "type": "Lifecycle",
    "definition": {
        "actions": {"baseBlob": {"tierToCool": {"daysAfterModificationGreaterThan": 30.5}}},
        "filters": {"blobTypes": ["blockBlob"], "prefixMatch": ["logs/old"], "blobIndexMatch": [{"name": "a", "op": "==", "value": "b"}]},
    },
}  # fmt: skip


@dataclass
class Both:
    """A session at the two sides of one storage account."""

    session: Session
    world: StorageWorld
    waits: Waits
    proxy: FaultProxy

    @property
    def buckets(self) -> AzureBuckets:
        return AzureBuckets(self.session)


@pytest.fixture
def both(
    arm: ArmStub, server_tls: dict[str, ssl.SSLContext], make_session: MakeSession, request: pytest.FixtureRequest
) -> Iterator[Both]:
    slow = "slow" in request.node.callspec.params.values() if hasattr(request.node, "callspec") else False
    waits = Waits()
    with versions_stub.serving(server_tls["tls"]) as (origin, account), FaultProxy(arm.url, **server_tls) as proxy:
        given = {"policy": waits.policy(), "read_seconds": 0.5 if slow else READ_SECONDS, "endpoint": f"{origin}/{{account}}"}
        yield Both(management_session(make_session, proxy.url, **given), StorageWorld(arm, ACCOUNT, account), waits, proxy)


class TestAgainstStubsOfTheDocumentationNotAzure(BucketsContract):
    """Everything can be turned on; whether Azure itself does so is not proven here."""

    @pytest.fixture
    def buckets(self, both: Both) -> Buckets:
        return both.buckets

    @pytest.fixture
    def object_store(self, both: Both) -> ObjectStore:
        return AzureObjectStore(both.session)

    @pytest.fixture
    def new_bucket(self, fresh_name: str) -> str:
        return fresh_name


def test_versioning_goes_on_for_the_account_and_never_off(both: Both) -> None:
    both.buckets.create("models")
    before = dict(both.world.service)
    assert both.buckets.configure("models", BucketConfig(versioning=False)).versioning is False
    assert both.world.writes == []
    assert both.buckets.configure("models", BucketConfig()).versioning is True
    assert both.world.service == {**before, "isVersioningEnabled": True}
    assert both.buckets.configure("models", BucketConfig(versioning=False)).versioning is True
    assert both.world.writes == ["service"]


def test_a_data_lake_keeps_no_versions(both: Both) -> None:
    both.world.hierarchical = True
    both.buckets.create("models")
    assert both.buckets.configure("models", BucketConfig()).versioning is False
    assert both.world.writes == []


def test_the_rules_of_others_are_kept(both: Both) -> None:
    both.world.rules = [KEPT]
    for bucket in ("models", "models-2"):
        both.buckets.create(bucket)
    now = both.buckets.configure("models", BucketConfig(expire_days=30, expire_old_days=7))
    assert (now.expire_days, now.expire_old_days) == (30, 7)
    both.buckets.configure("models-2", BucketConfig(expire_days=3))
    assert both.world.rules[0] == KEPT
    assert both.world.rules[1:] == [rule_of("models", Expiry(30, 7)), rule_of("models-2", Expiry(3))]
    both.buckets.configure("models", BucketConfig())
    both.buckets.configure("models-2", BucketConfig())
    assert both.world.rules == [KEPT]


def test_the_last_rule_takes_the_policy_with_it(both: Both) -> None:
    both.buckets.create("models")
    both.buckets.configure("models", BucketConfig(versioning=False, expire_days=30))
    both.buckets.configure("models", BucketConfig(versioning=False))
    both.buckets.configure("models", BucketConfig(versioning=False))
    assert both.world.writes == ["policy", "no policy"]


def test_a_rule_that_somebody_has_changed_is_ours_again(both: Both) -> None:
    both.buckets.create("models")
    rule: Any = rule_of("models", Expiry(30))
    rule["definition"]["filters"]["prefixMatch"] = ["models/", "other/"]
    both.world.rules = [rule]
    both.buckets.configure("models", BucketConfig(versioning=False, expire_days=30))
    assert both.world.rules == [rule_of("models", Expiry(30))]


def test_what_the_rules_of_others_delete_is_told(both: Both) -> None:
    both.world.rules = [{**KEPT, "definition": {"actions": {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": 5}}}}}]
    both.buckets.create("models")
    assert both.buckets.configure("models", BucketConfig(versioning=False)).expire_days == 5
    assert both.buckets.configure("models", BucketConfig(versioning=False, expire_days=30)).expire_days == 5


def filtered(**filters: Any) -> dict[str, Any]:
    delete = {"baseBlob": {"delete": {"daysAfterModificationGreaterThan": 9.0}}}
    return {"name": "r", "definition": {"actions": delete, "filters": {"blobTypes": ["blockBlob"], **filters}}}


@pytest.mark.parametrize(
    ("rule", "days"),
    [
        (filtered(), 9),
        (filtered(prefixMatch=["mod"]), 9),
        (filtered(prefixMatch=["x", "models/"]), 9),
        (filtered(prefixMatch=["models/tmp"]), None),
        (filtered(prefixMatch=["models-2/"]), None),
        (filtered(blobIndexMatch=[{"name": "a", "op": "==", "value": "b"}]), None),
        (filtered(blobTypes=["appendBlob"]), None),
        ({**filtered(), "enabled": False}, None),
    ],
)
def test_which_rules_hold_for_a_whole_container(rule: dict[str, Any], days: int | None) -> None:
    assert expiry_of([rule], "models") == Expiry(days)


def test_a_rule_is_known_however_the_service_writes_it() -> None:
    wanted = Expiry(30, 7)
    rule: Any = rule_of("models", wanted)
    rule["definition"]["filters"] |= {"blobTypes": ["appendBlob", "blockBlob"], "blobIndexMatch": None}
    rule["definition"]["actions"]["baseBlob"]["delete"]["daysAfterModificationGreaterThan"] = 30.0
    assert is_set([KEPT, rule], "models", wanted)
    assert not is_set([{**rule, "enabled": False}], "models", wanted)
    assert with_rule([rule, KEPT], "models", Expiry()) == [KEPT]


def test_a_policy_that_is_full(both: Both) -> None:
    both.buckets.create("models")
    both.world.rules = full = [{**KEPT, "name": f"r{number}"} for number in range(MOST_RULES)]
    with pytest.raises(QuotaExceeded, match="cannot set when az://models expires") as caught:
        both.buckets.configure("models", BucketConfig(versioning=False, expire_days=30))
    assert "100 rules" in caught.value.why
    assert caught.value.next_step.startswith("az storage account management-policy show")
    assert both.world.rules == full
    assert both.world.writes == []


def test_two_at_once_do_not_lose_a_rule(both: Both) -> None:
    names = [f"models-{number}" for number in range(6)]
    for name in names:
        both.buckets.create(name)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda name: both.buckets.configure(name, BucketConfig(versioning=False, expire_days=30)), names))
    assert {one.expire_days for one in found} == {30}
    assert {rule["name"] for rule in both.world.rules} == {f"mcml-{name}-expire" for name in names}


def test_a_rule_that_another_process_undid_is_written_again(both: Both) -> None:
    """It had read the policy before ours was in it."""
    both.buckets.create("models")
    other = rule_of("other", Expiry(1))
    assert other is not None
    stale = [[KEPT], [KEPT, other]]  # the later first

    def meddle() -> None:
        if stale:
            both.world.rules = stale.pop()

    both.world.meddle = meddle
    assert both.buckets.configure("models", BucketConfig(versioning=False, expire_days=30)).expire_days == 30
    assert [rule["name"] for rule in both.world.rules] == ["their-rule", "mcml-models-expire"]
    assert both.world.writes == ["policy"] * 3
    assert len(both.waits.seconds) == 3


def test_a_rule_that_is_undone_for_ever(both: Both) -> None:
    both.buckets.create("models")
    both.world.meddle = lambda: setattr(both.world, "rules", [KEPT])
    with pytest.raises(Conflict, match="cannot set when az://models expires") as caught:
        both.buckets.configure("models", BucketConfig(versioning=False, expire_days=30))
    assert "somebody else writes the lifecycle policy" in caught.value.why
    assert len(both.world.writes) == MOST_TRIES - 1


@pytest.mark.parametrize("days", [0, -1])
def test_less_than_a_day_is_refused(both: Both, days: int) -> None:
    for config in (BucketConfig(expire_days=days), BucketConfig(expire_old_days=days)):
        with pytest.raises(InvalidRequest, match="cannot expire"):
            both.buckets.configure("models", config)


def test_a_missing_container_changes_nothing_of_the_account(both: Both) -> None:
    with pytest.raises(NotFound):
        both.buckets.configure("absent", BucketConfig(expire_days=30))
    assert both.world.writes == []


def test_an_account_that_the_subscription_does_not_show(both: Both) -> None:
    both.buckets.create("models")
    both.world.name = "elsewhere"
    with pytest.raises(NotFound, match=f"no storage account '{ACCOUNT}' in subscription") as caught:
        both.buckets.configure("models", BucketConfig())
    assert "may not see it" in caught.value.why
    assert "az storage account list" in caught.value.next_step


@pytest.mark.parametrize(
    ("part", "action"),
    [("blobServices", "Microsoft.Storage/storageAccounts/blobServices/write"), ("managementPolicies", "...managementPolicies/write")],
)
def test_a_login_that_may_not_manage_the_account(both: Both, part: str, action: str) -> None:
    both.buckets.create("models")
    scope = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/data/providers/Microsoft.Storage/storageAccounts/{ACCOUNT}"
    said = f"The client 'ada' does not have authorization to perform action '{action}' over scope '{scope}' or the scope is invalid."
    both.world.arm.fail(ArmError(403, "AuthorizationFailed", said), only=lambda one: one.method == "PUT" and part in one.path)
    with pytest.raises(NotAuthenticated) as caught:
        both.buckets.configure("models", BucketConfig(expire_days=30))
    assert caught.value.next_step.startswith(f"az role assignment create --assignee YOU --role ROLE --scope {scope}")
    assert action in caught.value.next_step


def test_with_the_key_alone_the_account_is_left_as_it_is(
    both: Both, make_session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.buckets.create("models")
    monkeypatch.setenv("AZURE_STORAGE_KEY", WELL_KNOWN_KEY)
    session = make_session(both.session.settings.endpoint, management=both.proxy.url, subscription=SUBSCRIPTION)
    asked = BucketConfig(expire_days=30)
    assert AzureBuckets(session).configure("models", asked) == BucketConfig(versioning=False)
    assert both.world.arm.requests == []
    without = make_session(both.session.settings.endpoint, management=both.proxy.url, credential=GivenToken())
    assert AzureBuckets(without).configure("models", asked) == BucketConfig(versioning=False)


JSON = {"Content-Type": "application/json"}
BUSY = b'{"error": {"code": "ServerTimeout", "message": "The request timed out."}}'
BLOCKED = b'{"error": {"code": "StorageAccountOperationInProgress", "message": "An operation is currently performing."}}'
PASSING: dict[str, tuple[Fault, ...]] = {
    "reset and 500": (Reset(), Answer(500, JSON, BUSY), Answer(502, {}, b"<html>Bad gateway</html>")),
    "half a body": (HalfBody(),),
    "429 and 409": (Answer(429, {**JSON, "Retry-After": "4"}, BUSY), Answer(409, JSON, BLOCKED)),
    "slow": (Delay(2.0, reaches_server=False),),
}
LOST: dict[str, Fault] = {"reset": Reset(reaches_server=True), "500": Answer(500, JSON, BUSY, reaches_server=True), "slow": Delay(2.0)}
REQUESTS: dict[str, Callable[[str, str], bool]] = {
    "the listing": lambda method, path: "storageAccounts?" in path,
    "the service": lambda method, path: method == "GET" and "blobServices" in path,
    "versioning": lambda method, path: method == "PUT" and "blobServices" in path,
    "the policy": lambda method, path: method == "GET" and "managementPolicies" in path,
    "the rule": lambda method, path: method == "PUT" and "managementPolicies" in path,
}
ASKED = BucketConfig(expire_days=30, expire_old_days=7)


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("which", REQUESTS)
def test_a_passing_fault_passes(both: Both, which: str, fault: str) -> None:
    both.buckets.create("models")
    both.proxy.script(*PASSING[fault], only=lambda request: REQUESTS[which](request.method, request.path))
    assert both.buckets.configure("models", ASKED) == ASKED
    assert both.proxy.unused == []


@pytest.mark.parametrize("lost", LOST)
@pytest.mark.parametrize("which", ["versioning", "the rule"])
def test_a_write_whose_answer_is_lost(both: Both, which: str, lost: str) -> None:
    """It is sent again, and says the same: the rules are those that one write leaves."""
    both.world.rules = [KEPT]
    both.buckets.create("models")
    both.proxy.script(LOST[lost], only=lambda request: REQUESTS[which](request.method, request.path))
    assert both.buckets.configure("models", ASKED) == ASKED
    assert both.world.rules == [KEPT, rule_of("models", Expiry(30, 7))]


@pytest.mark.parametrize("which", REQUESTS)
def test_a_service_that_stays_down(both: Both, which: str) -> None:
    both.buckets.create("models")
    both.proxy.script(*[Reset()] * 99, only=lambda request: REQUESTS[which](request.method, request.path))
    with pytest.raises(Unavailable, match=r"^cannot ") as caught:
        both.buckets.configure("models", ASKED)
    assert caught.value.why
    assert caught.value.next_step


def test_an_expired_token_and_a_wrong_clock(both: Both) -> None:
    both.buckets.create("models")
    both.world.arm.fail(ArmError(401, "ExpiredAuthenticationToken"))
    with pytest.raises(NotAuthenticated) as caught:
        both.buckets.configure("models", ASKED)
    assert caught.value.next_step == "az login"
    date = format_datetime(utc_now() - timedelta(minutes=62), usegmt=True)
    both.proxy.script(ArmError(401, "InvalidAuthenticationToken", "Not yet valid.", {"Date": date}).fault)
    with pytest.raises(NotAuthenticated) as caught:
        both.buckets.configure("models", ASKED)
    assert "62 minutes ahead" in caught.value.why
    given = both.session.credential
    assert isinstance(given, GivenToken)
    assert given.text not in f"{caught.value!r} {caught.value.why} {both.session!r}"
