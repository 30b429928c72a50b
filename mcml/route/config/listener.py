"""The public listener: HTTP/1.1 or cleartext HTTP/2, hardened for strangers."""

from mcml.route.config.replies import local_replies
from mcml.route.config.values import BUFFER_LIMIT, HTTP, ROUTES_NAME, TYPE, Front, Json, address, named, watched

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


def listener(front: Front, folder: str) -> Json:
    """Return the public listener, fed with routes from `rds.json` in `folder`."""
    return {
        "@type": TYPE + "envoy.config.listener.v3.Listener",
        "name": "public",
        "address": address(front.host, front.port),
        # otherwise two routers could share a port, each with half of the requests, and neither would say so
        "enable_reuse_port": False,
        "per_connection_buffer_limit_bytes": 1024 * 1024,
        "filter_chains": [
            {"filters": [named("envoy.filters.network.http_connection_manager", _connection_manager(front, folder))]}
        ],
    }


def _connection_manager(front: Front, folder: str) -> Json:
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
        "rds": {"route_config_name": ROUTES_NAME, "config_source": watched(folder, "rds.json")},
        "local_reply_config": local_replies(),
        "access_log": [_access_log(front.access_log)],
        "http_filters": [
            named(
                "envoy.filters.http.buffer", {"@type": TYPE + f"{HTTP}.buffer.v3.Buffer", "max_request_bytes": BUFFER_LIMIT}
            ),
            named("envoy.filters.http.router", {"@type": TYPE + f"{HTTP}.router.v3.Router"}),
        ],
    }


def _client_headers() -> Json:
    """Drop the `x-envoy-` headers that a client sent: they would set its own time-outs and retries."""
    mutations = [{"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}}]
    header_mutation = TYPE + "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation"
    return named("envoy.http.early_header_mutation.header_mutation", {"@type": header_mutation, "mutations": mutations})


def _access_log(path: str) -> Json:
    log = {
        "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": path,
        "log_format": {"json_format": ACCESS_LOG_FIELDS},
    }
    return named("envoy.access_loggers.file", log)
