"""The static part of the configuration, the form of an xDS file, and everything as one file for Envoy to check."""

from collections.abc import Mapping, Sequence
from typing import Any

from mcml.route.config.values import TYPE, Json, address, named, watched

MAX_CONNECTIONS = 10_000
"""Client connections at once; further ones are refused."""


def bootstrap(admin_port: int, folder: str) -> Json:
    """Return the static part: who we are, the admin interface on loopback, and the folder of xDS files (`cds.json`, `lds.json`)."""
    return {
        "node": {"id": "mcml", "cluster": "mcml", "locality": {"region": "local", "zone": "local"}},
        "admin": {"address": address("127.0.0.1", admin_port)},
        "stats_flush_interval": "1s",  # histograms are merged this often
        "overload_manager": {"resource_monitors": [_connection_limit()]},
        "dynamic_resources": {"cds_config": watched(folder, "cds.json"), "lds_config": watched(folder, "lds.json")},
    }


def _connection_limit() -> Json:
    monitor = TYPE + "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    limit = {"@type": monitor, "max_active_downstream_connections": MAX_CONNECTIONS}
    return named("envoy.resource_monitors.global_downstream_max_connections", limit)


def flatten(
    start: Json,
    listeners: Sequence[Json],
    all_clusters: Sequence[Json],
    route_table: Json,
    *,
    extensions: Sequence[Json] = (),
    secrets: Sequence[Json] = (),
) -> Json:
    """Put everything into one static configuration, because `envoy --mode validate` does not read the xDS files."""
    known = {one["name"]: one["typed_config"] for one in extensions}
    resources = {
        "listeners": [_with_routes(one, route_table, known) for one in listeners],
        "clusters": [_untyped(cluster) for cluster in all_clusters],
        "secrets": [_untyped(secret) for secret in secrets],
    }
    return {**{key: value for key, value in start.items() if key != "dynamic_resources"}, "static_resources": resources}


def _with_routes(one: Json, route_table: Json, extensions: Mapping[str, Json]) -> Json:
    chain = _inlined(one["filter_chains"][0], extensions)
    manager = {**chain["filters"][0]["typed_config"]}
    if manager.pop("rds", None):
        manager["route_config"] = _untyped(route_table)
    chain = {**chain, "filters": [named("envoy.filters.network.http_connection_manager", manager)]}
    return {**_untyped(one), "filter_chains": [chain]}


def _inlined(value: Any, extensions: Mapping[str, Json]) -> Any:
    """Put extensions where they are to be discovered, and refer to static secrets instead of files."""
    if isinstance(value, list):
        return [_inlined(one, extensions) for one in value]
    if not isinstance(value, dict):
        return value
    if "config_discovery" in value:
        return named(value["name"], extensions[value["name"]])
    return {key: _inlined(one, extensions) for key, one in value.items() if key != "sds_config"}


def _untyped(resource: Json) -> Json:
    return {key: value for key, value in resource.items() if key != "@type"}


def discovery(version: str, resources: Sequence[Json]) -> Json:
    """Wrap resources as the content of one xDS file; Envoy says `version` back once it is in force."""
    return {"version_info": version, "resources": list(resources)}
