"""Clusters: where a backend is, how it is checked, when it is left out, and how many requests it may be given at once."""

from collections.abc import Iterable, Sequence

from mcml.core.backend import Backend
from mcml.route.config.upstream import ALONE, Upstream, protocol, rewrites, transport
from mcml.route.config.values import TYPE, Json, address, seconds

PROBE_INTERVAL = 0.5
"""Seconds between two health checks of a backend; two failures in a row take it out, so a dead one is out in about a second."""

PROBE_TIMEOUT = 1.0
"""Seconds a health check may take; more than the interval, so that a busy machine does not look like a dead one."""

EJECTION_SECONDS = 5.0
"""How long a backend that failed requests in a row is left out at first; Envoy doubles it each time, up to a minute."""


def clusters(backends: Iterable[Backend], upstream: Upstream = ALONE, *, renames: bool = False) -> list[Json]:
    """Return one cluster a backend name, sorted; backends that share a name (two versions in a rollout) are endpoints of one cluster.

    `renames`: a route is split between models, so each backend must set the model in the path itself.
    """
    groups: dict[str, list[Backend]] = {}
    for backend in sorted(backends, key=lambda one: (one.name, one.address)):
        groups.setdefault(backend.name, []).append(backend)
    members = [one for group in groups.values() for one in group]
    own_headers = sorted({name for one in members for name, _ in one.headers})
    rewriting = renames or rewrites(members)
    return [
        _cluster(name, group, upstream) | {"typed_extension_protocol_options": protocol(group, own_headers, upstream, rewriting=rewriting)}
        for name, group in groups.items()
    ]


def _cluster(name: str, members: Sequence[Backend], upstream: Upstream) -> Json:
    first = members[0]
    endpoints = [
        {"endpoint": {"hostname": name, "address": address(*member.address)}, "metadata": {"filter_metadata": {"mcml": _about(member)}}}
        for member in members
    ]
    return {
        "@type": TYPE + "envoy.config.cluster.v3.Cluster",
        "name": name,
        # the name of a managed endpoint is answered with a few of many addresses, others each time: they are one place
        "type": "STRICT_DNS" if first.auth == "none" else "LOGICAL_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "2s" if first.tls else "0.5s",
        **({"transport_socket": transport(first, upstream)} if first.tls else {}),
        "load_assignment": {"cluster_name": name, "endpoints": [{"locality": {"zone": first.target}, "lb_endpoints": endpoints}]},
        # the default of 3 retries at once answers 503 to nearly everybody when a backend dies under load
        "circuit_breakers": {
            "thresholds": [{"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096, "max_retries": 1024}]
        },
        **({"health_checks": [_health_check(first)]} if probed(first) else {}),
        "outlier_detection": _outlier_detection(),
        # by default one address that is well gets no more than its share once most of the others are out; with none well, all are tried
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        # a firewall that forgets a quiet connection says nothing: the next request on it would hang
        "upstream_connection_options": {"tcp_keepalive": {"keepalive_time": 30, "keepalive_interval": 10, "keepalive_probes": 3}},
    }


def _about(member: Backend) -> Json:
    """Return what answers and logs say of an endpoint."""
    return {"version": member.version, "region": member.region, "target": member.target}


def probed(backend: Backend) -> bool:
    """Tell whether its health is asked for. A probe carries no credential, so of a backend that wants one only its answers tell."""
    return bool(backend.health_path) and backend.auth == "none"


def _health_check(backend: Backend) -> Json:
    return {
        "interval": seconds(PROBE_INTERVAL),
        "no_traffic_interval": seconds(PROBE_INTERVAL),
        "no_traffic_healthy_interval": seconds(PROBE_INTERVAL),
        "timeout": seconds(PROBE_TIMEOUT),
        "unhealthy_threshold": 2,
        "healthy_threshold": 2,
        "http_health_check": {"host": backend.host if backend.tls else "mcml", "path": backend.path + backend.health_path},
    }


def _outlier_detection() -> Json:
    return {
        "interval": "0.5s",
        "base_ejection_time": seconds(EJECTION_SECONDS),
        "max_ejection_time": "60s",
        "max_ejection_percent": 100,
        "consecutive_gateway_failure": 3,
        "enforcing_consecutive_gateway_failure": 100,
        # one poisonous request, sent again and again, answers 500 everywhere: that must not take every backend out
        "enforcing_consecutive_5xx": 0,
        "enforcing_success_rate": 0,
        # refused connections and time-outs count like 503 and 504; counted apart, each new connection to a hung backend clears them
        "split_external_local_origin_errors": False,
        # a backend that answers 503 to requests and 200 to health checks would come back twice a second
        "successful_active_health_check_uneject_host": False,
    }
