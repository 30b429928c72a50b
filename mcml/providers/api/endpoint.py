"""ModelEndpoint: a model behind an address, in one or more versions that share its traffic."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from mcml.core.secret import Secret

EndpointState = Literal["starting", "ready", "stopped", "failed"]


@dataclass(frozen=True)
class Variant:
    """One version behind an endpoint: what it serves, whether it is ready, its share of the traffic (0-100), and where it is."""

    version: str
    digest: str
    state: EndpointState
    weight: int
    address: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Endpoint:
    """An endpoint of one model on one target."""

    name: str
    target: str
    variants: tuple[Variant, ...]
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class EndpointRequest:
    """What to run: `source` is a model package folder or an image; `environment` and `tags` go along."""

    name: str
    version: str
    digest: str
    source: str
    resources: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InvokeTarget:
    """Where and how to send an inference request: URL base, the path of the call, and how to authenticate there.

    `health_path` is empty where only the provider's own API tells whether it is ready. `headers` go with every request (they choose the
    version, where the path does not); `service` and `region` are what a "sigv4" signature is for.
    """

    url: str
    infer_path: str
    health_path: str
    auth: Literal["none", "bearer", "sigv4"] = "none"
    token: Secret | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    service: str = ""
    region: str = ""


class ModelEndpoint(Protocol):
    """Run models on the target. `create` adds a version beside those that run; traffic moves with `shift_traffic`."""

    def describe(self, name: str = "") -> list[Endpoint]:
        """Return the endpoint of that name, or all of the target's; an empty list when there is none."""

    def create(self, request: EndpointRequest) -> Endpoint:
        """Start a version and return when it is ready; one that runs with this digest already is kept, a dead one is started again.

        Raises InvalidRequest (the model does not load), QuotaExceeded (no port, no memory), Conflict (same version, other digest).
        """

    def shift_traffic(self, name: str, weights: Mapping[str, int]) -> Endpoint:
        """Set the traffic share of each version, in percent. Raises NotFound, InvalidRequest unless they add up to 100."""

    def invoke_target(self, name: str, version: str = "") -> InvokeTarget:
        """Return where to send requests (to the version with most traffic when none is named). Raises NotFound."""

    def delete(self, name: str, version: str = "") -> bool:
        """Stop and remove one version, or the whole endpoint; False when it was gone. Never touches a process that is not ours."""
