"""One turn of the control loop as a function: what was known and what was just read in; weights, facts and reasons out. No I/O."""

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from mcml.core.backend import Backend
from mcml.core.fact import Fact
from mcml.core.override import Override
from mcml.core.price import PriceInfo
from mcml.core.schema_routes import Route
from mcml.route.config.values import RoutePlan
from mcml.route.overrides import Rules, difference, rules, to_json
from mcml.route.weights.health import Health, step
from mcml.route.weights.measure import Counters, Recent, Window
from mcml.route.weights.observe import Observation, Seen
from mcml.route.weights.patience import HURRIED, Counted, Limit, patience
from mcml.route.weights.patterns import Place, Ranking, plan, rank, spent_on
from mcml.route.weights.score import Inputs, Part, Scored, worth_changing
from mcml.route.weights.spend import Spend, ceiling_reached
from mcml.route.weights.spend import step as spend_step

ROOM = "route"

FIRST_SIGHT = "first_sight"
"""In a `route.backend_up`: this router never saw it down. News only to an incident that an earlier router opened."""


@dataclass(frozen=True)
class Tracked:
    """What is remembered of one backend from turn to turn. `told`: the journal has it as down;
    `news`: it was never up.
    """

    health: Health = field(default_factory=Health)
    recent: Recent = field(default_factory=Recent)
    window: Window = field(default_factory=Window)
    totals: Counters = field(default_factory=Counters)
    told: bool = False
    news: bool = True


@dataclass(frozen=True)
class Decision:
    """Why a route has its weights: every backend's score and what it was made from. `last_resort`: all are out and all are tried.

    `overrides` are those of people that it obeys; `ceiling` says why nothing may burst (empty: it may, or it is no route that bursts).
    """

    at: datetime
    route: str
    model: str
    reason: str
    previous: Mapping[str, float]
    backends: tuple[Scored, ...]
    last_resort: bool = False
    overrides: tuple[Override, ...] = ()
    ceiling: str = ""

    @property
    def weights(self) -> dict[str, float]:
        """Weight by backend name, in percent."""
        return {one.backend: one.weight for one in self.backends}


@dataclass(frozen=True)
class State:
    """What the loop remembers: each backend, the decision in force for each route, when it was made and under which rules, what the routes
    that burst have spent today, how long an attempt of each route may take, and the last look (monotonic)."""

    tracked: Mapping[str, Tracked] = field(default_factory=dict)
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    decided: Mapping[str, float] = field(default_factory=dict)
    now: float = 0.0
    rules: Mapping[str, Rules] = field(default_factory=dict)
    rankings: Mapping[str, Ranking] = field(default_factory=dict)
    spend: Spend = field(default_factory=Spend)
    patience: Mapping[str, Limit] = field(default_factory=dict)

    @property
    def routes(self) -> dict[str, Route]:
        """The routes with what people changed."""
        return {name: found.route for name, found in self.rules.items()}


@dataclass(frozen=True)
class Reading:
    """What a turn is given: monotonic seconds and the time, what Envoy says (None before it runs), where the models run, prices by
    backend name, and what people changed."""

    now: float
    at: datetime
    observation: Observation | None
    backends: tuple[Backend, ...]
    prices: Mapping[str, PriceInfo] = field(default_factory=dict)
    overrides: tuple[Override, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a turn decided: the plan of every route, whether every route can serve, new decisions, and facts for the journal."""

    plans: tuple[RoutePlan, ...]
    ready: bool
    decisions: tuple[Decision, ...] = ()
    facts: tuple[Fact, ...] = ()


def turn(state: State, routes: Mapping[str, Route], reading: Reading) -> tuple[State, Outcome]:
    """Take one turn: update what is known of every backend, weigh every route, and say what changed."""
    ruled = {name: rules(name, route, reading.overrides, reading.at) for name, route in routes.items()}
    routes = {name: found.route for name, found in ruled.items()}
    groups = group(routes, reading.backends)
    tracked = {name: _track(state, name, members, reading) for name, members in groups.items()}
    facts: list[Fact] = []
    for name, members in groups.items():
        tracked[name], told = _tell_health(ruled, members[0], tracked, reading)
        facts += told
    places = _places(ruled, groups)
    spend = _spend(state.spend, routes, places, tracked, reading)
    before = state
    state = State(tracked, {}, {}, reading.now, ruled, {}, spend, _patience(before, reading, routes, groups, tracked))
    decisions, decided, rankings, made = dict(before.decisions), dict(before.decided), dict(before.rankings), []
    for name in routes:
        proposed, ranking = _propose(name, state, places[name], reading, before)
        if _replaces(before, state, proposed, reading.now - decided.get(name, reading.now)):
            decisions[name], decided[name], rankings[name] = proposed, reading.now, ranking
            made.append(proposed)
            facts += _decision_facts(before.decisions.get(name), proposed)
    kept = {name: decisions[name] for name in routes}
    state = replace(state, decisions=kept, decided=decided, rankings={name: rankings[name] for name in routes})
    plans = tuple(_plan(name, state, places[name], reading.observation) for name in routes)
    ready = all(one.weights and not one.last_resort for one in plans)
    return state, Outcome(plans, ready, tuple(made), tuple(facts))


def _patience(
    before: State,
    reading: Reading,
    routes: Mapping[str, Route],
    groups: Mapping[str, Sequence[Backend]],
    tracked: Mapping[str, Tracked],
) -> dict[str, Limit]:
    """Return how long an attempt of each route may take. What backends that are not up took is no measure."""
    seen = reading.observation.backends if reading.observation else {}
    counted: dict[str, dict[str, Counted]] = {}
    for key, members in groups.items():
        one = tracked[key]
        window = one.window.span[1] if one.health.place == "up" else Counters()
        places = max(len(members), len(seen[key].addresses) if key in seen else 0)
        counted.setdefault(members[0].model, {})[key] = Counted(window, one.totals, places)
    windows = {
        name: {key: one for model in models_of(name, route) for key, one in counted.get(model, {}).items()}
        for name, route in routes.items()
    }
    return {name: patience(before.patience.get(name), reading.now, routes[name].timeout, found) for name, found in windows.items()}


def group(routes: Mapping[str, Route], backends: Iterable[Backend]) -> dict[str, list[Backend]]:
    """Return the backends that a route needs, by name."""
    models = {model for name, route in routes.items() for model in models_of(name, route)}
    groups: dict[str, list[Backend]] = {}
    for backend in sorted(backends, key=lambda one: (one.name, one.host, one.port)):
        if backend.model in models:
            groups.setdefault(backend.name, []).append(backend)
    return groups


def models_of(name: str, route: Route) -> tuple[str, ...]:
    """Return the models that answer the requests of a route, also those that have no share of its split now."""
    return tuple(route.split) or (route.model or name,)


def _track(state: State, name: str, members: Sequence[Backend], reading: Reading) -> Tracked:
    before = state.tracked.get(name, Tracked())
    seen = reading.observation.backends.get(name) if reading.observation else None
    if seen is None or not in_place(members, seen):
        return before  # Envoy still has the addresses of before, or none: what they do is no news of this backend
    added = seen.counters.since(before.totals)
    health = step(before.health, seen, added, reading.now)
    recent = before.recent.after(reading.now - state.now, added)
    return replace(
        before,
        health=health,
        recent=recent.back() if before.health.place == "out" and health.place != "out" else recent,
        window=before.window.with_mark(reading.now, seen.counters),
        totals=seen.counters,
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


def _places(ruled: Mapping[str, Rules], groups: Mapping[str, Sequence[Backend]]) -> dict[str, dict[str, Place]]:
    """Return for each route where its backends are, in the order of their names."""
    by_model: dict[str, list[Backend]] = {}
    for members in groups.values():
        by_model.setdefault(members[0].model, []).append(members[0])
    found: dict[str, dict[str, Place]] = {}
    for name, rule in ruled.items():
        mine = [one for model in models_of(name, rule.route) for one in by_model.get(model, ())]
        found[name] = {one.name: Place(one.model, one.target, one.region, rule.drained(one.target)) for one in mine}
    return found


def _spend(
    spend: Spend,
    routes: Mapping[str, Route],
    places: Mapping[str, Mapping[str, Place]],
    tracked: Mapping[str, Tracked],
    reading: Reading,
) -> Spend:
    later = {
        name: list(spent_on(route, places[name], {}))
        for name, route in routes.items()
        if route.burst is not None and route.burst.ceiling is not None
    }
    if not later or reading.observation is None:
        return spend
    totals = {name: one.totals for name, one in tracked.items() if name in reading.observation.backends}
    return spend_step(spend, later, totals, reading.prices, reading.at)


def _propose(
    name: str,
    state: State,
    places: Mapping[str, Place],
    reading: Reading,
    before: State,
) -> tuple[Decision, Ranking]:
    """Return what the pattern makes of the route now. `state` has the backends and rules of now, `before` the decision in force."""
    route, found = state.rules[name].route, state.rules[name]
    inputs = [_inputs(backend, state.tracked[backend], reading.prices) for backend in places]
    ranking = rank(name, route, inputs, places, reading.at, pinned=found.pinned)
    ceiling = _ceiling(name, route, places, state, reading)
    current = before.decisions.get(name)
    why = _why(current, ranking.scored)
    if current is not None and before.rules.get(name, found) != found:
        why = difference(before.rules[name], found)
    elif current is not None and current.ceiling != ceiling:
        why = ceiling or "requests may burst again"
    previous = current.weights if current else {}
    model = route.model or name
    made = Decision(reading.at, name, model, why, previous, ranking.scored, ranking.last_resort, found.overrides, ceiling)
    return made, ranking


def _ceiling(name: str, route: Route, places: Mapping[str, Place], state: State, reading: Reading) -> str:
    if route.burst is None or route.burst.ceiling is None:
        return ""
    prices = spent_on(route, places, reading.prices)
    totals = {backend: state.tracked[backend].totals for backend in prices}
    return ceiling_reached(route.burst.ceiling, state.spend.routes.get(name, Decimal(0)), prices, totals)


def _inputs(name: str, tracked: Tracked, prices: Mapping[str, PriceInfo]) -> Inputs:
    recent = tracked.recent
    return Inputs(name, tracked.health.place, recent.answer_ms, recent.error_rate, prices.get(name))


def _replaces(before: State, state: State, proposed: Decision, seconds: float) -> bool:
    """Tell whether a proposal takes the place of the decision in force: what a person or the ceiling changed counts at once."""
    current = before.decisions.get(proposed.route)
    if current is None or before.rules.get(proposed.route) != state.rules[proposed.route] or current.ceiling != proposed.ceiling:
        return True
    return worth_changing(current.backends, proposed.backends, seconds)


def _why(current: Decision | None, scored: Sequence[Scored]) -> str:
    """Say what moved the weights."""
    if current is None:
        return "the route starts"
    before = {one.backend: one.place for one in current.backends}
    said = [f"{name} was removed" for name in before if name not in {one.backend for one in scored}]
    words = {"up": "is up", "trial": "is back, on trial", "out": "is out", "joining": "is being added"}
    said += [f"{one.backend} {words[one.place]}" for one in scored if before.get(one.backend) != one.place]
    return "; ".join(said) or "the scores moved"


def _plan(name: str, state: State, places: Mapping[str, Place], observation: Observation | None) -> RoutePlan:
    """Turn a decision into what Envoy is told. A running Envoy only gets names it has; one that starts gets everything at once."""
    route, decision, ranking = state.rules[name].route, state.decisions[name], state.rankings[name]
    known = decision.weights if observation is None else observation.backends
    weighed = decision.weights
    mine = {backend: place for backend, place in places.items() if backend in weighed}
    away = any(one.place != "up" for one in decision.backends)
    return plan(
        name,
        route,
        ranking,
        mine,
        known,
        per_try_timeout=route.per_try_timeout or state.patience[name].seconds,
        no_burst=bool(decision.ceiling),
        hurry=state.patience[name].hurried if away else HURRIED,
    )


def _tell_health(
    ruled: Mapping[str, Rules], backend: Backend, after: Mapping[str, Tracked], reading: Reading
) -> tuple[Tracked, list[Fact]]:
    """Say that a backend went out, or is back. One that is drained on every route may fail in peace: nobody is sent there."""
    tracked = after[backend.name]
    health = tracked.health
    fell, rose = health.place == "out" and not tracked.told, health.place == "up" and (tracked.told or tracked.news)
    if not fell and not rose:
        return tracked, []
    of = [name for name, found in ruled.items() if backend.model in models_of(name, found.route)]
    drained = bool(of) and all(ruled[name].drained(backend.target) for name in of)
    serving = sum(one.health.place == "up" for name, one in after.items() if name.startswith(f"{backend.model}@"))
    facts: dict[str, object] = {"route": of[0] if of else "", "routes": of, "model": backend.model, "backend": backend.name}
    facts |= {"version": backend.version, "serving": serving, "reason": health.reason}
    if fell and not drained:
        return replace(tracked, told=True, news=False), [Fact("route.backend_down", ROOM, backend.target, facts, reading.at)]
    if rose and tracked.told:
        down = {**facts, "down_s": round(reading.now - health.out_since, 3)}
        return replace(tracked, told=False), [Fact("route.backend_up", ROOM, backend.target, down, reading.at)]
    if rose:
        return replace(tracked, news=False), [Fact("route.backend_up", ROOM, backend.target, {**facts, FIRST_SIGHT: True}, reading.at)]
    return tracked, []


def _decision_facts(before: Decision | None, made: Decision) -> list[Fact]:
    facts = [_weights_fact(made)]
    if made.ceiling and (before is None or before.ceiling != made.ceiling):
        facts.append(Fact("route.burst_ceiling", ROOM, "", {"route": made.route, "model": made.model, "reason": made.ceiling}, made.at))
    return facts


def _weights_fact(decision: Decision) -> Fact:
    """Say in the journal what was decided, with all that `explain` needs later."""
    facts: dict[str, object] = {"route": decision.route, "weights": decision.weights, "previous": dict(decision.previous)}
    facts |= {"reason": decision.reason, "model": decision.model, "last_resort": decision.last_resort}
    facts["backends"] = [_scored_json(one) for one in decision.backends]
    facts["overrides"] = [to_json(one) for one in decision.overrides]
    return Fact("route.weights", ROOM, "", facts, decision.at)


def _scored_json(one: Scored) -> dict[str, object]:
    parts = {name: _part_json(getattr(one, name)) for name in ("latency", "cost", "reliability")}
    found = {"backend": one.backend, "place": one.place, **parts, "score": round(one.score, 4), "weight": one.weight}
    return {**found, "held": one.held}


def _part_json(part: Part) -> dict[str, object]:
    return {"share": part.share, "score": None if part.score is None else round(part.score, 4), "why": part.why}
