"""What a Kubernetes cluster made in the cloud for its services and volumes, and does not take along when it is destroyed (pure).

The tags are those of the controllers: https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/ (elbv2.k8s.aws/cluster), the
EBS and Persistent Disk drivers (kubernetes.io/created-for/pvc/name, goog-gke-volume), the VPC plugin (cluster.k8s.amazonaws.com/name).
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from mcml.infra.accounts import Place
from mcml.infra.residue.residue import Held, owners_of
from mcml.providers.api.inventory import Resource

KINDS = (
    "elasticloadbalancing:loadbalancer", "elasticloadbalancing:targetgroup", "ec2:network-interface", "ec2:security-group", "ec2:volume",
    "disk", "Microsoft.Compute/disks",
)  # fmt: skip
"""In the order in which they go: each may be in use by the one before it."""

HOLD_DATA = frozenset({"ec2:volume", "disk", "Microsoft.Compute/disks"})
CLAIMED = ("kubernetes.io/created-for/pvc/name", "CSIVolumeName", "ebs.csi.aws.com/cluster", "goog-gke-volume", "k8s-azure-created-by")
"""Tags of a disk that was made for a claim of a pod, and is no machine's own."""

WAIT = frozenset({"elasticloadbalancing:targetgroup", "ec2:network-interface", "ec2:security-group", "ec2:volume"})
"""What a cloud lets go of some time after its user was deleted."""


@dataclass(frozen=True)
class Made:
    """Something that a cluster made, and where; `holds_data` when its removal loses what is in it."""

    place: Place
    resource: Resource

    @property
    def name(self) -> str:
        """As it is told of: the end of its id, of an ARN what comes after its type, for the end of a load balancer's is a number."""
        own = self.resource.id.split(":", 5)[-1] if self.resource.id.startswith("arn:") else self.resource.id.rpartition("/")[2]
        return own.partition("/")[2] or own

    @property
    def holds_data(self) -> bool:
        """Tell whether its removal loses what is in it."""
        return self.resource.kind in HOLD_DATA

    @property
    def waits(self) -> bool:
        """Tell whether it may be in use for a while by what was deleted before it."""
        return self.resource.kind in WAIT


def left_by(clusters: Collection[str], place: Place, found: Iterable[Resource], held: Sequence[Held]) -> tuple[Made, ...]:
    """Return what these clusters made, of what was found at a place, in the order in which it can go. `held` is what their units hold."""
    inside = tuple(f"{one.about['node_resource_group_id'].lower()}/" for one in held if one.about.get("node_resource_group_id"))

    def is_made(resource: Resource) -> bool:
        if resource.kind not in KINDS or (resource.kind in HOLD_DATA and not any(tag in resource.tags for tag in CLAIMED)):
            return False
        return not owners_of(resource).isdisjoint(clusters) or resource.id.lower().startswith(inside)

    made = sorted((one for one in found if is_made(one)), key=lambda one: (KINDS.index(one.kind), one.id))
    return tuple(Made(place, one) for one in made)


def now(there: Iterable[Made], shown: Iterable[Made]) -> tuple[Made, ...]:
    """Return what is to be removed of what is there now: of what holds data nothing that was not shown before."""
    known = {one.resource.id for one in shown}
    return tuple(one for one in there if not one.holds_data or one.resource.id in known)
