"""What Envoy is told, as values, and the small pieces that every part of its configuration is made of. Nothing is read or written here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

BUFFER_LIMIT = 8 * 1024 * 1024
"""Largest request body in bytes. All of it is kept for a retry (Envoy's own default keeps 1 MiB and gives up beyond); above it: 413."""

ROUTES_NAME = "mcml"
TYPE = "type.googleapis.com/"
HTTP = "envoy.extensions.filters.http"


@dataclass(frozen=True)
class RoutePlan:
    """What Envoy is to do with one route: its weights, integers that sum to 100, by backend name; empty when it has no backend.

    `last_resort` says that every backend is out: all are tried, quickly, so that the first one to recover serves again.
    """

    name: str
    model: str
    weights: Mapping[str, int]
    timeout: float
    per_try_timeout: float
    last_resort: bool = False


@dataclass(frozen=True)
class Front:
    """What the public listener is made of: where it listens and where it writes its access log."""

    host: str
    port: int
    access_log: str


def address(host: str, port: int) -> Json:
    """Return a socket address; `host` is an IP address or, where Envoy resolves names, a name."""
    return {"socket_address": {"address": host, "port_value": port}}


def watched(folder: str, name: str) -> Json:
    """Return a config source: a file that Envoy reads again whenever it is replaced."""
    source = {"path": f"{folder}/{name}", "watched_directory": {"path": folder}}
    return {"resource_api_version": "V3", "path_config_source": source}


def named(name: str, typed: Json) -> Json:
    """Return an extension under its name."""
    return {"name": name, "typed_config": typed}


def header(key: str, value: str, *, replace: bool = False) -> Json:
    """Return a header to add, or to set."""
    action = "OVERWRITE_IF_EXISTS_OR_ADD" if replace else "APPEND_IF_EXISTS_OR_ADD"
    return {"header": {"key": key, "value": value}, "append_action": action}


def seconds(value: float) -> str:
    """Return a duration as protobuf's JSON writes it: `0.25s`."""
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"
