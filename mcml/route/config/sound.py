"""Whether what Envoy is about to be told can be right: looked at before anything is written, for every version, in a few milliseconds.

Envoy itself checks what a new process starts with, and refuses a bad file; but it forgives what answers 503 later (a cluster that it does
not have), and its own check takes as long as half a second: a backend that dies must be without weight before that. The rules are those of
the API's fields (https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/api).
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from mcml.route.config.table import clusters_of
from mcml.route.config.values import Json

MOST = 2**32 - 1
"""The largest sum of weights."""

OWN_ANSWER = 4096
"""Bytes of an answer of Envoy's own, where a table does not say more."""

_DURATION = re.compile(r"\d{1,9}(\.\d{1,9})?s")
_HEADER = re.compile(r":?[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DURATIONS = (
    "timeout", "idle_timeout", "per_try_timeout", "connect_timeout", "interval", "base_interval", "max_interval", "base_ejection_time",
    "max_ejection_time",
)  # fmt: skip


def faults(clusters: Sequence[Json], table: Json, listeners: Sequence[Json]) -> list[str]:
    """Return what cannot be right in these clusters, this route table and these listeners, in words; empty: nothing was found."""
    names = Counter(one["name"] for one in clusters)
    found = [f"two clusters are named {name}" for name, count in names.items() if count > 1]
    found += [f"no cluster is named {name}, to which requests go" for name in sorted(clusters_of(table) - names.keys())]
    limit = int(table.get("max_direct_response_body_size_bytes", OWN_ANSWER))
    rules: Mapping[str, Callable[[Any], Iterable[str]]] = {
        **_RULES,
        "direct_response": lambda value: _answer(value, limit),
    }
    for part in (*clusters, table, *listeners):
        found += [f"{part.get('name', 'it')}: {fault}" for fault in _walk(part, rules)]
    return found


def _walk(value: Any, rules: Mapping[str, Callable[[Any], Iterable[str]]]) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            if key in rules:
                yield from rules[key](one)
            if isinstance(one, dict | list):
                yield from _walk(one, rules)
            elif isinstance(one, float) and not math.isfinite(one):
                yield f"{key} is no number"
    elif isinstance(value, list):
        for one in value:
            yield from _walk(one, rules)


def _weighted(value: Json) -> Iterator[str]:
    yield from _weights([one["weight"] for one in value["clusters"]])


def _groups(value: Sequence[Json]) -> Iterator[str]:
    for group in value:
        yield from _weights([one["weight"] for one in group["clusters"]])


def _weights(weights: Sequence[Any]) -> Iterator[str]:
    if any(type(one) is not int or one < 0 for one in weights):
        yield f"weights are {weights}, expected whole numbers from 0"
    elif not 0 < sum(weights) <= MOST:
        yield f"weights add up to {sum(weights)}"


def _port(value: Any) -> Iterator[str]:
    if type(value) is not int or not 0 < value < 65536:
        yield f"{value!r} is no port"


def _duration(value: Any) -> Iterator[str]:
    if isinstance(value, str) and not _DURATION.fullmatch(value):
        yield f"{value!r} is no time"


def _header(value: Any) -> Iterator[str]:
    if not isinstance(value, dict) or "key" not in value:
        return
    if not _HEADER.fullmatch(value["key"]):
        yield f"{value['key']!r} is no name of a header"
    if re.search(r"[\r\n\0]", str(value.get("value", ""))):
        yield f"the header {value['key']} has more than one line"


def _prefix(value: Any) -> Iterator[str]:
    if not re.fullmatch(r"/[^?#]*[^?#/]", str(value)):
        yield f"{value!r} is no path"


def _answer(value: Json, limit: int) -> Iterator[str]:
    if not 200 <= value["status"] < 600:
        yield f"{value['status']} is no status"
    size = len(value.get("body", {}).get("inline_string", "").encode())
    if size > limit:
        yield f"an answer of its own has {size} bytes, and may have {limit}"


_RULES: Mapping[str, Callable[[Any], Iterable[str]]] = {
    "weighted_clusters": _weighted,
    "priority_groups": _groups,
    "port_value": _port,
    "header": _header,
    "path_separated_prefix": _prefix,
    **dict.fromkeys(_DURATIONS, _duration),
}
