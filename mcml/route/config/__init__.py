"""Envoy's configuration as values: bootstrap, listener, clusters and routes, with every guarantee of the router built in.

The fields are those of the Envoy v3 API (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/api). Nothing is read or written here.
"""

from mcml.route.config.clusters import clusters
from mcml.route.config.listener import listener
from mcml.route.config.start import bootstrap, discovery, flatten
from mcml.route.config.table import routes
from mcml.route.config.values import BUFFER_LIMIT, Front, Json, RoutePlan

__all__ = ["BUFFER_LIMIT", "Front", "Json", "RoutePlan", "bootstrap", "clusters", "discovery", "flatten", "listener", "routes"]
