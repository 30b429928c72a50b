"""The router's state as JSON values, for the status file and the commands that read it; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from mcml.core.backend import Backend
from mcml.core.clock import rfc3339
from mcml.core.price import PriceInfo
from mcml.core.schema_routes import Route
from mcml.route.credentials import Held
from mcml.route.overrides import to_json, told
from mcml.route.weights.decide import Decision, State, Tracked
from mcml.route.weights.measure import Counters, quantile
from mcml.route.weights.observe import Seen
from mcml.route.weights.score import Scored


def status(
    state: State,
    routes: Mapping[str, Route],
    backends: Mapping[str, Sequence[Backend]],
    prices: Mapping[str, PriceInfo],
    at: datetime,
    seen: Mapping[str, Seen] | None = None,
    credentials: Mapping[str, Held] | None = None,
) -> dict[str, Any]:
    """Describe every route and backend: weight, state, traffic of the last ten seconds, price, and the parts of the score.

    `seen` is what Envoy says now of each backend, `credentials` how theirs stand; of a credential itself nothing is known here.
    """
    return {
        "at": rfc3339(at),
        "routes": [
            _route(decision, routes[name], state, backends, prices, seen or {}, at, credentials or {})
            for name, decision in sorted(state.decisions.items())
            if name in routes
        ],
    }


def _route(
    decision: Decision,
    route: Route,
    state: State,
    backends: Mapping[str, Sequence[Backend]],
    prices: Mapping[str, PriceInfo],
    seen: Mapping[str, Seen],
    at: datetime,
    credentials: Mapping[str, Held],
) -> dict[str, Any]:
    drained = {one.target: told(one, at) for one in decision.overrides if one.kind == "drain"}
    rows = [
        _backend(one, backends[one.backend], state.tracked[one.backend], prices.get(one.backend), seen.get(one.backend))
        | {"auth": backends[one.backend][0].auth, "credential": _credential(credentials.get(one.backend))}
        | ({"reason": drained[backends[one.backend][0].target]} if backends[one.backend][0].target in drained else {})
        for one in decision.backends
        if one.backend in state.tracked and one.backend in backends
    ]
    return {
        "route": decision.route,
        "model": decision.model,
        "pattern": route.pattern,
        "reason": decision.reason,
        "decided_at": rfc3339(decision.at),
        "last_resort": decision.last_resort,
        "overrides": [to_json(one) for one in decision.overrides],
        "ceiling": decision.ceiling,
        "spent": f"{state.spend.routes[decision.route]:f}" if decision.route in state.spend.routes else "",
        "backends": rows,
    }


def _backend(scored: Scored, members: Sequence[Backend], tracked: Tracked, price: PriceInfo | None, seen: Seen | None) -> dict[str, Any]:
    seconds, counted = tracked.window.span
    return {
        "backend": scored.backend,
        "target": members[0].target,
        "region": members[0].region,
        "provider": members[0].provider,
        "version": members[-1].version,
        "addresses": ["{}:{}".format(*member.address) for member in members],
        "state": tracked.health.place,
        "reason": tracked.health.reason if tracked.health.place in ("out", "trial") else scored.held,
        "weight": scored.weight,
        "score": round(scored.score, 4),
        "rps": round(counted.attempts / seconds, 1) if seconds else 0.0,
        "p50_ms": _rounded(quantile(counted.latencies, 0.5)),
        "p99_ms": _rounded(quantile(counted.latencies, 0.99)),
        "errors": counted.failed,
        "window_s": round(seconds, 1),
        **_load(seen or Seen((), Counters())),
        "price": None if price is None else {**asdict(price), "value": f"{price.value:f}", "as_of": rfc3339(price.as_of)},
        "parts": {name: asdict(getattr(scored, name)) for name in ("latency", "cost", "reliability")},
    }


def _credential(held: Held | None) -> dict[str, object] | None:
    if held is None:
        return None
    return {"since": rfc3339(held.since), "expires": rfc3339(held.expires) if held.expires else None, "failing": held.failing}


def _load(seen: Seen) -> dict[str, object]:
    """What is under way, and the breaker: `full` where the backend has as many requests at once as it may have, `ejected` where Envoy keeps
    away from some of its addresses (`ejected`: how many) after failures, else `closed`.
    """
    ejected = sum(endpoint.ejected for endpoint in seen.endpoints)
    breaker = "full" if seen.full else "ejected" if ejected else "closed"
    return {"active": seen.active, "retries": seen.retries, "breaker": breaker, "ejected": ejected}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
