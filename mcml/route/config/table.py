"""The route table: which path goes to which backends with which weights, how often it is tried again, and what nobody serves.

Headers with which a client says where its request is to go, or to stay:

    x-mcml-target      a target of the route; nowhere else is tried (an unknown one: 400)
    x-data-region      a data region of a residency route; nowhere else is tried (an unknown one: 403)
    the sticky header  of the route's settings: the same value, the same model and target

and those with which an answer says where it is from: x-mcml-backend, x-mcml-version, x-mcml-attempts.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from mcml.route.config.grpc import grpc_routes, speaking
from mcml.route.config.managed import split_paths
from mcml.route.config.upstream import ORIGINAL_PATH
from mcml.route.config.values import (
    BUFFER_LIMIT,
    HTTP,
    IDLE_SECONDS,
    ROUTES_NAME,
    TYPE,
    Attempt,
    Choice,
    Json,
    Overflow,
    RoutePlan,
    header,
    named,
    seconds,
)

MAX_ATTEMPTS = 4
"""Backends that one request may try."""

TARGET_HEADER = "x-mcml-target"
REGION_HEADER = "x-data-region"
ANSWER_HEADERS = ("x-mcml-backend", "x-mcml-version", "x-mcml-attempts")
"""What an answer says: the backend `model@target` and its version, and how many attempts it took."""

OVERFLOW = "mcml.overflow"
"""The filter that notes on which tier a request is to begin, and the name of the note."""

_FILTER_STATE = TYPE + f"{HTTP}.set_filter_state.v3.Config"
_SPECIFIERS = "envoy.router.cluster_specifier_plugin"
_NEW_HOST = named(
    "envoy.retry_host_predicates.previous_hosts",
    {"@type": TYPE + "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
)


def routes(
    plans: Iterable[RoutePlan],
    *,
    software: str,
    ready: bool,
    keep_path: bool = False,
    grpc: Collection[str] = (),
    managed: Collection[str] = (),
) -> Json:
    """Return the route configuration; `software` is the version that `/v2` names, `ready` what `/v2/health/ready` answers, `keep_path`
    whether backends set the path themselves, and must know what the client asked for; `grpc` names the backends that speak it,
    `managed` those that take inference only."""
    plans = sorted(plans, key=lambda plan: plan.name)
    paths = {"request_headers_to_add": [header(ORIGINAL_PATH, "%REQ(:PATH)%", replace=True)]} if keep_path else {}
    return {
        "@type": TYPE + "envoy.config.route.v3.RouteConfiguration",
        "name": ROUTES_NAME,
        # without it a route to an unknown cluster is accepted and answers 503
        "validate_clusters": True,
        "virtual_hosts": [
            {
                "name": "all",
                "domains": ["*"],
                **paths,
                "response_headers_to_add": _answer_headers(),
                "routes": [
                    *_server_routes(software, ready),
                    *(one for plan in plans if plan.protocol != "grpc" for one in split_paths(plan, managed, plan_routes)),
                    *grpc_routes(speaking(plans, grpc), plan_routes),
                    _not_found(plans),
                ],
            }
        ],
    }


def _answer_headers() -> list[Json]:
    backend, version, attempts = ANSWER_HEADERS
    return [
        header(backend, "%UPSTREAM_HOST_NAME%", replace=True),
        header(version, "%UPSTREAM_METADATA(mcml:version)%", replace=True),
        header(attempts, "%UPSTREAM_REQUEST_ATTEMPT_COUNT%", replace=True),
    ]


def plan_routes(plan: RoutePlan, match: Json | None = None) -> list[Json]:
    """Return the entries of one route, the first that matches counts: those for hints in headers come before the one for all others."""
    match = match or {"path_separated_prefix": f"/v2/models/{plan.name}"}
    if plan.regions:
        return list(_residency(plan, match))
    hinted = [_refused(plan, _with(match, _present(REGION_HEADER)), 403, _no_regions(plan))] if plan.targets else []
    return [*hinted, *_hinted(plan, match)]


def _residency(plan: RoutePlan, match: Json) -> Iterator[Json]:
    """A request that names a region gets a backend of it or none: it fails closed."""
    homes = [(None, plan.home)] if plan.home else []
    for asked, region in [*((name, name) for name in sorted(plan.regions)), *homes]:
        found = plan.regions[region]
        inside = replace(
            plan,
            weights=found.choice.weights,
            attempts=found.choice.attempts,
            last_resort=found.choice.last_resort,
            hurried=found.choice.hurried,
            empty=found.choice.empty,
            targets=found.targets,
            regions={},
        )
        where = _with(match, _is(REGION_HEADER, asked)) if asked else _with(match, _present(REGION_HEADER, absent=True))
        for one in _hinted(inside, where, f" in the region {region}"):
            yield {**one, "metadata": _residence(region)}
    known = ", ".join(sorted(plan.regions))
    unknown = f"the route {plan.name} keeps no data in the region that {REGION_HEADER} names; expected one of: {known}"
    yield {**_refused(plan, _with(match, _present(REGION_HEADER)), 403, unknown), "metadata": _residence("")}
    if not plan.home:
        none = f"the route {plan.name} needs the header {REGION_HEADER}: {known}"
        yield {**_refused(plan, match, 400, none), "metadata": _residence("")}


def _residence(region: str) -> Json:
    """Mark an entry for the evidence log, with the region in which its requests stay (none: it lets nothing out)."""
    return {"filter_metadata": {"mcml": {"residency": region or "refused"}}}


def _no_regions(plan: RoutePlan) -> str:
    return f"the route {plan.name} does not keep data in a region, so it refuses a request with {REGION_HEADER}"


def _hinted(plan: RoutePlan, match: Json, where: str = "") -> Iterator[Json]:
    """Return the entries of a route, or of one region of it: for each target that a request may name, then for those that name none."""
    for target, choice in sorted(plan.targets.items()):
        yield _entry(plan, _with(match, _is(TARGET_HEADER, target)), choice)
    if plan.targets:
        known = ", ".join(sorted(plan.targets))
        text = f"the route {plan.name} has no such target{where} as {TARGET_HEADER} names; expected one of: {known}"
        yield _refused(plan, _with(match, _present(TARGET_HEADER)), 400, text)
    if plan.overflow and plan.attempts:
        yield from _overflowing(plan, match, plan.overflow)
    else:
        yield _entry(plan, match, plan.choice)


def _overflowing(plan: RoutePlan, match: Json, overflow: Overflow) -> Iterator[Json]:
    """Decide by the requests that are under way on the first tier where a request begins.

    Only a Lua specifier can see how many there are, but it is not asked again for a second attempt. So it only says on which tier to begin;
    a filter notes that and looks the route up again, and then the entry of that tier is found, with an order of attempts.
    """
    first, later = plan.attempts[0][0][0], overflow.attempts[0][0][0]
    for marker, attempts in ((first, plan.attempts), (later, overflow.attempts)):
        noted = {**match, "filter_state": [{"key": OVERFLOW, "string_match": {"exact": marker}}]}
        yield _entry(plan, noted, replace(plan.choice, attempts=attempts))
    plugin = named(f"{_SPECIFIERS}.lua", _counting(overflow, first, later))
    rule = {
        "object_key": OVERFLOW,
        "factory_key": "envoy.string",
        "format_string": {"text_format_source": {"inline_string": "%UPSTREAM_CLUSTER%"}},
    }
    on = {"@type": TYPE + "envoy.config.route.v3.FilterConfig", "config": {"@type": _FILTER_STATE, "on_request_headers": [rule]}}
    yield {
        **_common(plan, match),
        "typed_per_filter_config": {OVERFLOW: on},
        "route": {"inline_cluster_specifier_plugin": {"extension": plugin}, "timeout": seconds(plan.timeout)},
    }


def overflow_filter() -> Json:
    """Return the HTTP filter that `Overflow` needs; it is off where no entry turns it on."""
    return {**named(OVERFLOW, {"@type": _FILTER_STATE, "clear_route_cache": True}), "disabled": True}


def _counting(overflow: Overflow, first: str, later: str) -> Json:
    names = ", ".join(f"'{name}'" for name in overflow.first)
    code = f"""function envoy_on_route(handle)
  local under_way = 0
  for _, name in ipairs({{{names}}}) do
    local cluster = handle:getCluster(name)
    if cluster then under_way = under_way + cluster:numRequests() + cluster:numPendingRequests() end
  end
  if under_way < {overflow.limit} then return '{first}' end
  return '{later}'
end"""
    typed = TYPE + "envoy.extensions.router.cluster_specifiers.lua.v3.LuaConfig"
    return {"@type": typed, "default_cluster": first, "source_code": {"inline_string": code}}


def _with(match: Json, *headers: Json) -> Json:
    return {**match, "headers": [*match.get("headers", ()), *headers]}


def _is(name: str, value: str) -> Json:
    return {"name": name, "string_match": {"exact": value}}


def _present(name: str, *, absent: bool = False) -> Json:
    return {"name": name, "present_match": True, **({"invert_match": True} if absent else {})}


def _common(plan: RoutePlan, match: Json) -> Json:
    # under `stat_prefix` Envoy counts what clients of this route were answered
    return {"match": match, "stat_prefix": plan.name}


def _refused(plan: RoutePlan, match: Json, status: int, text: str) -> Json:
    return {**_common(plan, match), "direct_response": {"status": status, "body": {"inline_string": text}}}


def _entry(plan: RoutePlan, match: Json, choice: Choice) -> Json:
    if not choice.weights:
        return _refused(plan, match, 503, choice.empty or f"no backend serves the model {plan.model}")
    action: Json = {**_destination(choice, plan.sticky), "timeout": seconds(plan.timeout), "retry_policy": _retries(plan, choice)}
    if plan.timeout > IDLE_SECONDS:
        action["idle_timeout"] = seconds(plan.timeout)  # a model may think for so long without a word
    if plan.sticky:
        action["hash_policy"] = [{"header": {"header_name": plan.sticky}}]
    if plan.name != plan.model:
        action["prefix_rewrite"] = f"/v2/models/{plan.model}"
    return {**_common(plan, match), "request_body_buffer_limit": BUFFER_LIMIT, "route": action}


def _destination(choice: Choice, sticky: str) -> Json:
    hashed = {"use_hash_policy": True} if sticky else {}
    if choice.attempts:
        return {"inline_cluster_specifier_plugin": {"extension": _in_order(choice.attempts, hashed)}}
    clusters = [{"name": name, "weight": weight} for name, weight in sorted(choice.weights.items())]
    return {"weighted_clusters": {**hashed, "clusters": clusters}}


def _in_order(attempts: Sequence[Attempt], hashed: Json) -> Json:
    groups = [
        {"name": f"attempt {number}", "clusters": [{"cluster_name": name, "weight": weight} for name, weight in attempt]}
        for number, attempt in enumerate(attempts, 1)
    ]
    typed = TYPE + "envoy.extensions.router.cluster_specifiers.priority_group.v3.PriorityGroupClusterSpecifier"
    return named(f"{_SPECIFIERS}.priority_group", {"@type": typed, "priority_groups": groups, **hashed})


def _retries(plan: RoutePlan, choice: Choice) -> Json:
    able = len(choice.attempts) if choice.attempts else len(choice.weights)
    policy: Json = {
        # without the last, a 429 that a backend's own Envoy says (`x-envoy-ratelimited`) would never be tried elsewhere
        "retry_on": "reset,connect-failure,refused-stream,gateway-error,retriable-status-codes,envoy-ratelimited",
        "retriable_status_codes": [429, 500],
        "num_retries": min(MAX_ATTEMPTS, max(2, able)) - 1,
        "per_try_timeout": seconds(min(plan.per_try_timeout, plan.hurry) if choice.hurried else plan.per_try_timeout),
        "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.05s"},
        # each attempt goes to a backend that this request has not tried yet
        "refresh_cluster_on_retry": True,
        # and where there is only one, to another address of it
        "retry_host_predicate": [_NEW_HOST],
        "host_selection_retry_max_attempts": 5,
    }
    if not plan.idempotent:
        # once a backend has any of it, it may have acted on it: then a second attempt would act twice
        del policy["retriable_status_codes"], policy["per_try_timeout"]
        policy["retry_on"] = "connect-failure,refused-stream,reset-before-request"
    return policy


def clusters_of(table: Any) -> set[str]:
    """Return the clusters that a route table names, wherever in it they stand."""
    found: set[str] = set()
    _find_clusters(table, found)
    return found


def _find_clusters(value: Any, found: set[str]) -> None:
    if isinstance(value, list):
        for one in value:
            _find_clusters(one, found)
    elif isinstance(value, dict):
        for key, one in value.items():
            if isinstance(one, dict | list):
                _find_clusters(one, found)
            elif key in ("cluster", "cluster_name", "default_cluster"):
                found.add(one)
        found |= {one["name"] for one in value.get("weighted_clusters", {}).get("clusters", ())}


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
            "response_headers_to_add": [header("content-type", "application/json", replace=True)],
        }
        for path, (status, body) in answers.items()
    ]


def _not_found(plans: Iterable[RoutePlan]) -> Json:
    names = ", ".join(plan.name for plan in plans if plan.protocol != "grpc") or "none"
    text = f"no route serves this path; expected /v2/models/NAME/infer with NAME one of: {names}"
    return {"match": {"prefix": "/"}, "direct_response": {"status": 404, "body": {"inline_string": text}}}
