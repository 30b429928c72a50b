"""A status as the control loop makes it, for what is drawn and counted from it; and the helper of a router that runs."""

import gc
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from mcml.core.clock import rfc3339
from mcml.route.aside.helper import Helper
from mcml.route.config.aside import CLUSTER
from tests.route.rig import Rig

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)


def backend(target: str, *, model: str = "fraud", **changes: Any) -> dict[str, Any]:
    """One backend of a status."""
    part = {"share": 0.4, "score": 0.5, "why": "2.4 ms, best 2.4 ms"}
    price = {"value": "0.21", "unit": "USD/hour", "currency": "USD", "source": "the catalogue", "as_of": rfc3339(NOW - timedelta(hours=3))}
    return {
        "backend": f"{model}@{target}", "target": target, "region": target.partition("-")[0], "provider": "local", "version": "1",
        "addresses": ["127.0.0.1:9000"], "state": "up", "reason": "", "weight": 50, "score": 0.5, "rps": 20.0, "p50_ms": 2.0, "p99_ms": 9.5,
        "errors": 5, "window_s": 10.0, "active": 1, "retries": 4, "breaker": "closed", "ejected": 0, "price": price,
        "parts": {name: dict(part) for name in ("latency", "cost", "reliability")},
    } | changes  # fmt: skip


def status(*backends: dict[str, Any], at: datetime = NOW, route: str = "fraud", **changes: Any) -> dict[str, Any]:
    """A status with one route."""
    one: dict[str, Any] = {"route": route, "model": "fraud", "pattern": "active-active", "reason": "the route starts"}
    one |= {"decided_at": rfc3339(at), "last_resort": False, "backends": list(backends)} | changes
    return {"at": rfc3339(at), "routes": [one], "restarts": 2}


def helper_of(rig: Rig) -> Helper:
    """Find the helper of a router: it listens where Envoy was told."""
    clusters = json.loads((rig.folder / "xds" / "cds.json").read_text())["resources"]
    aside = next(one for one in clusters if one["name"] == CLUSTER)
    port = aside["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["port_value"]
    return next(one for one in gc.get_objects() if isinstance(one, Helper) and one.port == port)
