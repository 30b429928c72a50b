"""Clusters on Azure Kubernetes Service (AKS): https://learn.microsoft.com/rest/api/aks/managed-clusters. Pools are agent pools.

Endpoint and CA come from the kubeconfig that `listClusterUserCredential` gives (it is parsed, never written); the token is a Microsoft
Entra token for the AKS server application, whose id is the same in every tenant (https://azure.github.io/kubelogin/concepts/aks.html).
A cluster is named by its name in the settings' resource group, or by its id.
"""

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Any

import yaml
from azure.core import MatchConditions

from mcml.core.errors import Conflict, InvalidRequest, NotFound, Usage
from mcml.core.secret import Secret
from mcml.providers.api.cluster import Cluster, ClusterAccess, ClusterTraits, ExecLogin, Pool
from mcml.providers.api.spec import ProviderContext
from mcml.providers.azure.arm import ResourceId, locate, pages
from mcml.providers.azure.operations import settled, wait_for
from mcml.providers.azure.session import Session
from mcml.providers.resilience import Policy

KIND = "Microsoft.ContainerService/managedClusters"
AKS_SERVER = "6dae42f8-4368-4678-94ff-3960e28e3630"
KUBECTL_LOGIN = ExecLogin(("kubelogin", "get-token", "--login", "azurecli", "--server-id", AKS_SERVER), "az aks install-cli")
MOST_NODES = 1000
"""Nodes in a pool: https://learn.microsoft.com/azure/aks/quotas-skus-regions."""

GPU_LABEL = {"kubernetes.azure.com/accelerator": "nvidia"}
"""https://learn.microsoft.com/azure/aks/use-labels#reserved-system-labels."""

STORAGE_CLASS = "managed-csi"
INTERNAL = {"service.beta.kubernetes.io/azure-load-balancer-internal": "true"}
"""https://learn.microsoft.com/azure/aks/internal-lb; a private cluster has no business with a public address."""

_NVIDIA = re.compile(r"Standard_N(?!G|V\d+as_v4|D\d+\w*_MI)", re.IGNORECASE)


def open_cluster(ctx: ProviderContext) -> Cluster:
    """Return the AKS clusters of the subscription."""
    return AksCluster(Session(ctx, policy=Policy(budget=ctx.budget)))


class AksCluster:
    """Clusters of one subscription."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @property
    def _client(self) -> Any:
        from azure.mgmt.containerservice import ContainerServiceClient

        return self._session.management(ContainerServiceClient)

    def access(self, cluster: str) -> ClusterAccess:
        """Return the API server's address and CA, and an Entra token (about an hour; azure-identity renews it).

        Raises NotFound, NotAuthenticated, InvalidRequest for a cluster that takes only its local accounts (client certificates) and for
        one that is stopped.
        """
        at, what = self._at(cluster), f"reach cluster {cluster}"
        found, named = self._get(at, what).properties, f"--name {at.name} --resource-group {at.group}"
        if found.power_state and found.power_state.code == "Stopped":
            raise InvalidRequest(f"cannot {what}", why="it is stopped", next_step=f"az aks start {named}")
        if found.aad_profile is None:
            raise InvalidRequest(
                f"cannot {what}",
                why="it knows only local accounts, whose certificates mcml does not carry: it takes no Microsoft Entra token",
                next_step=f"az aks update {named} --enable-aad --enable-azure-rbac",
            )
        ask = self._client.managed_clusters.list_cluster_user_credentials
        told = self._session.call(what, lambda: ask(at.group, at.name, format="exec"))
        endpoint, ca = endpoint_of([config.value for config in told.kubeconfigs or []], what)
        token = self._session.call(what, lambda: self._session.credential.get_token(f"{AKS_SERVER}/.default"))
        return ClusterAccess(endpoint, ca, Secret(token.token), datetime.fromtimestamp(token.expires_on, UTC), KUBECTL_LOGIN)

    def traits(self, cluster: str) -> ClusterTraits:
        """Return the GPU label when a pool has NVIDIA machines, AKS's storage class, and an internal load balancer if it is private."""
        found = self._get(self._at(cluster), f"look at cluster {cluster}").properties
        machines = [pool.vm_size or "" for pool in found.agent_pool_profiles or []]
        reached = found.api_server_access_profile
        private = bool(reached and reached.enable_private_cluster)
        gpus = any(_NVIDIA.match(machine) for machine in machines)
        return ClusterTraits(GPU_LABEL if gpus else {}, STORAGE_CLASS, INTERNAL if private else {})

    def pools(self, cluster: str) -> list[Pool]:
        """Return its agent pools. Without an autoscaler the limits are what AKS allows: 0 (1 for a system pool) to 1,000 nodes."""
        at, what = self._at(cluster), f"list the pools of cluster {cluster}"
        self._get(at, what)  # an empty listing and no cluster look alike otherwise
        return [_pool(found) for found in pages(self._session, what, self._client.agent_pools.list(at.group, at.name))]

    def scale_pool(self, cluster: str, pool: str, size: int) -> Pool:
        """Set a pool's size, wait until its nodes are there, and return it.

        AKS takes no size for a pool that its autoscaler sizes (https://learn.microsoft.com/troubleshoot/azure/azure-kubernetes/
        create-upgrade-delete/cannot-scale-cluster-autoscaler-enabled-node-pool). The write carries the pool's ETag: one whose answer was
        lost is not applied twice. Raises NotFound, InvalidRequest outside the limits and for a pool with an autoscaler or of mixed
        machines, QuotaExceeded, Conflict, StillRunning.
        """
        at, what = self._at(cluster), f"scale pool {pool} of cluster {cluster} to {size}"
        found = self._look(at, pool, what)
        before = _pool(found)
        step = f"az aks nodepool update --cluster-name {at.name} --resource-group {at.group} --name {pool}"
        automatic, limits = bool(found.properties.enable_auto_scaling), f"its limits are {before.minimum} and {before.maximum}"
        if not before.minimum <= size <= before.maximum:
            step = f"{step} --update-cluster-autoscaler --min-count MIN --max-count MAX" if automatic else ""
            raise InvalidRequest(f"cannot {what}", why=limits, next_step=step)
        if automatic and size != before.size:
            why = f"its autoscaler chooses the size ({limits}), and AKS takes none beside it"
            raise InvalidRequest(f"cannot {what}", why=why, next_step=f"{step} --disable-cluster-autoscaler")
        if found.properties.get("type") == "VirtualMachines":
            raise InvalidRequest(f"cannot {what}", why="its machines are of several sizes, each with a count of its own")
        if before.size == size:  # or on its way there, by a call that was given up
            found = settled(self._session, what, lambda: self._look(at, pool, what), _state)
            if found.properties.count == size and _state(found) == "Succeeded":
                return _pool(found)
        return _pool(self._resize(at, pool, found, size, what))

    def _resize(self, at: ResourceId, pool: str, found: Any, size: int, what: str) -> Any:
        found.properties.count = size
        condition = {"etag": found.properties.e_tag, "match_condition": MatchConditions.IfNotModified} if found.properties.e_tag else {}
        pools = self._client.agent_pools

        def put(**options: Any) -> Any:
            return pools.begin_create_or_update(at.group, at.name, pool, found, **condition, **options)

        try:
            wait_for(self._session, what, put)
        except Conflict:  # ours whose answer was lost, or somebody else's
            now = settled(self._session, what, lambda: pools.get(at.group, at.name, pool), _state)
            if now.properties.count != size or now.properties.provisioning_state != "Succeeded":
                raise
            return now
        return self._look(at, pool, what)

    def _at(self, cluster: str) -> ResourceId:
        return locate(self._session, cluster, KIND, "cluster")

    def _get(self, at: ResourceId, what: str) -> Any:
        return self._session.call(what, lambda: self._client.managed_clusters.get(at.group, at.name))

    def _look(self, at: ResourceId, pool: str, what: str) -> Any:
        if not re.fullmatch(r"[a-z][a-z0-9]{0,11}", pool):
            raise NotFound(f"cannot {what}", why=f"no pool can be called {pool!r}", next_step=_list_pools(at))
        try:
            return self._session.call(what, lambda: self._client.agent_pools.get(at.group, at.name, pool))
        except NotFound as missing:
            raise NotFound(missing.message, why=missing.why, next_step=_list_pools(at)) from missing


def _list_pools(at: ResourceId) -> str:
    return f"az aks nodepool list --cluster-name {at.name} --resource-group {at.group} --output table"


def _state(pool: Any) -> str:
    return str(pool.properties.provisioning_state or "")


def _pool(found: Any) -> Pool:
    told = found.properties
    if told.get("type") == "VirtualMachines":
        groups = told.virtual_machines_profile.scale.manual or []
        size, machine = sum(group.count or 0 for group in groups), "+".join(str(group.size) for group in groups) or "several"
        return Pool(found.name, machine, size, size, size)
    least = 0 if told.mode == "User" else 1
    low, high = (told.min_count, told.max_count) if told.enable_auto_scaling else (least, MOST_NODES)
    size = told.count or 0
    return Pool(found.name, str(told.vm_size), size, min(low, size), max(high, size), told.scale_set_priority == "Spot")


def endpoint_of(kubeconfigs: list[bytes], what: str) -> tuple[str, str]:
    """Return the API server's URL and its CA as PEM from the first of the kubeconfigs. Raises InvalidRequest for one without them."""
    try:
        cluster = yaml.safe_load(bytes(kubeconfigs[0]))["clusters"][0]["cluster"]
        endpoint, ca = str(cluster["server"]), base64.b64decode(cluster["certificate-authority-data"], validate=True).decode("ascii")
    except (LookupError, TypeError, yaml.YAMLError, binascii.Error, UnicodeDecodeError):
        raise InvalidRequest(f"cannot {what}", why="Azure's kubeconfig has no address or no certificate in it") from None
    if not endpoint.startswith("https://"):
        raise Usage(f"cannot {what}", why="a token may not travel over http")
    return endpoint.rstrip("/"), ca
