"""What is exported, what gets lost on the way, and the pieces that every format needs."""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcml.core.backend import Backend
from mcml.core.schema_routes import Route, Router

Json = dict[str, Any]

GATEWAY = "gateway-api"
LABELS = {"app.kubernetes.io/managed-by": "mcml"}
REGION_HEADER = "x-data-region"
FIXED = {"burst": "", "cost-tiers": "", "active-passive": ": when the tier that serves now fails, nothing goes to the next"}
"""The patterns that need somebody who watches, and what is to be said of them besides."""


@dataclass(frozen=True)
class Exported:
    """One route with the backends that serve it now and their weights (integers; all 0: every one gets the same)."""

    name: str
    model: str
    route: Route
    backends: tuple[Backend, ...]
    weights: Mapping[str, int]

    def shares(self, backends: Sequence[Backend]) -> list[int]:
        """What each of a group of backends gets of its traffic: of a region, too, that was out while this was asked."""
        found = [self.weights.get(backend.name, 0) for backend in backends]
        return found if any(found) else [1] * len(found)

    @property
    def others(self) -> list[str]:
        """The models that answer it besides the one whose name the backends are asked for."""
        return sorted({backend.model for backend in self.backends} - {self.model})


def object_name(text: str) -> str:
    """Return a name that Kubernetes takes (RFC 1123): `fraud@aws-use1` becomes `fraud-aws-use1`."""
    return re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")[:63].rstrip("-")


def lost(routes: Sequence[Exported], form: str, router: Router | None = None) -> list[str]:
    """Return what a format cannot say, in sentences: what the routes, and the router in front of them, no longer do there."""
    router = router or Router()
    said = ["weights stay as they are now: nobody scores latency, cost and reliability"]
    managed = sorted({backend.name for one in routes for backend in one.backends if backend.auth != "none"})
    if managed:
        said.append(f"nobody signs requests: {', '.join(managed)} will refuse them until the gateway authenticates itself")
    if form == "envoy":
        said = ["weights stay as they are now, or are equal: nobody scores latency, cost and reliability"]
        said += [f"put the credentials of {', '.join(managed)} into /etc/mcml/credentials: nobody renews them"] if managed else []
        said += _unmeasured(routes, ", or all of it where it is the only one")
        return [*said, "nobody asks for API keys, and the listener speaks no TLS: put your own there"]
    here = [backend.name for backend in distinct(routes) if _is_loopback(backend.host)]
    said += [f"nobody but this machine reaches {', '.join(here)}: deploy to a target that the gateway reaches"] if here else []
    said += ["nobody asks for API keys: whoever reaches the gateway reaches the models"] if router.keys else []
    said += [f"the listener is the gateway's: its TLS{', client certificates' * bool(router.tls.client_ca)} too"] if router.tls else []
    if form == GATEWAY:
        said.append("a request that fails is not sent to another backend: retries are not in the standard channel")
    else:
        # one of the weighted destinations is chosen before the first attempt: istio/istio#24512, envoyproxy/envoy#5891
        said += ["a request that fails is tried again at the same backend, not at another", *_unmeasured(routes, "")]
    return said + [f"{one.name}: {sentence}" for one in routes for sentence in _lost_of(one)]


def _unmeasured(routes: Sequence[Exported], alone: str) -> list[str]:
    names = [one.name for one in routes if one.route.idempotent and one.route.per_try_timeout is None]
    says = f"a hung backend may hold an attempt for half of the route's timeout{alone}"
    return [f"{says}: nobody measures; set per_try_timeout of {', '.join(names)}"] if names else []


def _lost_of(one: Exported) -> Iterator[str]:
    route = one.route
    if route.sticky:
        yield f"requests of one {route.sticky} are not kept together"
    if route.pattern in FIXED:
        yield f"{route.pattern} becomes fixed weights{FIXED[route.pattern]}"
    if one.others:
        yield f"{', '.join(one.others)} is asked for by the name {one.model}, which it may not know"
    if route.limit:
        yield "clients have no limit"
    if route.shadow:
        yield f"{route.shadow.model} is given no copies"
    if route.validate_requests:
        yield "no request is checked against the model's signature"
    if route.protocol != "http":
        yield "no gRPC, HTTP alone"


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
