"""The public listener: HTTP/1.1 or HTTP/2, in clear text or over TLS, hardened for strangers."""

from urllib.parse import urlsplit

from mcml.route.config import access, aside
from mcml.route.config.evidence import evidence_log
from mcml.route.config.grpc import grpc_filters
from mcml.route.config.replies import local_replies
from mcml.route.config.table import overflow_filter
from mcml.route.config.upstream import ORIGINAL_PATH
from mcml.route.config.values import (
    BACKEND_STATS,
    BROKEN_OFF,
    HTTP,
    IDLE_SECONDS,
    ROUTES_NAME,
    TYPE,
    Front,
    Identity,
    Json,
    Spans,
    address,
    named,
    seconds,
    watched,
)

HEADERS_SECONDS = 10
"""How long a client may take to send the headers of a request, and its part of a TLS handshake."""

REQUEST_SECONDS = 120
"""How long it may take to send the whole request; over once an answer has begun, so a stream may go on."""

ACCEPTED_AT_ONCE = 16
"""New connections that a worker takes before it looks after those that it has; the others wait in the kernel's queue."""

ACCESS_LOG_FIELDS = {
    "at": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "trace_id": "%TRACE_ID%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "key": f"%DYNAMIC_METADATA({access.METADATA}:client)%",
    "method": "%REQ(:METHOD)%",
    # a query may hold what is nobody else's business
    "path": "%PATH(NQ)%",
    "protocol": "%PROTOCOL%",
    "route": f"%METADATA(ROUTE:{access.METADATA}:route)%",
    "region": f"%METADATA(ROUTE:{access.METADATA}:residency)%",
    "backend": "%UPSTREAM_CLUSTER%",
    "upstream": "%UPSTREAM_HOST%",
    "version": "%RESP(X-MCML-VERSION)%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "status": "%RESPONSE_CODE%",
    "grpc_status": "%GRPC_STATUS(SNAKE_STRING)%",
    "details": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "ms": "%DURATION%",
    "bytes_in": "%BYTES_RECEIVED%",
    "bytes_out": "%BYTES_SENT%",
}
"""One line a request. No body, no header that a client may hide something in, and of a key only its name."""

_SAMPLERS = "envoy.extensions.tracers.opentelemetry.samplers.v3"
TRACING = "mcml.tracing"
"""The cluster of the collector of spans."""


def listener(front: Front, folder: str) -> Json:
    """Return the public listener, fed with routes from `rds.json` in `folder`."""
    chain: Json = {"filters": [named("envoy.filters.network.http_connection_manager", _connection_manager(front, folder))]}
    if front.identity:
        chain["transport_socket"] = _tls(front.identity, folder)
        chain["transport_socket_connect_timeout"] = f"{HEADERS_SECONDS}s"
    return {
        "@type": TYPE + "envoy.config.listener.v3.Listener",
        "name": "public",
        "address": address(front.host, front.port),
        # otherwise two routers could share a port, each with half of the requests, and neither would say so
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": 1024 * 1024,
        # without it a flood is let in by thousands at once, up to the limit of connections, and then everybody else is turned away
        "max_connections_to_accept_per_socket_event": ACCEPTED_AT_ONCE,
        "filter_chains": [chain],
    }


def _connection_manager(front: Front, folder: str) -> Json:
    manager = {
        "@type": TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "route",
        "server_name": "mcml",
        "always_set_request_id_in_response": True,
        "preserve_external_request_id": True,
        "request_id_extension": _request_id(),
        "use_remote_address": True,
        "xff_num_trusted_hops": front.trusted_proxies,
        "early_header_mutation_extensions": [_client_headers()],
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "max_request_headers_kb": 60,
        "request_headers_timeout": f"{HEADERS_SECONDS}s",
        "request_timeout": f"{REQUEST_SECONDS}s",
        "stream_idle_timeout": seconds(IDLE_SECONDS),
        "common_http_protocol_options": {
            "idle_timeout": seconds(IDLE_SECONDS),
            "max_headers_count": 100,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {"max_concurrent_streams": 256},
        "upgrade_configs": [{"upgrade_type": "websocket", "filters": [*access.filters(front, folder), *_overflow(front), _router()]}],
        "rds": {"route_config_name": ROUTES_NAME, "config_source": watched(folder, "rds.json")},
        "local_reply_config": local_replies(front),
        "access_log": [
            _access_log(front.access_log),
            _broken_off(),
            *([evidence_log(front.evidence)] if front.evidence else []),
            *([_key_counts()] if front.clients is not None else []),
        ],
        # first: which route a call is of decides who may make it
        "http_filters": [
            *(grpc_filters() if front.grpc else ()),
            *access.filters(front, folder),
            *_overflow(front),
            _body_limit(front.body_limit),
            *aside.filters(front.aside),
            _router(),
        ],
    }
    return {**manager, "tracing": _tracing(front.spans)} if front.spans else manager


def _request_id() -> Json:
    """Keep what a client sent: by default Envoy writes into a UUID whether the request is traced."""
    kind = TYPE + "envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"
    typed = {"@type": kind, "pack_trace_reason": False, "use_request_id_for_trace_sampling": False}
    return {"typed_config": typed}


def _client_headers() -> Json:
    """Drop what a client must not say: the `x-envoy-` headers would set its own time-outs and retries, the other two name its key, and
    the path that it asked for."""
    names = ("x-envoy-", access.CLIENT_HEADER, ORIGINAL_PATH)
    mutations = [{"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in names]
    header_mutation = TYPE + "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
    return named("envoy.http.early_header_mutation.header_mutation", {"@type": header_mutation, "mutations": mutations})


def _overflow(front: Front) -> list[Json]:
    return [overflow_filter()] if front.overflows else []


def _body_limit(most: int) -> Json:
    """Refuse what is too large, by its announced length or once it is; nothing waits for the whole body."""
    typed = {"@type": TYPE + f"{HTTP}.body_size_limit.v3.BodySizeLimit", "max_request_bytes": most}
    return named("envoy.filters.http.body_size_limit", typed)


def _router() -> Json:
    return named("envoy.filters.http.router", {"@type": TYPE + f"{HTTP}.router.v3.Router"})


def _key_counts() -> Json:
    """Count requests by key, route and status, for `mcml_route_key_requests_total`."""
    values = {
        "key": f"%DYNAMIC_METADATA({access.METADATA}:client)%",
        "route": f"%METADATA(ROUTE:{access.METADATA}:route)%",
        "code": "%RESPONSE_CODE%",
    }
    tags = [{"name": name, "value_format": value} for name, value in values.items()]
    typed = {
        "@type": TYPE + "envoy.extensions.access_loggers.stats.v3.Config",
        "stat_prefix": "mcml_key",
        "counters": [{"stat": {"name": "requests", "tags": tags}, "value_fixed": 1}],
    }
    return named("envoy.access_loggers.stats", typed)


def _broken_off() -> Json:
    """Count answers that a backend began and did not end: to Envoy's own counters they are a success from their first byte on.

    Nobody can make them good, but their backend must not keep its weight. The flags are looked at first, for they cost nothing.
    """
    after = {"@type": TYPE + "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"}
    after["expression"] = "response.code >= 200 && response.code_details.startsWith('upstream_reset_after_response_started')"
    filters = [
        {"response_flag_filter": {"flags": ["UC", "UR", "UPE"]}},
        {"extension_filter": named("envoy.access_loggers.extension_filters.cel", after)},
    ]
    counter = {"name": BROKEN_OFF, "tags": [{"name": "backend", "value_format": "%UPSTREAM_CLUSTER%"}]}
    typed = {
        "@type": TYPE + "envoy.extensions.access_loggers.stats.v3.Config",
        "stat_prefix": BACKEND_STATS,
        "counters": [{"stat": counter, "value_fixed": 1}],
    }
    return {**named("envoy.access_loggers.stats", typed), "filter": {"and_filter": {"filters": filters}}}


def _access_log(path: str) -> Json:
    log = {
        "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": path,
        "log_format": {"json_format": ACCESS_LOG_FIELDS},
    }
    return named("envoy.access_loggers.file", log)


# --- TLS

def _tls(identity: Identity, folder: str) -> Json:
    common: Json = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificate_sds_secret_configs": [{"name": "server", "sds_config": watched(folder, "sds.json")}],
    }
    if identity.client_ca:
        common["validation_context_sds_secret_config"] = {"name": "clients", "sds_config": watched(folder, "sds-ca.json")}
    typed = {
        "@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        "common_tls_context": common,
        "require_client_certificate": bool(identity.client_ca),
    }
    return named("envoy.transport_sockets.tls", typed)


def secrets(front: Front) -> dict[str, Json]:
    """Return what the listener shows of itself, by the name of its file; it holds the private key."""
    if not front.identity:
        return {}
    kind = {"@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.Secret"}
    chain, key = ({"inline_string": text} for text in (front.identity.certificate, front.identity.key.reveal()))
    found: dict[str, Json] = {"sds": {**kind, "name": "server", "tls_certificate": {"certificate_chain": chain, "private_key": key}}}
    if front.identity.client_ca:
        trusted = {"trusted_ca": {"inline_string": front.identity.client_ca}}
        found["sds-ca"] = {**kind, "name": "clients", "validation_context": trusted}
    return found


# --- traces

def _tracing(spans: Spans) -> Json:
    http = {"http_uri": {"uri": spans.endpoint, "cluster": TRACING, "timeout": "2s"}}
    provider = {"@type": TYPE + "envoy.config.trace.v3.OpenTelemetryConfig", "service_name": "mcml", "http_service": http}
    provider["sampler"] = _sampler(spans.percent)
    return {
        "provider": named("envoy.tracers.opentelemetry", provider),
        "random_sampling": {"value": 100},  # the sampler decides
        "spawn_upstream_span": True,
        "custom_tags": [_URL, *(_tag(name, kind) for name, kind in (("route", "route"), ("client", "request")))],
    }


_URL = {"tag": "http.url", "value": "%REQ(:SCHEME)%://%REQ(:AUTHORITY)%%PATH(NQ)%"}
"""In place of Envoy's own, which has the query: as in the access log, that is nobody else's business."""


def _tag(name: str, kind: str) -> Json:
    return {"tag": f"mcml.{name}", "metadata": {"kind": {kind: {}}, "metadata_key": {"key": access.METADATA, "path": [{"key": name}]}}}


def _sampler(percent: float) -> Json:
    """Sample what the client's traceparent says, and of the rest a share: Envoy's own decision asks neither it nor a foreign request id."""
    ratio = {"sampling_percentage": {"numerator": round(percent * 10_000), "denominator": "MILLION"}}
    root = {"@type": TYPE + f"{_SAMPLERS}.TraceIdRatioBasedSamplerConfig", **ratio}
    wrapped = named("envoy.tracers.opentelemetry.samplers.trace_id_ratio_based", root)
    typed = {"@type": TYPE + f"{_SAMPLERS}.ParentBasedSamplerConfig", "wrapped_sampler": wrapped}
    return named("envoy.tracers.opentelemetry.samplers.parent_based", typed)


def own_clusters(front: Front, authorities: str = "") -> list[Json]:
    """Return the clusters that the listener itself needs: the router's own helper, and the collector of spans.

    `authorities` is a PEM file, for a collector over HTTPS.
    """
    return [*aside.clusters(front.aside), *_collector(front, authorities)]


def _collector(front: Front, authorities: str) -> list[Json]:
    if not front.spans:
        return []
    url = urlsplit(front.spans.endpoint)
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    cluster: Json = {
        "@type": TYPE + "envoy.config.cluster.v3.Cluster",
        "name": TRACING,
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_PREFERRED",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": TRACING,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(host, port)}}]}],
        },
    }
    if url.scheme == "https":
        names = [{"san_type": kind, "matcher": {"exact": host}} for kind in ("DNS", "IP_ADDRESS")]
        trusted = {"trusted_ca": {"filename": authorities}, "match_typed_subject_alt_names": names}
        context = {
            "@type": TYPE + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": host,
            "common_tls_context": {"validation_context": trusted},
        }
        cluster["transport_socket"] = named("envoy.transport_sockets.tls", context)
    return [cluster]
