"""Routes as Gateway API v1, standard channel only (https://gateway-api.sigs.k8s.io/reference/spec/)."""

from collections.abc import Sequence

from mcml.core.backend import Backend
from mcml.route.export.values import LABELS, REGION_HEADER, Exported, Json, distinct, duration, is_address, members, meta, object_name


def gateway_api(routes: Sequence[Exported], *, namespace: str, gateway: str) -> list[Json]:
    """Return a Service for each backend (with its address, or an external name), and an HTTPRoute for each route, on that Gateway."""
    found: list[Json] = []
    for backend in distinct(routes):
        found += _service(backend, namespace)
    return found + [_http_route(one, namespace, gateway) for one in routes]


def _service(backend: Backend, namespace: str) -> list[Json]:
    port: Json = {"name": "https" if backend.tls else "http", "port": backend.port, "protocol": "TCP", "targetPort": backend.port}
    service: Json = {"apiVersion": "v1", "kind": "Service", "metadata": meta(backend.name, namespace), "spec": {"ports": [port]}}
    tls = [_backend_tls(backend, namespace)] if backend.tls else []
    if not is_address(backend.host):
        service["spec"] |= {"type": "ExternalName", "externalName": backend.host}
        return [service, *tls]
    slice_ = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            **meta(f"{backend.name}-1", namespace),
            "labels": {**LABELS, "kubernetes.io/service-name": object_name(backend.name), "endpointslice.kubernetes.io/managed-by": "mcml"},
        },
        "addressType": "IPv6" if ":" in backend.host else "IPv4",
        "endpoints": [{"addresses": [backend.host], "conditions": {"ready": True}}],
        "ports": [{"name": port["name"], "port": backend.port, "protocol": "TCP"}],
    }
    return [service, slice_, *tls]


def _backend_tls(backend: Backend, namespace: str) -> Json:
    validation = {"hostname": backend.host, "wellKnownCACertificates": "System"}
    reference = {"group": "", "kind": "Service", "name": object_name(backend.name)}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "BackendTLSPolicy",
        "metadata": meta(backend.name, namespace),
        "spec": {"targetRefs": [reference], "validation": validation},
    }


def _http_route(one: Exported, namespace: str, gateway: str) -> Json:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": meta(one.name, namespace),
        "spec": {"parentRefs": [{"name": gateway}], "rules": _rules(one)},
    }


def _rules(one: Exported) -> list[Json]:
    """Return the rules of a route: for residency one a region, and none for a request of another region: it fails closed with 404."""
    if one.route.pattern != "residency":
        return [_rule(one, one.backends)]
    rules = [_rule(one, members(one, targets), region) for region, targets in sorted(one.route.regions.items())]
    return rules + ([_rule(one, members(one, one.route.regions[one.route.home]))] if one.route.home else [])


def _rule(one: Exported, backends: Sequence[Backend], region: str = "") -> Json:
    match: Json = {"path": {"type": "PathPrefix", "value": f"/v2/models/{one.name}"}}
    if region:
        match["headers"] = [{"name": REGION_HEADER, "value": region}]
    rule: Json = {
        "matches": [match],
        "timeouts": {"request": duration(one.route.timeout)},
        "backendRefs": [
            {"name": object_name(backend.name), "port": backend.port, "weight": weight}
            for backend, weight in zip(backends, one.shares(backends), strict=True)
        ],
    }
    if one.name != one.model:
        path = {"type": "ReplacePrefixMatch", "replacePrefixMatch": f"/v2/models/{one.model}"}
        rule["filters"] = [{"type": "URLRewrite", "urlRewrite": {"path": path}}]
    return rule
