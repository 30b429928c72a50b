"""What Envoy says, read into values: per-backend counters, latencies and health, and which configuration is in force. No I/O."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from mcml.route.config.grpc import SUFFIX
from mcml.route.config.values import BACKEND_STATS, BROKEN_OFF
from mcml.route.weights.measure import Counters, Histogram

STATS_FILTER = (
    r"^(cluster\.[^.]+\.(upstream_rq_(time|retry|429)|circuit_breakers\.default\.rq_open)"
    r"|http\.route\.rds\..*|cluster_manager\.(cds\..*|warming_clusters)|listener_manager\.lds\..*"
    rf"|http\.route\.downstream_rq_active|filesystem\.write_failed|{BACKEND_STATS}\.{BROKEN_OFF}\..*"
    r"|extension_config_discovery\.http_filter\.mcml\.(keys|limits)\.(version_text|update_rejected)"
    r"|.*sds\.(server|clients)\.(version_text|update_rejected))$"
)
"""The statistics the router reads (a regular expression for `/stats?filter=`): a few kilobytes, where the whole page has hundreds."""

GLANCE_FILTER = (
    r"^(cluster\.[^.]+\.(membership_(healthy|total)|outlier_detection\.ejections_active)|filesystem\.write_failed"
    r"|.*\.(version_text|update_rejected|update_failure))$"
)
"""Those of them that must not wait for the next turn; as text they are compared whole, and mean nothing by themselves."""

STATS_PATH = "/stats?" + urlencode({"format": "json", "histogram_buckets": "detailed", "filter": STATS_FILTER})
GLANCE_PATH = "/stats?" + urlencode({"filter": GLANCE_FILTER})

TABLES = {
    "cds": "cluster_manager.cds",
    "lds": "listener_manager.lds",
    "rds": "http.route.rds.mcml",
    "keys": "extension_config_discovery.http_filter.mcml.keys",
    "limits": "extension_config_discovery.http_filter.mcml.limits",
}
"""Under which name Envoy counts the updates of each file."""

SECRETS = {"sds": "sds.server", "sds-ca": "sds.clients"}


@dataclass(frozen=True)
class Endpoint:
    """One address of a backend as Envoy sees it: not checked yet (`pending`), failing its health check, ejected after failed requests."""

    address: str
    pending: bool
    failing: bool
    ejected: bool


@dataclass(frozen=True)
class Seen:
    """One backend as Envoy sees it. `active`: requests under way; `retries`: attempts that were sent after another had failed;
    `full`: it has as many requests at once as its circuit breaker allows. `grpc`: its addresses for gRPC; their
    requests are in the numbers.
    """

    endpoints: tuple[Endpoint, ...]
    counters: Counters
    active: int = 0
    retries: int = 0
    full: bool = False
    grpc: tuple[Endpoint, ...] = ()

    @property
    def addresses(self) -> frozenset[str]:
        """Where Envoy sends its requests, as `host:port`."""
        return frozenset(endpoint.address for endpoint in self.endpoints)

    @property
    def pending(self) -> bool:
        """Whether its health is not known yet."""
        return self._all(lambda endpoint: endpoint.pending)

    @property
    def out(self) -> bool:
        """Whether none of its addresses can serve, or none of those for gRPC."""
        return self._all(lambda endpoint: endpoint.failing or endpoint.ejected)

    @property
    def failing(self) -> bool:
        """Whether all health checks fail."""
        return self._all(lambda endpoint: endpoint.failing)

    def _all(self, holds: Callable[[Endpoint], bool]) -> bool:
        return all(map(holds, self.endpoints)) or (bool(self.grpc) and all(map(holds, self.grpc)))


@dataclass(frozen=True)
class Observation:
    """One reading of Envoy. `versions`: which version of each file is in force; `refused`: updates it did not take; `log_failures`: writes
    of the access log that failed.
    """

    backends: Mapping[str, Seen] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    refused: int = 0
    active_requests: int = 0
    log_failures: int = 0


def parse(clusters: str, stats: str) -> Observation:
    """Read `/clusters?format=json` and `/stats?format=json&histogram_buckets=detailed`. Raises ValueError for anything else."""
    try:
        values, histograms = read_stats(stats)
        seen = {
            cluster["name"]: _seen(cluster["name"], cluster["host_statuses"], values, histograms.get(cluster["name"], {}))
            for cluster in json.loads(clusters).get("cluster_statuses", ())  # absent when there is none
            if cluster.get("host_statuses")
        }
    except (KeyError, TypeError, AttributeError) as broken:
        raise ValueError(f"Envoy's answer has no {broken}") from broken
    tables = {**TABLES, **{name: _place(values, suffix) for name, suffix in SECRETS.items()}}
    return Observation(
        backends=_folded(seen),
        versions={name: str(values[f"{prefix}.version_text"]) for name, prefix in tables.items() if f"{prefix}.version_text" in values},
        refused=sum(int(values.get(f"{prefix}.update_{how}", 0)) for prefix in tables.values() for how in ("rejected", "failure")),
        active_requests=int(values.get("http.route.downstream_rq_active", 0)),
        log_failures=int(values.get("filesystem.write_failed", 0)),
    )


def _folded(seen: Mapping[str, Seen]) -> dict[str, Seen]:
    """Fold what was seen of a backend's cluster for gRPC into the backend: it is one server."""
    found = {name: one for name, one in seen.items() if not name.endswith(SUFFIX)}
    for name, one in found.items():
        other = seen.get(name + SUFFIX)
        if other:
            counters = one.counters.plus(other.counters)
            active, retries, full = one.active + other.active, one.retries + other.retries, one.full or other.full
            found[name] = replace(one, counters=counters, active=active, retries=retries, full=full, grpc=other.endpoints)
    return found


def _place(values: Mapping[str, Any], suffix: str) -> str:
    """Return under which name a secret's updates are counted: that of its listener stands in front."""
    found = (name.removesuffix(".version_text") for name in values if name.endswith(f"{suffix}.version_text"))
    return next(found, suffix)


def _seen(name: str, hosts: list[Any], values: Mapping[str, Any], latencies: Histogram) -> Seen:
    totals: dict[str, int] = {}
    for host in hosts:
        for stat in host.get("stats", ()):
            totals[stat["name"]] = totals.get(stat["name"], 0) + int(stat.get("value", 0))
    # an answer that broke off, and a 429 that no other backend could make good is a success to Envoy
    busy = min(totals.get("rq_success", 0), int(values.get(f"cluster.{name}.upstream_rq_429", 0)))
    broken = int(values.get(f"{BACKEND_STATS}.{BROKEN_OFF}.backend.{name}", 0))
    # a call's status comes last, so of calls Envoy itself counts these as failed
    bad = min(totals.get("rq_success", 0), busy + (0 if name.endswith(SUFFIX) else broken))
    succeeded, failed = totals.get("rq_success", 0) - bad, totals.get("rq_error", 0) + bad
    # `rq_error` also has what a retry hid from the client; `rq_total` lacks the attempts that found no connection
    counters = Counters(
        succeeded + failed, succeeded, failed, totals.get("cx_connect_fail", 0), totals.get("rq_timeout", 0), latencies, broken
    )
    return Seen(
        tuple(_endpoint(host) for host in hosts),
        counters,
        active=totals.get("rq_active", 0),
        retries=int(values.get(f"cluster.{name}.upstream_rq_retry", 0)),
        full=bool(values.get(f"cluster.{name}.circuit_breakers.default.rq_open", 0)),
    )


def _endpoint(host: Mapping[str, Any]) -> Endpoint:
    at, health = host["address"]["socket_address"], host.get("health_status", {})
    pending = bool(health.get("pending_active_hc"))
    return Endpoint(
        address=f"{at['address']}:{at['port_value']}",
        pending=pending,
        failing=bool(health.get("failed_active_health_check")) and not pending,
        ejected=bool(health.get("failed_outlier_check")),
    )


def read_stats(text: str) -> tuple[dict[str, Any], dict[str, Histogram]]:
    """Read `/stats?format=json&histogram_buckets=detailed`: values by name, and latencies by the name of what was timed (`fraud@eu-1`).

    Raises KeyError, TypeError, AttributeError or ValueError for anything else.
    """
    entries = json.loads(text)["stats"]
    values = {entry["name"]: entry["value"] for entry in entries if "name" in entry}
    histograms: dict[str, Histogram] = {}
    for entry in entries:
        for detail in entry.get("histograms", {}).get("details", ()):
            name = detail["name"].removeprefix("cluster.").removesuffix(".upstream_rq_time")
            histograms[name] = {one["lower_bound"]: (one["width"], one["count"]) for one in detail.get("totals", ())}
    return values, histograms
