"""AKS clusters: the contract and what is Azure's own, over the official SDK against the stub of Azure Resource Manager."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mcml.core.errors import Conflict, InvalidRequest, NotAuthenticated, NotFound, QuotaExceeded, Unavailable
from mcml.providers.api.cluster import Cluster, Pool
from mcml.providers.azure.cluster import AKS_SERVER, AksCluster, endpoint_of
from mcml.providers.azure.session import Session
from mcml.providers.resilience import Policy
from mcml.testing.contracts.cluster import ClusterContract
from mcml.testing.stubs.azure_arm import ArmError, ArmStub, missing
from mcml.testing.stubs.faults import Answer, Delay, Fault, FaultProxy, HalfBody, Pass, Refuse, Reset
from tests.providers.azure.aks_stub import Aks, pool
from tests.providers.azure.conftest import PASSING, SUBSCRIPTION, GivenToken, MakeSession, Waits, management_session

NAME = "ml-prod"


@pytest.fixture
def aks(arm: ArmStub, certificate: tuple[Path, Path]) -> Aks:
    served = Aks(arm, certificate[0]).serve()
    pools = {
        "system": pool(2, mode="System"),
        "cpu": pool(3, enableAutoScaling=True, minCount=1, maxCount=5),
        "gpu": pool(0, "Standard_NC24ads_A100_v4", scaleSetPriority="Spot"),
    }
    served.add(NAME, pools)
    return served


@pytest.fixture
def clusters(aks: Aks, arm_session: Session) -> AksCluster:
    return AksCluster(arm_session)


class TestContract(ClusterContract):
    @pytest.fixture
    def cluster(self, clusters: AksCluster) -> Cluster:
        return clusters

    @pytest.fixture
    def name(self) -> str:
        return NAME

    def room(self, cluster: Cluster, name: str) -> tuple[Pool, list[Pool]]:
        """The one that can be empty."""
        system, scaled, spot = cluster.pools(name)
        return spot, [system, scaled]


def test_the_whole_access(aks: Aks, arm_session: Session) -> None:
    access = AksCluster(arm_session).access(NAME)
    assert access.endpoint == "https://ml-prod-abcd1234.hcp.westeurope.azmk8s.io:443"
    assert access.exec is not None
    assert access.exec.argv == ("kubelogin", "get-token", "--login", "azurecli", "--server-id", AKS_SERVER)
    assert aks.arm.sent("POST", "listClusterUserCredential")[0].query["format"] == "exec"


def test_the_token_is_for_the_cluster(arm: ArmStub, aks: Aks, make_session: MakeSession) -> None:
    given = GivenToken()
    AksCluster(management_session(make_session, arm.url, credential=given)).access(NAME)
    assert given.asked[-1] == "6dae42f8-4368-4678-94ff-3960e28e3630/.default"


def test_a_cluster_by_its_id(clusters: AksCluster, aks: Aks) -> None:
    whole = f"/subscriptions/{SUBSCRIPTION}/resourcegroups/OTHER/providers/microsoft.containerservice/managedclusters/{NAME}"
    assert [found.name for found in clusters.pools(whole)] == ["system", "cpu", "gpu"]
    assert {request.path.split("/")[4] for request in aks.arm.requests} == {"other"}


def test_a_cluster_with_local_accounts_only(clusters: AksCluster, aks: Aks) -> None:
    aks.add("old", {"system": pool(1)})
    del aks.clusters["old"]["aadProfile"]
    with pytest.raises(InvalidRequest, match="cannot reach cluster old") as caught:
        clusters.access("old")
    assert "local accounts" in caught.value.why
    assert caught.value.next_step == "az aks update --name old --resource-group ml --enable-aad --enable-azure-rbac"
    assert aks.arm.sent("POST") == []


def test_a_stopped_cluster(clusters: AksCluster, aks: Aks) -> None:
    aks.clusters[NAME]["powerState"] = {"code": "Stopped"}
    with pytest.raises(InvalidRequest) as caught:
        clusters.access(NAME)
    assert caught.value.next_step == f"az aks start --name {NAME} --resource-group ml"


def test_traits(clusters: AksCluster, aks: Aks) -> None:
    traits = clusters.traits(NAME)
    assert (dict(traits.gpu_labels), traits.storage_class) == ({"kubernetes.azure.com/accelerator": "nvidia"}, "managed-csi")
    assert traits.load_balancer_annotations == {}
    aks.add("private", {"system": pool(1)}, apiServerAccessProfile={"enablePrivateCluster": True})
    traits = clusters.traits("private")
    assert traits.gpu_labels == {}
    assert traits.load_balancer_annotations == {"service.beta.kubernetes.io/azure-load-balancer-internal": "true"}


def test_pools_over_two_pages(clusters: AksCluster, aks: Aks) -> None:
    assert clusters.pools(NAME) == [
        Pool("system", "Standard_D4s_v5", 2, 1, 1000),
        Pool("cpu", "Standard_D4s_v5", 3, 1, 5),
        Pool("gpu", "Standard_NC24ads_A100_v4", 0, 0, 1000, spot=True),
    ]
    assert len(aks.arm.sent("GET", "/agentPools")) == 2


def test_a_pool_of_mixed_machines(clusters: AksCluster, aks: Aks) -> None:
    manual = [{"size": "Standard_D4s_v5", "count": 2}, {"size": "Standard_D8s_v5", "count": 1}]
    mixed = pool(3, type="VirtualMachines", virtualMachinesProfile={"scale": {"manual": manual}})
    del mixed["vmSize"]
    aks.add("mixed", {"vms": mixed})
    assert clusters.pools("mixed") == [Pool("vms", "Standard_D4s_v5+Standard_D8s_v5", 3, 3, 3)]
    with pytest.raises(InvalidRequest):
        clusters.scale_pool("mixed", "vms", 4)


def test_the_same_size_writes_nothing(clusters: AksCluster, aks: Aks) -> None:
    assert clusters.scale_pool(NAME, "cpu", 3).size == 3
    assert aks.writes == 0


def test_an_autoscaler_takes_no_size_beside_its_own(clusters: AksCluster, aks: Aks) -> None:
    with pytest.raises(InvalidRequest, match="cannot scale pool cpu of cluster ml-prod to 4") as caught:
        clusters.scale_pool(NAME, "cpu", 4)
    assert "autoscaler" in caught.value.why
    assert caught.value.next_step == (
        "az aks nodepool update --cluster-name ml-prod --resource-group ml --name cpu --disable-cluster-autoscaler"
    )
    assert aks.writes == 0


@pytest.mark.parametrize(("state", "writes"), [("Scaling", 0), ("Failed", 1)])
def test_a_size_that_was_asked_for_before_is_waited_for(clusters: AksCluster, aks: Aks, state: str, writes: int) -> None:
    """A pool has its new count as soon as it is asked for; the nodes are there when it has succeeded."""
    aks.polls = 0
    aks.pools[NAME]["gpu"] |= {"count": 2, "provisioningState": state}
    assert clusters.scale_pool(NAME, "gpu", 2).size == 2
    assert (aks.pools[NAME]["gpu"]["provisioningState"], aks.writes) == ("Succeeded", writes)


def test_what_is_not_asked_for_stays(clusters: AksCluster, aks: Aks) -> None:
    before = dict(aks.pools[NAME]["gpu"])
    clusters.scale_pool(NAME, "gpu", 5)
    after = aks.pools[NAME]["gpu"]
    assert {key: value for key, value in after.items() if before[key] != value} == {"count": 5, "eTag": "gpu-1"}


def test_no_quota(clusters: AksCluster, aks: Aks) -> None:
    aks.failure = ArmError(400, "ErrCode_InsufficientVCPUQuota", "Insufficient vcpu quota requested 16, remaining 4.")
    with pytest.raises(QuotaExceeded, match="cannot scale pool gpu of cluster ml-prod to 5") as caught:
        clusters.scale_pool(NAME, "gpu", 5)
    assert "requested 16, remaining 4" in caught.value.why


def test_somebody_else_scales_it(clusters: AksCluster, aks: Aks) -> None:
    aks.polls = 0
    aks.pools[NAME]["gpu"] |= {"provisioningState": "Scaling", "count": 2}
    aks.arm.fail(ArmError(409, "OperationNotAllowed", "in progress"), only=lambda request: request.method == "PUT")
    with pytest.raises(Conflict):
        clusters.scale_pool(NAME, "gpu", 5)
    assert aks.writes == 0


def test_not_a_kubeconfig() -> None:
    for told in ([], [b"no: cluster"], [b"clusters: [{cluster: {server: 'https://x'}}]"], [b"\x00{"]):
        with pytest.raises(InvalidRequest):
            endpoint_of(told, "reach it")


def scaled(clusters: AksCluster) -> bool:
    return clusters.scale_pool(NAME, "gpu", 5).size == 5


METHODS: dict[str, Callable[[AksCluster], bool]] = {
    "access": lambda clusters: clusters.access(NAME).endpoint.startswith("https://ml-prod"),
    "traits": lambda clusters: clusters.traits(NAME).storage_class == "managed-csi",
    "pools": lambda clusters: len(clusters.pools(NAME)) == 3,
    "scale_pool": scaled,
}


def at(proxy: FaultProxy, make_session: MakeSession, fault: str = "") -> AksCluster:
    slow = {"read_seconds": 0.6} if fault == "slow" else {}
    return AksCluster(management_session(make_session, proxy.url, **slow))


@pytest.mark.parametrize("fault", PASSING)
@pytest.mark.parametrize("method", METHODS)
def test_a_passing_fault_passes(
    aks: Aks, arm: ArmStub, make_session: MakeSession, server_tls: Any, method: str, fault: str
) -> None:
    with FaultProxy(arm.url, **server_tls) as proxy:
        clusters = at(proxy, make_session, fault)
        proxy.script(*PASSING[fault])
        assert METHODS[method](clusters)
        assert proxy.unused == []
    assert aks.writes == (method == "scale_pool")


def test_the_second_page_is_asked_for_again(aks: Aks, arm: ArmStub, make_session: MakeSession, server_tls: Any) -> None:
    with FaultProxy(arm.url, **server_tls) as proxy:
        proxy.script(Pass(), Pass(), Reset(), HalfBody())
        assert len(at(proxy, make_session).pools(NAME)) == 3
        assert proxy.unused == []


@pytest.mark.parametrize("lost", ["reset", "500", "slow"])
def test_a_scaling_whose_answer_is_lost_is_not_applied_twice(
    aks: Aks, arm: ArmStub, make_session: MakeSession, server_tls: Any, lost: str
) -> None:
    aks.polls = 0
    fault: dict[str, Fault] = {"reset": Reset(reaches_server=True), "500": Answer(500, reaches_server=True), "slow": Delay(3.0)}
    with FaultProxy(arm.url, **server_tls) as proxy:
        clusters = at(proxy, make_session, lost)
        proxy.script(fault[lost], only=lambda request: request.method == "PUT")
        assert clusters.scale_pool(NAME, "gpu", 5).size == 5
        assert proxy.unused == []
    assert aks.writes == 1


def test_a_port_that_refuses(aks: Aks, arm: ArmStub, make_session: MakeSession, server_tls: Any) -> None:
    with FaultProxy(arm.url, **server_tls) as proxy:
        patient = AksCluster(management_session(make_session, proxy.url, policy=Policy(jitter=lambda: 1.0)))
        proxy.script(Refuse(0.3))
        assert len(patient.pools(NAME)) == 3
        proxy.refuse()
        with pytest.raises(Unavailable, match="cannot list the pools of cluster ml-prod"):
            at(proxy, make_session).pools(NAME)


@pytest.mark.parametrize("method", METHODS)
def test_an_expired_token(clusters: AksCluster, aks: Aks, method: str) -> None:
    aks.arm.fail(ArmError(401, "ExpiredAuthenticationToken"))
    with pytest.raises(NotAuthenticated) as caught:
        METHODS[method](clusters)
    assert (caught.value.next_step, "expired" in caught.value.why) == ("az login", True)


def test_a_cluster_that_is_not_there_says_where_it_looked(clusters: AksCluster, aks: Aks) -> None:
    aks.arm.fail(missing("Microsoft.ContainerService/managedClusters/x"))
    with pytest.raises(NotFound) as caught:
        clusters.access("x")
    assert "managedClusters/x" in caught.value.why
    assert Waits().seconds == []
