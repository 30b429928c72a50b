"""The routes as one static Envoy configuration: what `mcml route serve` would tell its Envoy now, for people who run Envoy themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from mcml.core.backend import Backend
from mcml.core.schema_routes import Route
from mcml.route.config.access import resources
from mcml.route.config.grpc import speakers
from mcml.route.config.listener import listener
from mcml.route.config.start import bootstrap, flatten
from mcml.route.config.upstream import Upstream
from mcml.route.config.values import Front, Json, RoutePlan
from mcml.route.config.whole import all_clusters, fitted, whole_table
from mcml.route.export.values import Exported
from mcml.route.weights.decide import Reading, State, group, turn
from mcml.route.weights.measure import Counters
from mcml.route.weights.observe import Endpoint, Observation, Seen

ADMIN_PORT = 9901
FOLDER = "/etc/mcml"
"""Where credentials are expected; nobody renews them there."""

AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def envoy(routes: Sequence[Exported], front: Front, *, software: str, now: datetime) -> Json:
    """Return the configuration, with every backend taken as up and the weights of now where one group of backends serves."""
    by_name = {one.name: one.route for one in routes}
    backends = tuple({backend.name: backend for one in routes for backend in one.backends}.values())
    plans = [_as_now(plan, one) for plan, one in zip(_plans(by_name, backends, now), routes, strict=True)]
    front = fitted(front, plans, access_log="/dev/stdout", evidence="/dev/stdout")
    clusters = all_clusters(backends, plans, front, Upstream(f"{FOLDER}/credentials", AUTHORITIES))
    spoken = speakers(cluster["name"] for cluster in clusters)
    table = whole_table(backends, plans, front, software=software, ready=True, speakers=spoken)
    found = resources(front)
    return flatten(
        bootstrap(ADMIN_PORT, FOLDER), [listener(front, FOLDER)], clusters, table, extensions=list(found.values())
    )


def _plans(routes: Mapping[str, Route], backends: tuple[Backend, ...], now: datetime) -> tuple[RoutePlan, ...]:
    """Decide as the control loop does when it sees every backend up, and nothing else."""
    seen = {name: Seen(tuple(_up(one) for one in members), Counters()) for name, members in group(routes, backends).items()}
    reading = Reading(1.0, now, Observation(backends=seen), backends)
    state, _ = turn(State(), routes, reading)
    return turn(state, routes, replace(reading, now=2.0))[1].plans


def _up(backend: Backend) -> Endpoint:
    return Endpoint("{}:{}".format(*backend.address), pending=False, failing=False, ejected=False)


def _as_now(plan: RoutePlan, one: Exported) -> RoutePlan:
    known = {name: one.weights.get(name, 0) for name in plan.weights}
    return replace(plan, weights=known) if any(known.values()) and not plan.attempts else plan
