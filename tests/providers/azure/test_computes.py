"""Compute clusters of Azure ML: the contract, and what is Azure's own, over the official SDK against a stub that its models judge."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcml.core.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound, QuotaExceeded
from mcml.providers.api.computes import ComputeRequest, Computes
from mcml.providers.api.jobs import JobRequest, Jobs
from mcml.providers.azure.computes import MlComputes, open_computes
from mcml.providers.azure.jobs import MlJobs
from mcml.providers.azure.ml_workspace import Workspace
from mcml.testing.contracts.computes import ComputesContract
from mcml.testing.stubs.azure_arm import ArmError, ArmStub
from mcml.testing.stubs.faults import Answer, Fault, FaultProxy, Reset
from tests.providers.azure.conftest import PASSING, SUBSCRIPTION, MakeSession, management_session
from tests.providers.azure.ml_assets_stub import MlAssets
from tests.providers.azure.ml_jobs_stub import MlJobsStub
from tests.providers.azure.ml_stub import Ml

MACHINE = "Standard_DS3_v2"
POOL = ComputeRequest("cpu-pool", "t1", MACHINE, 0, 2, tags={"team": "risk"})
SUBNET = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/v/subnets/ml"


@pytest.fixture
def stub(arm: ArmStub) -> MlAssets:
    return MlAssets(Ml(arm).serve()).serve()


def computes_at(make_session: MakeSession, url: str, **options: Any) -> MlComputes:
    return MlComputes(Workspace(management_session(make_session, url, **{"workspace": "ml", **options})))


@pytest.fixture
def computes(stub: MlAssets, arm: ArmStub, make_session: MakeSession) -> MlComputes:
    return computes_at(make_session, arm.url)


class TestContract(ComputesContract):
    @pytest.fixture
    def computes(self, stub: MlAssets, arm: ArmStub, make_session: MakeSession) -> Computes:
        return computes_at(make_session, arm.url)

    @pytest.fixture
    def machine(self) -> str:
        return MACHINE

    @pytest.fixture
    def jobs(self, stub: MlAssets, arm: ArmStub, make_session: MakeSession, tmp_path: Path) -> Iterator[Jobs]:
        served = MlJobsStub(stub.ml, tmp_path, computes=stub.computes).serve()
        yield MlJobs(Workspace(management_session(make_session, arm.url, workspace="ml")), "az-weu")
        end = time.monotonic() + 10
        while any(run.process.poll() is None for run in served.runs.values()) and time.monotonic() < end:
            time.sleep(0.01)
        served.close()

    @pytest.fixture
    def job_on(self) -> Callable[[str, str], JobRequest]:
        return lambda compute, token: JobRequest("job", token, ("true",), image="acmeml.azurecr.io/train:1", resources={"compute": compute})


def test_what_azure_is_told(stub: MlAssets, arm: ArmStub, make_session: MakeSession) -> None:
    computes_at(make_session, arm.url, subnet=SUBNET).create(replace(POOL, spot=True, minimum=1))
    (told,) = stub.computes.values()
    assert (told["location"], told["tags"]["team"], told["tags"]["managed-by"]) == ("westeurope", "risk", "mcml")
    about = told["properties"]["properties"]
    assert told["properties"]["computeType"] == "AmlCompute"
    assert (about["vmSize"], about["vmPriority"], about["osType"], about["subnet"]) == (MACHINE, "LowPriority", "Linux", {"id": SUBNET})
    assert about["scaleSettings"] == {"maxNodeCount": 2, "minNodeCount": 1, "nodeIdleTimeBeforeScaleDown": "PT2M"}
    assert about["remoteLoginPortPublicAccess"] == "Disabled"


def test_a_name_that_azure_does_not_take(computes: MlComputes, stub: MlAssets) -> None:
    for name in ("x", "1pool", "pool-", "p" * 33, "my_pool"):
        with pytest.raises(InvalidRequest) as refused:
            computes.create(replace(POOL, name=name))
        assert "2 to 32" in refused.value.why
    assert stub.writes == []


def test_what_others_made(computes: MlComputes, stub: MlAssets) -> None:
    """A cluster without our tags is a pool like ours, and its name is taken; another kind of compute is none of it."""
    computes.create(POOL)
    stub.computes["cpu-pool"]["tags"] = {"owner": "terraform"}
    stub.computes["laptop"] = {**stub.computes["cpu-pool"], "name": "laptop", "properties": {"computeType": "ComputeInstance"}}
    (found,) = computes.list()
    assert (found.name, found.tags) == ("cpu-pool", {"owner": "terraform"})
    for name, why in (("cpu-pool", "another request made it"), ("laptop", "it is a ComputeInstance")):
        with pytest.raises(Conflict) as taken:
            computes.create(replace(POOL, name=name))
        assert taken.value.why == why
    assert computes.delete("laptop") is False
    with pytest.raises(NotFound):
        computes.scale("laptop", 0, 1)
    assert set(stub.computes) == {"cpu-pool", "laptop"}


def test_one_that_failed_is_made_again_with_the_same_token(computes: MlComputes, stub: MlAssets) -> None:
    computes.create(POOL)
    stub.computes["cpu-pool"]["properties"]["provisioningState"] = "Failed"
    assert computes.describe("cpu-pool").state == "failed"
    assert computes.create(POOL).state == "ready"
    assert stub.writes == ["compute", "compute"]


def test_nodes_and_what_keeps_it_busy(computes: MlComputes, stub: MlAssets) -> None:
    computes.create(POOL)
    about = stub.computes["cpu-pool"]["properties"]["properties"]
    about |= {"currentNodeCount": 2, "nodeStateCounts": {"idleNodeCount": 1, "runningNodeCount": 1}}
    about["errors"] = [{"error": {"code": "AllocationFailed", "message": "No more low priority cores."}}]
    found = computes.describe("cpu-pool")
    assert (found.nodes, found.busy, found.state, found.detail) == (2, 1, "ready", "No more low priority cores.")
    with pytest.raises(Conflict) as busy:
        computes.delete("cpu-pool")
    assert busy.value.why == "1 of its machines run jobs"


def test_over_the_quota(computes: MlComputes, stub: MlAssets) -> None:
    with pytest.raises(QuotaExceeded) as full:
        computes.create(replace(POOL, machine="Standard_None"))
    assert "exceeding quota limits" in full.value.why
    assert stub.computes == {}


def test_scaling_keeps_how_long_it_may_be_idle(computes: MlComputes, stub: MlAssets) -> None:
    computes.create(POOL)
    stub.computes["cpu-pool"]["properties"]["properties"]["scaleSettings"]["nodeIdleTimeBeforeScaleDown"] = "PT1H"
    computes.scale("cpu-pool", 1, 4)
    settings = stub.computes["cpu-pool"]["properties"]["properties"]["scaleSettings"]
    assert settings == {"maxNodeCount": 4, "minNodeCount": 1, "nodeIdleTimeBeforeScaleDown": "PT1H"}


METHODS: dict[str, Callable[[MlComputes], bool]] = {
    "create": lambda computes: computes.create(replace(POOL, name="other")).state == "ready",
    "list": lambda computes: [one.name for one in computes.list()] == ["cpu-pool"],
    "describe": lambda computes: computes.describe("cpu-pool").machine == MACHINE,
    "scale": lambda computes: computes.scale("cpu-pool", 1, 3).maximum == 3,
    "delete": lambda computes: computes.delete("cpu-pool"),
}
FIRST: dict[str, Callable[[Any], bool]] = {
    "create": lambda request: request.method == "PUT",
    "list": lambda request: request.path.partition("?")[0].endswith("/computes"),
    "describe": lambda request: request.method == "GET",
    "scale": lambda request: request.method == "PATCH",
    "delete": lambda request: request.method == "DELETE",
}
ONCE: dict[str, tuple[Fault, ...]] = {**PASSING, "lost": (Reset(reaches_server=True), Answer(500, reaches_server=True))}


@pytest.mark.parametrize("fault", ONCE)
@pytest.mark.parametrize("method", METHODS)
def test_a_passing_fault_passes(
    stub: MlAssets, computes: MlComputes, arm: ArmStub, make_session: MakeSession, server_tls: Any, method: str, fault: str
) -> None:
    computes.create(POOL)
    stub.polls = 0
    with FaultProxy(arm.url, **server_tls) as proxy:
        faulty = computes_at(make_session, proxy.url, **({"read_seconds": 0.6} if fault == "slow" else {}))
        proxy.script(*ONCE[fault], only=FIRST[method])
        assert METHODS[method](faulty)
        assert proxy.unused == []
    assert set(stub.computes) == {"create": {"cpu-pool", "other"}, "delete": set()}.get(method, {"cpu-pool"})


@pytest.mark.parametrize("method", METHODS)
def test_an_expired_token(stub: MlAssets, computes: MlComputes, method: str) -> None:
    stub.ml.arm.fail(ArmError(401, "ExpiredAuthenticationToken"))
    with pytest.raises(NotAuthenticated) as caught:
        METHODS[method](computes)
    assert caught.value.next_step == "az login"


def test_opening_asks_nothing(tmp_path: Path) -> None:
    from mcml.providers.api.spec import ProviderContext
    from mcml.providers.azure.settings import Settings

    assert isinstance(open_computes(ProviderContext(Settings(), tmp_path)), MlComputes)
