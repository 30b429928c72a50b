"""Cluster: how to reach a Kubernetes cluster, what is special about it, and its node pools."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from mcml.core.secret import Secret


@dataclass(frozen=True)
class ExecLogin:
    """The program that gives kubectl a fresh token (a client-go credential plugin), and how to install it: never a token itself.

    https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
    """

    argv: tuple[str, ...]
    install: str = ""


@dataclass(frozen=True)
class ClusterAccess:
    """Endpoint URL, CA bundle (PEM), a bearer token that holds until `expires` (None: for good), and how kubectl gets one of its own."""

    endpoint: str
    ca: str
    token: Secret
    expires: datetime | None
    exec: ExecLogin | None = None


@dataclass(frozen=True)
class ClusterTraits:
    """What manifests must know, as data, so that no manifest code asks which cloud it is on."""

    gpu_labels: Mapping[str, str] = field(default_factory=dict)
    storage_class: str = ""
    load_balancer_annotations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pool:
    """A group of equal nodes: machine type, how many now, the limits, and whether they are spot."""

    name: str
    machine: str
    size: int
    minimum: int
    maximum: int
    spot: bool = False


class Cluster(Protocol):
    """A Kubernetes cluster of the target's region."""

    def access(self, cluster: str) -> ClusterAccess:
        """Return how to reach it. Raises NotFound, NotAuthenticated."""

    def traits(self, cluster: str) -> ClusterTraits:
        """Return what is special about it."""

    def pools(self, cluster: str) -> list[Pool]:
        """Return its node pools. Raises NotFound."""

    def scale_pool(self, cluster: str, pool: str, size: int) -> Pool:
        """Set a pool's size and return it. Raises NotFound, QuotaExceeded, InvalidRequest outside its limits."""
