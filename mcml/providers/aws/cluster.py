"""Clusters on Amazon Elastic Kubernetes Service: https://docs.aws.amazon.com/eks/latest/APIReference/Welcome.html. Pools are node groups.

The token is what `aws eks get-token` makes: a pre-signed GetCallerIdentity of STS with the cluster's name in a signed header
(https://docs.aws.amazon.com/eks/latest/userguide/cluster-auth.html); it is made here, without asking anybody. Its signature must be used
within a minute by who sends it on to STS, the cluster's authenticator takes it for 15 minutes.

What Fargate and EKS Auto Mode run is in no node group, and so in no pool.
"""

import base64
import binascii
import re
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import NoCredentialsError
from botocore.signers import RequestSigner

from mcml.core.errors import Conflict, InvalidRequest, Unavailable
from mcml.core.secret import Secret
from mcml.providers.api.cluster import Cluster, ClusterAccess, ClusterTraits, ExecLogin, Pool
from mcml.providers.api.spec import ProviderContext
from mcml.providers.aws.paging import paged
from mcml.providers.aws.session import SOME_REGION, Session
from mcml.providers.resilience import Policy

TOKEN_PREFIX = "k8s-aws-v1."  # noqa: S105 - what every such token begins with
CLUSTER_HEADER = "x-k8s-aws-id"
SIGNATURE_SECONDS = 60
TOKEN_HOLDS = timedelta(minutes=14)
"""A minute less than the authenticator takes it for, as `aws eks get-token` says."""

STORAGE_CLASS = "gp3"
LOAD_BALANCER = {
    "service.beta.kubernetes.io/aws-load-balancer-type": "external",
    "service.beta.kubernetes.io/aws-load-balancer-nlb-target-type": "ip",
    "service.beta.kubernetes.io/aws-load-balancer-scheme": "internet-facing",
}
"""A Network Load Balancer, by the AWS Load Balancer Controller: https://docs.aws.amazon.com/eks/latest/userguide/network-load-balancing.html."""

MACHINE_LABEL = "node.kubernetes.io/instance-type"
INSTALL_AWS = "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"
LOOKERS, NEXT = 8, "nextToken"
_GPU = re.compile(r"(g|gr|p)\d")
"""Families with GPUs: https://docs.aws.amazon.com/ec2/latest/instancetypes/ac.html."""


def open_cluster(ctx: ProviderContext) -> Cluster:
    """Return the EKS clusters of the region."""
    return EksCluster(Session(ctx, policy=Policy(budget=ctx.budget)))


class EksCluster:
    """Clusters of one account and region. `page` is how many node groups a listing asks for at once (100 at most)."""

    def __init__(self, session: Session, *, page: int = 100) -> None:
        self._session, self._page = session, page

    def access(self, cluster: str) -> ClusterAccess:
        """Return how to reach it; the token holds 14 minutes, or as long as the credentials that it was signed with.

        Raises NotFound, NotAuthenticated, Conflict while the cluster is being made or has failed.
        """
        doing = f"cannot reach cluster {cluster!r}"
        found = self._session.call(doing, lambda: self._eks.describe_cluster(name=cluster))["cluster"]
        if not found.get("endpoint"):
            step = f"aws eks wait cluster-active --name {cluster}"
            raise Conflict(doing, why=f"it has no endpoint yet: it is {found.get('status', 'of unknown state')}", next_step=step)
        token, expires = self._session.call(f"cannot log in to cluster {cluster!r}", lambda: self._token(cluster))
        return ClusterAccess(found["endpoint"].rstrip("/"), _ca(doing, found), token, expires, self._login(cluster))

    def traits(self, cluster: str) -> ClusterTraits:
        """Return the label of its first GPU pool's nodes (none: no such pool), the class of gp3 volumes, a load balancer's annotations.

        Raises NotFound.
        """
        gpus = [pool.machine for pool in self.pools(cluster) if _GPU.match(pool.machine)]
        return ClusterTraits({MACHINE_LABEL: gpus[0]} if gpus else {}, STORAGE_CLASS, LOAD_BALANCER)

    def pools(self, cluster: str) -> list[Pool]:
        """Return its node groups; of one with several machine types, the first. Sizes are the wanted ones. Raises NotFound."""
        doing = f"cannot list the node groups of cluster {cluster!r}"
        asked: dict[str, Any] = {"clusterName": cluster, "maxResults": self._page}
        names = list(paged(self._session, doing, "eks", "list_nodegroups", "nodegroups", **asked, token=NEXT))
        with ThreadPoolExecutor(LOOKERS) as threads:
            return list(threads.map(lambda name: self._pool(doing, cluster, name), names))

    def scale_pool(self, cluster: str, pool: str, size: int) -> Pool:
        """Set the wanted size; nodes come and go after this returns. Repeated after a lost answer it is one update (a request token).

        Raises NotFound, InvalidRequest outside the limits, Conflict while another update runs, QuotaExceeded.
        """
        doing = f"cannot scale pool {pool!r} of cluster {cluster!r} to {size}"
        now = self._pool(doing, cluster, pool)
        if not now.minimum <= size <= now.maximum:
            step = f"aws eks update-nodegroup-config --cluster-name {cluster} --nodegroup-name {pool} --scaling-config minSize=N,maxSize=N"
            raise InvalidRequest(doing, why=f"its limits are {now.minimum} and {now.maximum}", next_step=step)
        if size != now.size:
            wanted = {"clusterName": cluster, "nodegroupName": pool, "scalingConfig": {"desiredSize": size}}
            token = str(uuid.uuid4())
            self._session.call(doing, lambda: self._eks.update_nodegroup_config(**wanted, clientRequestToken=token))
        return replace(now, size=size)

    @property
    def _eks(self) -> Any:
        return self._session.client("eks")

    def _pool(self, doing: str, cluster: str, name: str) -> Pool:
        asked = {"clusterName": cluster, "nodegroupName": name}
        found = self._session.call(doing, lambda: self._eks.describe_nodegroup(**asked))["nodegroup"]
        sizes = found["scalingConfig"]
        machines = found.get("instanceTypes") or [self._machine(doing, found.get("launchTemplate") or {})]
        spot = found.get("capacityType") == "SPOT"
        return Pool(name, machines[0], sizes["desiredSize"], sizes["minSize"], sizes["maxSize"], spot)

    def _machine(self, doing: str, template: Mapping[str, Any]) -> str:
        """Return the machine type of a node group that has it from its launch template."""
        if not template.get("id"):
            return "unknown"
        asked = {"LaunchTemplateId": template["id"], "Versions": [template.get("version", "$Default")]}
        told = self._session.call(doing, lambda: self._session.client("ec2").describe_launch_template_versions(**asked))
        (version,) = told["LaunchTemplateVersions"]
        return str(version["LaunchTemplateData"].get("InstanceType", "unknown"))

    def _token(self, cluster: str) -> tuple[Secret, datetime]:
        sts, credentials = self._session.client("sts"), self._session.credentials()
        if credentials is None:
            raise NoCredentialsError
        region = self._session.region or SOME_REGION
        signer = RequestSigner(sts.meta.service_model.service_id, region, "sts", "v4", credentials, sts.meta.events)
        request = {
            "method": "GET",
            "url": f"{sts.meta.endpoint_url.rstrip('/')}/?Action=GetCallerIdentity&Version={sts.meta.service_model.api_version}",
            "headers": {CLUSTER_HEADER: cluster},
            "body": {},
            "context": {},
        }
        url = signer.generate_presigned_url(request, "GetCallerIdentity", expires_in=SIGNATURE_SECONDS, region_name=region)
        token = TOKEN_PREFIX + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")
        ends = getattr(credentials, "_expiry_time", None)  # of credentials that renew themselves: the SDK has no other door
        expires = self._session.ctx.clock() + TOKEN_HOLDS
        return Secret(token), min(expires, ends) if isinstance(ends, datetime) else expires

    def _login(self, cluster: str) -> ExecLogin:
        settings, region = self._session.settings, self._session.call("cannot tell the region", lambda: self._session.region)
        argv = ["aws", "eks", "get-token", "--cluster-name", cluster, "--output", "json"]
        for flag, value in (("--region", region), ("--profile", settings.profile), ("--role-arn", settings.role_arn)):
            argv += [flag, value] if value else []
        return ExecLogin(tuple(argv), INSTALL_AWS)


def _ca(doing: str, found: Mapping[str, Any]) -> str:
    try:
        return base64.b64decode(found["certificateAuthority"]["data"], validate=True).decode("ascii")
    except (KeyError, binascii.Error, UnicodeDecodeError) as broken:
        raise Unavailable(doing, why="what AWS gives as its CA is no certificate") from broken
