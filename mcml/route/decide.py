"""One turn of the control loop as a function: what was known and what was just read in; weights, facts and reasons out. No I/O."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mcml.core.backend import Backend
from mcml.core.fact import Fact
from mcml.core.price import PriceInfo
from mcml.core.schema_routes import Route
from mcml.route.config import RoutePlan
from mcml.route.health import Health, step
from mcml.route.measure import Counters, Recent, Window
from mcml.route.observe import Observation, Seen
from mcml.route.score import Inputs, Scored, weigh, worth_changing

ROOM = "route"

FIRST_SIGHT = "first_sight"
"""In a `route.backend_up`: this router never saw it down. News only to an incident that an earlier router opened."""


@dataclass(frozen=True)
class Tracked:
    """What is remembered of one backend from turn to turn."""

    health: Health = field(default_factory=Health)
    recent: Recent = field(default_factory=Recent)
    window: Window = field(default_factory=Window)
    totals: Counters = field(default_factory=Counters)


@dataclass(frozen=True)
class Decision:
    """Why a route has its weights: every backend's score and what it was made from. `last_resort`: all are out and all are tried."""

    at: datetime
    route: str
    model: str
    reason: str
    previous: Mapping[str, int]
    backends: tuple[Scored, ...]
    last_resort: bool = False

    @property
    def weights(self) -> dict[str, int]:
        """Weight by backend name."""
        return {one.backend: one.weight for one in self.backends}


@dataclass(frozen=True)
class State:
    """What the loop remembers: each backend, the decision in force for each route and when it was made, and the last look (monotonic)."""

    tracked: Mapping[str, Tracked] = field(default_factory=dict)
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    decided: Mapping[str, float] = field(default_factory=dict)
    now: float = 0.0


@dataclass(frozen=True)
class Reading:
    """What a turn is given: monotonic seconds and the time, what Envoy says (None before it runs), where the models run, and prices by
    backend name."""

    now: float
    at: datetime
    observation: Observation | None
    backends: tuple[Backend, ...]
    prices: Mapping[str, PriceInfo] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a turn decided: the plan of every route, whether every route can serve, new decisions, and facts for the journal."""

    plans: tuple[RoutePlan, ...]
    ready: bool
    decisions: tuple[Decision, ...] = ()
    facts: tuple[Fact, ...] = ()


def turn(state: State, routes: Mapping[str, Route], reading: Reading) -> tuple[State, Outcome]:
    """Take one turn: update what is known of every backend, weigh every route, and say what changed."""
    groups = group(routes, reading.backends)
    tracked = {name: _track(state, name, members, reading) for name, members in groups.items()}
    facts = [fact for name in groups for fact in _health_facts(routes, groups[name][0], state.tracked, tracked, reading)]
    decisions, decided, made = dict(state.decisions), dict(state.decided), []
    for name, route in routes.items():
        proposed = _propose(name, route, groups, tracked, reading, state.decisions.get(name))
        if _replaces(state.decisions.get(name), proposed, reading.now - decided.get(name, reading.now)):
            decisions[name], decided[name] = proposed, reading.now
            made.append(proposed)
            facts.append(_weights_fact(proposed))
    kept = {name: decisions[name] for name in routes}
    plans = tuple(_plan(kept[name], route, reading.observation) for name, route in routes.items())
    ready = all(plan.weights and not plan.last_resort for plan in plans)
    return State(tracked, kept, decided, reading.now), Outcome(plans, ready, tuple(made), tuple(facts))


def group(routes: Mapping[str, Route], backends: Iterable[Backend]) -> dict[str, list[Backend]]:
    """Return the backends that a route needs, by name."""
    models = {route.model or name for name, route in routes.items()}
    groups: dict[str, list[Backend]] = {}
    for backend in sorted(backends, key=lambda one: (one.name, one.host, one.port)):
        if backend.model in models:
            groups.setdefault(backend.name, []).append(backend)
    return groups


def _track(state: State, name: str, members: Sequence[Backend], reading: Reading) -> Tracked:
    before = state.tracked.get(name, Tracked())
    seen = reading.observation.backends.get(name) if reading.observation else None
    if seen is None or not in_place(members, seen):
        return before  # Envoy still has the addresses of before, or none: what they do is no news of this backend
    added = seen.counters.since(before.totals)
    return Tracked(
        step(before.health, seen, added, reading.now),
        before.recent.after(reading.now - state.now, added),
        before.window.with_mark(reading.now, seen.counters),
        seen.counters,
    )


def in_place(members: Sequence[Backend], seen: Seen) -> bool:
    """Tell whether Envoy sends to exactly these addresses; of a host given by name only the port can be compared."""
    addresses = {address.rsplit(":", 1)[0] for address in seen.addresses}
    ports = {int(address.rsplit(":", 1)[1]) for address in seen.addresses}
    literal = {member.address[0] for member in members if _is_address(member.address[0])}
    return ports == {member.address[1] for member in members} and literal <= addresses


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _propose(
    name: str,
    route: Route,
    groups: Mapping[str, Sequence[Backend]],
    tracked: Mapping[str, Tracked],
    reading: Reading,
    current: Decision | None,
) -> Decision:
    model = route.model or name
    inputs = [_inputs(backend, tracked[backend], reading.prices) for backend, members in groups.items() if members[0].model == model]
    scored = weigh(inputs, route.score, reading.at)
    previous = current.weights if current else {}
    last_resort = bool(scored) and not any(one.weight for one in scored)
    return Decision(reading.at, name, model, _why(current, scored), previous, scored, last_resort)


def _inputs(name: str, tracked: Tracked, prices: Mapping[str, PriceInfo]) -> Inputs:
    recent = tracked.recent
    return Inputs(name, tracked.health.place, recent.latency_ms, recent.error_rate, prices.get(name))


def _replaces(current: Decision | None, proposed: Decision, seconds: float) -> bool:
    return current is None or worth_changing(current.backends, proposed.backends, seconds)


def _why(current: Decision | None, scored: Sequence[Scored]) -> str:
    """Say what moved the weights."""
    if current is None:
        return "the route starts"
    before = {one.backend: one.place for one in current.backends}
    said = [f"{name} was removed" for name in before if name not in {one.backend for one in scored}]
    words = {"up": "is up", "trial": "is back, on trial", "out": "is out", "joining": "is being added"}
    said += [f"{one.backend} {words[one.place]}" for one in scored if before.get(one.backend) != one.place]
    return "; ".join(said) or "the scores moved"


def _plan(decision: Decision, route: Route, observation: Observation | None) -> RoutePlan:
    """Turn a decision into what Envoy is told. A running Envoy only gets names it has; one that starts gets everything at once."""
    known = decision.weights if observation is None else observation.backends
    weights = {name: weight for name, weight in decision.weights.items() if name in known}
    last_resort = not any(weights.values())
    if last_resort:
        weights = dict.fromkeys(weights, 1)
    return RoutePlan(decision.route, decision.model, weights, route.timeout, route.per_try_timeout or 2.0, last_resort)


def _health_facts(
    routes: Mapping[str, Route], backend: Backend, before: Mapping[str, Tracked], after: Mapping[str, Tracked], reading: Reading
) -> Iterable[Fact]:
    was, now = before.get(backend.name, Tracked()).health, after[backend.name].health
    if now.place == was.place:
        return
    of = [name for name, route in routes.items() if (route.model or name) == backend.model]
    serving = sum(one.health.place == "up" for name, one in after.items() if name.startswith(f"{backend.model}@"))
    facts: dict[str, object] = {"route": of[0], "routes": of, "model": backend.model, "backend": backend.name, "version": backend.version}
    facts |= {"serving": serving, "reason": now.reason}
    if now.place == "out" and was.place in ("joining", "up"):
        yield Fact("route.backend_down", ROOM, backend.target, facts, reading.at)
    if now.place == "up" and was.place == "trial":
        yield Fact("route.backend_up", ROOM, backend.target, {**facts, "down_s": round(reading.now - now.out_since, 3)}, reading.at)
    if now.place == "up" and was.place == "joining":
        yield Fact("route.backend_up", ROOM, backend.target, {**facts, FIRST_SIGHT: True}, reading.at)


def _weights_fact(decision: Decision) -> Fact:
    facts = {"route": decision.route, "weights": decision.weights, "previous": dict(decision.previous), "reason": decision.reason}
    return Fact("route.weights", ROOM, "", facts, decision.at)
