"""The evidence log: one JSON line for each request to a residency route, also for those that were refused. Nothing here rotates it."""

from mcml.route.config.values import TYPE, Json, named

EVIDENCE_FILE = "evidence.jsonl"

FIELDS = {
    "at": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "route": "%METADATA(ROUTE:mcml:route)%",
    "asked": "%REQ(X-DATA-REGION)%",
    "region": "%METADATA(ROUTE:mcml:residency)%",
    "backend": "%UPSTREAM_CLUSTER%",
    "backend_region": "%UPSTREAM_METADATA(mcml:region)%",
    "backend_address": "%UPSTREAM_HOST%",
    "tried": "%UPSTREAM_HOSTS_ATTEMPTED%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "status": "%RESPONSE_CODE%",
    "details": "%RESPONSE_CODE_DETAILS%",
}
"""`asked` is what the client said, `region` the one whose backends the request could go to (`refused`: none), `backend_region` where the
backend that answered is, `tried` the addresses of all attempts."""


def evidence_log(path: str) -> Json:
    """Return the access log that writes it, and only for routes that are marked."""
    log = {
        "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": path,
        "log_format": {"json_format": FIELDS},
    }
    marked = {"@type": TYPE + "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"}
    marked["expression"] = "has(xds.route_metadata.filter_metadata.mcml.residency)"
    chosen = {"extension_filter": named("envoy.access_loggers.extension_filters.cel", marked)}
    return {**named("envoy.access_loggers.file", log), "filter": chosen}
