"""The last quarter of an hour of every backend: weight, traffic, latency and errors, in memory; what the plots are drawn from."""

from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Any

from mcml.core.clock import parse_rfc3339

SECONDS = 900.0
STEP = 3.0
"""Seconds between two points."""

FIELDS = ("weight", "rps", "p50_ms", "p99_ms", "errors_per_s")
Values = tuple[float | None, ...]
Key = tuple[str, str]


class History:
    """Points of (time in seconds since 1970, values of FIELDS by route and backend), oldest first; one thread writes, others read."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, dict[Key, Values]]] = deque(maxlen=round(SECONDS / STEP))

    def add(self, told: Mapping[str, Any]) -> bool:
        """Take a status (as `status.status` makes it); True when it became a point, False when the last one is younger than STEP.

        A clock that was put back starts the history anew.
        """
        at = parse_rfc3339(told["at"]).timestamp()
        newest = self._points[-1][0] if self._points else None
        if newest is not None and at < newest:
            self._points.clear()
        elif newest is not None and at - newest < STEP - 0.1:
            return False
        rows = {(route["route"], one["backend"]): _values(one) for route in told["routes"] for one in route["backends"]}
        self._points.append((at, rows))
        return True

    def json(self, *, since: float = 0.0, most: int = 0, values: int = 0) -> dict[str, Any]:
        """Return the points after `since`, the newest `most` of them (0: all): `at` and, for each route, backend and field, a list as long.

        None stands where a backend was not there, or nothing was measured. With `values`, points are left out so that each field has about
        so many values at most, over all backends.
        """
        points = [point for point in tuple(self._points) if point[0] > since]
        points = list(islice(points, max(0, len(points) - most), None)) if most else points
        if values and points:
            points = points[:: -max(1, len(points) * len(points[-1][1]) // values)][::-1]  # the newest is always there
        keys = dict.fromkeys(key for _, rows in points for key in sorted(rows))
        routes: dict[str, dict[str, dict[str, list[float | None]]]] = {}
        for route, backend in keys:
            columns = [rows.get((route, backend), (None,) * len(FIELDS)) for _, rows in points]
            lists = {name: [values[place] for values in columns] for place, name in enumerate(FIELDS)}
            routes.setdefault(route, {})[backend] = lists
        return {"step_s": STEP, "at": [round(at, 3) for at, _ in points], "routes": routes}


def _values(one: Mapping[str, Any]) -> Values:
    seconds = one["window_s"]
    return one["weight"], one["rps"], one["p50_ms"], one["p99_ms"], round(one["errors"] / seconds, 3) if seconds else 0.0
