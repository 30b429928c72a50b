"""Managed endpoints in the route table: they take `infer` of a model and nothing else of the v2 protocol; some want a whole body."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from mcml.route.config.values import Choice, Json, RoutePlan, header

Entries = Callable[[RoutePlan, Json], list[Json]]


def split_paths(plan: RoutePlan, managed: Collection[str], entries: Entries) -> list[Json]:
    """Return the entries of a route: of `infer` with all its backends, of other paths with those that speak the whole protocol.

    `managed` are the backends that do not, `entries` returns those of a plan under a match. Whether the model is ready the router itself
    says where no backend can be asked.
    """
    path = f"/v2/models/{plan.name}"
    whole: Json = {"path_separated_prefix": path}
    if not _names(plan) & set(managed):
        return entries(plan, whole)
    infer = entries(plan, {"path": f"{path}/infer"})
    rest = _without(plan, managed)
    if _names(rest):
        return [*infer, *entries(rest, whole)]
    return [*infer, _ready(plan, f"{path}/ready"), _unknown(plan, whole)]


def _names(plan: RoutePlan) -> set[str]:
    inside = (choice for region in plan.regions.values() for choice in (region.choice, *region.targets.values()))
    return {name for choice in (plan.choice, *plan.targets.values(), *inside) for name in choice.weights}


def _without(plan: RoutePlan, managed: Collection[str]) -> RoutePlan:
    """Leave the managed backends out. What is left goes by weight: the order of attempts was made for all of them."""
    choice = _rest(plan.choice, managed)
    return replace(
        plan,
        weights=choice.weights,
        attempts=(),
        empty=choice.empty,
        overflow=None,
        targets=_each(plan.targets, managed),
        regions={
            name: replace(region, choice=_rest(region.choice, managed), targets=_each(region.targets, managed))
            for name, region in plan.regions.items()
        },
    )


def _each(choices: Mapping[str, Choice], managed: Collection[str]) -> dict[str, Choice]:
    return {target: _rest(choice, managed) for target, choice in choices.items()}


def _rest(choice: Choice, managed: Collection[str]) -> Choice:
    weights = {name: weight for name, weight in choice.weights.items() if name not in managed}
    if not weights:
        return Choice({}, empty=choice.empty or "the backends that may be asked answer inference only")
    return replace(choice, weights=weights if any(weights.values()) else dict.fromkeys(weights, 1), attempts=())


def _ready(plan: RoutePlan, path: str) -> Json:
    ready = any(choice.weights and not choice.last_resort for choice in (plan.choice, *(one.choice for one in plan.regions.values())))
    body = json.dumps({"name": plan.name, "ready": ready})
    return {
        "match": {"path": path},
        "stat_prefix": plan.name,
        "direct_response": {"status": 200 if ready else 503, "body": {"inline_string": body}},
        "response_headers_to_add": [header("content-type", "application/json", replace=True)],
    }


def _unknown(plan: RoutePlan, match: Json) -> Json:
    text = f"the backends of {plan.name} answer POST /v2/models/{plan.name}/infer only"
    return {"match": match, "stat_prefix": plan.name, "direct_response": {"status": 404, "body": {"inline_string": text}}}


def hold_whole(table: Json, signed: Collection[str], limit: int) -> Json:
    """Let requests that may go to one of the `signed` backends be kept up to `limit` bytes, the largest there may be.

    A signature is over the whole body, and what a route keeps for another attempt is also the most that a filter on the way to a backend
    may keep; above it Envoy itself answers 413.
    """
    if not signed:
        return table
    hosts = [{**host, "routes": [_held(one, signed, limit) for one in host["routes"]]} for host in table["virtual_hosts"]]
    return {**table, "virtual_hosts": hosts}


def _held(one: Json, signed: Collection[str], limit: int) -> Json:
    return {**one, "request_body_buffer_limit": limit} if _mentions(one.get("route"), frozenset(signed)) else one


def _mentions(value: Any, names: frozenset[str]) -> bool:
    if isinstance(value, dict):
        return any(_mentions(one, names) for one in value.values())
    if isinstance(value, list):
        return any(_mentions(one, names) for one in value)
    return value in names
