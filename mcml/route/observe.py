"""What Envoy says, read into values: per-backend counters, latencies and health, and which configuration is in force. No I/O."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcml.route.measure import Counters, Histogram

STATS_FILTER = (
    r"^(cluster\.[^.]+\.upstream_rq_time|http\.route\.rds\..*|cluster_manager\.(cds\..*|warming_clusters)|listener_manager\.lds\..*"
    r"|http\.route\.downstream_rq_active)$"
)
"""The statistics the router reads (a regular expression for `/stats?filter=`): a few kilobytes, where the whole page has hundreds."""


@dataclass(frozen=True)
class Endpoint:
    """One address of a backend as Envoy sees it: not checked yet (`pending`), failing its health check, ejected after failed requests."""

    address: str
    pending: bool
    failing: bool
    ejected: bool


@dataclass(frozen=True)
class Seen:
    """One backend as Envoy sees it."""

    endpoints: tuple[Endpoint, ...]
    counters: Counters

    @property
    def addresses(self) -> frozenset[str]:
        """Where Envoy sends its requests, as `host:port`."""
        return frozenset(endpoint.address for endpoint in self.endpoints)

    @property
    def pending(self) -> bool:
        """Whether its health is not known yet."""
        return all(endpoint.pending for endpoint in self.endpoints)

    @property
    def out(self) -> bool:
        """Whether none of its addresses can serve."""
        return all(endpoint.failing or endpoint.ejected for endpoint in self.endpoints)

    @property
    def failing(self) -> bool:
        """Whether all health checks fail."""
        return all(endpoint.failing for endpoint in self.endpoints)


@dataclass(frozen=True)
class Observation:
    """One reading of Envoy. `versions`: which version of `cds`, `lds` and `rds` is in force; `refused`: updates it did not take."""

    backends: Mapping[str, Seen] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    refused: int = 0
    active_requests: int = 0


def parse(clusters: str, stats: str) -> Observation:
    """Read `/clusters?format=json` and `/stats?format=json&histogram_buckets=detailed`. Raises ValueError for anything else."""
    try:
        values, histograms = _stats(json.loads(stats)["stats"])
        seen = {
            cluster["name"]: _seen(cluster["host_statuses"], histograms.get(cluster["name"], {}))
            for cluster in json.loads(clusters).get("cluster_statuses", ())  # absent when there is none
            if cluster.get("host_statuses")
        }
    except (KeyError, TypeError, AttributeError) as broken:
        raise ValueError(f"Envoy's answer has no {broken}") from broken
    tables = {"cds": "cluster_manager.cds", "lds": "listener_manager.lds", "rds": "http.route.rds.mcml"}
    return Observation(
        backends=seen,
        versions={name: str(values.get(f"{prefix}.version_text", "")) for name, prefix in tables.items()},
        refused=sum(int(values.get(f"{prefix}.update_{how}", 0)) for prefix in tables.values() for how in ("rejected", "failure")),
        active_requests=int(values.get("http.route.downstream_rq_active", 0)),
    )


def _seen(hosts: list[Any], latencies: Histogram) -> Seen:
    totals: dict[str, int] = {}
    for host in hosts:
        for stat in host.get("stats", ()):
            totals[stat["name"]] = totals.get(stat["name"], 0) + int(stat.get("value", 0))
    succeeded, failed = totals.get("rq_success", 0), totals.get("rq_error", 0)
    # `rq_error` also has what a retry hid from the client; `rq_total` lacks the attempts that found no connection
    counters = Counters(
        succeeded + failed, succeeded, failed, totals.get("cx_connect_fail", 0), totals.get("rq_timeout", 0), latencies
    )
    return Seen(tuple(_endpoint(host) for host in hosts), counters)


def _endpoint(host: Mapping[str, Any]) -> Endpoint:
    at, health = host["address"]["socket_address"], host.get("health_status", {})
    pending = bool(health.get("pending_active_hc"))
    return Endpoint(
        address=f"{at['address']}:{at['port_value']}",
        pending=pending,
        failing=bool(health.get("failed_active_health_check")) and not pending,
        ejected=bool(health.get("failed_outlier_check")),
    )


def _stats(entries: list[Any]) -> tuple[dict[str, Any], dict[str, Histogram]]:
    values = {entry["name"]: entry["value"] for entry in entries if "name" in entry}
    histograms: dict[str, Histogram] = {}
    for entry in entries:
        for detail in entry.get("histograms", {}).get("details", ()):
            name = detail["name"].removeprefix("cluster.").removesuffix(".upstream_rq_time")
            histograms[name] = {one["lower_bound"]: (one["width"], one["count"]) for one in detail.get("totals", ())}
    return values, histograms
