"""gRPC: what is told to Envoy for the routes that speak it, made of what it is told for HTTP.

A call names its model in the message, not in the path. Which route it belongs to is said, the first that is there:

1. by the client's metadata `x-mcml-route` (or `mm-model-id`, as for KServe ModelMesh);
2. by the only route that speaks gRPC;
3. by the model's name in the message, which Envoy reads for calls that neither of these decides.

Every backend has a second cluster, `NAME/grpc`, with the same guarantees. Envoy counts and ejects by the status of a call.
"""

import base64
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mcml.core.backend import Backend
from mcml.core.open_inference import HEALTH_SERVICE, MODEL_HEADER, ROUTE_HEADER, SERVICE, descriptors
from mcml.route.config.values import HTTP, TYPE, Attempt, Choice, Json, Region, RoutePlan, address, header, named, seconds

SUFFIX = "/grpc"
MESH_HEADER = "mm-model-id"
PREFIX = f"/{SERVICE}/"
STREAM = f"{PREFIX}ModelStreamInfer"
"""Triton's: passed on as it comes, without an end."""

EXTRACTION = "envoy.filters.http.grpc_field_extraction"
REMATCH = "envoy.filters.http.set_filter_state"
NAME_FIELDS = {"ModelInfer": "model_name", "ModelReady": "name", "ModelMetadata": "name"}
"""The field that names the model, by method."""

READABLE = "16 MiB"
"""Envoy reads a whole message to find a field in it, and keeps this much of an HTTP/2 stream."""

RETRY_ON = ",cancelled,unavailable,internal,resource-exhausted"
"""Added to what an attempt over HTTP is repeated for: the statuses that stand for 503, 500 and 429, and that of a server which ends."""

STATUSES = {400: 3, 401: 16, 403: 7, 404: 5, 408: 4, 413: 8, 429: 8, 431: 8, 503: 14, 504: 4, 507: 14}
"""gRPC's status for what Envoy itself answers; its own table makes 404 'unimplemented' and 413 'unknown'."""


def grpc_name(backend: str) -> str:
    """Return the name of a backend's cluster for gRPC."""
    return backend + SUFFIX


# --- clusters


def grpc_clusters(clusters: Iterable[Json], backends: Iterable[Backend], plans: Iterable[RoutePlan]) -> list[Json]:
    """Return a second cluster for each backend that speaks gRPC and is of a route that asks for it, made of its first one."""
    spoken = {name: found for name, found in _asked(backends, plans).items() if all(member.grpc_port for member in found)}
    return [_grpc_cluster(cluster, spoken[cluster["name"]]) for cluster in clusters if cluster["name"] in spoken]


def speechless(backends: Iterable[Backend], plans: Iterable[RoutePlan]) -> list[str]:
    """Return the backends (by name) of routes that ask for gRPC which do not speak it: they get no call."""
    return [name for name, found in _asked(backends, plans).items() if not all(member.grpc_port for member in found)]


def _asked(backends: Iterable[Backend], plans: Iterable[RoutePlan]) -> dict[str, list[Backend]]:
    """Return the backends of routes that ask for gRPC, by name."""
    models = {name.partition("@")[0] for plan in plans if plan.protocol != "http" for name in (*plan.weights, plan.model)}
    found: dict[str, list[Backend]] = {}
    for backend in backends:
        if backend.model in models:
            found.setdefault(backend.name, []).append(backend)
    return found


def _grpc_cluster(http: Json, members: Sequence[Backend]) -> Json:
    name = grpc_name(http["name"])
    options: Mapping[str, Any] = http.get("typed_extension_protocol_options", {})
    protocol = dict(options.get(_OPTIONS, {"@type": TYPE + _OPTIONS}))
    protocol.pop("auto_config", None)
    protocol["explicit_http_config"] = {"http2_protocol_options": {}}
    # a path of its own is one for HTTP; credentials are taken off and put on as there
    chain = [one for one in protocol.get("http_filters", [_CODEC]) if not one["name"].endswith(".lua")]
    protocol["http_filters"] = [_say_model(members[0].model), *chain]
    return {
        **http,
        "name": name,
        "load_assignment": {**_with_ports(http["load_assignment"], members), "cluster_name": name},
        "health_checks": [_health_check(check) for check in http.get("health_checks", ())],
        "typed_extension_protocol_options": {**options, _OPTIONS: protocol},
    }


_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_CODEC = named("envoy.filters.http.upstream_codec", {"@type": TYPE + f"{HTTP}.upstream_codec.v3.UpstreamCodec"})


def _say_model(model: str) -> Json:
    """Tell the backend which model we mean: the message may name it as the route is called."""
    mutation = {"append": header(MODEL_HEADER, model, replace=True)}
    config = {"@type": TYPE + f"{HTTP}.header_mutation.v3.HeaderMutation", "mutations": {"request_mutations": [mutation]}}
    return named("envoy.filters.http.header_mutation", config)


def _with_ports(assignment: Json, members: Sequence[Backend]) -> Json:
    """Put gRPC's port in the place of HTTP's, address by address."""
    places = {member.address: address(*member.grpc_address) for member in members}

    def moved(one: Json) -> Json:
        at = one["endpoint"]["address"]["socket_address"]
        return {**one, "endpoint": {**one["endpoint"], "address": places[at["address"], at["port_value"]]}}

    return {
        **assignment,
        "endpoints": [
            {**zone, "lb_endpoints": [moved(one) for one in zone["lb_endpoints"]]} for zone in assignment["endpoints"]
        ],
    }


def _health_check(http: Json) -> Json:
    kept = {key: value for key, value in http.items() if key != "http_health_check"}
    return {**kept, "grpc_health_check": {}}


def speakers(clusters: Iterable[str]) -> frozenset[str]:
    """Return the backends that have a cluster for gRPC, of the names of all clusters."""
    return frozenset(name.removesuffix(SUFFIX) for name in clusters if name.endswith(SUFFIX))


# --- routes


def speaking(plans: Iterable[RoutePlan], names: Collection[str]) -> list[RoutePlan]:
    """Return the plans that speak gRPC with only those backends (by name) that do, too."""
    return [_only(plan, names) for plan in plans if plan.protocol != "http"]


def _only(plan: RoutePlan, names: Collection[str]) -> RoutePlan:
    """Leave out the backends that are not among these names, also in each region and for each target: none becomes another's."""
    main = _chosen(plan.choice, names, plan.name)
    regions = {
        region: Region(
            _chosen(found.choice, names, plan.name), {target: _chosen(one, names, plan.name) for target, one in found.targets.items()}
        )
        for region, found in plan.regions.items()
    }
    return replace(
        plan,
        weights=main.weights,
        attempts=main.attempts,
        empty=main.empty,
        overflow=plan.overflow if plan.overflow and main.attempts and _names(plan.overflow.attempts) <= set(names) else None,
        targets={target: _chosen(one, names, plan.name) for target, one in plan.targets.items()},
        regions=regions,
    )


def _chosen(choice: Choice, names: Collection[str], route: str) -> Choice:
    weights = {name: weight for name, weight in choice.weights.items() if name in names}
    if not weights:
        return Choice({}, empty=choice.empty or f"no backend of the route {route} speaks gRPC")
    if not any(weights.values()):
        weights = dict.fromkeys(weights, 1)
    # without all of them the order of attempts does not add up any more: another one that was not tried yet, by weight
    whole = len(weights) == len(choice.weights) and _names(choice.attempts) <= set(names)
    return replace(choice, weights=weights, attempts=choice.attempts if whole else ())


def _names(attempts: Iterable[Attempt]) -> set[str]:
    return {name for attempt in attempts for name, _ in attempt}


def grpc_routes(plans: Sequence[RoutePlan], http: Callable[[RoutePlan], Sequence[Json]]) -> list[Json]:
    """Return the routes of these plans (see `speaking`); `http` returns a plan's routes for HTTP, of which they are made."""
    if not plans:
        return []
    made = {plan.name: [grpc for one in http(plan) for grpc in _both_ways(one, plan)] for plan in plans}
    found = [
        _at(one, one["match"].get("prefix", ""), _header_is(key, name))
        for key in (ROUTE_HEADER, MESH_HEADER)
        for name in made
        for one in made[name]
    ]
    found += [_at(_nobody(plans), PREFIX, {"name": key, "present_match": True}) for key in (ROUTE_HEADER, MESH_HEADER)]
    first = next((made[plan.name] for plan in plans if plan.weights), made[plans[0].name])
    found += [_unnamed(_at(one, f"/{HEALTH_SERVICE}/")) for one in first if one["match"].get("prefix")]
    if len(plans) == 1:
        return found + made[plans[0].name]
    by_field = sorted(set(NAME_FIELDS.values()))
    found += [_when(one, _field_is(field, name)) for field in by_field for name in made for one in made[name]]
    found += [_at(one, f"{PREFIX}Server") for one in first if one["match"].get("prefix")]
    # what no route is known for yet: the message is read, and then it is looked up again. Only the filters that are on here are on then
    also = {name: _ON for one in found for name in one.get("typed_per_filter_config", {})}
    return [*found, {**_nobody(plans), "typed_per_filter_config": {**also, EXTRACTION: _ON, REMATCH: _ON}}]


def _both_ways(http: Json, plan: RoutePlan) -> list[Json]:
    """Return a route for streams, and one for all other calls."""
    unary = _grpc_route(http, plan)
    return [_streaming(unary), unary]


def _grpc_route(http: Json, plan: RoutePlan) -> Json:
    made = {**http, "match": {**_renamed(http["match"]), "prefix": PREFIX, "grpc": {}}}
    del made["match"]["path_separated_prefix"]
    # the message may name the route as if it were the model: our server takes that for its own name
    made["request_headers_to_add"] = [*http.get("request_headers_to_add", ()), header(ROUTE_HEADER, plan.name, replace=True)]
    if "route" in http:
        action = _renamed(http["route"])
        action.pop("prefix_rewrite", None)
        if plan.idempotent and "retry_policy" in action:
            action["retry_policy"]["retry_on"] += RETRY_ON
        # Envoy ends a call at the client's deadline; a backend that did so itself would be blamed for a client in a hurry
        made["request_headers_to_remove"] = ["grpc-timeout"]
        action["max_stream_duration"] = {"grpc_timeout_header_max": seconds(plan.timeout)}
        made["route"] = action
    return made


def _renamed(value: Any) -> Any:
    """Return a copy with the name of the cluster for gRPC wherever a backend is named, in source code between quotes."""
    if isinstance(value, Mapping):
        return {key: _renamed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_renamed(one) for one in value]
    if not isinstance(value, str):
        return value
    return _QUOTED.sub(rf"'\1{SUFFIX}'", grpc_name(value) if _BACKEND.fullmatch(value) else value)


_BACKEND = re.compile(r"[\w.-]+@[\w.-]+")
_QUOTED = re.compile(rf"'({_BACKEND.pattern})'")


def _streaming(unary: Json) -> Json:
    """A stream is passed on as it comes: no end, no buffer, no second attempt once a backend has it."""
    match = {key: value for key, value in unary["match"].items() if key != "prefix"}
    made = {**unary, "match": {**match, "path": STREAM}}
    if "route" in unary:
        action = {key: value for key, value in unary["route"].items() if key != "max_stream_duration"}
        made["route"] = {**action, "timeout": "0s", "retry_policy": {"retry_on": "connect-failure,refused-stream", "num_retries": 2}}
    return made


def _when(route: Json, metadata: Json) -> Json:
    return {**route, "match": {**route["match"], "dynamic_metadata": [metadata]}}


def _at(route: Json, prefix: str, header_match: Json | None = None) -> Json:
    match = dict(route["match"])
    if prefix:
        match["prefix"] = prefix
    if header_match:
        match["headers"] = [header_match, *match.get("headers", ())]
    return {**route, "match": match}


def _unnamed(route: Json) -> Json:
    """Return a route that is of no model: nobody is asked for a key there, and nothing is counted."""
    return {key: value for key, value in route.items() if key != "stat_prefix"}


def _header_is(name: str, value: str) -> Json:
    return {"name": name, "string_match": {"exact": value}}


def _field_is(field: str, value: str) -> Json:
    return {"filter": EXTRACTION, "path": [{"key": field}], "value": {"list_match": {"one_of": {"string_match": {"exact": value}}}}}


_ON = {"@type": TYPE + "envoy.config.route.v3.FilterConfig", "config": {}}


def _nobody(plans: Iterable[RoutePlan]) -> Json:
    names = ", ".join(plan.name for plan in plans)
    text = f"no route serves this call: name one in the metadata {ROUTE_HEADER}, or as the model; one of: {names}"
    return {"match": {"prefix": PREFIX, "grpc": {}}, "direct_response": {"status": 404, "body": {"inline_string": text}}}


# --- the listener


def grpc_filters() -> list[Json]:
    """Return the filters that read a model's name in a message; off but for the calls that no other route takes."""
    methods: Json = {f"{SERVICE}.{method}": {"request_field_extractions": {field: {}}} for method, field in NAME_FIELDS.items()}
    extraction = {
        "@type": TYPE + f"{HTTP}.grpc_field_extraction.v3.GrpcFieldExtractionConfig",
        "descriptor_set": {"inline_bytes": base64.b64encode(descriptors()).decode()},
        "extractions_by_method": methods,
    }
    again = {"@type": TYPE + f"{HTTP}.set_filter_state.v3.Config", "clear_route_cache": True}
    return [{**named(EXTRACTION, extraction), "disabled": True}, {**named(REMATCH, again), "disabled": True}]


def grpc_replies(mappers: Iterable[Json]) -> list[Json]:
    """Return what Envoy itself answers to a call: the same sentences, as the message of a status."""
    unread = f"a message of more than {READABLE} is too large to find the model's name in it: name the route in the metadata {ROUTE_HEADER}"
    cel = {"@type": TYPE + "envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter"}
    cel["expression"] = "response.code_details.startsWith('grpc_field_extraction')"
    too_large = {"filter": {"extension_filter": named("envoy.access_loggers.extension_filters.cel", cel)}}
    too_large["body_format_override"] = {"json_format": {"error": unread}}
    return [grpc for mapper in (too_large, *mappers) for grpc in _grpc_mappers(mapper)]


def _grpc_mappers(mapper: Json) -> list[Json]:
    words = mapper["body_format_override"]["json_format"]["error"]
    body = {"text_format_source": {"inline_string": f"{words} (request %REQ(X-REQUEST-ID)%)"}}
    call = {"header_filter": {"header": {"name": "content-type", "string_match": {"prefix": "application/grpc"}}}}
    return [
        {
            "filter": {"and_filter": {"filters": [call, _status_is(status), mapper["filter"]]}},
            "headers_to_add": [header("grpc-status", str(code), replace=True)],
            "body_format_override": body,
        }
        for status, code in STATUSES.items()
        if _may_be(mapper["filter"], status)
    ]


def _status_is(status: int) -> Json:
    return {"status_code_filter": {"comparison": {"op": "EQ", "value": {"default_value": status, "runtime_key": "mcml.unused"}}}}


def _may_be(matching: Json, status: int) -> bool:
    """Tell whether a filter can let this status pass."""
    compared = matching.get("status_code_filter", {}).get("comparison", {})
    return compared.get("op") != "EQ" or bool(compared["value"]["default_value"] == status)
