"""Who may ask for what, and how often: API keys with their routes, rates, origins of pages.

Keys and rates are resources of their own (`keys.json`, `limits.json`): a listener that changes keeps its old keys for the connections that
it has, so a key that was revoked would go on for as long as its connection; a filter that changes has its new keys for the next request.
"""

from collections.abc import Iterator

from mcml.core.open_inference import HEALTH_SERVICE
from mcml.route.config.values import HTTP, TYPE, Front, Json, Rate, header, named, watched

KEYS = "mcml.keys"
LIMITS = "mcml.limits"
CLIENT_HEADER = "x-mcml-client"
METADATA = "mcml"
"""The namespace of what filters know about a request: `client`, the name of its key; and of what a route is: `route`."""

NOBODY = "no client may"
OPEN_PATHS = ("/v2/health/live", "/v2/health/ready", f"/{HEALTH_SERVICE}/")
"""What a load balancer asks; it has no key."""

MOST_CLIENTS = 10_000
"""Clients of one route that are counted at once; beyond it the one that was quiet the longest is forgotten, and begins anew."""

_KEY_AUTH = f"{HTTP}.api_key_auth.v3"
_RATE_LIMIT = f"{HTTP}.local_ratelimit.v3.LocalRateLimit"
_RETRY_AFTER = (
    "%CEL(response.headers[':status'] == '429' && 'x-ratelimit-reset' in response.headers "
    "? (response.headers['x-ratelimit-reset'] == '0' ? '1' : response.headers['x-ratelimit-reset']) : '')%"
)


def filters(front: Front, folder: str) -> list[Json]:
    """Return the filters that a request passes before it is let through, in order."""
    cors = [named("envoy.filters.http.cors", {"@type": TYPE + f"{HTTP}.cors.v3.Cors"})] if front.cors else []
    keys = [_discovered(KEYS, "keys.json", f"{_KEY_AUTH}.ApiKeyAuth", folder), _client_name()] if front.clients is not None else []
    limits = [_retry_after(), _discovered(LIMITS, "limits.json", _RATE_LIMIT, folder)] if limited(front) else []
    return cors + keys + limits


def limited(front: Front) -> bool:
    """Tell whether requests are counted: where there are keys, one with a rate may come at any time."""
    return front.clients is not None or bool(front.rates)


def _discovered(name: str, file: str, kind: str, folder: str) -> Json:
    return {"name": name, "config_discovery": {"config_source": watched(folder, file), "type_urls": [TYPE + kind]}}


def _client_name() -> Json:
    """Keep the name of the client as metadata, for the rates and the access log, and away from the backends."""
    rule = {"header": CLIENT_HEADER, "on_header_present": {"metadata_namespace": METADATA, "key": "client"}, "remove": True}
    return named(
        "envoy.filters.http.header_to_metadata", {"@type": TYPE + f"{HTTP}.header_to_metadata.v3.Config", "request_rules": [rule]}
    )


def _retry_after() -> Json:
    """Say when to come again; it stands before the filter of the rates, so it sees their headers in the answer."""
    header = {"header": {"key": "retry-after", "value": _RETRY_AFTER}, "append_action": "ADD_IF_ABSENT"}
    mutations = {"response_mutations": [{"append": header}]}
    return named(
        "envoy.filters.http.header_mutation", {"@type": TYPE + f"{HTTP}.header_mutation.v3.HeaderMutation", "mutations": mutations}
    )


def resources(front: Front) -> dict[str, Json]:
    """Return the filters that are resources of their own, by the name of their file. `keys` holds clear text."""
    found = {}
    if front.clients is not None:
        found["keys"] = _resource(KEYS, _keys(front))
    if limited(front):
        found["limits"] = _resource(LIMITS, _limits(front))
    return found


def _resource(name: str, typed: Json) -> Json:
    return {"@type": TYPE + "envoy.config.core.v3.TypedExtensionConfig", **named(name, typed)}


def _keys(front: Front) -> Json:
    credentials = [{"key": text.reveal(), "client": client.name} for client in front.clients or () for text in client.texts]
    return {
        "@type": TYPE + f"{_KEY_AUTH}.ApiKeyAuth",
        "credentials": credentials,
        "key_sources": [{"header": "x-api-key"}, {"header": "authorization"}],
        "forwarding": _FORWARDING,
    }


_FORWARDING = {"header": CLIENT_HEADER, "hide_credentials": True}


def _limits(front: Front) -> Json:
    """A request is counted for its client over all routes, and for its client on its route; the stricter of both decides."""
    client = {"descriptor_key": "client", "metadata_key": _path("client"), "source": "DYNAMIC"}
    anybody = {**client, "default_value": "anybody"}
    route = {"descriptor_key": "route", "metadata_key": _path("route"), "source": "ROUTE_ENTRY"}
    descriptors = [
        {"entries": [{"key": "client", "value": one.name}], **_bucket(one.rate)} for one in front.clients or () if one.rate is not None
    ]
    descriptors += [{"entries": [{"key": "route", "value": name}, {"key": "client"}], **_bucket(rate)} for name, rate in front.rates]
    always = {"default_value": {"numerator": 100}}
    typed: Json = {"@type": TYPE + _RATE_LIMIT, "stat_prefix": "limits"}
    if not descriptors:
        return typed
    return {
        **typed,
        "filter_enabled": always,
        "filter_enforced": always,
        "always_consume_default_token_bucket": False,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "max_dynamic_descriptors": MOST_CLIENTS,
        "rate_limits": [{"actions": [{"metadata": client}]}, {"actions": [{"metadata": route}, {"metadata": anybody}]}],
        "descriptors": descriptors,
    }


def _path(key: str) -> Json:
    return {"key": METADATA, "path": [{"key": key}]}


def _bucket(rate: Rate) -> Json:
    interval = f"{rate.per:.3f}s"
    return {"token_bucket": {"max_tokens": rate.requests, "tokens_per_fill": rate.requests, "fill_interval": interval}}


def guard(table: Json, front: Front) -> Json:
    """Return a route table that says of each route whose it is, who may use it, and which pages may call it.

    The name of a route is its `stat_prefix`. One that goes to no backend is open to every key, and `OPEN_PATHS` to everybody,
    as is the health service of gRPC.
    """
    hosts = [_host(host, front) for host in table["virtual_hosts"]]
    return {**table, "virtual_hosts": hosts}


def _host(host: Json, front: Front) -> Json:
    guarded = {**host, "routes": [*_never(), *(_guarded(one, front) for one in host["routes"])]}
    if front.cors:
        guarded["typed_per_filter_config"] = {**host.get("typed_per_filter_config", {}), "envoy.filters.http.cors": _cors(front)}
    return guarded


def _never() -> Iterator[Json]:
    """Refuse what no backend is to see, whatever its path.

    Two hosts, which Envoy would join with a comma (RFC 9112, 3.2: 400). TRACE: an answer to it shows the headers of the request, and so the
    credential that the router put there (RFC 9110, 9.3.8). A websocket that is asked for with more than a bare GET (RFC 6455, 4.1): Envoy
    takes the body for the stream, past the limit of bodies, and holds it back, so that a backend that waits for it seems to hang.
    """
    yield _refuse(400, "the request names more than one host", {"name": ":authority", "string_match": {"contains": ","}})
    allow = {"response_headers_to_add": [header("allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS", replace=True)]}
    yield _refuse(405, "the router does not pass on TRACE", _method("TRACE")) | allow
    websocket = {"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}
    body = {"name": "content-length", "string_match": {"safe_regex": {"regex": ".*[1-9].*"}}}
    for more in (_method("GET") | {"invert_match": True}, body):
        yield _refuse(400, "a websocket begins with a GET without a body", websocket, more)


def _refuse(status: int, text: str, *headers: Json) -> Json:
    return {"match": {"prefix": "/", "headers": list(headers)}, "direct_response": {"status": status, "body": {"inline_string": text}}}


def _method(name: str) -> Json:
    return {"name": ":method", "string_match": {"exact": name}}


def _guarded(one: Json, front: Front) -> Json:
    name = one.get("stat_prefix", "")
    found = dict(one)
    if name:
        metadata = one.get("metadata", {}).get("filter_metadata", {})
        found["metadata"] = {"filter_metadata": {**metadata, METADATA: {**metadata.get(METADATA, {}), "route": name}}}
    if "request_body_buffer_limit" in one:
        found["request_body_buffer_limit"] = front.buffer_limit
    if front.clients is not None:
        serves = bool(name) or "route" in one
        rule = _allowed(name, one["match"], front, serves=serves)
        found["typed_per_filter_config"] = {**one.get("typed_per_filter_config", {}), KEYS: rule}
    return found


def _allowed(name: str, match: Json, front: Front, *, serves: bool) -> Json:
    if (match.get("path") or match.get("prefix")) in OPEN_PATHS:
        return {"@type": TYPE + "envoy.config.route.v3.FilterConfig", "config": {}, "disabled": True}
    allowed = [client.name for client in front.clients or () if not client.routes or name in client.routes or not serves]
    # without `forwarding` of its own, a route would send the key on to the backend; an empty list would let every client in
    return {"@type": TYPE + f"{_KEY_AUTH}.ApiKeyAuthPerRoute", "allowed_clients": allowed or [NOBODY], "forwarding": _FORWARDING}


def _cors(front: Front) -> Json:
    return {
        "@type": TYPE + f"{HTTP}.cors.v3.CorsPolicy",
        "allow_origin_string_match": [{"exact": origin} for origin in front.cors],
        "allow_methods": "GET, POST",
        "allow_headers": "content-type, authorization, x-api-key, x-request-id, traceparent, tracestate, x-data-region, x-mcml-target, "
        "x-user-id",
        "expose_headers": "x-request-id, x-mcml-backend, x-mcml-version, x-mcml-attempts, x-ratelimit-limit, x-ratelimit-remaining, "
        "x-ratelimit-reset, retry-after",
        "max_age": "600",
    }
