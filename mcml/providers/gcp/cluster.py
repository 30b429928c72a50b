"""Clusters on Google Kubernetes Engine: the Kubernetes Engine API v1, and Compute Engine for how many nodes a pool really has.

https://cloud.google.com/kubernetes-engine/docs/reference/rest/v1/projects.locations.clusters. A cluster is looked for in the target's
region and in the zones of that region; without a region, anywhere in the project.

A pool's own `initialNodeCount` is what it once began with, so its size is the sum of the target sizes of its managed instance groups, one a
zone (https://cloud.google.com/compute/docs/reference/rest/v1/instanceGroupManagers). Sizes and limits here are those of the whole pool;
Google sets the size of every zone alike, so a pool in three zones has a multiple of three nodes.
"""

import base64
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import certifi
from google.cloud import container_v1

from mcml.core.errors import Conflict, InvalidRequest, Unavailable, unknown
from mcml.core.secret import Secret
from mcml.providers.api.cluster import Cluster, ClusterAccess, ClusterTraits, ExecLogin, Pool
from mcml.providers.api.spec import ProviderContext
from mcml.providers.gcp.rpc import failure, rpc, wait_for
from mcml.providers.gcp.session import Session
from mcml.providers.resilience import Policy

GPU_LABEL = "cloud.google.com/gke-accelerator"
LOAD_BALANCER = {"cloud.google.com/l4-rbs": "enabled"}
"""A backend-service based passthrough load balancer: https://cloud.google.com/kubernetes-engine/docs/concepts/service-load-balancer."""

KUBECTL_LOGIN = ExecLogin(("gke-gcloud-auth-plugin",), "gcloud components install gke-gcloud-auth-plugin")
MOST_NODES = 1000
"""Nodes that a pool may have in one zone: https://cloud.google.com/kubernetes-engine/quotas."""

RESIZE_SECONDS = 1200.0
TRIES = 3
LOOKERS = 8
BUSY = "incompatible operation"
_OPERATION = re.compile(r"operation-[\w-]+")
_GROUP = re.compile(r"projects/([^/]+)/zones/([^/]+)/instanceGroup(?:Manager)?s/([^/]+)$")
_ROOT = re.compile(r'# Label: "(?:GTS Root|GlobalSign)[^"]*".*?(-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n)', re.DOTALL)


def open_cluster(ctx: ProviderContext) -> Cluster:
    """Return the Kubernetes Engine clusters of the project and region."""
    return GkeCluster(Session(ctx, policy=Policy(budget=ctx.budget)), ctx.region)


class GkeCluster:
    """Clusters of one project, in one region or all."""

    def __init__(self, session: Session, region: str) -> None:
        self._session = session
        self._region = region
        self._places: dict[str, str] = {}

    def access(self, cluster: str) -> ClusterAccess:
        """Return its DNS-based endpoint where it takes calls from outside (certified by Google's own roots), else its IP address.

        The token is that of the credentials in force, renewed when it has less than about four minutes left.
        Raises NotFound, NotAuthenticated, Unavailable while the cluster is being made.
        """
        found = self._get(cluster)
        endpoint, ca = _endpoint(found)
        if not endpoint:
            raise Unavailable(f"cluster {cluster!r} cannot be reached", why=f"it has no endpoint: it is {found.status.name}")
        token, expires = self._session.token(f"cannot log in to cluster {cluster!r}")
        return ClusterAccess(f"https://{endpoint}", ca, Secret(token), expires, KUBECTL_LOGIN)

    def traits(self, cluster: str) -> ClusterTraits:
        """Return what the cluster's own settings tell: the label of its first kind of GPU, and the storage class of its disk driver.

        An Autopilot cluster has no pools of ours and so no GPU label; pods ask for one there by the same label.
        """
        found = self._get(cluster)
        gpus = [kind.accelerator_type for pool in found.node_pools for kind in pool.config.accelerators]
        driver = found.addons_config.gce_persistent_disk_csi_driver_config.enabled or found.autopilot.enabled
        return ClusterTraits({GPU_LABEL: gpus[0]} if gpus else {}, "standard-rwo" if driver else "standard", LOAD_BALANCER)

    def pools(self, cluster: str) -> list[Pool]:
        """Return its node pools; without an autoscaler the limits are none and what Google allows (1,000 nodes a zone)."""
        found = self._get(cluster)
        with ThreadPoolExecutor(LOOKERS) as threads:
            return list(threads.map(self._pool, found.node_pools))

    def scale_pool(self, cluster: str, pool: str, size: int) -> Pool:
        """Set a pool's size, wait until its nodes are there (up to 20 minutes), and return it.

        Raises NotFound; InvalidRequest outside its limits and for a size that its zones cannot share alike; QuotaExceeded, also when Google
        has no such machines; Conflict when the cluster is busy with something else; StillRunning.
        """
        found, before = self._find_pool(cluster, pool)
        doing, zones = f"cannot scale pool {pool!r} of cluster {cluster!r} to {size}", max(1, len(found.locations))
        if not before.minimum <= size <= before.maximum:
            raise InvalidRequest(doing, why=f"its limits are {before.minimum} and {before.maximum}")
        if size % zones:
            raise InvalidRequest(doing, why=f"it is in {zones} zones, each with as many nodes: the size must be a multiple of {zones}")
        for _ in range(TRIES):
            if before.size == size:
                return before
            self._wait(doing, cluster, self._resize(doing, cluster, pool, size // zones))
            _, before = self._find_pool(cluster, pool)
        if before.size != size:
            raise Conflict(doing, why=f"somebody else changes it too: it has {before.size} nodes", next_step=self._operations())
        return before

    def _resize(self, doing: str, cluster: str, pool: str, each: int) -> str:
        """Ask for it and return the operation to wait for: ours, or what the cluster is busy with (ours too, if its answer was lost)."""
        request = {"name": f"{self._path(cluster)}/nodePools/{pool}", "node_count": each}
        try:
            return str(self._ask(doing, "set_node_pool_size", request).name)
        except InvalidRequest as refused:
            other = _OPERATION.search(refused.why)
            if BUSY not in refused.why or not other:
                raise
            return other[0]

    def _wait(self, doing: str, cluster: str, operation: str) -> None:
        name = f"{self._path(cluster).rpartition('/clusters/')[0]}/operations/{operation}"

        def look() -> Any:
            found = self._ask(doing, "get_operation", {"name": name})
            return found if found.status == container_v1.Operation.Status.DONE else None

        done = wait_for(self._session, doing, look, patience=RESIZE_SECONDS, next_step=self._operations())
        if done.operation_type != container_v1.Operation.Type.SET_NODE_POOL_SIZE:
            return  # somebody else's, whose failure is not ours
        if done.error.code or done.error.message:
            raise failure(self._session, doing, done.error.code, done.error.message)

    def _operations(self) -> str:
        return f"gcloud container operations list --project={self._session.project()}"

    def _find_pool(self, cluster: str, pool: str) -> tuple[Any, Pool]:
        found = {one.name: one for one in self._get(cluster).node_pools}
        if pool not in found:
            raise unknown(f"pool of cluster {cluster}", pool, found)
        return found[pool], self._pool(found[pool])

    def _pool(self, pool: Any) -> Pool:
        size = sum(self._group_sizes(pool))
        minimum, maximum = _limits(pool)
        spot = pool.config.spot or pool.config.preemptible
        return Pool(pool.name, pool.config.machine_type, size, min(minimum, size), max(maximum, size), spot)

    def _group_sizes(self, pool: Any) -> Iterator[int]:
        from google.cloud.compute_v1 import InstanceGroupManagersClient  # a second to import

        for url in pool.instance_group_urls:
            where = _GROUP.search(url)
            if not where:
                raise Unavailable(f"cannot tell the size of pool {pool.name!r}", why="Google names its instances in no known form")
            project, zone, name = where.groups()
            request = {"project": project, "zone": zone, "instance_group_manager": name}
            group = rpc(self._session, f"cannot tell the size of pool {pool.name!r}", InstanceGroupManagersClient, "get", request)
            yield int(group.target_size)

    def _get(self, cluster: str) -> Any:
        return self._ask(f"cannot look at cluster {cluster!r}", "get_cluster", {"name": self._path(cluster)})

    def _ask(self, doing: str, method: str, request: dict[str, Any]) -> Any:
        return rpc(self._session, doing, container_v1.ClusterManagerClient, method, request)

    def _path(self, cluster: str) -> str:
        """Return the full name of a cluster, looked up once. Raises NotFound, InvalidRequest when there are several."""
        if cluster not in self._places:
            self._places[cluster] = self._look_up(cluster)
        return f"projects/{self._session.project()}/locations/{self._places[cluster]}/clusters/{cluster}"

    def _look_up(self, cluster: str) -> str:
        project = self._session.project()
        listed = self._ask(f"cannot find cluster {cluster!r}", "list_clusters", {"parent": f"projects/{project}/locations/-"})
        here = [one for one in listed.clusters if _is_in(one.location, self._region)]
        places = sorted((one.location for one in here if one.name == cluster), key=lambda place: place != self._region)
        step = f"gcloud container clusters list --project={project}"
        if not places:
            if listed.missing_zones:
                raise Unavailable(f"cannot find cluster {cluster!r}", why=f"Google does not tell about {', '.join(listed.missing_zones)}")
            where = f"cluster in {self._region or 'any region'} of project {project}"
            raise unknown(where, cluster, [one.name for one in here], next_step=step)
        if len(places) > 1 and places[0] != self._region:
            raise InvalidRequest(f"which cluster {cluster!r} is meant?", why=f"there is one in each of {', '.join(places)}", next_step=step)
        return str(places[0])


def _is_in(place: str, region: str) -> bool:
    """Tell whether a cluster's location is the region, or a zone of it."""
    return not region or place == region or place.rpartition("-")[0] == region


def _endpoint(cluster: Any) -> tuple[str, str]:
    """Return the host to call and the CA that certifies it (PEM)."""
    by_name = cluster.control_plane_endpoints_config.dns_endpoint_config
    if by_name.endpoint and by_name.allow_external_traffic:
        return by_name.endpoint, google_roots()
    return cluster.endpoint, base64.b64decode(cluster.master_auth.cluster_ca_certificate).decode()


def google_roots() -> str:
    """Return the root certificates that Google's own names are certified by (https://pki.goog), as `certifi` has them, in PEM."""
    return "".join(_ROOT.findall(Path(certifi.where()).read_text(encoding="utf-8")))


def _limits(pool: Any) -> tuple[int, int]:
    """Return the smallest and the largest number of nodes of a whole pool."""
    zones, scaling = max(1, len(pool.locations)), pool.autoscaling
    if not scaling.enabled:
        return 0, MOST_NODES * zones
    if scaling.total_max_node_count:
        return scaling.total_min_node_count, scaling.total_max_node_count
    return scaling.min_node_count * zones, scaling.max_node_count * zones
