"""A backend: one place that answers inference requests for one model. Deploy makes them, route sends traffic to them."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Backend:
    """One running version of a model on one target.

    `host` and `port` are where it listens; `path` is the base of the v2 protocol there (empty on our own server);
    `version` and `digest` (sha256 of the model package) say what it serves. `infer_path` is where a managed endpoint takes the body of
    `infer` (empty: the path of the v2 protocol); `health_path` is empty where only the provider's own API tells whether it is ready.
    `headers` go with every request; `auth` says how to sign or authenticate, `service` and `signing_region` what a signature is for;
    `authorities` is a PEM file with those that its certificate may be from (empty: the system's); `grpc_port` is where it speaks gRPC
    (0: it does not). `via` and `grpc_via` are ports of this machine that pass on to these two, in a drill.
    """

    target: str
    model: str
    host: str
    port: int
    provider: str
    region: str
    version: str = ""
    digest: str = ""
    path: str = ""
    tls: bool = False
    infer_path: str = ""
    health_path: str = "/v2/health/ready"
    headers: tuple[tuple[str, str], ...] = ()
    auth: Literal["none", "bearer", "sigv4"] = "none"
    service: str = ""
    signing_region: str = ""
    authorities: str = ""
    grpc_port: int = 0
    via: int = 0
    grpc_via: int = 0

    @property
    def name(self) -> str:
        """The stable name `model@target`, as it stands in configuration, metrics and the journal."""
        return f"{self.model}@{self.target}"

    @property
    def address(self) -> tuple[str, int]:
        """Where connections to it go."""
        return ("127.0.0.1", self.via) if self.via else (self.host, self.port)

    @property
    def grpc_address(self) -> tuple[str, int]:
        """Where connections for gRPC go."""
        return ("127.0.0.1", self.grpc_via) if self.grpc_via else (self.host, self.grpc_port)
