"""Envoy's configuration as values: bootstrap, listener, clusters and routes, with every guarantee of the router built in.

The fields are those of the Envoy v3 API (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/api). Nothing is read or written here.
"""

from mcml.route.config.access import guard, resources
from mcml.route.config.aside import assist, listeners
from mcml.route.config.clusters import clusters
from mcml.route.config.grpc import grpc_clusters, speakers, speechless
from mcml.route.config.listener import listener, own_clusters, secrets
from mcml.route.config.sound import faults
from mcml.route.config.start import bootstrap, discovery, flatten
from mcml.route.config.table import ANSWER_HEADERS, clusters_of, overflow_filter, plan_routes, routes
from mcml.route.config.upstream import ALONE, Upstream
from mcml.route.config.values import (
    BUFFER_LIMIT,
    Aside,
    Attempt,
    Choice,
    Client,
    Front,
    Identity,
    Json,
    Overflow,
    Rate,
    Region,
    RoutePlan,
    Spans,
)
from mcml.route.config.whole import all_clusters, fitted, whole_table

__all__ = [
    "ALONE",
    "ANSWER_HEADERS",
    "BUFFER_LIMIT",
    "Aside",
    "Attempt",
    "Choice",
    "Client",
    "Front",
    "Identity",
    "Json",
    "Overflow",
    "Rate",
    "Region",
    "RoutePlan",
    "Spans",
    "Upstream",
    "all_clusters",
    "assist",
    "bootstrap",
    "clusters",
    "clusters_of",
    "discovery",
    "faults",
    "fitted",
    "flatten",
    "grpc_clusters",
    "guard",
    "listener",
    "listeners",
    "overflow_filter",
    "own_clusters",
    "plan_routes",
    "resources",
    "routes",
    "secrets",
    "speakers",
    "speechless",
    "whole_table",
]
