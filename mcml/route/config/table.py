"""The route table: which path goes to which backends with which weights, how often it is tried again, and what nobody serves."""

import json
from collections.abc import Iterable

from mcml.route.config.values import BUFFER_LIMIT, ROUTES_NAME, TYPE, Json, RoutePlan, header, seconds

MAX_ATTEMPTS = 4
"""Backends that one request may try."""


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
                "response_headers_to_add": [header("x-mcml-backend", "%UPSTREAM_HOST_NAME%")],
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
        "timeout": seconds(plan.timeout),
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
        "per_try_timeout": seconds(per_try),
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
            "response_headers_to_add": [header("content-type", "application/json", replace=True)],
        }
        for path, (status, body) in answers.items()
    ]


def _not_found(plans: Iterable[RoutePlan]) -> Json:
    names = ", ".join(plan.name for plan in plans) or "none"
    text = f"no route serves this path; expected /v2/models/NAME/infer with NAME one of: {names}"
    return {"match": {"prefix": "/"}, "direct_response": {"status": 404, "body": {"inline_string": text}}}
