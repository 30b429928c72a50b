"""Envoy's configuration as values: bootstrap, listener, clusters and routes, with every guarantee of the router built in.

The fields are those of the Envoy v3 API (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/api). Nothing is read or written here.
"""
