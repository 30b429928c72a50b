"""Envoy's configuration as values: bootstrap, listener, clusters and routes, with every guarantee of the router built in.

The fields are those of the Envoy v3 API (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/api). Nothing is read or written here.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcml.core.backend import Backend

Json = dict[str, Any]

BUFFER_LIMIT = 8 * 1024 * 1024
"""Largest request body in bytes. All of it is kept for a retry (Envoy's own default keeps 1 MiB and gives up beyond); above it: 413."""

PROBE_INTERVAL = 0.5
"""Seconds between two health checks of a backend; two failures in a row take it out, so a dead one is out in about a second."""

PROBE_TIMEOUT = 1.0
"""Seconds a health check may take; more than the interval, so that a busy machine does not look like a dead one."""

EJECTION_SECONDS = 5.0
"""How long a backend that failed requests in a row is left out at first; Envoy doubles it each time, up to a minute."""

MAX_ATTEMPTS = 4
"""Backends that one request may try."""

MAX_CONNECTIONS = 10_000
"""Client connections at once; further ones are refused."""

ROUTES_NAME = "mcml"
TYPE = "type.googleapis.com/"
HTTP = "envoy.extensions.filters.http"
ACCESS_LOG_FIELDS = {
    "at": "%START_TIME%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "method": "%REQ(:METHOD)%",
    "path": "%REQ(:PATH)%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "backend": "%UPSTREAM_CLUSTER%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "ms": "%DURATION%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
}


@dataclass(frozen=True)
class RoutePlan:
    """What Envoy is to do with one route: its weights, integers that sum to 100, by backend name; empty when it has no backend.

    `last_resort` says that every backend is out: all are tried, quickly, so that the first one to recover serves again.
    """

    name: str
    model: str
    weights: Mapping[str, int]
    timeout: float
    per_try_timeout: float
    last_resort: bool = False


def bootstrap(admin_port: int, folder: str) -> Json:
    """Return the static part: who we are, the admin interface on loopback, and the folder of xDS files (`cds.json`, `lds.json`)."""
    return {
        "node": {"id": "mcml", "cluster": "mcml", "locality": {"region": "local", "zone": "local"}},
        "admin": {"address": _address("127.0.0.1", admin_port)},
        "stats_flush_interval": "1s",  # histograms are merged this often
        "overload_manager": {"resource_monitors": [_connection_limit()]},
        "dynamic_resources": {"cds_config": _watched(folder, "cds.json"), "lds_config": _watched(folder, "lds.json")},
    }


def _connection_limit() -> Json:
    monitor = TYPE + "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    limit = {"@type": monitor, "max_active_downstream_connections": MAX_CONNECTIONS}
    return _named("envoy.resource_monitors.global_downstream_max_connections", limit)


def clusters(backends: Iterable[Backend]) -> list[Json]:
    """Return one cluster a backend name, sorted; backends that share a name (two versions in a rollout) are endpoints of one cluster."""
    groups: dict[str, list[Backend]] = {}
    for backend in backends:
        groups.setdefault(backend.name, []).append(backend)
    return [_cluster(name, members) for name, members in sorted(groups.items())]


def _cluster(name: str, members: Sequence[Backend]) -> Json:
    endpoints = [
        {"endpoint": {"hostname": name, "address": _address(member.host, member.port)}}
        for member in sorted(members, key=lambda member: (member.host, member.port))
    ]
    return {
        "@type": TYPE + "envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "0.5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"locality": {"zone": members[0].target}, "lb_endpoints": endpoints}]},
        # the default of 3 retries at once answers 503 to nearly everybody when a backend dies under load
        "circuit_breakers": {
            "thresholds": [{"max_connections": 4096, "max_pending_requests": 4096, "max_requests": 4096, "max_retries": 1024}]
        },
        "health_checks": [_health_check()],
        "outlier_detection": _outlier_detection(),
        "track_cluster_stats": {"per_endpoint_stats": True},
    }


def _health_check() -> Json:
    return {
        "interval": _seconds(PROBE_INTERVAL),
        "no_traffic_interval": _seconds(PROBE_INTERVAL),
        "no_traffic_healthy_interval": _seconds(PROBE_INTERVAL),
        "timeout": _seconds(PROBE_TIMEOUT),
        "unhealthy_threshold": 2,
        "healthy_threshold": 2,
        "http_health_check": {"host": "mcml", "path": "/v2/health/ready"},
    }


def _outlier_detection() -> Json:
    return {
        "interval": "0.5s",
        "base_ejection_time": _seconds(EJECTION_SECONDS),
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


def routes(plans: Iterable[RoutePlan], *, software: str, ready: bool) -> Json:
    """Return the route configuration; `software` is the version that `/v2` names, `ready` what `/v2/health/ready` answers."""
    plans = sorted(plans, key=lambda plan: plan.name)
    return {
        "@type": TYPE + "envoy.config.route.v3.RouteConfiguration",
        "name": ROUTES_NAME,
        # without it a route to an unknown cluster is accepted and answers 503
        "validate_clusters": True,
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                "include_attempt_count_in_response": True,
                "response_headers_to_add": [_header("x-mcml-backend", "%UPSTREAM_HOST_NAME%")],
                "routes": [*_server_routes(software, ready), *(_route(plan) for plan in plans), _not_found(plans)],
            }
        ],
    }


def _route(plan: RoutePlan) -> Json:
    match = {"path_separated_prefix": f"/v2/models/{plan.name}"}
    if not plan.weights:
        return {"match": match, "direct_response": {"status": 503, "body": {"inline_string": f"no backend serves the model {plan.model}"}}}
    action: Json = {
        "weighted_clusters": {"clusters": [{"name": name, "weight": weight} for name, weight in sorted(plan.weights.items())]},
        "timeout": _seconds(plan.timeout),
        "retry_policy": _retries(plan),
    }
    if plan.name != plan.model:
        action["prefix_rewrite"] = f"/v2/models/{plan.model}"
    return {"match": match, "request_body_buffer_limit": BUFFER_LIMIT, "route": action}


def _retries(plan: RoutePlan) -> Json:
    per_try = min(plan.per_try_timeout, 0.5) if plan.last_resort else plan.per_try_timeout
    return {
        "retry_on": "reset,connect-failure,refused-stream,gateway-error,retriable-status-codes",
        "retriable_status_codes": [429, 500],
        "num_retries": min(MAX_ATTEMPTS, max(2, len(plan.weights))) - 1,
        "per_try_timeout": _seconds(per_try),
        "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.05s"},
        # each attempt goes to a backend that this request has not tried yet
        "refresh_cluster_on_retry": True,
    }


def _server_routes(software: str, ready: bool) -> list[Json]:
    about = json.dumps({"name": "mcml", "version": software, "extensions": []})
    answers = {
        "/v2": (200, about),
        "/v2/health/live": (200, '{"live": true}'),
        "/v2/health/ready": (200, '{"ready": true}') if ready else (503, "a route has no backend that is up"),
    }
    return [
        {
            "match": {"path": path},
            "direct_response": {"status": status, "body": {"inline_string": body}},
            "response_headers_to_add": [_header("content-type", "application/json", replace=True)],
        }
        for path, (status, body) in answers.items()
    ]


def _not_found(plans: Iterable[RoutePlan]) -> Json:
    names = ", ".join(plan.name for plan in plans) or "none"
    text = f"no route serves this path; expected /v2/models/NAME/infer with NAME one of: {names}"
    return {"match": {"prefix": "/"}, "direct_response": {"status": 404, "body": {"inline_string": text}}}


def listener(host: str, port: int, folder: str, access_log: str) -> Json:
    """Return the public listener: HTTP/1.1 or cleartext HTTP/2, hardened for strangers, one JSON line a request in `access_log`."""
    return {
        "@type": TYPE + "envoy.config.listener.v3.Listener",
        "name": "public",
        "address": _address(host, port),
        # otherwise two routers could share a port, each with half of the requests, and neither would say so
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": 1024 * 1024,
        "filter_chains": [
            {"filters": [_named("envoy.filters.network.http_connection_manager", _connection_manager(folder, access_log))]}
        ],
    }


def _connection_manager(folder: str, access_log: str) -> Json:
    return {
        "@type": TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "route",
        "server_name": "mcml",
        "always_set_request_id_in_response": True,
        "preserve_external_request_id": True,
        "use_remote_address": True,
        "early_header_mutation_extensions": [_client_headers()],
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "max_request_headers_kb": 60,
        "request_headers_timeout": "10s",
        "stream_idle_timeout": "300s",
        "common_http_protocol_options": {
            "idle_timeout": "300s",
            "max_headers_count": 100,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "rds": {"route_config_name": ROUTES_NAME, "config_source": _watched(folder, "rds.json")},
        "local_reply_config": _local_replies(),
        "access_log": [_access_log(access_log)],
        "http_filters": [
            _named(
                "envoy.filters.http.buffer", {"@type": TYPE + f"{HTTP}.buffer.v3.Buffer", "max_request_bytes": BUFFER_LIMIT}
            ),
            _named("envoy.filters.http.router", {"@type": TYPE + f"{HTTP}.router.v3.Router"}),
        ],
    }


def _client_headers() -> Json:
    """Drop the `x-envoy-` headers that a client sent: they would set its own time-outs and retries."""
    mutations = [{"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}}]
    header_mutation = TYPE + "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
    return _named("envoy.http.early_header_mutation.header_mutation", {"@type": header_mutation, "mutations": mutations})


def _local_replies() -> Json:
    """Turn what Envoy itself answers into the error object of the v2 protocol, with words instead of Envoy's internals."""
    failed = {"response_flag_filter": {"flags": ["UF", "UC", "UR", "UH", "UO", "URX", "LR", "NC"]}}
    return {
        "mappers": [
            _mapper(_status("EQ", 400), "the request is not valid HTTP, or its path or headers are not safe"),
            _mapper(_status("EQ", 413), f"the request body is larger than {BUFFER_LIMIT} bytes"),
            _mapper(_status("EQ", 431), "the request headers are too large"),
            _mapper(_status("EQ", 504), "no backend answered within the route's timeout"),
            _mapper(failed, "no backend of this model could answer; all that were tried refused, failed or broke off"),
            _mapper(_status("GE", 400), "%LOCAL_REPLY_BODY%"),
        ]
    }


def _status(op: str, status: int) -> Json:
    return {"status_code_filter": {"comparison": {"op": op, "value": {"default_value": status, "runtime_key": "mcml.unused"}}}}


def _mapper(matching: Json, error: str) -> Json:
    body = {"error": error, "code": "%RESPONSE_CODE%", "request_id": "%REQ(X-REQUEST-ID)%"}
    return {"filter": matching, "body_format_override": {"json_format": body}}


def _access_log(path: str) -> Json:
    log = {
        "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": path,
        "log_format": {"json_format": ACCESS_LOG_FIELDS},
    }
    return _named("envoy.access_loggers.file", log)


def flatten(start: Json, listeners: Sequence[Json], all_clusters: Sequence[Json], route_table: Json) -> Json:
    """Put everything into one static configuration, because `envoy --mode validate` does not read the xDS files."""
    static: Json = {**start, "static_resources": {"listeners": [_with_routes(one, route_table) for one in listeners], "clusters": []}}
    static["static_resources"]["clusters"] = [_untyped(cluster) for cluster in all_clusters]
    del static["dynamic_resources"]
    return static


def _with_routes(one: Json, route_table: Json) -> Json:
    manager = {**one["filter_chains"][0]["filters"][0]["typed_config"], "route_config": _untyped(route_table)}
    del manager["rds"]
    chain = {"filters": [_named("envoy.filters.network.http_connection_manager", manager)]}
    return {**_untyped(one), "filter_chains": [chain]}


def _untyped(resource: Json) -> Json:
    return {key: value for key, value in resource.items() if key != "@type"}


def discovery(version: str, resources: Sequence[Json]) -> Json:
    """Wrap resources as the content of one xDS file; Envoy says `version` back once it is in force."""
    return {"version_info": version, "resources": list(resources)}


def _address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def _watched(folder: str, name: str) -> Json:
    source = {"path": f"{folder}/{name}", "watched_directory": {"path": folder}}
    return {"resource_api_version": "V3", "path_config_source": source}


def _named(name: str, typed: Json) -> Json:
    return {"name": name, "typed_config": typed}


def _header(key: str, value: str, *, replace: bool = False) -> Json:
    action = "OVERWRITE_IF_EXISTS_OR_ADD" if replace else "APPEND_IF_EXISTS_OR_ADD"
    return {"header": {"key": key, "value": value}, "append_action": action}


def _seconds(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"
