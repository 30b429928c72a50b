"""What stands beside the path of a request: a check before it leaves, copies for a shadow model, our own questions to backends, and pages.

The helper (`mcml.route.aside.helper`) listens on loopback in the router's process and sees checks and copies, never a request on its
way: when it is away, requests are let through unchecked and copies are lost, and no client notices.
"""

from mcml.route.config.values import CLUSTER_HEADER, HTTP, TYPE, Aside, Json, StaticPage, address, header, named

CLUSTER = "mcml.aside"
ASK_HEADER = "x-mcml-ask"
"""On our own listener: the cluster that is asked."""

TOKEN_HEADER = "x-mcml-token"  # noqa: S105 - a name
CHECK_PREFIX = "/check"
CHECK_FILTER = "envoy.filters.http.ext_authz"
CHECK_BYTES = 1024 * 1024
"""Bytes of a body that are checked; a longer one is let through, for it would be held back until all of it is here."""

CHECK_HEADERS = ("content-encoding", "inference-header-content-length", "x-envoy-auth-partial-body")
"""What the helper is told beside the path; Envoy itself says whether a body was cut."""

CHECK_SECONDS = 0.5
ASK_SECONDS = 30.0
PRIVATE_HEADERS = ("authorization", "x-api-key", "cookie")
_CHECK = f"{HTTP}.ext_authz.v3"


def clusters(aside: Aside | None) -> list[Json]:
    """Return the cluster of the helper."""
    if aside is None:
        return []
    return [
        {
            "@type": TYPE + "envoy.config.cluster.v3.Cluster",
            "name": CLUSTER,
            "type": "STATIC",
            "connect_timeout": "0.25s",
            "load_assignment": {
                "cluster_name": CLUSTER,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address("127.0.0.1", aside.port)}}]}],
            },
            # copies beyond it are dropped by Envoy, and a check beyond it is let through
            "circuit_breakers": {"thresholds": [{"max_connections": 64, "max_pending_requests": 64, "max_requests": 128}]},
        }
    ]


def filters(aside: Aside | None) -> list[Json]:
    """Return the filter of the check, off except where a route asks for it; nothing when none does."""
    if aside is None or not aside.checked:
        return []
    service = {
        "server_uri": {"uri": f"http://127.0.0.1:{aside.port}", "cluster": CLUSTER, "timeout": f"{CHECK_SECONDS}s"},
        "path_prefix": CHECK_PREFIX,
    }
    typed = {
        "@type": TYPE + f"{_CHECK}.ExtAuthz",
        "transport_api_version": "V3",
        "http_service": service,
        "allowed_headers": {"patterns": [{"exact": name} for name in CHECK_HEADERS]},
        # without the helper a request goes on unchecked: the backend checks it again anyway
        "failure_mode_allow": True,
        "with_request_body": {"max_request_bytes": CHECK_BYTES, "allow_partial_message": True},
    }
    return [{**named(CHECK_FILTER, typed), "disabled": True}]


def replies(aside: Aside | None) -> list[Json]:
    """Return how a refused check is answered: with the reason that the helper gave."""
    if aside is None or not aside.checked:
        return []
    body = {"error": "%LOCAL_REPLY_BODY%", "code": "%RESPONSE_CODE%", "request_id": "%REQ(X-REQUEST-ID)%"}
    return [{"filter": {"response_flag_filter": {"flags": ["UAEX"]}}, "body_format_override": {"json_format": body}}]


def listeners(aside: Aside | None) -> list[Json]:
    """Return the listener for our own questions: on loopback, only with the token; the header `ASK_HEADER` names the cluster."""
    if aside is None:
        return []
    match = {"prefix": "/", "headers": [{"name": TOKEN_HEADER, "string_match": {"exact": aside.token.reveal()}}]}
    asked = {
        "match": match,
        "route": {"cluster_header": ASK_HEADER, "timeout": f"{ASK_SECONDS}s"},
        "request_headers_to_remove": [ASK_HEADER, TOKEN_HEADER],
    }
    manager = {
        "@type": TYPE + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ask",
        "route_config": {"name": "ask", "virtual_hosts": [{"name": "ask", "domains": ["*"], "routes": [asked]}]},
        "http_filters": [named("envoy.filters.http.router", {"@type": TYPE + f"{HTTP}.router.v3.Router"})],
    }
    return [
        {
            "@type": TYPE + "envoy.config.listener.v3.Listener",
            "name": "ask",
            "address": address("127.0.0.1", aside.ask_port),
            "enable_reuse_port": False,
            "filter_chains": [{"filters": [named("envoy.filters.network.http_connection_manager", manager)]}],
        }
    ]


def assist(table: Json, aside: Aside | None) -> Json:
    """Return a route table with the pages, and with check and copies where a route asks for them (its name is its `stat_prefix`)."""
    if aside is None:
        return table
    pages = [_page(page) for page in aside.pages]
    hosts = [{**host, "routes": [*pages, *(_assisted(one, aside) for one in host["routes"])]} for host in table["virtual_hosts"]]
    return {**table, "virtual_hosts": hosts}


def _page(page: StaticPage) -> Json:
    return {
        "match": {"path": page.path},
        "direct_response": {"status": 200, "body": {"inline_string": page.body}},
        "response_headers_to_add": [header(key, value, replace=True) for key, value in (("content-type", page.kind), *page.headers)],
    }


def _assisted(one: Json, aside: Aside) -> Json:
    name = one.get("stat_prefix", "")
    path = one["match"].get("path_separated_prefix") or one["match"].get("path", "")
    if "route" not in one or not path.startswith("/v2/models/"):
        return one
    found = dict(one)
    if name in aside.checked:
        settings = {"with_request_body": {"max_request_bytes": CHECK_BYTES, "allow_partial_message": True}}
        check = {"@type": TYPE + f"{_CHECK}.ExtAuthzPerRoute", "check_settings": settings}
        found["typed_per_filter_config"] = {**one.get("typed_per_filter_config", {}), CHECK_FILTER: check}
    if name in aside.copied:
        found["route"] = {**one["route"], "request_mirror_policies": [_copies(name, aside)]}
        # a copy is made when the backend is chosen: of a split route it says so of which model the answer is
        chosen = header(CLUSTER_HEADER, "%UPSTREAM_CLUSTER%", replace=True)
        found["request_headers_to_add"] = [*one.get("request_headers_to_add", ()), chosen]
    return found


def _copies(route: str, aside: Aside) -> Json:
    """Send a share of the requests to the helper, too; what it answers is dropped. The host says of which route a copy is."""
    share = {"numerator": round(aside.copied[route] * 10_000), "denominator": "MILLION"}
    return {
        "cluster": CLUSTER,
        "runtime_fraction": {"default_value": share},
        "host_rewrite_literal": route,
        "request_headers_mutations": [{"remove": name} for name in PRIVATE_HEADERS],
    }
