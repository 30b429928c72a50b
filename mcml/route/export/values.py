"""What is exported, what gets lost on the way, and the pieces that every format needs."""

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcml.core.backend import Backend
from mcml.core.schema_routes import Route

Json = dict[str, Any]

GATEWAY = "gateway-api"
LABELS = {"app.kubernetes.io/managed-by": "mcml"}
REGION_HEADER = "x-data-region"


@dataclass(frozen=True)
class Exported:
    """One route with the backends that serve it now and their weights (integers; all 0: every one gets the same)."""

    name: str
    model: str
    route: Route
    backends: tuple[Backend, ...]
    weights: Mapping[str, int]

    def weight(self, backend: Backend) -> int:
        """What a backend gets of the route's traffic."""
        return self.weights.get(backend.name, 0) if any(self.weights.values()) else 1


def object_name(text: str) -> str:
    """Return a name that Kubernetes takes (RFC 1123): `fraud@aws-use1` becomes `fraud-aws-use1`."""
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:63].rstrip("-")


def lost(routes: Sequence[Exported], form: str) -> list[str]:
    """Return what a format cannot say, in sentences: what the routes no longer do there."""
    said = ["weights stay as they are now: nobody scores latency, cost and reliability"]
    managed = sorted({backend.name for one in routes for backend in one.backends if backend.auth != "none"})
    if managed:
        said.append(f"nobody signs requests: {', '.join(managed)} will refuse them until the gateway authenticates itself")
    if form == "envoy":
        said = ["weights stay as they are now, or are equal: nobody scores latency, cost and reliability"]
        said += [f"put the credentials of {', '.join(managed)} into /etc/mcml/credentials: nobody renews them"] if managed else []
        return [*said, "nobody asks for API keys, and the listener speaks no TLS: put your own there"]
    here = [backend.name for backend in distinct(routes) if _is_loopback(backend.host)]
    said += [f"nobody but this machine reaches {', '.join(here)}: deploy to a target that the gateway reaches"] if here else []
    if form == GATEWAY:
        said.append("a request that fails is not sent to another backend: retries are not in the standard channel")
        said += [f"{one.name}: requests of one {one.route.sticky} are not kept together" for one in routes if one.route.sticky]
    said += [f"{one.name}: {one.route.pattern} becomes fixed weights" for one in routes if one.route.pattern in ("burst", "cost-tiers")]
    said += [f"{one.name}: clients have no limit" for one in routes if one.route.limit]
    return said


def distinct(routes: Iterable[Exported]) -> list[Backend]:
    """Return every backend once, by name."""
    return sorted({backend.name: backend for one in routes for backend in one.backends}.values(), key=lambda backend: backend.name)


def meta(name: str, namespace: str, **more: object) -> Json:
    """Return the metadata of an object of ours."""
    return {"name": object_name(name), "namespace": namespace, "labels": dict(LABELS), **more}


def members(one: Exported, targets: Iterable[str]) -> list[Backend]:
    """Return the backends of a route that lie on these targets."""
    return [backend for backend in one.backends if backend.target in set(targets)]


def is_address(host: str) -> bool:
    """Tell an IP address from a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    """Tell an address or name that means whoever asks (RFC 6761, 6.3); Kubernetes refuses it in an EndpointSlice."""
    name = host.lower().removesuffix(".")
    return ipaddress.ip_address(host).is_loopback if is_address(host) else name == "localhost" or name.endswith(".localhost")


def duration(seconds: float) -> str:
    """Return a duration as Go and Gateway API write it, in whole milliseconds or seconds: `1500ms`, `30s`."""
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"
