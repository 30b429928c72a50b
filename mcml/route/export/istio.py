"""Routes as Istio's own objects, `networking.istio.io/v1` (https://istio.io/latest/docs/reference/config/networking/)."""

import re
from collections.abc import Mapping, Sequence

from mcml.core.backend import Backend
from mcml.route.export.values import REGION_HEADER, Exported, Json, distinct, duration, is_address, members, meta, object_name

RETRY_ON = "reset,connect-failure,refused-stream,gateway-error,retriable-status-codes,429,500"


def istio(routes: Sequence[Exported], *, namespace: str, gateway: str) -> list[Json]:
    """Return a ServiceEntry and a DestinationRule for each backend, and a VirtualService for each route, on the Gateway named."""
    found = [kind(backend, namespace) for backend in distinct(routes) for kind in (_service_entry, _destination_rule)]
    return found + [_virtual_service(one, namespace, gateway) for one in routes]


def _istio_object(kind: str, name: str, namespace: str, spec: Json) -> Json:
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": meta(name, namespace), "spec": spec}


def mesh_host(backend: Backend) -> str:
    """Return the host by which the mesh knows a backend; one of its own, because several may lie behind one address."""
    return f"{object_name(backend.name)}.mcml.internal"


def _service_entry(backend: Backend, namespace: str) -> Json:
    spec = {
        "hosts": [mesh_host(backend)],
        "location": "MESH_EXTERNAL",
        "ports": [{"number": backend.port, "name": "https" if backend.tls else "http", "protocol": "HTTP"}],
        "resolution": "STATIC" if is_address(backend.host) else "DNS",
        "endpoints": [{"address": backend.host}],
    }
    return _istio_object("ServiceEntry", backend.name, namespace, spec)


def _destination_rule(backend: Backend, namespace: str) -> Json:
    policy: Json = {
        "outlierDetection": {
            "consecutiveGatewayErrors": 3,
            "consecutive5xxErrors": 0,
            "interval": "1s",
            "baseEjectionTime": "5s",
            "maxEjectionPercent": 100,
        },
        "connectionPool": {"http": {"maxRetries": 1024, "http1MaxPendingRequests": 4096, "http2MaxRequests": 4096}},
    }
    if backend.tls:
        policy["tls"] = {"mode": "SIMPLE", "sni": backend.host}
    return _istio_object("DestinationRule", backend.name, namespace, {"host": mesh_host(backend), "trafficPolicy": policy})


def _virtual_service(one: Exported, namespace: str, gateway: str) -> Json:
    if one.route.pattern == "residency":
        http = [_http(one, members(one, targets), region) for region, targets in sorted(one.route.regions.items())]
        http += [_http(one, members(one, one.route.regions[one.route.home]))] if one.route.home else []
    else:
        http = [_http(one, one.backends)]
    return _istio_object("VirtualService", one.name, namespace, {"hosts": ["*"], "gateways": [gateway], "http": http})


def _http(one: Exported, backends: Sequence[Backend], region: str = "") -> Json:
    matches: list[Json] = [{"uri": {"exact": f"/v2/models/{one.name}"}}, {"uri": {"prefix": f"/v2/models/{one.name}/"}}]
    if region:
        matches = [{**match, "headers": {REGION_HEADER: {"exact": region}}} for match in matches]
    if not backends:
        return {"match": matches, "directResponse": {"status": 503}}  # a rule without a destination is refused, with all others
    share = shares(dict(zip([backend.name for backend in backends], one.shares(backends), strict=True)))
    http: Json = {
        "match": matches,
        "route": [
            {"destination": {"host": mesh_host(backend), "port": {"number": backend.port}}, "weight": share[backend.name]}
            for backend in backends
        ],
        "timeout": duration(one.route.timeout),
        "retries": _istio_retries(one, len(backends)),
    }
    if one.name != one.model:
        http["rewrite"] = {"uriRegexRewrite": {"match": f"^/v2/models/{re.escape(one.name)}", "rewrite": f"/v2/models/{one.model}"}}
    return http


def _istio_retries(one: Exported, backends: int) -> Json:
    if not one.route.idempotent:
        return {"attempts": 0}
    attempts, per_try = min(3, max(1, backends - 1)), duration(one.route.per_try_timeout or one.route.timeout / 2)
    return {"attempts": attempts, "perTryTimeout": per_try, "retryOn": RETRY_ON, "retryRemoteLocalities": True}


def shares(weights: Mapping[str, int]) -> dict[str, int]:
    """Return weights as whole percent that add up to 100: largest remainders, by name on a tie."""
    total = sum(weights.values()) or 1
    found = {name: weight * 100 // total for name, weight in weights.items()}
    order = sorted(weights, key=lambda name: (-(weights[name] * 100 % total), name))
    for name in order[: 100 - sum(found.values())]:
        found[name] += 1
    return found
