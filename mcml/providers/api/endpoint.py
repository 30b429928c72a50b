"""ModelEndpoint: a model behind an address, in one or more versions that share its traffic."""

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from mcml.core.credential import Credential, SigningKeys
from mcml.core.secret import Secret

EndpointState = Literal["starting", "ready", "stopped", "failed"]
Sign = Callable[[str, bytes, Mapping[str, str]], Mapping[str, str]]
"""Signs a POST of a body to a URL with these headers, and returns all headers to send."""


@dataclass(frozen=True)
class Variant:
    """One version behind an endpoint: what it serves, whether it is ready, its share of the traffic (0-100), and where it is.

    `grpc_port` is where it speaks gRPC, on the host of its address (0: it does not). `machine` is the type of machine that each of its
    `replicas` has for itself, as the provider's price list calls it, with " spot" behind it on a spot machine (empty: it has none of its
    own).
    """

    version: str
    digest: str
    state: EndpointState
    weight: int
    address: str = ""
    detail: str = ""
    grpc_port: int = 0
    machine: str = ""
    replicas: int = 0


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
    version, where the path does not). A "bearer" has a `token`; a "sigv4" signature is for `service` in `region`, made with `keys`, and
    `sign` makes one. `expires` is when token or keys end (UTC; None: not known, or never). `grpc_port` is where the host of `url`
    speaks gRPC (0: it does not).
    """

    url: str
    infer_path: str
    health_path: str
    auth: Literal["none", "bearer", "sigv4"] = "none"
    token: Secret | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    service: str = ""
    region: str = ""
    grpc_port: int = 0
    keys: SigningKeys | None = None
    expires: datetime | None = None
    sign: Sign | None = field(default=None, repr=False, compare=False)

    @property
    def credential(self) -> Credential | None:
        """What authenticates a request; None where nothing has to."""
        secret = self.token or self.keys
        return Credential(secret, self.expires) if secret else None


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


@runtime_checkable
class Stamped(Protocol):
    """What a ModelEndpoint may have besides, where it costs next to nothing: the router then asks `describe` only when there is news."""

    def stamp(self) -> Hashable:
        """Return a value that is another one once a version, its address or its share of the traffic has changed; not for a mere state."""
