"""What a drill is to do, as a value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mcml.route.drill.modes import Mode

Speaks = Literal["http", "grpc"]


KEY_VARIABLE = "MCML_ROUTE_KEY"
"""The environment variable with the API key of the load."""


@dataclass(frozen=True)
class Drill:
    """What to do: the route, the target whose backend fails from halfway on (empty: none), how, and the load.

    `headers` go with every request; `authority` is the certificate of a router that speaks TLS (a PEM file),
    `identity` the PEM files of a certificate, and of its key, to show to one that asks its clients for one.
    `protocol` is that of the load.
    """

    route: str
    target: str
    requests: int
    concurrency: int
    mode: Mode = "kill"
    headers: Mapping[str, str] = field(default_factory=dict)
    authority: str = ""
    identity: tuple[str, str] | None = None
    protocol: Speaks = "http"
