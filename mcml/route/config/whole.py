"""Everything put together: what clusters, what listener and what route table a set of backends and plans makes."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from mcml.core.backend import Backend
from mcml.route.config.access import guard
from mcml.route.config.aside import assist
from mcml.route.config.clusters import clusters
from mcml.route.config.grpc import grpc_clusters
from mcml.route.config.listener import own_clusters
from mcml.route.config.managed import hold_whole
from mcml.route.config.sound import OWN_ANSWER
from mcml.route.config.table import routes
from mcml.route.config.upstream import Upstream, rewrites
from mcml.route.config.values import Front, Json, RoutePlan


def all_clusters(backends: Sequence[Backend], plans: Sequence[RoutePlan], front: Front, upstream: Upstream) -> list[Json]:
    """Return the clusters of the backends, those for gRPC, and the listener's own."""
    found = clusters(backends, upstream, renames=_renames(plans))
    return [*found, *grpc_clusters(found, backends, plans), *own_clusters(front, upstream.authorities)]


def fitted(front: Front, plans: Iterable[RoutePlan], *, access_log: str, evidence: str) -> Front:
    """Return the front with what these plans need of it; `evidence` is where requests to routes with data residency are written down."""
    plans = tuple(plans)
    return replace(
        front,
        access_log=access_log,
        grpc=any(plan.protocol != "http" for plan in plans),
        evidence=evidence if any(plan.regions for plan in plans) else "",
        overflows=any(plan.bursts for plan in plans),
    )


def whole_table(
    backends: Sequence[Backend], plans: Sequence[RoutePlan], front: Front, *, software: str, ready: bool, speakers: Collection[str]
) -> Json:
    """Return the route table; `speakers` names the backends that Envoy has a gRPC cluster for."""
    table = routes(
        plans,
        software=software,
        ready=ready,
        grpc=speakers,
        keep_path=_renames(plans) or rewrites(backends),
        managed={backend.name for backend in backends if backend.infer_path},
    )
    signed = {backend.name for backend in backends if backend.auth == "sigv4"}
    return _with_room(hold_whole(guard(assist(table, front.aside), front), signed, front.body_limit))


def _with_room(table: Json) -> Json:
    """Let the longest answer that Envoy gives itself be as long as it is: a page, or a sentence that names hundreds of routes."""
    answers = (one.get("direct_response", {}) for host in table["virtual_hosts"] for one in host["routes"])
    longest = max((len(one.get("body", {}).get("inline_string", "").encode()) for one in answers), default=0)
    return {**table, "max_direct_response_body_size_bytes": longest} if longest > OWN_ANSWER else table


def _renames(plans: Iterable[RoutePlan]) -> bool:
    """Tell whether a route is split between models, so that each backend must put its own into the path."""
    return any(plan.split for plan in plans)
